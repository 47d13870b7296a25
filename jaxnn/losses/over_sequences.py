"""Losses of each time of padded sequences."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint, Instance, checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.categorical import softmax_cross_entropy
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error
from jaxnn.sequences import Sequences, array_of, cotangent_with_lengths, on_host, split_lengths, within, zero_beyond
from jaxnn.typing import Array, PyTree

__all__ = ["each_step_loss"]


@factory
@checked(loss=Instance(Loss, fix="call the factory (`softmax_cross_entropy()`, not `softmax_cross_entropy`)"))
def each_step_loss(loss: Loss) -> Loss:
    """Return the loss of each time within the lengths of `Sequences`; the mean is over times, not over sequences.

    Derivation. The times of all sequences are to the loss as examples are. A time within its length has the term and
    the gradient of the loss; one beyond has neither, and counts 0. One within counts c, what the loss counts it: 1, or
    what class weights and ignored labels make of it. So J = Σ c L / Σ c over the times of all sequences.

    Args:
      loss: a `Loss` of outputs (m, k), such as `softmax_cross_entropy()`.

    Returns:
      A `Loss` for outputs z, `Sequences` of (m, T, k), and targets y (m, T, ...), or `Sequences` of them with the same
      lengths. Targets beyond the lengths are not read. Its terms are (m, T), or (m, T, ...) if the loss has several.

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
        """Return a function of z and y, with the times as rows, and 0 beyond the lengths before and after."""
        z, lengths = split_lengths(z)
        mask = within(lengths, z.shape[1])
        rows = [_rows(zero_beyond(mask, a)) for a in (z, jnp.asarray(array_of(y)))]
        result = function(*rows)
        return zero_beyond(mask, result.reshape(*z.shape[:2], *result.shape[1:]))

    def gradient(z, y):
        return cotangent_with_lengths(of_times(loss.gradient, z, y), split_lengths(z)[1])

    def one(z, y):
        return jnp.ones(jax.eval_shape(loss.value, z, y).shape, jnp.result_type(float))

    def check(z, y):
        if isinstance(y, Sequences):
            y, given = on_host(y)
            y = np.where(np.expand_dims(given, tuple(range(2, y.ndim))), y, 0)
        z, y = array_of(z), np.asarray(y)
        times = Constraint(
            f"targets at each time, {z.shape[:2]} and further axes",
            fix=lambda y: "recurrent(cell, outputs='last') has one output for each sequence" if y.ndim == 1 else "",
            test=lambda y: y.shape[:2] == z.shape[:2],
        )
        loss.check(_rows(z), _rows(times.check("y", y)))

    return Loss(partial(of_times, loss.value), gradient, check, partial(of_times, loss.counts or one))


def _rows(a: Any) -> Any:
    """Return all times as rows, (m, T, ...) to (m T, ...), of an array or of its shape."""
    shape = (a.shape[0] * a.shape[1], *a.shape[2:])
    return jax.ShapeDtypeStruct(shape, a.dtype) if isinstance(a, jax.ShapeDtypeStruct) else a.reshape(shape)


def _draw(rng: np.random.Generator, m: int) -> tuple[Any, Any]:
    return Sequences(rng.normal(size=(m, 4, 3)), rng.integers(0, 5, m)), rng.integers(0, 3, (m, 4))


def _draw_numbers(rng: np.random.Generator, m: int) -> tuple[Any, Any]:
    z = Sequences(rng.normal(size=(m, 4, 3)), rng.integers(0, 5, m))
    return z, rng.normal(size=(m, 4, 3))


CASES = {
    "each_step_loss": (lambda: each_step_loss(softmax_cross_entropy()), _draw),
    "each_step_loss_squared": (lambda: each_step_loss(squared_error()), _draw_numbers),
    "each_step_loss_smoothed": (lambda: each_step_loss(softmax_cross_entropy(0.1, [1.0, 2.0, 0.5])), _draw),
}
