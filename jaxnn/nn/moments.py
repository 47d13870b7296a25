"""What layer, RMS and group normalization share: x̂ = (x - μ)/σ and its cotangent, with means over one example.

Which numbers a mean is over is a function `mean(a, weights)`: the mean of `weights * a`, in a shape that broadcasts
with a. Everything is computed in float32 at least, and right for numbers whose squares overflow.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxnn.arrays import floats, widened
from jaxnn.typing import Array, DTypeLike
from jaxnn.validation import described

Mean = Callable[[Array, Array], Array]


def standardize(x: Array, mean: Mean, eps: float, center: bool = True) -> tuple[Array, Array | None, Array]:
    """Return x̂, μ and σ, where σ² is the mean of (x - μ)² plus ε; without `center`, μ is 0, returned as `None`."""
    x = widened(x)
    ones = jnp.ones((*[1] * (x.ndim - 1), x.shape[-1]), x.dtype)
    small = small_factor(x.dtype)
    scale = scale_of(jnp.sqrt(mean(jnp.square(small * x), ones)) / small)
    scaled = scale * x
    mu = mean(scaled, ones) if center else None
    centered = scaled if mu is None else scaled - mu
    deviation = deviation_of(mean(jnp.square(centered), ones), eps, scale)
    return centered * (1 / deviation), None if mu is None else mu / scale, deviation / scale


def scale_of(size: Array) -> Array:
    """Return the factor for numbers of this size by which their squares do not overflow: 1, or a small power of 2.

    It rounds nothing, and has no gradient. The size is that of the largest number, or a mean.
    """
    limit = 2.0 ** round(0.4 * jnp.finfo(size.dtype).maxexp)
    return jnp.where(size > limit, small_factor(size.dtype), 1).astype(size.dtype)


def small_factor(dtype: DTypeLike) -> float:
    """Return the power of 2 by which no square of a float of the dtype overflows."""
    return 2.0 ** -round(0.6 * jnp.finfo(dtype).maxexp)


def deviation_of(variance: Array, eps: float, scale: Array) -> Array:
    """Return σ from the variance of scaled numbers, in their scale."""
    # Equal numbers have variance 0, and ε scale² may underflow.
    return jnp.sqrt(variance + jnp.maximum(eps * scale * scale, jnp.finfo(variance.dtype).tiny))


def standardized(x: Array, mu: Array | None, deviation: Array) -> Array:
    """Return x̂ again, from x, μ and σ."""
    scale = scale_of(deviation)  # since x - μ may overflow, and 1/σ underflow
    scaled = scale * widened(x)
    return (scaled if mu is None else scaled - scale * mu) / (scale * deviation)


def standardize_backward(
    x: Array, mu: Array | None, deviation: Array, mean: Mean, gain: Array, dy: Array
) -> tuple[Array, Array]:
    """Return dx = (d - mean(d) - x̂ mean(d x̂))/σ with d = γ dy, and dy x̂; without a center, no mean(d).

    x, μ and σ are as of `standardize`; γ is in a shape that broadcasts with x, and dy in float32 at least.
    """
    normalized = standardized(x, mu, deviation)
    product = dy * normalized
    d = gain * dy - normalized * mean(product, gain)
    d = d if mu is None else d - mean(dy, gain)
    scale = scale_of(deviation)
    return scale * d / (scale * deviation), product


def mean_of_rows(a: Array, weights: Array) -> Array:
    """Return the mean of `weights * a` over the last axis, (..., 1); weights have no other axis, or those of a.

    As a product of a matrix and a vector, which is several times as fast as a sum over the last axis on a CPU.
    """
    return jnp.matmul(a, weights.ravel(), precision="highest")[..., None] / a.shape[-1]


def checked_cotangent(x: Array, dy: Array) -> Array:
    """Return dy in float32 at least; raise ValueError if it does not have the shape of x."""
    if getattr(dy, "shape", None) != x.shape:
        raise ValueError(f"dy must have the shape of x, {x.shape}, got {described(dy)}")
    return widened(floats(dy, "dy"))


def as_row(a: Array, x: Array) -> Array:
    """Return γ or β (n,) with an axis for each of x (..., n), in float32 at least."""
    return widened(jnp.expand_dims(a, range(x.ndim - 1)))
