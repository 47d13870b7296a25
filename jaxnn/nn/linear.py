"""The dense layer, z = x Wᵀ + b."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import cast_like
from jaxnn.constraints import NO_CALL, Call, Count, ExampleShape, Floats, Function, Leaves, OneOf, RandomKey, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.initializers import INITIALIZERS, InitializerName, initial_weights, scale_hint
from jaxnn.nn.layer import Layer
from jaxnn.typing import Array, Initializer, Params

_PARAMS = Leaves(W="n_out n_in", b="n_out")

__all__ = ["dense", "dense_backward", "dense_forward"]


@forward_on_any_axes
@checked(params=_PARAMS, x=Floats("... n_in", fix="flatten() turns images into rows"))
def dense_forward(params: Params, x: Array) -> tuple[Array, Array]:
    """Compute z = x Wᵀ + b, one row per example.

    Args:
      params: `{"W": (n_out, n_in), "b": (n_out,)}`.
      x: inputs, (m, n_in), or (..., n_in) with any leading axes. Whole numbers become floats.

    Returns:
      z, (m, n_out), and the cache, which is x itself, not a copy.

    Raises:
      ValueError: if params are not those of a dense layer, or x is not an array (..., n_in).

    Example:
      >>> import jax.numpy as jnp
      >>> z, cache = dense_forward({"W": jnp.array([[1.0, 2.0]]), "b": jnp.array([3.0])}, jnp.array([[10.0, 20.0]]))
      >>> z
      Array([[53.]], dtype=float32)
    """
    return x @ params["W"].T + jnp.expand_dims(params["b"], range(x.ndim - 1)), x


@backward_on_any_axes
@checked(params=_PARAMS, x=Floats("... n_in"), dz=Floats("... n_out"))
def dense_backward(params: Params, x: Array, dz: Array) -> tuple[Params, Array]:
    """Compute dparams and dx of z = x Wᵀ + b from the cache x and the cotangent dz, in the shape of z.

    Derivation. For row i of x and z, unit j and input k, z_ij = Σ_k x_ik W_jk + b_j, so, dz_ij the cotangent of z_ij,

        dW_jk = Σ_i dz_ij ∂z_ij/∂W_jk = Σ_i dz_ij x_ik    dW = dzᵀ x
        db_j  = Σ_i dz_ij                                 db = Σ_i dz_i
        dx_ik = Σ_j dz_ij W_jk                            dx = dz W

    The sum over examples is part of the chain rule; the 1/m of a mean is not, and comes with dz from the objective.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.array([[1.0, 2.0]]), "b": jnp.array([3.0])}
      >>> dparams, dx = dense_backward(params, jnp.array([[10.0, 20.0]]), jnp.array([[1.0]]))
      >>> dparams["W"], dx
      (Array([[10., 20.]], dtype=float32), Array([[1., 2.]], dtype=float32))

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    W, b, examples = params["W"], params["b"], tuple(range(dz.ndim - 1))
    dW, db, dx = jnp.tensordot(dz, x, (examples, examples)), dz.sum(examples), dz @ W
    return {"W": cast_like(W, dW), "b": cast_like(b, db)}, cast_like(x, dx)


@factory(computes="dense_forward(params, x)")
@checked(n_out=Count(), init=OneOf(INITIALIZERS, fix=scale_hint) | Function("key", "shape", "dtype"))
def dense(n_out: int, init: InitializerName | Initializer = "lecun") -> Layer:
    """Return a dense layer of n_out units, z = x Wᵀ + b; `dense_backward` derives its gradient.

    Args:
      n_out: number of units, at least 1.
      init: how W is initialized: a name in `INITIALIZERS`, or any initializer of `jax.nn.initializers`. It is called
        as JAX calls it, with the shape (n_in, n_out), and its result is transposed.

    Returns:
      A `Layer` with params `{"W": (n_out, n_in), "b": (n_out,)}` in JAX's default float dtype; b starts at zero.

    Raises:
      ValueError: if n_out is below 1 or the initializer is unknown; at `init`, if an example is not a vector, or the
        initializer does not return floats (n_in, n_out); when called, if params have another number of units.

    Example:
      >>> import jax
      >>> params, out_shape = dense(3, init="he").init(jax.random.key(0), (5,))
      >>> params["W"].shape, out_shape
      ((3, 5), (3,))
    """

    @checked(key=RandomKey(), in_shape=_VectorShape())
    def init_params(key, in_shape):
        W = initial_weights(init, key, (n_out, in_shape[0]), "W")
        return {"W": W, "b": jnp.zeros(n_out, W.dtype)}, (n_out,)

    # `checked` keeps the signature of the function for type checkers, and hides what it adds.
    forward = dense_forward.with_sizes(n_out=n_out)  # pyright: ignore[reportFunctionMemberAccess]
    return Layer(init_params, lambda params, x, key=None: forward(params, x), dense_backward)


class _VectorShape(ExampleShape):
    """The shape of one example that is a vector."""

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the shape; raise ValueError if it has more axes, or none."""
        value = super().check(name, value, call)
        if len(value) != 1:
            got = f"{tuple(value)}: put flatten() before it"
            raise ValueError(f"{name} must be the shape of one example that is a vector, (n_in,), got {got}")
        return value


CASES = {
    **{f"dense_{name}": (partial(dense, 3, name), (5,)) for name in INITIALIZERS},
    "dense_one_unit": (lambda: dense(1), (5,)),
    "dense_custom_init": (lambda: dense(3, jax.nn.initializers.orthogonal()), (5,)),
}
