"""Rectifiers a = g(z), elementwise: about 0 or a small slope for negative z, about z for positive ones.

The conventions are those of `jaxnn.nn.activations`.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnn.constraints import Flag, Floats, Mask, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.typing import Array, Scalar

_ARRAY = Floats(lists=True)
_COTANGENT = Floats(lists=True, scalar=True)

__all__ = [
    "elu",
    "elu_backward",
    "elu_forward",
    "gelu",
    "gelu_backward",
    "gelu_forward",
    "gelu_tanh_backward",
    "gelu_tanh_forward",
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "relu",
    "relu_backward",
    "relu_forward",
    "silu",
    "silu_backward",
    "silu_forward",
    "softplus",
    "softplus_backward",
    "softplus_forward",
]


@checked(z=_ARRAY)
def relu_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = max(0, z). Cached: a, which is positive exactly where z is."""
    a = jax.nn.relu(z)
    return a, a


@checked(a=_ARRAY, da=_COTANGENT)
def relu_backward(a: Array, da: Array) -> Array:
    """Compute dz = da where z > 0, and 0 elsewhere.

    Derivation. a = z where z > 0, with slope 1, and a = 0 elsewhere, with slope 0; dz is da times the slope.

    At z = 0, where any slope from 0 to 1 is a subgradient, the slope is 0: the choice of `jax.nn.relu`
    (`jnp.maximum(z, 0)` takes 1/2).

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = relu_forward(jnp.array([-1.0, 0.0, 2.0]))
      >>> print(relu_backward(cache, jnp.ones(3)))
      [0. 0. 1.]

    Source: Bertoin et al., "Numerical influence of ReLU'(0) on backpropagation", 2021, for the choice at 0.
    """
    return jnp.where(a > 0, da, 0)


@checked(z=_ARRAY)
def leaky_relu_forward(z: Array, slope: Scalar = 0.01) -> tuple[Array, Array]:
    """Compute a = z where z >= 0, and slope · z elsewhere. Cached: where z >= 0, one byte per element.

    With slope ≤ 1 this is max(slope · z, z). The mask works for every slope; the sign of a does
    not (a negative slope flips it, a slope of 0 and underflow lose it).
    """
    return jax.nn.leaky_relu(z, jnp.asarray(slope, z.dtype)), z >= 0


@checked(positive=Mask(), da=_COTANGENT)
def leaky_relu_backward(positive: Array, da: Array, slope: Scalar = 0.01) -> Array:
    """Compute dz = da where z >= 0, and slope · da elsewhere.

    Derivation. a is linear on each side of 0, with slope 1 where z >= 0; dz is da times the slope.

    At z = 0 the slope is 1: the choice of `jax.nn.leaky_relu`, which takes z >= 0.

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = leaky_relu_forward(jnp.array([-1.0, 0.0, 2.0]), slope=0.5)
      >>> print(leaky_relu_backward(cache, jnp.ones(3), slope=0.5))
      [0.5 1.  1. ]

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    return jnp.where(positive, da, jnp.asarray(slope, da.dtype) * da)


@checked(z=_ARRAY)
def softplus_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = log(1 + e^z). Cached: a."""
    a = jax.nn.softplus(z)
    return a, a


@checked(a=_ARRAY, da=_COTANGENT)
def softplus_backward(a: Array, da: Array) -> Array:
    """Compute dz = da · (1 - e^-a).

    Derivation. With a = g(z), g' = e^z/(1 + e^z) = 1 - 1/(1 + e^z), and 1 + e^z = e^a. `expm1` keeps the digits if a is
    small, that is, if z is far below 0.

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = softplus_forward(jnp.array(0.0))
      >>> print(softplus_backward(cache, jnp.array(1.0)))
      0.5

    Source: Dugas et al., "Incorporating second-order functional knowledge for better option pricing", 2000.
    """
    return da * -jnp.expm1(-a)


