"""Long short-term memory: a cell whose state passes from step to step through a sum."""

import jax
import jax.numpy as jnp

from jaxnn.constraints import Count, Floats, Leaves, Real, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.cells import Cell
from jaxnn.nn.initializers import InitializerName
from jaxnn.nn.simple_cells import INIT, init_gates, project, project_backward
from jaxnn.typing import Array, Initializer, Params, Scalar, State

__all__ = ["lstm_cell", "lstm_cell_backward", "lstm_cell_forward"]


@forward_on_any_axes
@checked(params=Leaves(W_x="gates n_in", W_a="gates n", b="gates"), u=Floats("m gates"))
def lstm_cell_forward(params: Params, state: State, u: Array) -> tuple[State, dict[str, Array]]:
    """Compute one step of long short-term memory.

    x_t (m, n_in) are the inputs of time t, with a row for each example; a_t and c_t are the states, (m, n). The inputs'
    share of all gates, u = W_x x_t + b, (m, 4 n), is computed before, with W_x (4 n, n_in), W_a (4 n, n) and b (4 n,).
    A matrix is applied to each row, so W_a a_{t-1} is a_{t-1} W_aᵀ as arrays. σ is the logistic function, products of
    gates are elementwise.

        f, i, o = σ(W_a a_{t-1} + u), the forget, input (update) and output gates
        g       = tanh(W_a a_{t-1} + u), the candidate
        c_t     = f c_{t-1} + i g
        a_t     = o tanh(c_t)

    each with its rows of W_a and its columns of u, in the order f, i, o, g.

    Args:
      params: `{"W_x": (4 n, n_in), "W_a": (4 n, n), "b": (4 n,)}`; W_x and b are in u.
      state: (a_{t-1}, c_{t-1}), each (m, n).
      u: W_x x_t + b, (m, 4 n).

    Returns:
      (a_t, c_t), and the cache: the gates (m, 3 n), g and tanh(c_t).

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.zeros((4, 1)), "W_a": jnp.zeros((4, 1)), "b": jnp.zeros(4)}
      >>> (a, c), _ = lstm_cell_forward(params, (jnp.zeros((1, 1)), jnp.ones((1, 1))), jnp.zeros((1, 4)))
      >>> print(c, a.round(4))
      [[0.5]] [[0.2311]]

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; the forget gate: Gers, Schmidhuber and Cummins,
    "Learning to forget: continual prediction with LSTM", 2000.
    """
    a, c = state
    z = u + a @ params["W_a"].T
    n = c.shape[-1]
    gates, g = jax.nn.sigmoid(z[:, : 3 * n]), jnp.tanh(z[:, 3 * n :])
    f, i, o = jnp.split(gates, 3, axis=-1)
    c = f * c + i * g
    tanh_c = jnp.tanh(c)
    return (o * tanh_c, c), {"gates": gates, "g": g, "tanh_c": tanh_c}


@backward_on_any_axes
def lstm_cell_backward(
    params: Params, states: tuple[State, State], kept: dict[str, Array], dstate: State
) -> tuple[Params, State, Array]:
    """Compute dW_a, the cotangents of a_{t-1} and c_{t-1}, and du of one step from those of a_t and c_t.

    Derivation. With the symbols of `lstm_cell_forward` and z = W_a a_{t-1} + u, a_t = o tanh(c_t) gives
    do = da tanh(c_t), and the cotangent of c_t is dc + da o (1 - tanh²(c_t)), where dc comes from the step after. From
    c_t = f c_{t-1} + i g, with that sum as dc,

        df = dc c_{t-1}    di = dc g    dg = dc i    dc_{t-1} = dc f

    Through σ' = σ (1 - σ) and tanh' = 1 - tanh² they become dz, which is du; z is a dense layer of a_{t-1}, so
    dW_a = dzᵀ a_{t-1} and da_{t-1} = dz W_a. Along c the cotangent is multiplied by f alone from step to step: it does
    not vanish while the forget gate is open.

    Args:
      params: `{"W_x": (4 n, n_in), "W_a": (4 n, n), "b": (4 n,)}`.
      states: ((a_{t-1}, c_{t-1}), (a_t, c_t)), each (m, n).
      kept: the cache of `lstm_cell_forward`.
      dstate: the cotangents of (a_t, c_t), each (m, n).

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.zeros((4, 1)), "W_a": jnp.zeros((4, 1)), "b": jnp.zeros(4)}
      >>> state = jnp.zeros((1, 1)), jnp.ones((1, 1))
      >>> after, kept = lstm_cell_forward(params, state, jnp.zeros((1, 4)))
      >>> dstate = jnp.zeros((1, 1)), jnp.ones((1, 1))
      >>> dparams, (da, dc), du = lstm_cell_backward(params, (state, after), kept, dstate)
      >>> print(dc, du)
      [[0.5]] [[0.25 0.   0.   0.5 ]]
    """
    (a, c), (da, dc), g, tanh_c = states[0], dstate, kept["g"], kept["tanh_c"]
    f, i, o = jnp.split(kept["gates"], 3, axis=-1)
    dc = dc + da * o * (1 - tanh_c * tanh_c)
    dgates = jnp.concatenate([dc * c, dc * g, da * tanh_c], axis=-1) * kept["gates"] * (1 - kept["gates"])
    dz = jnp.concatenate([dgates, dc * i * (1 - g * g)], axis=-1)
    return {"W_a": dz.T @ a}, (dz @ params["W_a"], dc * f), dz


@factory
@checked(n=Count(), forget_bias=Real(), init=INIT, recurrent_init=INIT)
def lstm_cell(
    n: int,
    forget_bias: Scalar = 1.0,
    init: InitializerName | Initializer = "lecun",
    recurrent_init: InitializerName | Initializer = "orthogonal",
) -> Cell:
    """Return a cell of long short-term memory with n units; `lstm_cell_backward` derives its gradient.

    Args:
      n: number of units.
      forget_bias: the initial bias of the forget gate. With 1 it is open at first, so that the state lasts and
        gradients reach far back; the other biases start at 0.
      init: how W_x is initialized.
      recurrent_init: how each gate's part of W_a is initialized, orthogonal by default.

    Returns:
      A `Cell` with params `{"W_x": (4 n, n_in), "W_a": (4 n, n), "b": (4 n,)}`, gates in the order forget, input,
      output, candidate, for `recurrent`. Its state is (a, c).

    Raises:
      ValueError: if n is below 1, the bias is not a finite number, or an initializer is unknown.

    Example:
      >>> import jax
      >>> from jaxnn import nn
      >>> params, out_shape = nn.recurrent(lstm_cell(4), outputs="last").init(jax.random.key(0), (7, 3))
      >>> params["W_a"].shape, params["b"][:5].tolist(), out_shape
      ((16, 4), [1.0, 1.0, 1.0, 1.0, 0.0], (4,))

    Source: forget bias 1: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network
    architectures", 2015.
    """

    def init_params(key, in_shape):
        params = init_gates(4, n, init, recurrent_init, key, in_shape)
        return params | {"b": params["b"].at[:n].set(forget_bias)}

    return Cell(((n,), (n,)), init_params, lstm_cell_forward, lstm_cell_backward, project, project_backward)
