"""A cell over all times of a batch, forward and backward, in pieces of a few times each.

Backward through time. With s_t = step(s_{t-1}, u_t) and y_t the first array of s_t, the cotangent of s_t is what comes
from t + 1, plus dy_t in its first array; `backward` turns it into that of s_{t-1}. So the loop runs against time and
carries the cotangent of the state. The weights are used at every time, so their gradient is the sum over t; the rows of
the times of a piece are put under one another, so that one matrix product contains their sum.

A piece has about as many rows as a matrix product needs to be fast. On a CPU, what a piece computes then stays in its
caches, where sums over all times at once would write every gate's cotangent to memory and read it again. On other
devices, one piece is the whole sequence; so it is where rows may be split over several devices, which would add up
their shares of the gradient after every piece.

At times beyond a sequence's length the state stays what it was, and its cotangent passes unchanged.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType

from jaxnn.arrays import cast_like, widened
from jaxnn.nn.cells import Cell
from jaxnn.sequences import beside
from jaxnn.typing import Array, Cache, Params, PyTree, State

_ROWS = 64
"""The rows of a piece on a CPU: 4 examples at 10 times each are as fast as 64 at one."""


def run(
    cell: Cell, params: Params, xs: Array, mask: Array | None, start: State, reverse: bool
) -> tuple[State, State, Cache]:
    """Run the cell over xs (T, m, ...); return the last state, all states (T, m, ...) and what each step keeps.

    Args:
      cell: the cell.
      params: its params.
      xs: inputs, with time first.
      mask: whether a time is within its sequence, (T, m), or `None` if all are.
      start: the state before the first step.
      reverse: whether the last time comes first.
    """
    n, m = xs.shape[:2]
    length = _length(n, m)

    def step(state, at):
        u, live = at
        after, kept = cell.step(params, state, u)
        after = after if live is None else _where(live, after, state)
        return after, (after, kept)

    def piece(state, at):
        xs, live = at
        return _scan(step, state, (_times(cell.project(params, _rows(xs)), length, m), live), reverse)

    last, (after, kept) = lax.scan(piece, start, _cut((xs, mask), length), reverse=reverse)
    return last, *_rows((after, kept))


def run_backward(
    cell: Cell,
    params: Params,
    xs: Array,
    mask: Array | None,
    start: State,
    reverse: bool,
    after: State,
    kept: Cache | None,
    dlast: State,
    dys: Array | None,
) -> tuple[Params, State, Array]:
    """Return dparams, and the cotangents of start and xs.

    Args:
      cell: the cell.
      params: its params.
      xs: inputs, with time first.
      mask: whether a time is within its sequence, (T, m), or `None` if all are.
      start: the state before the first step.
      reverse: whether the last time comes first.
      after: all states, as `run` returns them.
      kept: what each step keeps, as `run` returns it; `None` to compute it again from the states.
      dlast: cotangent of the last state.
      dys: cotangents of all outputs, (T, m, ...), or `None`.
    """
    n, m = xs.shape[:2]
    if n == 0:
        return jax.tree.map(jnp.zeros_like, params), dlast, jnp.zeros_like(xs)
    length = _length(n, m)
    pieces = n // length
    after = _cut(after, length)

    def state_before(i):
        """Return the state before piece i, the last of the piece that ran before it. So states are not copied."""
        of_piece, edge, last = (i + 1, pieces - 1, 0) if reverse else (i - 1, 0, -1)
        found = jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, of_piece.clip(0, pieces - 1), 0, False)[last], after)
        return jax.tree.map(lambda s, a: jnp.where(i == edge, s, a), start, found)

    def step(dstate, at):
        states, kept, live, dy = at
        dstate = dstate if dy is None else (dstate[0] + dy, *dstate[1:])
        within = dstate if live is None else _where(live, dstate, jax.tree.map(jnp.zeros_like, dstate))
        dbefore = cell.backward(params, states, kept, within)[1]
        return dbefore if live is None else _where(live, dbefore, dstate), within

    def piece(carry, at):
        (dstate, total), (i, xs, after, kept, live, dys) = carry, at
        before = jax.tree.map(partial(_shifted, reverse), state_before(i), after)
        if kept is None:
            kept = _times(cell.step(params, _rows(before), cell.project(params, _rows(xs)))[1], length, m)
        states = before, after
        dstate, dstates = _scan(step, dstate, (states, kept, live, dys), not reverse)
        dparams, _, du = cell.backward(params, _rows(states), _rows(kept), _rows(dstates))
        of_project, dx = cell.project_backward(params, _rows(xs), du)
        return (dstate, summed(total, dparams, of_project)), _times(dx, length, m)

    # As wide as the widest: float64 inputs make float64 gradients of float32 params.
    wide = jnp.result_type(xs, *start, *map(widened, jax.tree.leaves(params)))
    zero = jax.tree.map(lambda a: jnp.zeros(a.shape, wide), params)
    scanned = jnp.arange(pieces), _cut(xs, length), after, *_cut((kept, mask, dys), length)
    (dstart, dparams), dxs = lax.scan(piece, (dlast, zero), scanned, reverse=not reverse)
    return jax.tree.map(cast_like, params, dparams), dstart, _rows(dxs)


def _length(n: int, m: int) -> int:
    """Return the times of a piece, which divide n times of m examples; m may be symbolic, in `jax.export`."""
    if jax.default_backend() != "cpu" or not isinstance(m, int) or _may_be_split():
        return max(n, 1)
    return max((length for length in range(1, n + 1) if n % length == 0 and length * m <= _ROWS), default=1)


def _may_be_split() -> bool:
    """Return whether XLA may split the rows: not inside of `jax.shard_map`, whose code is that of one device."""
    axes = jax.sharding.get_abstract_mesh().axis_types
    return jax.device_count() > 1 and not (axes and all(kind == AxisType.Manual for kind in axes))


def _scan(step: Callable[..., Any], carry: PyTree, xs: PyTree, reverse: bool) -> tuple[PyTree, PyTree]:
    """Scan over the times of a piece; a piece of one time needs no loop."""
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        return lax.scan(step, carry, xs, reverse=reverse)
    carry, ys = step(carry, jax.tree.map(lambda a: a[0], xs))
    return carry, jax.tree.map(lambda a: a[None], ys)


def _shifted(reverse: bool, before: Array, after: Array) -> Array:
    """Return the states before each time of a piece from that before the first and those after each."""
    return jnp.concatenate([after[1:], before[None]] if reverse else [before[None], after[:-1]])


def _cut(tree: PyTree, length: int) -> PyTree:
    """Cut the first axis, time, into pieces: (T, ...) to (T / length, length, ...)."""
    return jax.tree.map(lambda a: a.reshape(a.shape[0] // length, length, *a.shape[1:]), tree)


def _rows(tree: PyTree) -> PyTree:
    """Merge the first two axes: times (t, m, ...) become rows (t m, ...), and pieces the whole sequence again."""
    return jax.tree.map(lambda a: a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), tree)


def _times(tree: PyTree, t: int, m: int) -> PyTree:
    """Split rows (t m, ...) by times, (t, m, ...)."""
    return jax.tree.map(lambda a: a.reshape(t, m, *a.shape[1:]), tree)


def _where(live: Array, new: PyTree, old: PyTree) -> PyTree:
    """Return the new arrays (m, ...) where a sequence is at work, else the old."""
    return jax.tree.map(lambda a, b: jnp.where(beside(live, a), a, b), new, old)


def summed(total: Params, *shares: Params) -> Params:
    """Add shares of dparams, some of which may be missing."""
    for share in shares:
        total = {**total, **{name: jax.tree.map(jnp.add, total[name], one) for name, one in share.items()}}
    return total
