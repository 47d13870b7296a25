"""Long sequences piece by piece: each piece begins where the one before it ended."""

from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint, Count, Nothing, ParamsTree, checked
from jaxnn.factories.decorator import factory
from jaxnn.factories.representation import in_few_words
from jaxnn.nn.cells import Cell
from jaxnn.nn.composition import chain, residual
from jaxnn.nn.gru_cells import gru_cell
from jaxnn.nn.layer import LAYER, Carried, Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.lstm_cells import lstm_cell
from jaxnn.nn.recurrence import recurrent
from jaxnn.nn.repetition import repeat
from jaxnn.nn.stepwise import each_step
from jaxnn.nn.stochastic import dropout
from jaxnn.nn.transforms import remat, with_dtype
from jaxnn.typing import Params, PyTree

__all__ = ["carried", "start_carry"]

T = TypeVar("T")


def _among_arguments(layer: Layer, kind: type[T]) -> list[T]:
    """Return what is of a kind, such as layers, among the arguments of the call that made a layer."""
    call = getattr(layer, "factory_call", None)
    values = [] if call is None else call.arguments.values()
    given = jax.tree.leaves([*values], is_leaf=lambda one: isinstance(one, kind))
    return [one for one in given if isinstance(one, kind)]


def _without_form(layer: Layer) -> Layer:
    """Return the part of the layer that cannot continue from an earlier piece."""
    while inside := [one for one in _among_arguments(layer, Layer) if one.carried is None]:
        layer = inside[0]
    return layer


def _way_to_pieces(value: Any) -> str:
    if not isinstance(value, Layer):
        return LAYER.likely_fix(value)
    part = _without_form(value)
    if _among_arguments(part, Cell):
        return "recurrent(cell), forward in time and from zeros, can"
    call = getattr(part, "factory_call", None)
    if call is not None and "heads" in call.arguments:
        return "attention that is either causal or to a memory can"
    return "put what is computed at each time alone into each_step(...)"


class _InPieces(Constraint):
    """A layer that continues where an earlier piece of a sequence ended."""

    def __init__(self):
        super().__init__(
            "a layer of sequences that can continue from an earlier piece",
            rejects=(dense(2), chain(dense(2)), None),
            fix=_way_to_pieces,
        )

    def accepts(self, value: Any) -> bool:
        """Return whether the layer has a carried form."""
        return isinstance(value, Layer) and value.carried is not None

    def got(self, value: Any) -> str:
        """Return the part of the layer that cannot."""
        return in_few_words(_without_form(value)) if isinstance(value, Layer) else super().got(value)


IN_PIECES = _InPieces()
"""The constraint of a layer that `carried` takes."""


def _form(layer: Layer) -> Carried:
    return cast(Carried, layer.carried)  # the constraint has checked it


@factory
@checked(layer=IN_PIECES)
def carried(layer: Layer) -> Layer:
    """Return the layer from (x, carry) to (y, carry), which begins where an earlier piece of the sequence ended.

    A carry is what the layer remembers: the states of its recurrences, and the keys and values that causal attention
    saw. If a sequence is cut into pieces, and the carry of each is passed to the next, the outputs are those of the
    whole sequence. A piece may be one time, as when a text is written letter by letter.

    Derivation. y and the carry after a piece are functions of x and the carry before it, so a recurrence's backward
    begins with the cotangent of its last state instead of 0, and ends with that of its first.

    Args:
      layer: a `Layer` of sequences made of `recurrent`, causal attention, attention to a memory, positions and
        `each_step`, and combinators of these.

    Returns:
      A `Layer` with the params of `layer`. `start_carry` makes the first carry, which is zeros.

    Raises:
      ValueError: if a part of the layer cannot continue from an earlier piece, such as a recurrence against time.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> from jaxnn import nn
      >>> layer = jaxnn.chain(nn.recurrent(nn.lstm_cell(4)), nn.each_step(jaxnn.dense(2)))
      >>> params, _ = layer.init(jax.random.key(0), (10, 3))
      >>> x, carry, pieces = jnp.ones((1, 10, 3)), start_carry(layer, params, 1), []
      >>> for piece in (x[:, :7], x[:, 7:]):
      ...     y, carry = carried(layer).infer(params, (), (piece, carry))
      ...     pieces.append(y)
      >>> whole = layer.infer(params, (), x)
      >>> bool(jnp.allclose(jnp.concatenate(pieces, axis=1), whole, atol=1e-6))
      True

    Source: Williams and Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories", 1990.
    """
    return _form(layer).layer


@checked(layer=IN_PIECES, params=ParamsTree(), m=Count(), length=Count() | Nothing())
def start_carry(layer: Layer, params: Params, m: int, length: int | None = None) -> PyTree:
    """Return the carry before the first piece of m sequences, zeros.

    Args:
      layer: a `Layer` that `carried` takes.
      params: its params.
      m: the number of sequences.
      length: of the whole sequences, for a layer that keeps what it saw.

    Raises:
      ValueError: if the layer cannot continue from an earlier piece, or m or length is below 1.

    Example:
      >>> import jax
      >>> from jaxnn import nn
      >>> layer = nn.recurrent(nn.gru_cell(4))
      >>> params, _ = layer.init(jax.random.key(0), (10, 3))
      >>> [a.shape for a in start_carry(layer, params, 2)]
      [(2, 4)]
    """
    return _form(layer).start(params, m, length)


_X, _STATE = jax.ShapeDtypeStruct((5, 3), "float32"), jax.ShapeDtypeStruct((4,), "float32")

CASES = {
    "carried": (
        lambda: carried(chain(each_step(dense(3)), recurrent(lstm_cell(4)), each_step(dense(2)))),
        (_X, ((), (_STATE, _STATE), ())),
    ),
    "carried_residual": (
        lambda: carried(residual(chain(remat(recurrent(gru_cell(4))), each_step(dense(3))))),
        (_X, ((_STATE,), ())),
    ),
    "carried_repeat": (
        lambda: carried(repeat(chain(recurrent(gru_cell(3)), each_step(dropout(0.4))), 2)),
        (_X, ((jax.ShapeDtypeStruct((2, 3), "float32"),), ())),
        {"random": True},
    ),
    "carried_with_dtype": (
        lambda: carried(with_dtype(recurrent(lstm_cell(4)), jnp.float32)),
        (_X, (_STATE, _STATE)),
        {"inside": "float32"},
    ),
}
