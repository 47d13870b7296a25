"""The gradient on its way back through time."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import nn
from jaxnn.typing import Array, Params


def norms_through_time(cell: nn.Cell, params: Params, x: np.ndarray, dy: Array) -> np.ndarray:
    """Return the norms of dJ/ds_1, ..., dJ/ds_{T-1}, s_t the last array of the cell's state after time t, (T - 1,).

    It is the square root of the mean over examples of the squared norm. With the gradient dy of the loss with respect
    to the last output, which is the first array of the state, ds_{t-1} is what the cell's backward of step t returns.
    (At T itself, the gradient with respect to the cell of long short-term memory is 0.)

    Args:
      cell: one step.
      params: its params.
      x: sequences, (m, T, n).
      dy: (m, units).
    """

    @jax.jit
    def run(params, x, dy):
        start = tuple(jnp.zeros((len(x), *shape), x.dtype) for shape in cell.state)

        def forward(state, x_t):
            after, kept = cell.step(params, state, cell.project(params, x_t))
            return after, (state, after, kept)

        def backward(dstate, of_step):
            before, after, kept = of_step
            norm = jnp.sqrt((dstate[-1] ** 2).sum(axis=-1).mean())
            return cell.backward(params, (before, after), kept, dstate)[1], norm

        last, steps = jax.lax.scan(forward, start, x.swapaxes(0, 1))
        dlast = (dy, *(jnp.zeros_like(a) for a in last[1:]))
        return jax.lax.scan(backward, dlast, steps, reverse=True)[1]

    return np.asarray(run(params, x, dy))[:-1]
