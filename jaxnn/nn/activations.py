"""Activations a = g(z), elementwise, each forward with its backward right under it, and the table of their names.

z, a and their cotangents have one shape, which may be any. Forward values are those of `jax.nn`. Only what the backward
needs is cached: if g' can be computed from a, the cache is a, which the next layer caches anyway, so it costs nothing.
A backward raises a ValueError if the cotangent's shape differs from the cache's: (m,) against (m, 1) would broadcast to
(m, m). Whole numbers become floats of JAX's default dtype, since an int32 cannot hold a slope of 0.01.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from jaxnn.constraints import Floats, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.combinators import carrying_nothing
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.rectifiers import elu, gelu, leaky_relu, relu, silu, softplus
from jaxnn.typing import Array

_ARRAY = Floats(lists=True)
_COTANGENT = Floats(lists=True, scalar=True)

__all__ = [
    "ACTIVATIONS",
    "ActivationName",
    "identity",
    "identity_backward",
    "identity_forward",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_forward",
    "tanh",
    "tanh_backward",
    "tanh_forward",
]


@checked(z=_ARRAY)
def identity_forward(z: Array) -> tuple[Array, tuple[()]]:
    """Return a = z. Nothing is cached."""
    return z, ()


@checked(da=_COTANGENT)
def identity_backward(cache: tuple[()], da: Array) -> Array:
    """Return dz = da.

    Derivation. a = g(z) = z, so g'(z) = 1.
    """
    return da


@checked(z=_ARRAY)
def sigmoid_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = σ(z) = 1/(1 + e^-z). Cached: a."""
    a = jax.nn.sigmoid(z)
    return a, a


@checked(a=_ARRAY, da=_COTANGENT)
def sigmoid_backward(a: Array, da: Array) -> Array:
    """Compute dz = da · a(1 - a).

    Derivation. σ' = e^-z/(1 + e^-z)² = 1/(1 + e^-z) · e^-z/(1 + e^-z) = a(1 - a), at most σ'(0) = 1/4.

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = sigmoid_forward(jnp.array(0.0))
      >>> print(sigmoid_backward(cache, jnp.array(1.0)))
      0.25
    """
    return da * (a * (1 - a))


@checked(z=_ARRAY)
def tanh_forward(z: Array) -> tuple[Array, Array]:
    """Compute a = tanh(z) = (e^z - e^-z)/(e^z + e^-z). Cached: a."""
    a = jnp.tanh(z)
    return a, a


@checked(a=_ARRAY, da=_COTANGENT)
def tanh_backward(a: Array, da: Array) -> Array:
    """Compute dz = da · (1 - a²).

    Derivation. tanh = s/c with s' = c and c' = s (the hyperbolic sine and cosine), so
    tanh' = (c² - s²)/c² = 1 - a², at most tanh'(0) = 1.

    Example:
      >>> import jax.numpy as jnp
      >>> a, cache = tanh_forward(jnp.array(0.0))
      >>> print(tanh_backward(cache, jnp.array(1.0)))
      1.0
    """
    # (1 - a)(1 + a) keeps the digits that 1 - a² loses near |a| = 1.
    return da * ((1 - a) * (1 + a))


@factory(computes="identity_forward(z)")
def identity() -> Layer:
    """Return the layer a = z, with which a network of any depth computes one linear map."""
    return carrying_nothing(stateless(lambda x: (x, ()), lambda cache, dy: dy, whole_numbers=True))


@factory(computes="sigmoid_forward(z) or jax.nn.sigmoid(z)")
def sigmoid() -> Layer:
    """Return the elementwise layer a = 1/(1 + e^-z): `sigmoid_forward`, `sigmoid_backward`."""
    return stateless(sigmoid_forward, sigmoid_backward)


@factory(computes="tanh_forward(z) or jnp.tanh(z)")
def tanh() -> Layer:
    """Return the elementwise layer a = tanh(z): `tanh_forward`, `tanh_backward`."""
    return stateless(tanh_forward, tanh_backward)


ActivationName = Literal[
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "silu", "gelu", "gelu_tanh", "elu"
]

ACTIVATIONS: dict[ActivationName, Callable[[], Layer]] = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate=True),
    "elu": elu,
}
"""The elementwise factories by name, each with its defaults: `mlp(..., activation="tanh")` looks names up here.

`softmax` is not included: its units compete, which is rarely intended for a hidden activation. As a layer it may be
used everywhere, also in `mlp(..., activation=softmax())`.
"""


CASES = {
    "identity": (identity, (5,)),
    "sigmoid": (sigmoid, (5,)),
    "tanh": (tanh, (5,)),
}
