"""A layer as a function that `jax.grad` differentiates by the hand-written backward."""

from collections.abc import Callable

import jax

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import checked
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.typing import Array

__all__ = ["as_custom_vjp"]


@checked(layer=LAYER)
def as_custom_vjp(layer: Layer) -> Callable[..., Array]:
    """Return the layer as one function for use inside any `jax.grad`, with the hand-derived backward as its rule.

    The plain `layer.forward` has no such rule: JAX differentiates it automatically, which makes it the independent
    reference that a backward is proved against. This function has the rule, so comparing its gradient with
    `layer.backward` would compare the backward with itself.

    Args:
      layer: any `Layer`.

    Returns:
      `apply(params, x, key=None) -> y`, a `jax.custom_vjp` function: reverse mode, of any order. Forward mode
      (`jax.jvp`) raises, as it does for every `custom_vjp`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> apply = as_custom_vjp(jaxnn.tanh())
      >>> jax.grad(lambda x: apply((), x).sum())(jnp.array([[0.0]]))
      Array([[1.]], dtype=float32)
    """

    @jax.custom_vjp
    def apply(params, x, key):
        return layer.forward(params, x, key)[0]

    def forward(params, x, key):
        y, cache = layer.forward(params, x, key)
        return y, (params, cache)

    def backward(residuals, dy):
        params, cache = residuals
        dparams, dx = layer.backward(params, cache, dy)
        return dparams, dx, None

    apply.defvjp(forward, backward)
    return lambda params, x, key=None: apply(params, promote_large_integers(x), key)
