"""A batch of examples, and the order of the examples in an epoch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Count, Instance, Nothing, RandomKey, UpTo, checked
from jaxnn.typing import AnyArray, Array, Key, PyTree, Scalar


@checked(m=Count(), batch_size=UpTo("m", "the number of examples"), key=RandomKey() | Nothing())
def batch_indices(key: Key | None, m: int, batch_size: int) -> tuple[Array, Array]:
    """Return the indices of an epoch's batches: every example once, in batches of one size, the last one padded.

    Args:
      key: a random key to shuffle with, or `None` to keep the order.
      m: number of examples.
      batch_size: examples per batch, 1 <= batch_size <= m.

    Returns:
      indices (steps, batch_size), int32, and weight (steps, batch_size), 1 for an example and 0 for padding, with
      steps = ceil(m / batch_size). Padding repeats example 0.

    Raises:
      ValueError: if the batch size is not a whole number from 1 to m, or the key is not a random key.

    Example:
      >>> indices, weight = batch_indices(None, 5, 2)
      >>> indices.tolist(), weight.tolist()
      ([[0, 1], [2, 3], [4, 0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    """
    steps = -(-m // batch_size)
    order = jnp.arange(m, dtype=jnp.int32) if key is None else random_order(key, m)
    shape, padding = (steps, batch_size), steps * batch_size - m
    indices = jnp.pad(order, (0, padding)).reshape(shape)
    return indices, (jnp.arange(steps * batch_size) < m).astype(jnp.result_type(float)).reshape(shape)


def random_order(key: Key, m: int, last: Any = None) -> Array:
    """Return the numbers 0 to m - 1 in a random order, those of which `last` is True, (m,), at the end."""
    # One sort by random bits; `jax.random.permutation` makes one to three. Two examples with the same bits keep their
    # order: one pair per epoch with 2048 examples and 21 bits, one in every other epoch with 60 000 and 32.
    bits = jax.random.bits(key, (m,))
    bits = bits if last is None else jnp.where(last, np.uint32(0xFFFFFFFF), bits)
    if m > _FEW:
        return jnp.argsort(bits).astype(jnp.int32)
    # Indices in the low bits of the same word halve the time to sort, which matters if steps are short.
    numbers = np.uint32(_FEW - 1)
    return (jnp.sort(bits & ~numbers | jnp.arange(m, dtype=jnp.uint32)) & numbers).astype(jnp.int32)


_FEW = 2048


class Batch(NamedTuple):
    """Examples of one training step or evaluation.

    Attributes:
      x: inputs, (m, ...), or a pytree of them.
      y: targets, (m,) or (m, k), or a pytree of them.
      weight: example weights (m,), or `None` for equal weights. Only their ratios matter, not their dtype or a common
        factor, and a weight whose ratio to the largest underflows is 0. An example of weight 0 has no influence; short
        batches are padded with such examples.
      normalizer: divisor of the weighted sum, a scalar; `None` for Σ weight. A mini-batch of weighted examples has the
        average normalizer of its size, so that an example of small weight makes a small step, even in a batch of one.
      carry: what the network remembers of the batch before, for an objective with a carry; `()` to begin. Steps set it.
    """

    x: Any
    y: Any
    weight: AnyArray | None = None
    normalizer: AnyArray | Scalar | None = None
    carry: Any = ()


def number_of_examples(data: PyTree) -> int:
    """Return m, the size of the first axis, of a batch or of its inputs or targets alone."""
    return jax.tree.leaves(data)[0].shape[0]


def take(tree: PyTree, rows: Any) -> PyTree:
    """Return the rows of each array of a tree: those of an index array, a mask or a slice."""
    return jax.tree.map(lambda a: a[rows], tree)


BATCH = Instance(Batch, "a jaxnn.Batch", fix="jaxnn.Batch(x, y)")
"""The constraint of a batch; its arrays are not checked."""
