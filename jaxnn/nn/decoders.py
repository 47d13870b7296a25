"""Recurrent decoders: a cell run over time that reads a memory by additive attention before each step."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxnn.arrays import add_cotangents, cast_like, floats
from jaxnn.constraints import Constraint, Count, OneOf, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.alignments import (
    SEQUENCE_AND_MEMORY,
    WITH_MEMORY,
    additive_attention_backward,
    additive_attention_forward,
    check_memory,
    linear_backward,
    three_matrices,
)
from jaxnn.nn.cells import CELL, Cell
from jaxnn.nn.combinators import init_of_pair
from jaxnn.nn.gru_cells import gru_cell
from jaxnn.nn.initializers import INITIALIZERS, InitializerName
from jaxnn.nn.kept_memories import ToKeep, Unread
from jaxnn.nn.layer import WITH_CARRY, Carried, Layer, is_pair
from jaxnn.nn.lstm_cells import lstm_cell
from jaxnn.nn.recurrence import WITH_STATE, checked_state, start_of_pieces, zeros_of
from jaxnn.nn.shapes import SEQUENCE_SHAPE, structs, with_lengths_of
from jaxnn.nn.through_time import run, run_backward, summed
from jaxnn.sequences import (
    Sequences,
    array_of,
    cotangent_with_lengths,
    split_lengths,
    visible_keys,
    with_lengths,
    within,
    zero_beyond,
)
from jaxnn.typing import Array

__all__ = ["recurrent_attention"]


@factory
@checked(cell=CELL, n=Count(), init=OneOf(INITIALIZERS), state=OneOf(["zeros", "given"]))
def recurrent_attention(
    cell: Cell, n: int, init: InitializerName = "glorot", state: Literal["zeros", "given"] = "zeros"
) -> Layer:
    """Return a layer that runs a cell over time which reads a memory h: s_t = step(s_{t-1}, [x_t, c_t]).

    The context c_t is additive attention with n hidden units, of which the query is the output a_{t-1} of the step
    before, the first array of s_{t-1}: c_t = Σ_j P_tj h_j with P_tj = softmax_j(W tanh(W_q a_{t-1} + W_k h_j)).
    The products W_k h_j are computed once. y_t is the output of step t.

    Derivation. The whole sequence shares W_k h and h as it shares the weights, so their cotangents are sums over time
    as well, which backward through time computes as it does dparams: from the cotangents of [x_t, c_t], that of c_t
    goes to `additive_attention_backward`, which adds a share W_q of da_{t-1}. Then W_k and h have theirs from W_k h.

    Args:
      cell: one step, such as `gru_cell(128)`; its input is [x_t, c_t].
      n: the number of hidden units of the attention.
      init: how the three matrices of the attention are initialized.
      state: what s_0 is: "zeros"; or "given", then the input is ((x, h), s_0) and the output (y, s_T).

    Returns:
      A `Layer` from (x (m, T, n_in), h (m, T_k, n_k)), each of which may be `Sequences`, to y (m, T, units). Keys
      beyond their sequence's length are not seen. Params are `{"cell": those of the cell, "query": {"W": (n, units)},
      "key": {"W": (n, n_k)}, "score": {"W": (1, n)}}`.

    Raises:
      ValueError: if an argument has another value; at `init`, if an example is not a pair of sequences of floats; when
        called, if x and h have different numbers of examples, or the state is that of another cell.

    Example:
      >>> import jax
      >>> from jaxnn import nn
      >>> words, memory = jax.ShapeDtypeStruct((7, 32), float), jax.ShapeDtypeStruct((20, 64), float)
      >>> recurrent_attention(nn.gru_cell(48), 16).init(jax.random.key(0), (words, memory))[1]
      (7, 48)

    Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015.
    """
    given = state == "given"

    @checked(key=RandomKey())
    def init_params(key, in_shape):
        pair, start = WITH_STATE.check("in_shape", in_shape) if given else (in_shape, None)
        x, h = SEQUENCE_AND_MEMORY.check("in_shape", pair)
        (n_times, n_in), (_, n_k) = (structs(SEQUENCE_SHAPE.check("in_shape", array_of(one))).shape for one in (x, h))
        keys = jax.random.split(key, 4)
        params = three_matrices(init, keys[:3], n, cell.state[0][-1], n_k) | {"cell": cell.init(keys[3], (n_in + n_k,))}
        y = with_lengths_of(x, (n_times, *cell.state[0]))
        return params, ((structs(y), start) if given else y)

    def to_run(params, x, lengths, h, of_memory, start, k=None):
        """Return the cell, what is shared by all times, and the other arguments of `run`."""
        mask, seen = within(lengths, x.shape[1]), within(of_memory, h.shape[1])
        k = h @ params["key"]["W"].T if k is None else k
        shared = {name: params[name] for name in ("cell", "query", "score")} | {"k": k, "h": h}
        like = [x, h, *jax.tree.leaves(params)]
        first = zeros_of(cell, (len(x),), like) if start is None else start
        first = tuple(a.astype(jnp.result_type(*like, *first)) for a in first)
        return _reading(cell, seen), shared, (x.swapaxes(0, 1), None if mask is None else mask.T, first, False)

    def forward(params, x, key=None, k=None):
        pair, start = WITH_STATE.check("x", x) if given else (x, None)
        (x, lengths), (h, of_memory) = map(split_lengths, WITH_MEMORY.check("x", pair))
        start = checked_state(cell, start, len(x)) if given else None
        check_memory(params["key"]["W"], x, h)
        mask = within(lengths, x.shape[1])
        x, h = zero_beyond(mask, floats(x, "x")), zero_beyond(within(of_memory, h.shape[1]), floats(h, "x"))
        reading, shared, times = to_run(params, x, lengths, h, of_memory, start, k)
        last, after, kept = run(reading, shared, *times)
        y = with_lengths(zero_beyond(mask, after[0].swapaxes(0, 1)), lengths)
        return ((y, last) if given else y), ((x, lengths, h, of_memory, start), after, kept)

    def backward(params, cache, dy):
        (x, lengths, h, of_memory, start), after, kept = cache
        reading, shared, times = to_run(params, x, lengths, h, of_memory, start)
        dy, dlast = dy if given else (dy, jax.tree.map(jnp.zeros_like, times[2]))
        dys = zero_beyond(within(lengths, x.shape[1]), array_of(dy)).swapaxes(0, 1)
        of_run, dstart, dxs = run_backward(reading, shared, *times, after, kept, dlast, dys)
        of_key, dh = linear_backward(params["key"], h, of_run["k"])
        dh = zero_beyond(within(of_memory, h.shape[1]), add_cotangents(of_run["h"], dh))
        dx = cotangent_with_lengths(cast_like(x, dxs.swapaxes(0, 1)), lengths)
        dparams = {name: of_run[name] for name in ("cell", "query", "score")} | {"key": of_key}
        dpair = dx, cotangent_with_lengths(dh, of_memory)
        return dparams, ((dpair, jax.tree.map(cast_like, start, dstart)) if given else dpair)

    in_pieces = None
    if not given:
        in_pieces = _keeping_memory(cell, init_params, recurrent_attention(cell, n, init, "given"))
    return Layer(init_params, forward, backward, carried=in_pieces)


def _keeping_memory(cell: Cell, init: Any, given: Layer) -> Carried:
    """Return how the layer runs in pieces: from a state, and with W_k h made once, if it is to be kept."""

    def forward(params, x_and_carry, key=None):
        pair, (state, entry) = _checked_carry(x_and_carry)
        (y, last), cache = given.forward(params, (pair, state))
        return (y, (last, entry)), cache

    def backward(params, cache, dy_and_dcarry):
        dy, (dlast, dentry) = dy_and_dcarry
        dparams, (dpair, dstate) = given.backward(params, cache, (dy, dlast))
        return dparams, (dpair, (dstate, dentry))

    def infer(params, stats, x_and_carry):
        pair, (state, entry) = _checked_carry(x_and_carry)
        if isinstance(entry, ToKeep):
            x, memory = WITH_MEMORY.check("x", pair)
            h, lengths = split_lengths(memory)
            check_memory(params["key"]["W"], array_of(x), h)
            entry = zero_beyond(within(lengths, h.shape[1]), floats(h, "x")) @ params["key"]["W"].T
        k = None if isinstance(entry, Unread) else entry
        (y, last), _ = given.forward(params, (pair, state), k=k)
        return y, (last, entry)

    def start(params, m, length):
        return start_of_pieces(cell, params, m, length), Unread()

    return Carried(Layer(init_of_pair(init), forward, backward, infer), start)


def _checked_carry(x_and_carry: Any) -> Any:
    x, carry = WITH_CARRY.check("x", x_and_carry)
    return x, _STATE_AND_MEMORY.check("carry", carry)


_STATE_AND_MEMORY = Constraint(
    "(state, what is made of the memory)", fix="start_carry(layer, params, m) makes the first", test=is_pair
)


def _reading(cell: Cell, seen: Array | None) -> Cell:
    """Return the cell that reads a memory before each step, whose params have W_k h and h as "k" and "h".

    A cell's functions take rows of several times, (t m, ...): those are t queries of each of m examples.
    """

    def queries(params, rows):
        m = params["k"].shape[0]
        return rows.reshape(rows.shape[0] // max(m, 1), m, rows.shape[-1]).swapaxes(0, 1)

    def rows(of_queries):
        m, t, n = of_queries.shape
        return of_queries.swapaxes(0, 1).reshape(t * m, n)

    def step(params, state, x):
        q = queries(params, state[0] @ params["query"]["W"].T)
        visible = visible_keys(seen, q.shape[1])
        c, (*_, P) = additive_attention_forward(params["score"], q, params["k"], params["h"], visible)
        x = jnp.concatenate([x, rows(c)], -1)
        after, kept = cell.step(params["cell"], state, cell.project(params["cell"], x))
        return after, (x, rows(P), kept)

    def backward(params, states, kept, dstate):
        (x, P, kept), a, W = kept, states[0][0], params["query"]["W"]
        of_step, dbefore, du = cell.backward(params["cell"], states, kept, dstate)
        of_project, dx = cell.project_backward(params["cell"], x, du)
        dx, dc = jnp.split(dx, [x.shape[-1] - params["h"].shape[-1]], -1)
        cache = queries(params, a @ W.T), params["k"], params["h"], queries(params, P)
        of_score, (dq, dk, dh) = additive_attention_backward(params["score"], cache, queries(params, dc))
        dq = rows(dq)
        of_cell = summed(jax.tree.map(jnp.zeros_like, params["cell"]), of_step, of_project)
        dparams = {"cell": of_cell, "query": {"W": dq.T @ a}, "score": of_score, "k": dk, "h": dh}
        return dparams, (dbefore[0] + dq @ W, *dbefore[1:]), dx

    return Cell(cell.state, cell.init, step, backward)


_QUERY = Sequences(jax.ShapeDtypeStruct((5, 2), "float32"), jax.ShapeDtypeStruct((), "int32"))
_MEMORY = Sequences(jax.ShapeDtypeStruct((6, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))

CASES = {
    "recurrent_attention": (lambda: recurrent_attention(lstm_cell(4), 3), (_QUERY.x, _MEMORY.x)),
    "recurrent_attention_given": (
        lambda: recurrent_attention(lstm_cell(4), 3, state="given"),
        ((_QUERY.x, _MEMORY), (jax.ShapeDtypeStruct((4,), "float32"),) * 2),
    ),
    "recurrent_attention_lengths": (lambda: recurrent_attention(gru_cell(4), 3), (_QUERY, _MEMORY)),
}
