"""The dense layer, z = x W^T + b."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import floats
from jaxnn.factories.decorator import factory
from jaxnn.nn.initializers import INITIALIZERS
from jaxnn.nn.layer import Layer
from jaxnn.typing import Array, Initializer, Params
from jaxnn.validation import check_callable, check_key, check_name, check_shape, described, is_count, is_number

__all__ = ["dense", "dense_backward", "dense_forward"]


def dense_forward(params: Params, x: Array) -> tuple[Array, Array]:
    """Compute z = x Wᵀ + b, one row per example.

    Args:
      params: `{"W": (n_out, n_in), "b": (n_out,)}`.
      x: inputs, (m, n_in), or (..., n_in) with any leading axes. Whole numbers become floats.

    Returns:
      z, (m, n_out), and the cache, which is x itself, not a copy.

    Raises:
      ValueError: if the last axis of x is not n_in, x is not an array, or params are not those of a dense layer.

    Example:
      >>> import jax.numpy as jnp
      >>> z, cache = dense_forward({"W": jnp.array([[1.0, 2.0]]), "b": jnp.array([3.0])}, jnp.array([[10.0, 20.0]]))
      >>> z
      Array([[53.]], dtype=float32)
    """
    W, b = _weights(params)
    if not hasattr(x, "ndim"):
        raise ValueError(f"x must be an array, got {described(x)}: jnp.asarray(x)")
    x = floats(x)
    if x.ndim < 1 or x.shape[-1] != W.shape[-1]:
        transposed = x.ndim == 2 and x.shape[0] == W.shape[-1]
        fix = "examples are rows, use x.T" if transposed else "flatten() turns images into rows"
        raise ValueError(f"x must be (m, {W.shape[-1]}) for weights W {W.shape}, got {x.shape}: {fix}")
    return x @ W.T + jnp.expand_dims(b, range(x.ndim - 1)), x


def dense_backward(params: Params, x: Array, dz: Array) -> tuple[Params, Array]:
    """Compute dparams and dx of z = x Wᵀ + b from dz.

    Derivation. z_ij = Σ_k x_ik W_jk + b_j, so with dz_ij the cotangent of z_ij

        dW_jk = Σ_i dz_ij ∂z_ij/∂W_jk = Σ_i dz_ij x_ik    dW = dzᵀ x
        db_j  = Σ_i dz_ij                                 db = Σ_i dz_i
        dx_ik = Σ_j dz_ij W_jk                            dx = dz W

    The sum over examples is part of the chain rule; the 1/m of a mean is not, and comes with dz from the objective.

    Args:
      params: `{"W": (n_out, n_in), "b": (n_out,)}`.
      x: the cache of `dense_forward`: its input, (m, n_in).
      dz: cotangent of z, (m, n_out).

    Returns:
      `{"W": dW (n_out, n_in), "b": db (n_out,)}` and dx, (m, n_in).

    Raises:
      ValueError: if dz does not have the shape of z, or params are not those of a dense layer.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.array([[1.0, 2.0]]), "b": jnp.array([3.0])}
      >>> dparams, dx = dense_backward(params, jnp.array([[10.0, 20.0]]), jnp.array([[1.0]]))
      >>> dparams["W"], dx
      (Array([[10., 20.]], dtype=float32), Array([[1., 2.]], dtype=float32))

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    W, b = _weights(params)
    x, dz = floats(x), floats(dz) if hasattr(dz, "dtype") else dz
    z_shape = (*jnp.shape(x)[:-1], W.shape[0])
    if getattr(dz, "shape", None) != z_shape:
        raise ValueError(f"dz must have the shape of z, {z_shape}, for x {jnp.shape(x)}, got {described(dz)}")
    examples = tuple(range(dz.ndim - 1))
    dW, db, dx = jnp.tensordot(dz, x, (examples, examples)), dz.sum(examples), dz @ W
    # z has the wider dtype if x and params differ; each gradient is cast back to the dtype of its variable.
    return {"W": dW.astype(W.dtype), "b": db.astype(b.dtype)}, _in_dtype_of(x, dx)


