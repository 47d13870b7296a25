"""Rows in shards: each draws its own part of every batch, so that no row crosses from one device to another.

How many shards there are belongs to the plan of a training, not to the machine: with 8 of them the same batches are
drawn on 1, 2, 4 and 8 devices.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.data.batches import random_order
from jaxnn.typing import Array, Key, PyTree


class Shards(NamedTuple):
    """How m examples lie in n shards: the first m mod n of them have one more than the others.

    Attributes:
      m: the number of examples.
      n: the number of shards, at most m.
    """

    m: int
    n: int

    @property
    def rows(self) -> int:
        """Return the number of places of a shard, of which the last may be padding."""
        return -(-self.m // self.n)

    @property
    def counts(self) -> np.ndarray:
        """Return the number of examples in each shard, (n,)."""
        return self.m // self.n + (np.arange(self.n) < self.m % self.n)

    @property
    def examples(self) -> np.ndarray:
        """Return the number of the example at each place, (n, rows); padding repeats the one before it.

        Example:
          >>> Shards(5, 2).examples.tolist()
          [[0, 1, 2], [3, 4, 4]]
        """
        ends = np.cumsum(self.counts)
        return np.minimum((ends - self.counts)[:, None] + np.arange(self.rows), ends[:, None] - 1).astype(np.int32)

    @property
    def is_example(self) -> np.ndarray:
        """Return whether a place has an example, (n, rows)."""
        return np.arange(self.rows) < self.counts[:, None]


def in_shards(tree: PyTree, shards: Shards) -> PyTree:
    """Return arrays (m, ...) as (n, rows, ...)."""
    if shards.m % shards.n == 0:
        return jax.tree.map(lambda a: a.reshape(shards.n, shards.rows, *a.shape[1:]), tree)
    return jax.tree.map(lambda a: a[shards.examples], tree)


def rows_of(tree: PyTree) -> PyTree:
    """Return arrays (n, rows, ...) as (n · rows, ...), shard by shard."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree)


def take_in_shards(tree: PyTree, places: Array) -> PyTree:
    """Return the rows at places (n, k), each in its own shard, of arrays (n, rows, ...), as (n · k, ...)."""
    return rows_of(jax.tree.map(lambda a: in_each_shard(a, places), tree))


def in_each_shard(a: Array, places: Array) -> Array:
    """Return what an array (n, rows, ...) has at places (n, k), each in its own shard, (n, k, ...)."""
    return jax.vmap(lambda of_shard, i: of_shard[i])(a, places)


def shard_indices(key: Key | None, shards: Shards, batch_size: int) -> tuple[Array, Array]:
    """Return the places of an epoch's batches in each shard: every example once, in parts of one size.

    Args:
      key: a random key to shuffle with, or `None` to keep the order; shard s draws from `fold_in(key, s)`.
      shards: how the examples lie.
      batch_size: examples per batch, a multiple of the number of shards.

    Returns:
      places (steps, n, batch_size/n), int32, and weight of that shape, 1 for an example and 0 for padding, which comes
      last in each shard; steps = ceil(m / batch_size).

    Example:
      >>> places, weight = shard_indices(None, Shards(5, 2), 4)
      >>> places.tolist(), weight.tolist()
      ([[[0, 1], [0, 1]], [[2, 0], [2, 0]]], [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]])
    """
    n, size = shards.n, batch_size // shards.n
    steps = -(-shards.rows // size)
    if key is None:
        order = jnp.broadcast_to(jnp.arange(shards.rows, dtype=jnp.int32), (n, shards.rows))
    else:
        keys = jax.vmap(lambda s: jax.random.fold_in(key, s))(jnp.arange(n))
        order = jax.vmap(lambda key, last: random_order(key, shards.rows, last))(keys, ~shards.is_example)
    padded = jnp.pad(order, ((0, 0), (0, steps * size - shards.rows)))
    weight = (np.arange(steps * size) < shards.counts[:, None]).astype(jnp.result_type(float))
    places, counted = (jnp.moveaxis(jnp.reshape(a, (n, steps, size)), 0, 1) for a in (padded, weight))
    return places, counted


def weight_of_places(weight: Any, shards: Shards) -> Any:
    """Return weights (m,) as (n, rows), 0 at padding; `None` if there is neither padding nor a weight."""
    if weight is None:
        return None
    laid: Any = in_shards(weight, shards)
    return laid if shards.m % shards.n == 0 else laid * shards.is_example.astype(laid.dtype)
