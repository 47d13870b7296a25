"""What values are, and how messages describe them."""

import inspect
import warnings
from collections.abc import Callable
from math import isfinite
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def is_count(n: Any, least: int = 1) -> bool:
    """Return True if n is an int >= `least`. Bools are rejected."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= least)


def is_number(value: Any, within: Callable[[Any], Any] = lambda value: True) -> bool:
    """Return True if the value is a real scalar that satisfies `within`. Bools are rejected.

    The range of a traced number is not checked. Other arrays are read on the host: inside a traced function JAX would
    trace their comparison.

    Example:
      >>> [is_number(value, lambda rate: 0 <= rate < 1) for value in (0.5, 1, "0.5", None, True, np.zeros(2))]
      [True, False, False, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
        return False
    if np.shape(value) != () or not is_real(getattr(value, "dtype", float)):
        return False
    return isinstance(value, Tracer) or bool(within(np.asarray(value) if isinstance(value, jax.Array) else value))


def is_constant(value: Any, number: float) -> bool:
    """Return True if the value is this number and is not traced."""
    return not isinstance(value, Tracer) and is_number(value, lambda value: value == number)


def is_finite(number: Any) -> bool:
    """Return whether a real scalar is finite as a float, which a whole number may be too large for."""
    try:
        return isfinite(number)
    except OverflowError:
        return False


def is_real(dtype: Any) -> bool:
    """Return whether the dtype is an integer or a floating dtype."""
    return jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)


def described(value: Any) -> str:
    """Return a short description of an argument for an error message.

    It is the dtype and shape of an array, the repr of a short value, and the type of any other. In the repr of a layer
    or a model, arguments are printed by `factories.representation.shown` instead, which never omits the value.

    Example:
      >>> described(np.zeros((2, 3))), described(is_count), described({"a": 1}), described("x" * 100)
      ('float64 (2, 3)', 'the function is_count', "{'a': 1}", 'a str')
    """
    if callable(value) and hasattr(value, "__name__"):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array: Any = value
        number = not isinstance(value, Tracer) and array.shape == () and is_real(array.dtype)
        return str(value) if number else f"{array.dtype} {array.shape}"
    text = repr(value)
    short = len(text) <= 60 and not any(sign in text for sign in (" at 0x", "\n")) and not _is_factory_made(value)
    return text if short else f"a {type(value).__name__}"


def sizes_of(shape: Any) -> Any:
    """Return the sizes that a `jax.ShapeDtypeStruct` of floats means as the shape of an example; others unchanged."""
    is_floats = isinstance(shape, jax.ShapeDtypeStruct) and jnp.issubdtype(shape.dtype, jnp.floating)
    return tuple(shape.shape) if is_floats else shape


def has_lengths(value: Any) -> bool:
    """Return whether a value is `Sequences`, of arrays or of shapes."""
    return hasattr(value, "lengths") and hasattr(value, "x")


AT_EVERY_TIME = "each_step(layer) applies a layer at every time"
"""The likely fix if a layer of one array is given `Sequences`."""


def unless_lengths(value: Any, fix: str) -> str:
    """Return the likely fix for the shape of an example, that for `Sequences` if it is one."""
    return AT_EVERY_TIME if has_lengths(value) else fix


def _is_factory_made(value: Any) -> bool:
    """Return whether a value is, or contains, a layer, a loss or the like, described by its type alone."""
    return hasattr(value, "factory_call") or (isinstance(value, list | tuple) and any(map(_is_factory_made, value)))


def warn_outside(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the line outside of jaxnn whose call led here."""
    frame: Any = inspect.currentframe()
    level = 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "jaxnn":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