@factory(computes="dense_forward(params, x)")
def dense(n_out: int, init: str | Initializer = "lecun") -> Layer:
    """Return a dense layer of n_out units, z = x Wᵀ + b; `dense_backward` derives its gradient.

    Weights are stored with one row per unit, (n_out, n_in). b starts at zero.

    Args:
      n_out: number of units, at least 1.
      init: how W is initialized: a name in `INITIALIZERS`, or any initializer of `jax.nn.initializers`. It is called
        as JAX calls it, with the shape (n_in, n_out), and its result is transposed.

    Returns:
      A `Layer` with params `{"W": (n_out, n_in), "b": (n_out,)}` in JAX's default float dtype.

    Raises:
      ValueError: if n_out is below 1 or the initializer is unknown; at `init`, if an example is not a vector, the key
        is not a random key, or the initializer does not return floats (n_in, n_out); when called, if params have
        another number of units.

    Example:
      >>> import jax
      >>> params, out_shape = dense(3, init="he").init(jax.random.key(0), (5,))
      >>> params["W"].shape, out_shape
      ((3, 5), (3,))
    """
    if not is_count(n_out):
        raise ValueError(f"n_out must be a whole number of at least 1, got {described(n_out)}")
    if callable(init):
        check_callable("init", init, "key", "shape", "dtype")
    else:
        fix = f": jax.nn.initializers.normal({init}) has that standard deviation" if is_number(init) else ""
        check_name("init", init, INITIALIZERS, f" or a function{fix}")
    n_out = int(n_out)
    initializer = INITIALIZERS[init]() if isinstance(init, str) else init

    def init_params(key, in_shape):
        check_key(key)
        check_shape(in_shape)
        if len(in_shape) != 1:
            raise ValueError(
                f"in_shape of dense must be that of a vector, (n_in,), got {tuple(in_shape)}: put flatten() before it"
            )
        W = initializer(key, (in_shape[0], n_out), jnp.result_type(float))
        if getattr(W, "shape", None) != (in_shape[0], n_out) or not jnp.issubdtype(W.dtype, jnp.floating):
            fix = ": call the factory (`he_normal()`, not `he_normal`)" if callable(W) else ""
            expected = f"floats (n_in, n_out), {(in_shape[0], n_out)}"
            raise ValueError(f"init must return {expected}, got {described(W)}{fix}")
        W = jnp.asarray(W).T
        return {"W": W, "b": jnp.zeros(n_out, W.dtype)}, (n_out,)

    def forward(params, x, key=None):
        z, cache = dense_forward(params, x)
        if z.shape[-1] != n_out:
            raise ValueError(
                f"W of dense({n_out}) must be ({n_out}, n_in), got {params['W'].shape}: use params of this network"
            )
        return z, cache

    return Layer(init_params, forward, dense_backward)


def _weights(params: Params) -> tuple[Array, Array]:
    """Return W (n_out, n_in) and b (n_out,) as floats; raise ValueError for other shapes, which would broadcast."""
    named = isinstance(params, Mapping)
    W, b = (params.get(name) if named else None for name in ("W", "b"))
    shape = getattr(W, "shape", ())
    if len(shape) != 2 or getattr(b, "shape", None) != shape[:1] or len(params) != 2:
        got = ", ".join(f"{name}: {described(a)}" for name, a in params.items()) if named else type(params).__name__
        fix = ": jax.vmap over the params of several networks" if len(shape) == 3 else ""
        fix = ": b.ravel()" if len(shape) == 2 and np.shape(b) in {(shape[0], 1), (1, shape[0])} else fix
        raise ValueError(f"params of dense must be {{W: (n_out, n_in), b: (n_out,)}}, got {got}{fix}")
    return floats(W), floats(b)


def _in_dtype_of(x: Array, dx: Array) -> Array:
    return dx.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else dx


CASES = {
    **{f"dense_{name}": (partial(dense, 3, name), (5,)) for name in INITIALIZERS},
    "dense_one_unit": (lambda: dense(1), (5,)),
    "dense_custom_init": (lambda: dense(3, jax.nn.initializers.orthogonal()), (5,)),
}
