"""Layer normalization: each example is brought to mean 0 and variance 1 over its last axis."""

import jax.numpy as jnp

from jaxnn.arrays import floats
from jaxnn.constraints import ExampleShape, Floats, Leaves, RandomKey, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer
from jaxnn.typing import Array, Params
from jaxnn.validation import described

__all__ = ["layer_norm", "layer_norm_backward", "layer_norm_forward"]

_EPS = Real(0, closed="right")


@checked(params=Leaves(gamma="n", beta="n"), x=Floats("... n"), eps=_EPS)
def layer_norm_forward(params: Params, x: Array, eps: float = 1e-5) -> tuple[Array, tuple[Array, Array, Array]]:
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
    mean, deviation = _statistics(widened(x), eps)
    y = as_row(params["gamma"], x) * _normalized(x, mean, deviation) + as_row(params["beta"], x)
    return y.astype(jnp.result_type(x, *params.values())), (x, mean, deviation)


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
    x, mean, deviation = cache
    if getattr(dy, "shape", None) != x.shape:
        raise ValueError(f"dy must have the shape of x, {x.shape}, got {described(dy)}")
    dy = widened(floats(dy, "dy"))
    normalized, examples = _normalized(x, mean, deviation), tuple(range(x.ndim - 1))
    d = as_row(params["gamma"], x) * dy
    parallel = d.mean(-1, keepdims=True) + normalized * (d * normalized).mean(-1, keepdims=True)
    dgamma, dbeta = (dy * normalized).sum(examples), dy.sum(examples)
    dparams = {"gamma": dgamma.astype(params["gamma"].dtype), "beta": dbeta.astype(params["beta"].dtype)}
    return dparams, ((d - parallel) / 4 * (4 / deviation)).astype(x.dtype)


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


def _statistics(x: Array, eps: float) -> tuple[Array, Array]:
    """Return μ and σ over the last axis, (..., 1) each."""
    # Rows with numbers whose squares might overflow are scaled by a power of 2, which rounds nothing.
    limits = jnp.finfo(x.dtype)
    large = jnp.abs(x).max(-1, keepdims=True) > 2.0 ** (0.4 * limits.maxexp)
    scale = jnp.where(large, 2.0 ** -round(0.6 * limits.maxexp), 1).astype(x.dtype)
    scaled = x * scale
    mean = scaled.mean(-1, keepdims=True)
    variance = ((scaled - mean) ** 2).mean(-1, keepdims=True)
    # A row of equal numbers has variance 0, and ε scale² may underflow.
    deviation = jnp.sqrt(variance + jnp.maximum(eps * scale**2, limits.tiny))
    return mean / scale, deviation / scale


def _normalized(x: Array, mean: Array, deviation: Array) -> Array:
    # Quarters, since x - μ may overflow where x does not, and 1/σ underflow.
    return (widened(x) / 4 - mean / 4) * (4 / deviation)


def widened(x: Array) -> Array:
    """Return an array in float32 at least."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def as_row(a: Array, x: Array) -> Array:
    """Return γ or β (n,) with an axis for each of x (..., n), in float32 at least."""
    return widened(jnp.expand_dims(a, range(x.ndim - 1)))


CASES = {
    "layer_norm": (layer_norm, (5,)),
    "layer_norm_rows": (layer_norm, (2, 3)),
    "layer_norm_eps": (lambda: layer_norm(0.5), (5,)),
    "layer_norm_one_unit": (layer_norm, (1,)),
}
