"""Recurrence in both directions of time."""

from typing import Literal

import jax.numpy as jnp

from jaxnn.arrays import add_cotangents
from jaxnn.constraints import Nothing, OneOf, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.cells import CELL, Cell
from jaxnn.nn.combinators import combined, in_a_tuple, layer_keys
from jaxnn.nn.layer import Layer
from jaxnn.nn.lstm_cells import lstm_cell
from jaxnn.nn.recurrence import PADDED, recurrent
from jaxnn.nn.shapes import structs, with_lengths_of
from jaxnn.nn.simple_cells import simple_cell
from jaxnn.sequences import Sequences, array_of, with_lengths

__all__ = ["bidirectional"]


@factory
@checked(cell=CELL, outputs=OneOf(["all", "last"]), remat=OneOf(["gates"]) | Nothing())
def bidirectional(cell: Cell, outputs: Literal["all", "last"] = "all", remat: Literal["gates"] | None = None) -> Layer:
    """Return a layer that runs a cell forward and another one like it backward in time, outputs side by side.

    Each output depends on the whole sequence. The second direction begins at each sequence's own end, not in the
    padding.

    Derivation. x reaches y through both directions, so dx is the sum of theirs, each for its half of dy.

    Args:
      cell: one step, such as `lstm_cell(128)`; the two directions have different params.
      outputs: "all", or "last" for what each direction ends with.
      remat: as of `recurrent`.

    Returns:
      A `Layer` from x (m, T, n_in), or `Sequences` of it, to y (m, T, 2 n), or (m, 2 n), with params of the two
      directions in a tuple.

    Example:
      >>> import jax
      >>> from jaxnn import nn
      >>> bidirectional(nn.lstm_cell(8)).init(jax.random.key(0), (100, 3))[1]
      (100, 16)

    Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997.
    """
    directions = [recurrent(cell, outputs, reverse, remat=remat) for reverse in (False, True)]

    def init(key, in_shape):
        (forward, shape), (backward, _) = (
            layer.init(one, in_shape) for layer, one in zip(directions, layer_keys(key, 2), strict=True)
        )
        *axes, n = structs(array_of(shape)).shape
        return (forward, backward), with_lengths_of(shape, (*axes, 2 * n))

    def forward(run, x):
        ahead, back = run(0, x), run(1, x)
        y = jnp.concatenate([array_of(ahead), array_of(back)], axis=-1)
        return ahead._replace(x=y) if isinstance(ahead, Sequences) else y

    def backward(run, dy):
        dy, lengths = dy if isinstance(dy, Sequences) else (dy, None)
        ahead, back = jnp.split(dy, 2, axis=-1)
        return add_cotangents(run(0, with_lengths(ahead, lengths)), run(1, with_lengths(back, lengths)))

    return combined(directions, in_a_tuple(2), init, forward, backward, lambda key: layer_keys(key, 2))


CASES = {
    "bidirectional": (lambda: bidirectional(simple_cell(4)), (5, 3)),
    "bidirectional_lengths": (lambda: bidirectional(lstm_cell(3)), PADDED),
    "bidirectional_last": (lambda: bidirectional(lstm_cell(3), "last", "gates"), PADDED),
}
