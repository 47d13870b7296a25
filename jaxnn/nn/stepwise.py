"""One layer at every time of a sequence, with the same params."""

import jax
import jax.numpy as jnp

from jaxnn.constraints import checked
from jaxnn.factories.decorator import factory
from jaxnn.indices import same_indices
from jaxnn.nn.activations import tanh
from jaxnn.nn.batch_normalization import batch_norm
from jaxnn.nn.boundaries import run_backward, run_forward, run_infer, run_init
from jaxnn.nn.combinators import carrying_nothing
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import LAYER, Layer, observe_nothing, observes
from jaxnn.nn.linear import dense
from jaxnn.nn.recurrence import PADDED
from jaxnn.nn.shapes import simplified, structs, with_lengths_of
from jaxnn.nn.stochastic import dropout
from jaxnn.sequences import (
    array_of,
    cotangent_with_lengths,
    split_lengths,
    with_lengths,
    within,
    zero_beyond,
)
from jaxnn.typing import Array

__all__ = ["each_step"]

_SCOPE = "step"


@factory
@checked(layer=LAYER)
def each_step(layer: Layer) -> Layer:
    """Return a layer that applies another one at every time, y_t = f(x_t), with the same params.

    All times of all examples are rows of one batch of m T, so a dense layer stays one product, and batch normalization
    takes its means over the times within the lengths.

    Derivation. y_t depends on x_t alone, so dx_t is that of f for dy_t, and dparams is the sum over the rows.
    Beyond the lengths, x_t is taken as 0 before f and dy_t after it, y_t = 0 and dx_t = 0.

    Args:
      layer: a `Layer` that takes an example at one time.

    Returns:
      A `Layer` from x (m, T, ...), or `Sequences` of it, to the same with the layer's outputs, with the layer's params.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(nn.recurrent(nn.lstm_cell(8)), each_step(jaxnn.dense(27)))
      >>> network.init(jax.random.key(0), (100, 3))[1]
      (100, 27)
    """

    def init(key, in_shape):
        x = structs(array_of(in_shape))
        params, out_shape = run_init(layer, key, simplified(jax.ShapeDtypeStruct(x.shape[1:], x.dtype)))
        return params, with_lengths_of(in_shape, (x.shape[0], *out_shape))

    def forward(params, x, key=None, rows=None):
        x, lengths = split_lengths(x)
        counts = _counts(rows, lengths, x.shape[:2])
        rows_of_x = _as_rows(x, lengths)
        with same_indices(x, rows_of_x):
            y, cache = run_forward(_SCOPE, layer, params, rows_of_x, key, counts)
        return with_lengths(_as_steps(y, x, lengths), lengths), (lengths, cache)

    def backward(params, cache, dy):
        (lengths, cache), dy = cache, array_of(dy)
        dparams, dx = run_backward(_SCOPE, layer, params, cache, _as_rows(dy, lengths))
        return dparams, cotangent_with_lengths(_as_steps(dx, dy, lengths), lengths)

    def infer(params, stats, x):
        x, lengths = split_lengths(x)
        y = run_infer(_SCOPE, layer, params, stats, _as_rows(x, lengths))
        return with_lengths(_as_steps(y, x, lengths), lengths)

    observe = (lambda cache: layer.observe(cache[1])) if observes(layer) else observe_nothing
    return carrying_nothing(Layer(init, forward, backward, infer, observe, layer.across, layer.parts))


def _as_rows(x: Array, lengths: Array | None) -> Array:
    """Return all times as rows, (m, T, ...) to (m T, ...), with 0 beyond the lengths."""
    return zero_beyond(within(lengths, x.shape[1]), x).reshape(-1, *x.shape[2:])


def _as_steps(y: Array, x: Array, lengths: Array | None) -> Array:
    """Return rows by the times of x, (m T, ...) to (m, T, ...), with 0 beyond the lengths."""
    return zero_beyond(within(lengths, x.shape[1]), y.reshape(*x.shape[:2], *y.shape[1:]))


def _counts(rows: Array | None, lengths: Array | None, axes: tuple[int, ...]) -> Array | None:
    """Return how much each time of each example counts, (m T,): that of the example, and 0 beyond its length."""
    mask = within(lengths, axes[1])
    if rows is None:
        return None if mask is None else mask.reshape(-1)
    counts = jnp.broadcast_to(rows.reshape(axes[0], -1), axes)
    return zero_beyond(mask, counts).reshape(-1)


CASES = {
    "each_step": (lambda: each_step(chain(dense(4), tanh())), (5, 3)),
    "each_step_lengths": (lambda: each_step(dense(4)), PADDED),
    "each_step_dropout": (lambda: each_step(chain(dropout(0.4), dense(2))), PADDED, {"random": True}),
    "each_step_batch_norm": (lambda: each_step(batch_norm()), PADDED),
    "each_step_batch_norm_full": (lambda: each_step(chain(dense(4), batch_norm(0.5))), (5, 3)),
}