@checked(z=_ARRAY)
def silu_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = z σ(z), σ(z) = 1/(1 + e^-z). Cached: z, since a takes some values twice and does not determine z."""
    return jax.nn.silu(z), z


@checked(z=_ARRAY, da=_COTANGENT)
def silu_backward(z: Array, da: Array) -> Array:
    """Compute dz = da · σ(z)(1 + z(1 - σ(z))).

    Derivation. With a = g(z) and σ' = σ(1 - σ), g' = σ + zσ' = σ + zσ(1 - σ).

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = silu_forward(jnp.array(0.0))
      >>> print(silu_backward(cache, jnp.array(1.0)))
      0.5

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function approximation", 2017.
    """
    slope = jax.nn.sigmoid(z)  # as in the forward, so that where both are in one program it is computed once
    return da * (slope * (1 + z * (1 - slope)))


@checked(z=_ARRAY)
def gelu_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = z Φ(z), with Φ the standard normal distribution function. Cached: z."""
    return jax.nn.gelu(z, approximate=False), z


@checked(z=_ARRAY, da=_COTANGENT)
def gelu_backward(z: Array, da: Array) -> Array:
    """Compute dz = da · (Φ(z) + z φ(z)).

    Derivation. The product rule on z Φ(z), with Φ' = φ, φ(z) = e^(-z²/2)/sqrt(2π).

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = gelu_forward(jnp.array(0.0))
      >>> print(gelu_backward(cache, jnp.array(1.0)))
      0.5

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2.
    """
    # Φ(z) = erfc(-z/√2)/2 keeps the digits of the lower tail.
    cdf = jax.lax.erfc(z * -(0.5**0.5)) / 2
    pdf = jnp.exp(-z * z / 2) / (2 * jnp.pi) ** 0.5
    return da * (cdf + z * pdf)


