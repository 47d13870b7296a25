"""What arguments must be: checks that many rooms make, by types and shapes alone. Nothing is computed."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_count(n: Any, least: int = 1) -> bool:
    """Whether n is a whole number, a scalar, of at least 1, or another least one; True is none."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= least)


def is_number(value: Any, within: Callable[[Any], Any] = lambda value: True) -> bool:
    """Whether it is a real number, a scalar, within a range; True is none, and of a traced one the range is not known.

    Example:
      >>> [is_number(value, lambda rate: 0 <= rate < 1) for value in (0.5, 1, "0.5", None, True, np.zeros(2))]
      [True, False, False, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
        return False
    if np.shape(value) != () or not is_real(getattr(value, "dtype", float)):
        return False
    return isinstance(value, jax.core.Tracer) or bool(within(value))


def is_real(dtype: Any) -> bool:
    """Whether it is the dtype of whole numbers or of floats; a scalar decision, no shapes."""
    return jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)


def described(value: Any) -> str:
    """An argument in a few words, for a message: the dtype and shape of an array, a short value itself, else its type.

    Example:
      >>> described(np.zeros((2, 3))), described(is_count), described({"a": 1}), described("x" * 100)
      ('float64 (2, 3)', 'the function is_count', "{'a': 1}", 'a str')
    """
    if callable(value) and hasattr(value, "__name__"):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        number = not isinstance(value, jax.core.Tracer) and value.shape == () and is_real(value.dtype)
        return str(value) if number else f"{value.dtype} {value.shape}"
    text = repr(value)
    short = len(text) <= 60 and " at 0x" not in text and not _is_made(value)
    return text if short else f"a {type(value).__name__}"


def _is_made(value: Any) -> bool:
    """Whether it is a layer, a loss or the like, or holds some: what it is says more than its call."""
    return hasattr(value, "made") or (isinstance(value, list | tuple) and any(map(_is_made, value)))


def as_array(name: str, a: Any) -> Any:
    """An array (...) of JAX's as it is, and what came in anything else, a list say, as one of NumPy's.

    Raises:
      ValueError: it makes no array, or entries of it are masked.
    """
    if isinstance(a, jax.Array):
        return a
    if isinstance(a, np.ma.MaskedArray) and np.ma.is_masked(a):
        raise ValueError(f"{name} is masked at {np.ma.count_masked(a)} places: fill them in, {name}.filled(value)")
    try:
        array = np.asarray(a)
    except ValueError:
        raise ValueError(f"{name} is {described(a)}, whose entries differ in shape: expected an array") from None
    if array.ndim == 0 and array.dtype.kind in "OSU":
        fix = f": {name}.toarray()" if hasattr(a, "toarray") else ""
        raise ValueError(f"{name} is {described(a)}, expected an array{fix}")
    return array


def check_key(key: Any) -> None:
    """A ValueError unless it is one random key: a scalar, or of the old kind, uint32 (2,)."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not (typed or (dtype == np.uint32 and shape)):
        raise ValueError(f"key is {described(key)}, expected a random key: jax.random.key(0) makes one of the seed 0")
    keys = shape if typed else shape[:-1]
    if keys != ():
        raise ValueError(f"key holds {keys} random keys, expected one: take one of them, or jax.vmap over them")


def check_seed(seed: Any) -> None:
    """A ValueError unless it is a whole number of at least 0, a scalar, as NumPy's random numbers start from."""
    if not is_count(seed, least=0):
        raise ValueError(f"seed is {described(seed)}, expected a whole number of at least 0: here NumPy shuffles")


def check_flag(name: str, value: Any) -> None:
    """A ValueError unless it is True or False: a text, "no" say, would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is True or False, got {described(value)}")


def check_name(what: str, name: Any, known: Iterable[str], also: str = "") -> None:
    """A ValueError unless the name is one of the known ones; it tells which, and which is near."""
    if not (isinstance(name, str) and name in known):
        near = get_close_matches(str(name).lower(), known, 1, cutoff=0.7) if isinstance(name, str) else []
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {what} {described(name)}: expected one of {sorted(known)}{also}{hint}")


def check_shape(in_shape: Any) -> None:
    """A ValueError unless it is the shape (...) of an example."""
    if not isinstance(in_shape, tuple | list) or not all(map(is_count, in_shape)):
        raise ValueError(
            f"in_shape is {described(in_shape)}, expected the shape of one example, without the batch axis, such as "
            "(4,) for 4 features"
        )


def check_callable(what: str, function: Any, *arguments: str) -> None:
    """A ValueError unless it is a function that takes so many arguments, named for the message; it is not called.

    Example:
      >>> check_callable("evaluate", lambda params, x: {}, "params")
      Traceback (most recent call last):
      ...
      ValueError: evaluate takes (params, x), expected a function evaluate(params)
    """
    expected = f"a function {what}({', '.join(arguments)})"
    if not callable(function):
        raise ValueError(f"{what} is {described(function)}, expected {expected}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, it does not tell
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        names = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
        raise ValueError(f"{what} takes {inspect.Signature(names)}, expected {expected}") from None
