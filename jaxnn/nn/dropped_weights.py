"""Dropout of the weights of attention: which are kept depends on the key and on their place alone.

So a mask is the same whether it is made for all pairs of a query and a key or for those of a block, and attention in
blocks makes it again in backward instead of keeping one number for each pair.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.constraints import Nothing, RandomKey
from jaxnn.typing import Array, Key, Scalar

DROPOUT_KEY = RandomKey() | Nothing()
"""The constraint of the key of attention whose weights may be dropped."""


def kept_weights(key: Key, rate: Scalar, m: int, heads: int, queries: Array, keys: Array) -> Array:
    """Return which weights are kept, booleans (m, heads, queries, keys), for queries and keys of these numbers.

    The random bits of a weight are those of `fold_in` with its example, head, query and key, one after another.
    """

    def folded(key: Key, first: Array, *others: Array) -> Any:
        def one(i):
            inner = jax.random.fold_in(key, i)
            return folded(inner, *others) if others else jax.random.key_data(inner)[0]

        return jax.vmap(one)(first)

    bits = folded(key, jnp.arange(m), jnp.arange(heads), queries, keys).astype("uint32")
    # 24 bits, since float32 holds each of their numbers, and none becomes 1.
    return (bits >> 8).astype("float32") * 2.0**-24 < 1 - rate


def thinned(P: Array, kept: Array | None) -> Array:
    """Return P where it is kept, and 0 elsewhere; P itself if nothing is dropped."""
    return P if kept is None else jnp.where(kept, P, jnp.zeros((), P.dtype))


def scaled(a: Array, kept: Any, rate: Scalar) -> Array:
    """Return a/(1 - rate), a sum over what is kept or its cotangent; a itself if nothing is dropped."""
    return a if kept is None else a / jnp.asarray(1 - rate, a.dtype)
