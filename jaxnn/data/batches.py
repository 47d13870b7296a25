"""A batch of examples, and the order in which an epoch takes them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.typing import Array, Key
from jaxnn.validation import check_key, described, is_count


def batch_indices(key: Key | None, m: int, batch_size: int) -> tuple[Array, Array]:
    """An epoch's batches: every example once, in batches of one size, the last one padded.

    Args:
      key: a random key to shuffle by, or `None` to keep the order.
      m: how many examples.
      batch_size: examples of a batch, 1 <= batch_size <= m.

    Returns:
      indices (steps, batch_size), int32, and weight (steps, batch_size), 1 for an example and 0 for padding, with
      steps = ceil(m / batch_size). Padding repeats example 0.

    Raises:
      ValueError: a batch size outside 1..m, numbers that are not whole, or a key that is none.

    Example:
      >>> indices, weight = batch_indices(None, 5, 2)
      >>> indices.tolist(), weight.tolist()
      ([[0, 1], [2, 3], [4, 0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    """
    if not (is_count(m) and is_count(batch_size) and batch_size <= m):
        raise ValueError(
            f"batch_size must be from 1 to the {described(m)} examples there are, got {described(batch_size)}"
        )
    if key is not None:
        check_key(key)
    steps = -(-m // batch_size)
    order = jnp.arange(m, dtype=jnp.int32) if key is None else _random_order(key, m)
    shape, padding = (steps, batch_size), steps * batch_size - m
    indices = jnp.pad(order, (0, padding)).reshape(shape)
    return indices, (jnp.arange(steps * batch_size) < m).astype(jnp.result_type(float)).reshape(shape)


def _random_order(key: Key, m: int) -> Array:
    # One sort by random bits, where `jax.random.permutation` makes one to three. Two examples with the same bits keep
    # their order: one pair an epoch at 2048 examples of 21 bits, one in every other epoch at 60 000 of 32.
    bits = jax.random.bits(key, (m,))
    if m > _FEW:
        return jnp.argsort(bits).astype(jnp.int32)
    # Numbers below the random bits of the same word: half the time to sort, which short steps feel.
    numbers = np.uint32(_FEW - 1)
    return (jnp.sort(bits & ~numbers | jnp.arange(m, dtype=jnp.uint32)) & numbers).astype(jnp.int32)


_FEW = 2048


class Batch(NamedTuple):
    """Examples that are trained on, or measured, together.

    Attributes:
      x: inputs, (m, ...).
      y: targets, (m,) or (m, k).
      weight: how much each example counts, (m,), or `None` where all count the same. Only ratios matter: dtype and
        common factor change nothing, and a weight too small to be a number beside the largest is 0. An example of
        weight 0 counts for nothing, which is how a short batch is padded to a full one.
      normalizer: what the weighted sum is divided by, a scalar; `None` for Σ weight. A mini-batch of weighted examples
        has the normalizer that its size has on average, so that the step of a light example is a light one, also in a
        batch of one.
    """

    x: Array
    y: Array
    weight: Array | None = None
    normalizer: Array | None = None


def check_batch_size(batch_size: Any, m: int) -> None:
    """A ValueError unless it is `None`, or a whole number from 1 to m."""
    if batch_size is not None and not (is_count(batch_size) and batch_size <= m):
        raise ValueError(f"batch_size must be from 1 to the {m} examples there are, got {described(batch_size)}")
