"""The simple recurrent cell, a_t = tanh(W_a a_{t-1} + W_x x_t + b), and what all cells with gates share."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnn.constraints import Count, ExampleShape, Floats, Function, Leaves, OneOf, RandomKey, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.cells import Cell
from jaxnn.nn.initializers import INITIALIZERS, InitializerName, initial_weights
from jaxnn.typing import Array, Initializer, Key, Params, PyTree, Shape, State

__all__ = ["simple_cell", "simple_cell_backward", "simple_cell_forward"]

INIT = OneOf(INITIALIZERS) | Function("key", "shape", "dtype")
"""The constraint of an initializer of weights."""


@forward_on_any_axes
@checked(params=Leaves(W_x="n n_in", W_a="n n", b="n"), u=Floats("m n"))
def simple_cell_forward(params: Params, state: State, u: Array) -> tuple[State, tuple[()]]:
    """Compute a_t = tanh(W_a a_{t-1} + u), one step of a simple recurrent network.

    x_t (m, n_in) are the inputs of time t, with a row for each example; a_t are the states, (m, n). u = W_x x_t + b,
    the inputs' share of all gates, (m, n), is computed before, with W_x (n, n_in), W_a (n, n) and b (n,). A matrix is
    applied to each row, so W_a a_{t-1} is a_{t-1} W_aᵀ as arrays.

    Args:
      params: `{"W_x": (n, n_in), "W_a": (n, n), "b": (n,)}`; W_x and b are in u.
      state: (a_{t-1},), (m, n).
      u: W_x x_t + b, (m, n).

    Returns:
      (a_t,). Nothing is cached.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.ones((1, 1)), "W_a": jnp.ones((1, 1)), "b": jnp.zeros(1)}
      >>> print(simple_cell_forward(params, (jnp.array([[0.5]]),), jnp.array([[-0.5]]))[0][0])
      [[0.]]

    Source: Elman, "Finding structure in time", 1990.
    """
    (a,) = state
    a = jnp.tanh(u + a @ params["W_a"].T)
    return (a,), ()


@backward_on_any_axes
def simple_cell_backward(
    params: Params, states: tuple[State, State], kept: tuple[()], dstate: State
) -> tuple[Params, State, Array]:
    """Compute dW_a, da_{t-1} and du of one step from the cotangent da of its output.

    Derivation. With z = W_a a_{t-1} + u and a = tanh(z), dz = da (1 - a²) is du; z is a dense layer of a_{t-1}, so
    dW_a = dzᵀ a_{t-1} and da_{t-1} = dz W_a.

    Args:
      params: `{"W_x": (n, n_in), "W_a": (n, n), "b": (n,)}`.
      states: ((a_{t-1},), (a_t,)), each (m, n).
      kept: the cache of `simple_cell_forward`.
      dstate: (da,), (m, n).

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W_x": jnp.ones((1, 1)), "W_a": jnp.full((1, 1), 3.0), "b": jnp.zeros(1)}
      >>> one = jnp.ones((1, 1))
      >>> dparams, (da,), du = simple_cell_backward(params, ((2 * one,), (0 * one,)), (), (one,))
      >>> dparams["W_a"].item(), da.item(), du.item()
      (2.0, 3.0, 1.0)
    """
    (before,), (a,) = states
    dz = dstate[0] * (1 - a * a)
    return {"W_a": dz.T @ before}, (dz @ params["W_a"],), dz


@factory
@checked(n=Count(), init=INIT, recurrent_init=INIT)
def simple_cell(
    n: int, init: InitializerName | Initializer = "lecun", recurrent_init: InitializerName | Initializer = "orthogonal"
) -> Cell:
    """Return the cell a_t = tanh(W_a a_{t-1} + W_x x_t + b) of n units; `simple_cell_backward` derives its gradient.

    Args:
      n: number of units.
      init: how W_x is initialized.
      recurrent_init: how W_a is initialized; orthogonal by default, which keeps the size of a state over many steps.

    Returns:
      A `Cell` with params `{"W_x": (n, n_in), "W_a": (n, n), "b": (n,)}`, for `recurrent`.

    Raises:
      ValueError: if n is below 1 or an initializer is unknown.

    Example:
      >>> import jax
      >>> from jaxnn import nn
      >>> layer = nn.recurrent(simple_cell(4))
      >>> layer.init(jax.random.key(0), (7, 3))[1]
      (7, 4)
    """
    return Cell(
        ((n,),),
        partial(init_gates, 1, n, init, recurrent_init),
        simple_cell_forward,
        simple_cell_backward,
        project,
        project_backward,
    )


@checked(key=RandomKey(), in_shape=ExampleShape(least=1))
def init_gates(
    gates: int,
    n: int,
    init: InitializerName | Initializer,
    recurrent_init: InitializerName | Initializer,
    key: Key,
    in_shape: Shape,
) -> dict[str, Array]:
    """Return W_x (gates n, n_in), W_a (gates n, n), of which each gate is drawn alone, and b, which is 0."""
    of_inputs, of_states = jax.random.split(key)
    W_x = initial_weights(init, of_inputs, (gates * n, in_shape[-1]), "W_x")
    W_a = jax.vmap(lambda key: initial_weights(recurrent_init, key, (n, n), "W_a"))(jax.random.split(of_states, gates))
    return {"W_x": W_x, "W_a": W_a.reshape(-1, n), "b": jnp.zeros(gates * n, W_x.dtype)}


def project(params: Params, x: Array) -> Array:
    """Compute u = W_x x + b, the inputs' share of all gates, (m, gates n)."""
    return _share(params.get("W_x"), params.get("b"), x)


@checked(W_x=Floats("gates n_in"), b=Floats("gates"), x=Floats("m n_in"))
def _share(W_x: Array, b: Array, x: Array) -> Array:
    return x @ W_x.T + b[None]


def project_backward(params: Params, x: Array, du: PyTree) -> tuple[dict[str, Array], Array]:
    """Compute dW_x, db and dx, those of a dense layer."""
    return {"W_x": du.T @ x, "b": du.sum(0)}, du @ params["W_x"]
