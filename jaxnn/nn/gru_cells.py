"""Gated recurrent units, in both published forms: the reset gate before the product with W_a, and after it."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxnn.constraints import Count, Floats, Leaves, OneOf, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.cells import Cell
from jaxnn.nn.initializers import InitializerName
from jaxnn.nn.simple_cells import INIT, init_gates, project, project_backward
from jaxnn.typing import Array, Initializer, Params, State

__all__ = [
    "gru_cell",
    "gru_cell_backward",
    "gru_cell_forward",
    "gru_reset_before_backward",
    "gru_reset_before_forward",
]


@forward_on_any_axes
@checked(params=Leaves(W_x="gates n_in", W_a="gates n", b="gates", b_a="n"), u=Floats("m gates"))
def gru_cell_forward(params: Params, state: State, u: Array) -> tuple[State, dict[str, Array]]:
    """Compute one step of gated recurrent units, with the reset gate after the product.

    x_t (m, n_in) are the inputs of time t, with a row for each example; a_t are the states, (m, n). u = W_x x_t + b,
    the inputs' share of all gates, (m, 3 n), is computed before, with W_x (3 n, n_in), W_a (3 n, n), b (3 n,) and, of
    the candidate, b_a (n,). A matrix is applied to each row, so W_a a_{t-1} is a_{t-1} W_aᵀ as arrays. σ is the
    logistic function, products of gates are elementwise.

        r, z = σ(W_a a_{t-1} + u), the reset and update gates
        v    = W_a a_{t-1} + b_a
        g    = tanh(u + r v), the candidate
        a_t  = z g + (1 - z) a_{t-1}

    each with its rows of W_a and its columns of u, in the order r, z, g. (The update gate of Cho et al., PyTorch and
    Keras is 1 - z.)

    Args:
      params: `{"W_x": (3 n, n_in), "W_a": (3 n, n), "b": (3 n,), "b_a": (n,)}`; W_x and b are in u.
      state: (a_{t-1},), (m, n).
      u: W_x x_t + b, (m, 3 n).

    Returns:
      (a_t,), and the cache: the gates r and z (m, 2 n), g and v.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.zeros((3, 1)), "W_a": jnp.zeros((3, 1)), "b": jnp.zeros(3), "b_a": jnp.zeros(1)}
      >>> print(gru_cell_forward(params, (jnp.ones((1, 1)),), jnp.zeros((1, 3)))[0][0])
      [[0.5]]

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    2014, equations 5 to 8, with the reset gate before the product; after it, the form of cuDNN.
    """
    (a,), n = state, state[0].shape[-1]
    of_states = a @ params["W_a"].T
    gates, v = jax.nn.sigmoid(u[:, : 2 * n] + of_states[:, : 2 * n]), of_states[:, 2 * n :] + params["b_a"][None]
    r, z = jnp.split(gates, 2, axis=-1)
    g = jnp.tanh(u[:, 2 * n :] + r * v)
    return (a + z * (g - a),), {"gates": gates, "g": g, "v": v}


@backward_on_any_axes
def gru_cell_backward(
    params: Params, states: tuple[State, State], kept: dict[str, Array], dstate: State
) -> tuple[Params, State, Array]:
    """Compute dW_a, db_a, da_{t-1} and du of one step from the cotangent da of its output.

    Derivation. With the symbols of `gru_cell_forward`, from a_t = z g + (1 - z) a_{t-1}: dz = da (g - a_{t-1}),
    dg = da z, and a share da (1 - z) of da_{t-1}. With h = u + r v the argument of tanh, dh = dg (1 - g²), which is du
    of the candidate; dr = dh v and dv = dh r. Through σ' = σ (1 - σ), dr and dz become du of the gates, whose arguments
    are dense layers of a_{t-1} as v is: with d = (du of the gates, dv),

        dW_a = dᵀ a_{t-1}    db_a = Σ dv    da_{t-1} = da (1 - z) + d W_a

    Args:
      params: `{"W_x": (3 n, n_in), "W_a": (3 n, n), "b": (3 n,), "b_a": (n,)}`.
      states: ((a_{t-1},), (a_t,)), each (m, n).
      kept: the cache of `gru_cell_forward`.
      dstate: (da,), (m, n).

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.zeros((3, 1)), "W_a": jnp.zeros((3, 1)), "b": jnp.zeros(3), "b_a": jnp.zeros(1)}
      >>> state = (jnp.ones((1, 1)),)
      >>> after, kept = gru_cell_forward(params, state, jnp.zeros((1, 3)))
      >>> dparams, (da,), du = gru_cell_backward(params, (state, after), kept, (jnp.ones((1, 1)),))
      >>> print(da, du)
      [[0.5]] [[ 0.   -0.25  0.5 ]]
    """
    (a,), (da,), gates, g, v = states[0], dstate, kept["gates"], kept["g"], kept["v"]
    r, z = jnp.split(gates, 2, axis=-1)
    dh = da * z * (1 - g * g)
    dgates = jnp.concatenate([dh * v, da * (g - a)], axis=-1) * gates * (1 - gates)
    dv = dh * r
    d = jnp.concatenate([dgates, dv], axis=-1)
    dparams = {"W_a": d.T @ a, "b_a": dv.sum(0)}
    return dparams, (da * (1 - z) + d @ params["W_a"],), jnp.concatenate([dgates, dh], axis=-1)


@forward_on_any_axes
@checked(params=Leaves(W_x="gates n_in", W_a="gates n", b="gates"), u=Floats("m gates"))
def gru_reset_before_forward(params: Params, state: State, u: Array) -> tuple[State, dict[str, Array]]:
    """Compute one step of gated recurrent units, with the reset gate before the product.

    x_t (m, n_in) are the inputs of time t, with a row for each example; a_t are the states, (m, n). u = W_x x_t + b,
    the inputs' share of all gates, (m, 3 n), is computed before, with W_x (3 n, n_in), W_a (3 n, n) and b (3 n,). A
    matrix is applied to each row, so W_a a_{t-1} is a_{t-1} W_aᵀ as arrays. σ is the logistic function, products of
    gates are elementwise.

        r, z = σ(W_a a_{t-1} + u), the reset and update gates
        g    = tanh(W_a (r a_{t-1}) + u), the candidate
        a_t  = z g + (1 - z) a_{t-1}

    each with its rows of W_a and its columns of u, in the order r, z, g. (The update gate of Cho et al. is 1 - z.)

    Args:
      params: `{"W_x": (3 n, n_in), "W_a": (3 n, n), "b": (3 n,)}`; W_x and b are in u.
      state: (a_{t-1},), (m, n).
      u: W_x x_t + b, (m, 3 n).

    Returns:
      (a_t,), and the cache: the gates r and z (m, 2 n), and g.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.zeros((3, 1)), "W_a": jnp.zeros((3, 1)), "b": jnp.zeros(3)}
      >>> print(gru_reset_before_forward(params, (jnp.ones((1, 1)),), jnp.zeros((1, 3)))[0][0])
      [[0.5]]

    Sources: Chung, Gulcehre, Cho and Bengio, "Empirical evaluation of gated recurrent neural networks on sequence
    modeling", 2014, section 3.2, whose z this is; Cho et al., "Learning phrase representations using RNN
    encoder-decoder for statistical machine translation", 2014, equations 5 to 8, where h = z h_{t-1} + (1 - z) h̃.
    """
    (a,), n = state, state[0].shape[-1]
    W_a = params["W_a"]
    gates = jax.nn.sigmoid(u[:, : 2 * n] + a @ W_a[: 2 * n].T)
    r, z = jnp.split(gates, 2, axis=-1)
    g = jnp.tanh(u[:, 2 * n :] + (r * a) @ W_a[2 * n :].T)
    return (a + z * (g - a),), {"gates": gates, "g": g}


@backward_on_any_axes
def gru_reset_before_backward(
    params: Params, states: tuple[State, State], kept: dict[str, Array], dstate: State
) -> tuple[Params, State, Array]:
    """Compute dW_a, da_{t-1} and du of one step from the cotangent da of its output.

    Derivation. With the symbols of `gru_reset_before_forward`, from a_t = z g + (1 - z) a_{t-1}: dz = da (g - a_{t-1}),
    dg = da z, and a share da (1 - z) of da_{t-1}. With h = W_a (r a_{t-1}) + u the argument of tanh, dh = dg (1 - g²),
    which is du of the candidate, and e = dh W_a is the cotangent of r a_{t-1}: dr = e a_{t-1}, and a share e r of
    da_{t-1}. Through σ' = σ (1 - σ), dr and dz become du of the gates, d:

        dW_a = dᵀ a_{t-1} for the gates, dhᵀ (r a_{t-1}) for the candidate    da_{t-1} = da (1 - z) + e r + d W_a

    Args:
      params: `{"W_x": (3 n, n_in), "W_a": (3 n, n), "b": (3 n,)}`.
      states: ((a_{t-1},), (a_t,)), each (m, n).
      kept: the cache of `gru_reset_before_forward`.
      dstate: (da,), (m, n).

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.zeros((3, 1)), "W_a": jnp.zeros((3, 1)), "b": jnp.zeros(3)}
      >>> state = (jnp.ones((1, 1)),)
      >>> after, kept = gru_reset_before_forward(params, state, jnp.zeros((1, 3)))
      >>> dparams, (da,), du = gru_reset_before_backward(params, (state, after), kept, (jnp.ones((1, 1)),))
      >>> print(da, du)
      [[0.5]] [[ 0.   -0.25  0.5 ]]
    """
    (a,), (da,), gates, g, W_a = states[0], dstate, kept["gates"], kept["g"], params["W_a"]
    n = a.shape[-1]
    r, z = jnp.split(gates, 2, axis=-1)
    dh = da * z * (1 - g * g)
    e = dh @ W_a[2 * n :]
    d = jnp.concatenate([e * a, da * (g - a)], axis=-1) * gates * (1 - gates)
    dW_a = jnp.concatenate([d.T @ a, dh.T @ (r * a)])
    return {"W_a": dW_a}, (da * (1 - z) + e * r + d @ W_a[: 2 * n],), jnp.concatenate([d, dh], axis=-1)


@factory
@checked(n=Count(), reset=OneOf(["after", "before"]), init=INIT, recurrent_init=INIT)
def gru_cell(
    n: int,
    reset: Literal["after", "before"] = "after",
    init: InitializerName | Initializer = "lecun",
    recurrent_init: InitializerName | Initializer = "orthogonal",
) -> Cell:
    """Return a cell of n gated recurrent units.

    `gru_cell_backward` and `gru_reset_before_backward` derive the gradients of its two forms.

    Args:
      n: number of units.
      reset: whether the reset gate is applied after the product with W_a, as in cuDNN, PyTorch and Keras, or before it,
        as in the publication.
      init: how W_x is initialized.
      recurrent_init: how each gate's part of W_a is initialized, orthogonal by default.

    Returns:
      A `Cell` with params `{"W_x": (3 n, n_in), "W_a": (3 n, n), "b": (3 n,)}` and, for "after", `"b_a": (n,)`, gates
      in the order reset, update, candidate, for `recurrent`. Biases start at 0.

    Raises:
      ValueError: if n is below 1, or reset or an initializer is unknown.

    Example:
      >>> import jax
      >>> from jaxnn import nn
      >>> params, out_shape = nn.recurrent(gru_cell(4)).init(jax.random.key(0), (7, 3))
      >>> params["W_x"].shape, out_shape
      ((12, 3), (7, 4))
    """

    def init_params(key, in_shape):
        params = init_gates(3, n, init, recurrent_init, key, in_shape)
        return params | {"b_a": jnp.zeros(n, params["b"].dtype)} if reset == "after" else params

    forward, backward = {
        "after": (gru_cell_forward, gru_cell_backward),
        "before": (gru_reset_before_forward, gru_reset_before_backward),
    }[reset]
    return Cell(((n,),), init_params, forward, backward, project, project_backward)
