"""Losses of each time of padded sequences."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Instance, checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.categorical import softmax_cross_entropy
from jaxnn.losses.loss import Loss
from jaxnn.sequences import Sequences, array_of, cotangent_with_lengths, on_host, split_lengths, within, zero_beyond
from jaxnn.typing import Array, PyTree

__all__ = ["each_step_loss"]


@factory
@checked(loss=Instance(Loss, fix="call the factory (`softmax_cross_entropy()`, not `softmax_cross_entropy`)"))
def each_step_loss(loss: Loss) -> Loss:
    """Return the loss of each time within the lengths of `Sequences`; the mean is over times, not over sequences.

    Derivation. A time within its length has the term and the gradient of the loss; one beyond has neither, and counts
    0, so that J = Σ L / n over the n times of all sequences.

    Args:
      loss: a `Loss` with a term for each time of outputs (m, T, k), such as `softmax_cross_entropy()`.

    Returns:
      A `Loss` for outputs z, `Sequences` of (m, T, k), and targets y (m, T, ...), or `Sequences` of them with the same
      lengths. Targets beyond the lengths are not read. Its terms are (m, T).

    Raises:
      ValueError: if it is not a `Loss`.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> of_tokens = each_step_loss(jaxnn.softmax_cross_entropy())
      >>> z = Sequences(jnp.zeros((2, 3, 2)), jnp.array([3, 1]))
      >>> print(of_tokens.value(z, jnp.array([[0, 1, 0], [1, -1, -1]])))
      [[0.6931472 0.6931472 0.6931472]
       [0.6931472 0.        0.       ]]
      >>> print(of_tokens.counts(z, jnp.array([[0, 1, 0], [1, -1, -1]])))
      [[1. 1. 1.]
       [1. 0. 0.]]
    """

    def of_times(function: Any, z: PyTree, y: PyTree) -> Array:
        """Return a function of z and y, with 0 beyond the lengths before and after."""
        z, lengths = split_lengths(z)
        mask = within(lengths, z.shape[1])
        return zero_beyond(mask, function(zero_beyond(mask, z), zero_beyond(mask, jnp.asarray(array_of(y)))))

    def gradient(z, y):
        return cotangent_with_lengths(of_times(loss.gradient, z, y), split_lengths(z)[1])

    one = loss.counts or (lambda z, y: jnp.ones(z.shape[:2], jnp.result_type(float)))

    def check(z, y):
        if isinstance(y, Sequences):
            y, given = on_host(y)
            y = np.where(np.expand_dims(given, tuple(range(2, y.ndim))), y, 0)
        loss.check(array_of(z), y)

    return Loss(partial(of_times, loss.value), gradient, check, partial(of_times, one))


def _draw(rng: np.random.Generator, m: int) -> tuple[Any, Any]:
    return Sequences(rng.normal(size=(m, 4, 3)), rng.integers(0, 5, m)), rng.integers(0, 3, (m, 4))


CASES = {
    "each_step_loss": (lambda: each_step_loss(softmax_cross_entropy()), _draw),
    "each_step_loss_smoothed": (lambda: each_step_loss(softmax_cross_entropy(0.1, [1.0, 2.0, 0.5])), _draw),
}
