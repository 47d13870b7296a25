"""Validate arguments by their types and shapes, without computing on them."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_count(n: Any, least: int = 1) -> bool:
    """Return True if n is an int >= `least`. Bools are rejected."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= least)


def is_number(value: Any, within: Callable[[Any], Any] = lambda value: True) -> bool:
    """Return True if the value is a real scalar that satisfies `within`. Bools are rejected.

    The range of a traced number is not checked.

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
        number = not isinstance(value, jax.core.Tracer) and value.shape == () and is_real(value.dtype)
        return str(value) if number else f"{value.dtype} {value.shape}"
    text = repr(value)
    short = len(text) <= 60 and " at 0x" not in text and not _is_factory_made(value)
    return text if short else f"a {type(value).__name__}"


def _is_factory_made(value: Any) -> bool:
    """Return whether a value is, or contains, a layer, a loss or the like, described by its type alone."""
    return hasattr(value, "factory_call") or (isinstance(value, list | tuple) and any(map(_is_factory_made, value)))


def check_key(key: Any) -> None:
    """Raise ValueError unless it is one random key: a scalar, or an old-style key, uint32 (2,)."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not (typed or (dtype == np.uint32 and shape)):
        raise ValueError(f"key must be a random key, got {described(key)}: jax.random.key(0) makes one from the seed 0")
    keys = shape if typed else shape[:-1]
    if keys != ():
        raise ValueError(f"key must be one random key, got {keys} of them: index one, or use jax.vmap over them")


def check_params(params: Any) -> None:
    """Raise ValueError if it is `None`, or an object that holds or makes params, instead of the params themselves.

    Example:
      >>> check_params(None)
      Traceback (most recent call last):
      ...
      ValueError: params must be a network's params, got None: model.init(key) makes them
    """
    if hasattr(params, "opt_state"):
        fix = "pass state.params; make_epoch continues from a state"
    elif hasattr(params, "state") and hasattr(params, "params"):
        fix = "pass result.params; make_epoch continues from result.state"
    elif hasattr(params, "params"):
        fix = "pass its params"
    elif hasattr(params, "state"):
        fix = "pass its state.params"
    elif params is None or callable(params) or callable(getattr(params, "init", None)):
        fix = "model.init(key) makes them"
    else:
        _check_leaves(params)
        return
    got = None if params is None else described(params) if hasattr(params, "__name__") else f"a {type(params).__name__}"
    raise ValueError(f"params must be a network's params, got {got}: {fix}")


def _check_leaves(params: Any) -> None:
    """Raise ValueError if a leaf is not a number or an array, such as a word or a function."""
    if all(hasattr(leaf, "dtype") or isinstance(leaf, int | float | complex) for leaf in jax.tree.leaves(params)):
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float | complex):
            name = f"params{jax.tree_util.keystr(path)}"
            raise ValueError(f"{name} must be an array, got {described(leaf)}: model.init(key) makes params")


def check_seed(seed: Any) -> None:
    """Raise ValueError unless it is a whole number of at least 0, a seed for NumPy's random numbers."""
    if not is_count(seed, least=0):
        raise ValueError(f"seed must be a whole number of at least 0, got {described(seed)}: it seeds NumPy's shuffle")


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless it is True or False: a string such as "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {described(value)}")


def check_mode(mode: Any) -> None:
    """Raise ValueError unless it is "min" or "max"."""
    if not isinstance(mode, str) or mode not in ("min", "max"):
        raise ValueError(f'mode must be "min" or "max", got {described(mode)}')


def check_name(what: str, name: Any, known: Iterable[str], also: str = "") -> None:
    """Raise ValueError unless the name is one of the known ones; the message suggests the nearest."""
    if not (isinstance(name, str) and name in known):
        near = get_close_matches(str(name).lower(), known, 1, cutoff=0.7) if isinstance(name, str) else []
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{what} must be one of {sorted(known)}{also}, got {described(name)}{hint}")


def check_shape(in_shape: Any) -> None:
    """Raise ValueError unless it is the shape of an example."""
    if not isinstance(in_shape, tuple | list) or not all(map(is_count, in_shape)):
        raise ValueError(
            f"in_shape must be the shape of one example, got {described(in_shape)}: "
            "omit the batch axis, such as (4,) for 4 features"
        )


def check_callable(what: str, function: Any, *arguments: str, name: str = "") -> None:
    """Raise ValueError unless `function` accepts these positional arguments. It is not called.

    A message names it `name`, by default `what`, which is what the expected function is called.

    Example:
      >>> check_callable("evaluate", lambda params, x: {}, "params")
      Traceback (most recent call last):
      ...
      ValueError: evaluate must be a function evaluate(params), got a function of (params, x)
    """
    expected = f"a function {what}({', '.join(arguments)})"
    if not callable(function):
        raise ValueError(f"{name or what} must be {expected}, got {described(function)}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function written in C may have no signature
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        names = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
        raise ValueError(f"{name or what} must be {expected}, got a function of {inspect.Signature(names)}") from None


def warn_outside(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the line outside of jaxnn whose call led here."""
    frame, level = inspect.currentframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "jaxnn":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
