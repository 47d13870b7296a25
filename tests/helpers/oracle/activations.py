"""Activations g and their derivatives g', both as functions of z, elementwise on arrays of any shape.

Every formula is arranged so that no exponential of a positive number is taken: finite and without a NumPy warning for
|z| up to 1e4 and beyond, and precise in the tails (relative to the value, not only to 1). Real input of any type
becomes float64. Complex input stays complex in g (all but `gelu`); the branch is then taken by the real part.

Kinks, and the choice made at z = 0: relu has slope 0 (as jax.nn.relu), leaky_relu has slope 1 (as jax.nn.leaky_relu,
whose upper branch is z >= 0), elu has slope alpha (its lower branch is z <= 0; no kink where alpha = 1).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


class Activation(NamedTuple):
    """An activation `g(z)` and its derivative `dg(z)`, both elementwise."""

    g: Callable
    dg: Callable


def as_float(z):
    """Return z as a float64 array, or as a complex128 array where z is complex."""
    return np.asarray(z, dtype=np.complex128 if np.iscomplexobj(z) else np.float64)


def _decay(z):
    """Return e^(-|z|); for complex z, |z| is z or -z, whichever has the non-negative real part."""
    return np.exp(np.where(z.real >= 0, -z, z))


def identity(z):
    """g(z) = z."""
    return as_float(z)


def d_identity(z):
    """g'(z) = 1."""
    return np.ones_like(as_float(z))


def sigmoid(z):
    """g(z) = 1 / (1 + e^(-z)), taken as e^z / (1 + e^z) for z < 0."""
    z = as_float(z)
    decay = _decay(z)
    return np.where(z.real >= 0, 1.0, decay) / (1 + decay)


def d_sigmoid(z):
    """g'(z) = a(1 - a) = e^(-|z|) / (1 + e^(-|z|))^2; the second form keeps its digits where a is almost 1."""
    decay = _decay(as_float(z))
    return decay / (1 + decay) ** 2


def tanh(z):
    """g(z) = (e^z - e^(-z)) / (e^z + e^(-z))."""
    return np.tanh(as_float(z))


def d_tanh(z):
    """g'(z) = 1 - a^2 = 1 / cosh(z)^2 = 4 sigma'(2z), as tanh(z) = 2 sigma(2z) - 1."""
    return 4 * d_sigmoid(2 * as_float(z))


def relu(z):
    """g(z) = max(0, z)."""
    z = as_float(z)
    return np.where(z.real > 0, z, 0.0)


def d_relu(z):
    """g'(z) = 1 for z > 0, else 0: the slope at the kink z = 0 is 0."""
    return np.where(as_float(z).real > 0, 1.0, 0.0)


def leaky_relu(z, slope=0.01):
    """g(z) = max(slope z, z) with 0 < slope < 1, that is z for z >= 0 and slope z below."""
    z = as_float(z)
    return np.where(z.real >= 0, z, slope * z)


def d_leaky_relu(z, slope=0.01):
    """g'(z) = 1 for z >= 0, slope below: the slope at the kink z = 0 is 1."""
    return np.where(as_float(z).real >= 0, 1.0, slope)


def softplus(z):
    """g(z) = log(1 + e^z) = max(z, 0) + log(1 + e^(-|z|)).

    Dugas, Bengio, Belisle, Nadeau & Garcia, "Incorporating second-order functional knowledge for better option
    pricing", NIPS 13 (2000).
    """
    z = as_float(z)
    return relu(z) + np.log1p(_decay(z))


def d_softplus(z):
    """g'(z) = sigma(z)."""
    return sigmoid(z)


def silu(z):
    """g(z) = z sigma(z), also called swish.

    Elfwing, Uchibe & Doya, "Sigmoid-weighted linear units" (2017), arXiv 1702.03118.
    """
    return as_float(z) * sigmoid(z)


