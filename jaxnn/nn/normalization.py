"""Layer and RMS normalization: each example is divided by its deviation, or its size, over its last axis."""

import jax
import jax.numpy as jnp

from jaxnn.arrays import cast_like
from jaxnn.constraints import ExampleShape, Floats, Leaves, RandomKey, Real, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer
from jaxnn.nn.moments import as_row, checked_cotangent, mean_of_rows, standardize, standardize_backward
from jaxnn.typing import Array, Cache, Params

__all__ = [
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_forward",
    "rms_norm",
    "rms_norm_backward",
    "rms_norm_forward",
]

_EPS = Real(0, closed="right")


@forward_on_any_axes
@checked(params=Leaves(gamma="n", beta="n"), x=Floats("... n"), eps=_EPS)
def layer_norm_forward(params: Params, x: Array, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Compute y = γ x̂ + β with x̂ = (x - μ)/σ, where μ is the mean of x over its last axis and σ² its variance plus ε.

    μ and σ are computed in float32 at least, and also right for numbers whose squares overflow.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`, the gain γ and the shift β.
      x: inputs, (m, n), or (..., n) with any leading axes. Whole numbers become floats.
      eps: ε, which is added to the variance; above 0.

    Returns:
      y, in the shape of x, and the cache: x itself, not a copy, with μ and σ, (..., 1) each.

    Raises:
      ValueError: if the last axis of x does not have the size of γ and β.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(2), "beta": jnp.zeros(2)}
      >>> y, cache = layer_norm_forward(params, jnp.array([[1.0, 3.0], [-4e30, 4e30]]))
      >>> print(y)
      [[-0.999995  0.999995]
       [-1.        1.      ]]
    """
    normalized, *statistics = standardize(x, mean_of_rows, eps)
    y = as_row(params["gamma"], x) * normalized + as_row(params["beta"], x)
    return y.astype(jnp.result_type(x, *params.values())), (x, *statistics)


@backward_on_any_axes
def layer_norm_backward(params: Params, cache: tuple[Array, Array, Array], dy: Array) -> tuple[Params, Array]:
    """Compute dγ = Σ dy x̂, dβ = Σ dy, and dx = (d - mean(d) - x̂ mean(d x̂))/σ with d = γ dy.

    The sums are over examples, the means over the last axis.

    Derivation. y_j = γ_j x̂_j + β_j gives dγ and dβ, and d_j = γ_j dy_j as the cotangent of x̂_j. With n numbers in a
    row, μ = Σ_k x_k/n and σ² = Σ_k (x_k - μ)²/n + ε,

        ∂μ/∂x_j   = 1/n
        ∂σ/∂x_j   = (x_j - μ)/(n σ) = x̂_j/n             the part through μ is Σ_k (x_k - μ) = 0
        ∂x̂_k/∂x_j = ([j = k] - 1/n)/σ - x̂_k/σ · x̂_j/n   the quotient rule on (x_k - μ)/σ
        dx_j      = Σ_k d_k ∂x̂_k/∂x_j = (d_j - Σ_k d_k/n - x̂_j Σ_k d_k x̂_k/n)/σ

    So dx has no part along the row of ones, and, up to ε, none along x̂: y depends neither on the mean of x nor on its
    scale.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`.
      cache: of `layer_norm_forward`.
      dy: cotangent of y, (..., n).

    Returns:
      `{"gamma": dγ (n,), "beta": dβ (n,)}` and dx, in the shape of x.

    Raises:
      ValueError: if dy does not have the shape of x.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(3), "beta": jnp.zeros(3)}
      >>> y, cache = layer_norm_forward(params, jnp.array([[1.0, 2.0, 3.0]]))
      >>> print(layer_norm_backward(params, cache, jnp.array([[1.0, 0.0, 0.0]]))[1].round(3))
      [[ 0.204 -0.408  0.204]]

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016, section 3.
    """
    x, _, _ = cache
    dy = checked_cotangent(x, dy)
    dx, product = standardize_backward(*cache, mean_of_rows, as_row(params["gamma"], x), dy)
    examples = tuple(range(x.ndim - 1))
    dparams = {"gamma": product.sum(examples), "beta": dy.sum(examples)}
    return jax.tree.map(cast_like, params, dparams), cast_like(x, dx)


@factory(computes="layer_norm_forward(params, x)")
@checked(eps=_EPS)
def layer_norm(eps: float = 1e-5) -> Layer:
    """Return the layer y = γ (x - μ)/σ + β over the last axis of x; `layer_norm_backward` derives its gradient.

    γ starts at one and β at zero. Neither is a weight, so no regularizer shrinks them by default.

    Args:
      eps: ε in σ² = variance + ε, a scalar above 0; may be traced.

    Returns:
      A `Layer` with params `{"gamma": (n,), "beta": (n,)}`, n the last axis of an example.

    Raises:
      ValueError: if eps is not a finite number above 0; at `init`, if an example is a single number.

    Example:
      >>> import jax, jaxnn
      >>> network = jaxnn.chain(jaxnn.dense(4), layer_norm(), jaxnn.relu())
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> params[1]["gamma"].shape, out_shape
      ((4,), (4,))
    """

    @checked(key=RandomKey(), in_shape=ExampleShape(least=1))
    def init(key, in_shape):
        dtype = jnp.result_type(float)
        return {"gamma": jnp.ones(in_shape[-1], dtype), "beta": jnp.zeros(in_shape[-1], dtype)}, in_shape

    return Layer(init, lambda params, x, key=None: layer_norm_forward(params, x, eps), layer_norm_backward)


@forward_on_any_axes
@checked(params=Leaves(gamma="n"), x=Floats("... n"), eps=_EPS)
def rms_norm_forward(params: Params, x: Array, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Compute y = γ x/σ, where σ² is the mean of x² over its last axis plus ε.

    Unlike layer normalization it subtracts no mean and adds no β. σ is computed in float32 at least, and also right for
    numbers whose squares overflow.

    Args:
      params: `{"gamma": (n,)}`, the gain γ.
      x: inputs, (m, n), or (..., n) with any leading axes. Whole numbers become floats.
      eps: ε, which is added to the mean square; above 0.

    Returns:
      y, in the shape of x, and the cache: x itself, not a copy, with σ, (..., 1).

    Raises:
      ValueError: if the last axis of x does not have the size of γ.

    Example:
      >>> import jax.numpy as jnp
      >>> print(rms_norm_forward({"gamma": jnp.ones(2)}, jnp.array([[1.0, 7.0], [-4e30, 4e30]]))[0].round(3))
      [[ 0.2  1.4]
       [-1.   1. ]]
    """
    normalized, *statistics = standardize(x, mean_of_rows, eps, center=False)
    y = as_row(params["gamma"], x) * normalized
    return y.astype(jnp.result_type(x, params["gamma"])), (x, *statistics)


