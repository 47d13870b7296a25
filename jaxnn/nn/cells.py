"""The contract of a recurrent cell: one step in time, with its backward. `recurrent` runs it over a sequence."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnn.constraints import Instance
from jaxnn.factories.decorator import factory_made
from jaxnn.typing import Array, Cache, Key, Params, PyTree, Shape, State

__all__ = ["Cell"]


def inputs_as_they_are(params: Params, x: Array) -> Array:
    """Return x: the default of `Cell.project`."""
    return x


def inputs_backward(params: Params, x: Array, du: Array) -> tuple[dict[str, Array], Array]:
    """Return dx = du and no share of dparams: the default of `Cell.project_backward`."""
    return {}, du


@factory_made
class Cell(NamedTuple):
    """Pure functions of one step in time, on rows (m, ...), without an axis of time.

    Two things make a recurrence slow, and a cell's author needs to think of neither. What a step takes from the input
    alone is computed for many times by one product: that is `project`. And the gradient of the weights is a sum over
    all times: `recurrent` calls `backward` on the rows of many times at once, whose matrix products contain that sum,
    and step by step only for the cotangent of the state before, the one thing that has to wait for the step after.

    Attributes:
      state: the shapes of the state's arrays without the axis of examples. The first array is the cell's output.
      init: `init(key, in_shape) -> params`, a dictionary; `in_shape` is the shape of an example at one time.
      step: `step(params, state, u) -> (state, kept)`: the next state, a tuple of arrays, and what `backward` needs of
        the step besides the states.
      backward: `backward(params, states, kept, dstate) -> (dparams, dstate, du)`, with `states` (before, after) the
        step: the vector-Jacobian product of `(params, state, u) -> state`. `dparams` may omit what `step` does not use.
      project: `project(params, x) -> u`, the part of a step that needs no state, of rows (m, n_in). By default u is x.
      project_backward: `project_backward(params, x, du) -> (dparams, dx)`, the vector-Jacobian product of `project`.

    Example:
      A cell that adds up what it sees, s_t = s_{t-1} + x_t:

      >>> import jax.numpy as jnp
      >>> from jaxnn import nn
      >>> total = Cell(
      ...     state=((1,),),
      ...     init=lambda key, in_shape: {},
      ...     step=lambda params, state, x: ((state[0] + x,), ()),
      ...     backward=lambda params, states, kept, dstate: ({}, dstate, dstate[0]),
      ... )
      >>> layer = nn.recurrent(total)
      >>> print(layer.infer({}, (), jnp.array([[[1.0], [2.0], [3.0]]])).ravel())
      [1. 3. 6.]
    """

    state: tuple[Shape, ...]
    init: Callable[[Key, Shape], Params]
    step: Callable[[Params, State, PyTree], tuple[State, Cache]]
    backward: Callable[[Params, tuple[State, State], Cache, State], tuple[Params, State, PyTree]]
    project: Callable[[Params, Array], PyTree] = inputs_as_they_are
    project_backward: Callable[[Params, Array, PyTree], tuple[Params, Array]] = inputs_backward


CELL = Instance(Cell, fix="nn.lstm_cell(n), nn.gru_cell(n) and nn.simple_cell(n) make cells")
"""The constraint of an argument that is a cell."""