def d_silu(z):
    """g'(z) = sigma(z) + z sigma'(z)."""
    return sigmoid(z) + as_float(z) * d_sigmoid(z)


_erfc = np.vectorize(math.erfc, otypes=[float])


def _normal_cdf(z):
    """Return Phi(z) = (1 + erf(z / sqrt 2)) / 2, written as erfc(-z / sqrt 2) / 2, which does not cancel for z < 0."""
    return 0.5 * _erfc(-np.asarray(z, dtype=float) / math.sqrt(2))


def gelu(z):
    """g(z) = z Phi(z), the exact form, with Phi the normal distribution function. Real z only.

    Hendrycks & Gimpel, "Gaussian error linear units" (2016), arXiv 1606.08415, section 2.
    """
    return np.asarray(z, dtype=float) * _normal_cdf(z)


def d_gelu(z):
    """g'(z) = Phi(z) + z phi(z), with phi(z) = e^(-z^2 / 2) / sqrt(2 pi). Real z only."""
    z = np.asarray(z, dtype=float)
    return _normal_cdf(z) + z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def gelu_tanh(z):
    """g(z) = z/2 (1 + tanh u) = z sigma(2u), with u = sqrt(2/pi) (z + 0.044715 z^3).

    The approximation of Hendrycks & Gimpel (2016), section 2; jax.nn.gelu uses it by default.
    """
    z = as_float(z)
    return z * sigmoid(2 * GELU_SCALE * (z + GELU_CUBIC * z**3))


def d_gelu_tanh(z):
    """g'(z) = sigma(2u) + 2 z sigma'(2u) u', with u' = sqrt(2/pi) (1 + 3 * 0.044715 z^2)."""
    z = as_float(z)
    twice_u = 2 * GELU_SCALE * (z + GELU_CUBIC * z**3)
    twice_du = 2 * GELU_SCALE * (1 + 3 * GELU_CUBIC * z**2)
    return sigmoid(twice_u) + z * d_sigmoid(twice_u) * twice_du


def elu(z, alpha=1.0):
    """g(z) = z for z > 0, alpha (e^z - 1) for z <= 0.

    Clevert, Unterthiner & Hochreiter, "Fast and accurate deep network learning by exponential linear units" (2015),
    arXiv 1511.07289.
    """
    z = as_float(z)
    return np.where(z.real > 0, z, alpha * np.expm1(np.where(z.real > 0, 0.0, z)))


def d_elu(z, alpha=1.0):
    """g'(z) = 1 for z > 0, alpha e^z for z <= 0: the slope at z = 0 is alpha."""
    z = as_float(z)
    return np.where(z.real > 0, 1.0, alpha * np.exp(np.where(z.real > 0, 0.0, z)))


ACTIVATIONS = {
    "identity": Activation(identity, d_identity),
    "sigmoid": Activation(sigmoid, d_sigmoid),
    "tanh": Activation(tanh, d_tanh),
    "relu": Activation(relu, d_relu),
    "leaky_relu": Activation(leaky_relu, d_leaky_relu),
    "softplus": Activation(softplus, d_softplus),
    "silu": Activation(silu, d_silu),
    "gelu": Activation(gelu, d_gelu),
    "gelu_tanh": Activation(gelu_tanh, d_gelu_tanh),
    "elu": Activation(elu, d_elu),
}


def lookup(activation):
    """Return the pair (g, g') of a name, or of (name, parameter): ("leaky_relu", slope), ("elu", alpha).

    Args:
        activation: a key of `ACTIVATIONS`, or a tuple of a key and the number bound as g's second argument.

    Returns:
        An `Activation` whose functions take z alone.
    """
    if isinstance(activation, str):
        return ACTIVATIONS[activation]
    name, parameter = activation
    keyword = {"leaky_relu": "slope", "elu": "alpha"}[name]
    return Activation(*(partial(function, **{keyword: parameter}) for function in ACTIVATIONS[name]))
