"""Hashable keys of arguments that are equal if the arguments are."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def is_factory_made(value: Any) -> bool:
    """Return whether a value records the call that made it: a `FactoryMade`, whose module imports this one."""
    return hasattr(type(value), "factory_call")


def key_of(value: Any) -> Any:
    """Return a hashable key that is equal for equal arguments, and only for those."""
    kind = type(value)
    if kind in (str, bytes, type(None)):
        return value
    if isinstance(value, bool | np.bool_):
        return bool, bool(value)
    if kind is int or isinstance(value, np.integer):
        return int, int(value)
    if isinstance(value, float | complex | np.inexact):
        return kind, repr(value)  # -0.0 differs from 0.0, and NaN equals NaN
    if issubclass(kind, tuple) and not is_factory_made(value) or kind is list:
        return kind, *map(key_of, value)
    if kind is dict:
        return kind, *((name, key_of(one)) for name, one in value.items())
    if isinstance(value, Tracer):
        return _Same(value)
    if kind is partial:
        return kind, key_of(value.func), key_of(value.args), *sorted((n, key_of(a)) for n, a in value.keywords.items())
    if kind is np.ndarray and value.dtype != object or isinstance(value, jax.Array) and value.is_fully_addressable:
        return _Numbers(value)
    if is_dtype(value):
        return np.dtype, jnp.dtype(value)
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return kind, value


def is_dtype(value: Any) -> bool:
    """Return whether it is a dtype, or a scalar class that stands for one, such as np.float32 or jnp.float32."""
    if isinstance(value, type):
        return issubclass(value, np.generic) or isinstance(getattr(value, "dtype", None), np.dtype)
    return isinstance(value, np.dtype)


class _Same:
    """A key that equals only a key of the same object."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


class _Numbers:
    """A key of an array, equal to those of the same type, dtype, shape and bytes."""

    def __init__(self, array: Any):
        is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
        self.array = jax.random.key_data(array) if is_key else array
        self.kind = type(array), str(array.dtype), array.shape, getattr(array, "weak_type", False)

    def __hash__(self) -> int:
        return hash(self.kind)

    def __eq__(self, other: Any) -> bool:
        same = isinstance(other, _Numbers) and self.kind == other.kind
        return same and np.asarray(self.array).tobytes() == np.asarray(other.array).tobytes()