@checked(z=_ARRAY)
def gelu_tanh_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = z/2 · (1 + tanh(u)), u = sqrt(2/π)(z + 0.044715 z³). Cached: z."""
    return jax.nn.gelu(z, approximate=True), z


@checked(z=_ARRAY, da=_COTANGENT)
def gelu_tanh_backward(z: Array, da: Array) -> Array:
    """Compute dz = da · ((1 + t)/2 + z/2 · (1 - t²) · u'), t = tanh(u), u' = sqrt(2/π)(1 + 3·0.044715 z²).

    Derivation. The product rule on z/2 · (1 + t), then the chain rule through t = tanh(u(z)).

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = gelu_tanh_forward(jnp.array(0.0))
      >>> print(gelu_tanh_backward(cache, jnp.array(1.0)))
      0.5

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2.
    """
    # Beyond ±10, t is ±1 to the last digit of float64, and z² would overflow float16.
    v = jnp.clip(z, -10, 10)
    c = (2 / jnp.pi) ** 0.5
    t = jnp.tanh(c * (v + 0.044715 * v**3))
    du = c * (1 + 3 * 0.044715 * v**2)
    return da * ((1 + t) / 2 + z / 2 * ((1 - t) * (1 + t)) * du)


@checked(z=_ARRAY)
def elu_forward(z: Array, alpha: Scalar = 1.0) -> tuple[Array, Array]:
    """Compute a = z where z > 0, and α(e^z - 1) elsewhere. Cached: z, since a + α loses the slope's digits."""
    return jax.nn.elu(z, jnp.asarray(alpha, z.dtype)), z


@checked(z=_ARRAY, da=_COTANGENT)
def elu_backward(z: Array, da: Array, alpha: Scalar = 1.0) -> Array:
    """Compute dz = da where z > 0, and α e^z da elsewhere.

    Derivation. a = g(z) has g' = 1 for z > 0, and g' = α e^z for z <= 0; at z = 0 this is α, the choice of
    `jax.nn.elu`. α e^z equals a + α, but if a is close to -α, that difference has no digits left.

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = elu_forward(jnp.array([0.0, 2.0]), alpha=0.5)
      >>> print(elu_backward(cache, jnp.ones(2), alpha=0.5))
      [0.5 1. ]

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear
    units", 2015, equation 16.
    """
    # Where z > 0, e^z may overflow, so it is computed for z <= 0 only.
    return jnp.where(z > 0, da, jnp.asarray(alpha, z.dtype) * jnp.exp(jnp.minimum(z, 0)) * da)


@factory(computes="relu_forward(z) or jax.nn.relu(z)")
def relu() -> Layer:
    """Return the elementwise layer a = max(0, z): `relu_forward`, `relu_backward` (slope 0 at 0)."""
    return stateless(relu_forward, relu_backward)


@factory(computes="leaky_relu_forward(z) or jax.nn.leaky_relu(z)")
@checked(slope=Real())
def leaky_relu(slope: Scalar = 0.01) -> Layer:
    """Return the elementwise layer a = z where z ≥ 0, slope · z elsewhere: `leaky_relu_forward`, `..._backward`.

    Args:
      slope: a scalar, the slope for z < 0; any number, 0.01 by default.

    Raises:
      ValueError: if the slope is not a finite number.
    """
    return stateless(partial(leaky_relu_forward, slope=slope), partial(leaky_relu_backward, slope=slope))


@factory(computes="softplus_forward(z) or jax.nn.softplus(z)")
def softplus() -> Layer:
    """Return the elementwise layer a = log(1 + e^z): `softplus_forward`, `softplus_backward`."""
    return stateless(softplus_forward, softplus_backward)


@factory(computes="silu_forward(z) or jax.nn.silu(z)")
def silu() -> Layer:
    """Return the elementwise layer a = z σ(z), also called swish: `silu_forward`, `silu_backward`."""
    return stateless(silu_forward, silu_backward)


@factory(computes="gelu_forward(z) or jax.nn.gelu(z)")
@checked(approximate=Flag())
def gelu(approximate: bool = False) -> Layer:
    """Return the elementwise layer a = z Φ(z): exact, by the error function, or in its tanh form.

    Args:
      approximate: use the tanh form (`gelu_tanh_forward`), the default of `jax.nn.gelu`, instead of the exact one
        (`gelu_forward`), the default of PyTorch.

    Raises:
      ValueError: if `approximate` is not True or False, such as PyTorch's "none".

    Example:
      >>> import jax.numpy as jnp
      >>> z = jnp.array([1.0])
      >>> print(gelu().forward((), z)[0], gelu(approximate=True).forward((), z)[0])
      [0.8413447] [0.841192]
    """
    return stateless(gelu_tanh_forward, gelu_tanh_backward) if approximate else stateless(gelu_forward, gelu_backward)


@factory(computes="elu_forward(z) or jax.nn.elu(z)")
@checked(alpha=Real(0, fix="leaky_relu(slope) takes negative slopes"))
def elu(alpha: Scalar = 1.0) -> Layer:
    """Return the elementwise layer a = z for z > 0, α(e^z - 1) elsewhere: `elu_forward`, `elu_backward`.

    Args:
      alpha: a scalar of at least 0; a tends to -alpha for z far below 0.

    Raises:
      ValueError: if alpha is negative (the function would fall and rise again) or not finite.
    """
    return stateless(partial(elu_forward, alpha=alpha), partial(elu_backward, alpha=alpha))


CASES = {
    "relu": (relu, (5,)),
    "leaky_relu": (leaky_relu, (5,)),
    "leaky_relu_steep": (lambda: leaky_relu(1.5), (5,)),
    "leaky_relu_negative": (lambda: leaky_relu(-0.5), (5,)),
    "leaky_relu_flat": (lambda: leaky_relu(0.0), (5,)),
    "softplus": (softplus, (5,)),
    "silu": (silu, (5,)),
    "gelu": (gelu, (5,)),
    "gelu_tanh": (lambda: gelu(approximate=True), (5,)),
    "elu": (elu, (5,)),
    "elu_alpha": (lambda: elu(0.3), (5,)),
    "elu_flat": (lambda: elu(0.0), (5,)),
}