@backward_on_any_axes
def rms_norm_backward(params: Params, cache: tuple[Array, None, Array], dy: Array) -> tuple[Params, Array]:
    """Compute dγ = Σ dy x̂ and dx = (d - x̂ mean(d x̂))/σ with x̂ = x/σ and d = γ dy.

    The sum is over examples, the mean over the last axis.

    Derivation. y_j = γ_j x̂_j gives dγ, and d_j = γ_j dy_j as the cotangent of x̂_j. With n numbers in a row and
    σ² = Σ_k x_k²/n + ε,

        ∂σ/∂x_j   = x_j/(n σ) = x̂_j/n
        ∂x̂_k/∂x_j = [j = k]/σ - x̂_k/σ · x̂_j/n          the quotient rule on x_k/σ
        dx_j      = Σ_k d_k ∂x̂_k/∂x_j = (d_j - x̂_j Σ_k d_k x̂_k/n)/σ

    So, up to ε, dx has no part along x̂: y does not depend on the scale of x.

    Args:
      params: `{"gamma": (n,)}`.
      cache: of `rms_norm_forward`.
      dy: cotangent of y, (..., n).

    Returns:
      `{"gamma": dγ (n,)}` and dx, in the shape of x.

    Raises:
      ValueError: if dy does not have the shape of x.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(2)}
      >>> y, cache = rms_norm_forward(params, jnp.array([[1.0, -1.0]]))
      >>> print(rms_norm_backward(params, cache, jnp.array([[1.0, 0.0]]))[1].round(3))
      [[0.5 0.5]]

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019, section 4.
    """
    x, _, _ = cache
    dy = checked_cotangent(x, dy)
    dx, product = standardize_backward(*cache, mean_of_rows, as_row(params["gamma"], x), dy)
    return {"gamma": cast_like(params["gamma"], product.sum(tuple(range(x.ndim - 1))))}, cast_like(x, dx)


@factory(computes="rms_norm_forward(params, x)")
@checked(eps=_EPS)
def rms_norm(eps: float = 1e-5) -> Layer:
    """Return the layer y = γ x/σ, σ the root of the mean square of x over its last axis.

    `rms_norm_backward` derives its gradient. γ starts at one. It is no weight, so no regularizer shrinks it by default.

    Args:
      eps: ε in σ² = mean square + ε, a scalar above 0; may be traced.

    Returns:
      A `Layer` with params `{"gamma": (n,)}`, n the last axis of an example.

    Raises:
      ValueError: if eps is not a finite number above 0; at `init`, if an example is a single number.

    Example:
      >>> import jax, jaxnn
      >>> network = jaxnn.chain(jaxnn.dense(4), rms_norm(), jaxnn.relu())
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> params[1]["gamma"].shape, out_shape
      ((4,), (4,))
    """

    @checked(key=RandomKey(), in_shape=ExampleShape(least=1))
    def init(key, in_shape):
        return {"gamma": jnp.ones(in_shape[-1], jnp.result_type(float))}, in_shape

    return Layer(init, lambda params, x, key=None: rms_norm_forward(params, x, eps), rms_norm_backward)


CASES = {
    "layer_norm": (layer_norm, (5,)),
    "layer_norm_rows": (layer_norm, (2, 3)),
    "layer_norm_eps": (lambda: layer_norm(0.5), (5,)),
    "layer_norm_one_unit": (layer_norm, (1,)),
    "rms_norm": (rms_norm, (5,)),
    "rms_norm_rows": (rms_norm, (2, 3)),
    "rms_norm_eps": (lambda: rms_norm(0.5), (5,)),
    "rms_norm_one_unit": (rms_norm, (1,)),
}
