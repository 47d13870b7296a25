"""Recurrent layers: a cell run over the times of a sequence."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxnn.arrays import cast_like, floats
from jaxnn.constraints import Constraint, Flag, Nothing, OneOf, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.cells import CELL, Cell
from jaxnn.nn.gru_cells import gru_cell
from jaxnn.nn.layer import Carried, Layer, is_pair
from jaxnn.nn.lstm_cells import lstm_cell
from jaxnn.nn.shapes import structs, with_lengths_of
from jaxnn.nn.simple_cells import simple_cell
from jaxnn.nn.through_time import run, run_backward
from jaxnn.sequences import (
    Sequences,
    array_of,
    cotangent_with_lengths,
    split_lengths,
    with_lengths,
    within,
    zero_beyond,
)
from jaxnn.typing import Array, Params, Shape, State

__all__ = ["recurrent"]


@factory
@checked(
    cell=CELL,
    outputs=OneOf(["all", "last"]),
    reverse=Flag(),
    state=OneOf(["zeros", "learned", "given"]),
    remat=OneOf(["gates"]) | Nothing(),
)
def recurrent(
    cell: Cell,
    outputs: Literal["all", "last"] = "all",
    reverse: bool = False,
    state: Literal["zeros", "learned", "given"] = "zeros",
    remat: Literal["gates"] | None = None,
) -> Layer:
    """Return a layer that runs a cell over time, s_t = step(s_{t-1}, x_t), with outputs y_t, the first array of s_t.

    Derivation. The state s_t reaches the loss through y_t and through s_{t+1}, so ds_t is dy_t in its first array plus
    what the backward of step t + 1 returns; read against time, each step's backward gives ds_{t-1}. The weights take
    part in every step, so dparams is the sum over t. Beyond a sequence's length the state stays, s_t = s_{t-1}, and
    y_t = 0: so ds_t passes unchanged, and the step adds nothing to dparams and dx. `Cell` describes how that sum
    becomes a matrix product.

    Args:
      cell: one step, such as `lstm_cell(128)`.
      outputs: "all" for y_1, ..., y_T, or "last" for the output after the last step alone: of `Sequences`, at each
        one's own length, and the start if that is 0.
      reverse: whether the last time comes first; of `Sequences`, the last time within each one's length. y keeps the
        order of x.
      state: where the first state comes from: "zeros"; "learned", params that all examples share; or "given": then the
        input is (x, state) and the output (y, last state), so that a long sequence can be run in parts. A state is a
        tuple of arrays (m, ...), (a, c) of an LSTM.
      remat: "gates" to keep the states alone, and compute what else backward needs again.

    Returns:
      A `Layer` from x (m, T, n_in), or `Sequences` of it, to y (m, T, n), or (m, n) for the last. Its params are those
      of the cell; a learned state is "start", a tuple.

    Raises:
      ValueError: if an argument has another value; at `init`, if an example is not a sequence of floats (T, n_in); when
        called, if lengths are not whole numbers from 0 to T.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(recurrent(nn.gru_cell(8)), recurrent(nn.gru_cell(8), outputs="last"), jaxnn.dense(2))
      >>> params, out_shape = network.init(jax.random.key(0), (100, 3))
      >>> network.infer(params, (), jnp.ones((5, 100, 3))).shape
      (5, 2)

    Source: Werbos, "Backpropagation through time: what it does and how to do it", 1990.
    """
    given, learned = state == "given", state == "learned"

    @checked(key=RandomKey())
    def init(key, in_shape):
        x, state_shape = WITH_STATE.check("in_shape", in_shape) if given else (in_shape, None)
        n_steps, *at_one_time = structs(_SHAPE.check("in_shape", array_of(x))).shape
        params = cell.init(key, tuple(at_one_time))
        if learned:
            params = params | {"start": zeros_of(cell, (), jax.tree.leaves(params))}
        out = cell.state[0]
        y = with_lengths_of(x, (n_steps, *out)) if outputs == "all" else out
        return params, ((structs(y), state_shape) if given else y)

    def run_all(params, x):
        x, start = WITH_STATE.check("x", x) if given else (x, None)
        x, lengths = split_lengths(x)
        x, of_cell = _SEQUENCES.check("x", floats(x, "x")), _without_start(params)
        mask = within(lengths, x.shape[1])
        start = checked_state(cell, start, len(x)) if given else _start(cell, params, x)
        first = _like_states(start, params, x)
        last, after, kept = run(cell, of_cell, *_time_first(x, mask), first, reverse)
        y = with_lengths(zero_beyond(mask, after[0].swapaxes(0, 1)), lengths) if outputs == "all" else last[0]
        return ((y, last) if given else y), (x, lengths, start, after, kept)

    def forward(params, x, key=None):
        y, (x, lengths, start, after, kept) = run_all(params, x)
        return y, (x, lengths, start if given else None, after, None if remat else kept)

    def backward(params, cache, dy):
        x, lengths, start, after, kept = cache
        start = _start(cell, params, x) if start is None else start
        mask = within(lengths, x.shape[1])
        first = _like_states(start, params, x)
        dy, dlast = dy if given else (dy, jax.tree.map(jnp.zeros_like, first))
        dys = None
        if outputs == "last":
            dlast = (dlast[0] + dy, *dlast[1:])
        else:
            dys, _ = _time_first(array_of(dy), mask)
        times = *_time_first(x, mask), first, reverse
        dparams, dstart, dxs = run_backward(cell, _without_start(params), *times, after, kept, dlast, dys)
        dx = cotangent_with_lengths(cast_like(x, dxs.swapaxes(0, 1)), lengths)
        if learned:
            dparams = dparams | {"start": jax.tree.map(lambda a, d: cast_like(a, d.sum(0)), params["start"], dstart)}
        return dparams, ((dx, jax.tree.map(cast_like, start, dstart)) if given else dx)

    in_pieces = None
    if state == "zeros" and not reverse:
        in_pieces = Carried(recurrent(cell, outputs, state="given", remat=remat), partial(start_of_pieces, cell))
    return Layer(init, forward, backward, lambda params, stats, x: run_all(params, x)[0], carried=in_pieces)


_SHAPE = Constraint(
    "the shape of one sequence of floats, (T, n_in)",
    rejects=((4,), 4, None),
    fix="examples are sequences (T, n_in), without the axis of examples",
    test=lambda shape: len(getattr(shape, "shape", shape)) > 1,
)


WITH_STATE = Constraint(
    "(x, state), with the state before the first step", fix="state='zeros' needs none", test=is_pair
)
"""The constraint of what a recurrence from a given state takes."""


_SEQUENCES = Constraint(
    "sequences (m, T, n_in)",
    fix="one sequence is x[None], one number at each time x[..., None]",
    test=lambda x: x.ndim > 2,
)


def checked_state(cell: Cell, state: Any, m: int) -> State:
    """Return a state that was given, as a tuple; raise ValueError if it is that of another cell or other examples."""
    shapes, given = tuple((m, *shape) for shape in cell.state), jax.tree.map(jnp.shape, state)
    Constraint(
        f"a tuple of arrays of floats {shapes}",
        fix="a state belongs to one cell and to as many examples as x has",
        test=lambda given: given == shapes and all(jnp.issubdtype(jnp.result_type(a), jnp.floating) for a in state),
    ).check("state", given)
    return (*state,)


def _like_states(start: State, params: Params, x: Array) -> State:
    """Return the first state in the dtype of those after it, which x and params may widen."""
    dtype = jnp.result_type(x, *start, *jax.tree.leaves(params))
    return tuple(a.astype(dtype) for a in start)


def _time_first(x: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """Return x (T, m, ...), with 0 beyond each length, and the mask (T, m)."""
    return zero_beyond(mask, x).swapaxes(0, 1), None if mask is None else mask.T


def _without_start(params: Params) -> Params:
    return {name: leaf for name, leaf in params.items() if name != "start"}


def _start(cell: Cell, params: Params, x: Array) -> State:
    """Return the first state of each example of x: what is learned, or zeros."""
    m = x.shape[:1]
    if "start" in params:
        return jax.tree.map(lambda a: jnp.broadcast_to(a[None], m + a.shape), params["start"])
    return zeros_of(cell, m, [x, *jax.tree.leaves(params)])


def start_of_pieces(cell: Cell, params: Params, m: int, length: int | None) -> State:
    """Return the state before the first piece, zeros: what `Carried.start` is for a recurrence."""
    return zeros_of(cell, (m,), jax.tree.leaves(params))


def zeros_of(cell: Cell, m: Shape, like: list[Array]) -> State:
    """Return a state of zeros (*m, ...), in the dtype that the arrays have together."""
    dtype = jnp.result_type(*like) if like else jnp.result_type(float)
    return tuple(jnp.zeros(m + shape, dtype) for shape in cell.state)


PADDED = Sequences(jax.ShapeDtypeStruct((5, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))
"""The shape of a padded sequence, for cases."""

CASES = {
    "recurrent": (lambda: recurrent(simple_cell(4)), (6, 3)),
    "recurrent_one_step": (lambda: recurrent(simple_cell(4)), (1, 3)),
    "recurrent_last": (lambda: recurrent(simple_cell(4), "last"), (5, 3)),
    "recurrent_reverse": (lambda: recurrent(simple_cell(4), reverse=True), (5, 3)),
    "recurrent_lengths": (lambda: recurrent(simple_cell(4)), PADDED),
    "recurrent_lengths_reverse_last": (lambda: recurrent(lstm_cell(4), "last", reverse=True), PADDED),
    "recurrent_learned": (lambda: recurrent(gru_cell(4), state="learned"), (5, 3)),
    "recurrent_lengths_learned": (lambda: recurrent(lstm_cell(4), "last", state="learned"), PADDED),
    "recurrent_given": (
        lambda: recurrent(lstm_cell(4), state="given"),
        (jax.ShapeDtypeStruct((5, 3), "float32"), (jax.ShapeDtypeStruct((4,), "float32"),) * 2),
    ),
    "recurrent_lstm": (lambda: recurrent(lstm_cell(4)), (5, 3)),
    "recurrent_lstm_lengths": (lambda: recurrent(lstm_cell(4)), PADDED),
    "recurrent_lstm_remat": (lambda: recurrent(lstm_cell(4), remat="gates"), PADDED),
    "recurrent_lstm_in_pieces": (lambda: recurrent(lstm_cell(2)), (36, 3)),
    "recurrent_gru": (lambda: recurrent(gru_cell(4)), PADDED),
    "recurrent_gru_before": (lambda: recurrent(gru_cell(4, "before"), reverse=True), PADDED),
    "recurrent_gru_remat": (lambda: recurrent(gru_cell(4, "before"), "last", remat="gates"), (5, 3)),
}
