"""A layer as a function that `jax.grad` differentiates by the hand-written backward."""

from collections.abc import Callable
from typing import Any

import jax

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import Flag, checked
from jaxnn.explicit_axes import as_rows, on_any_axes
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.layer import LAYER, Layer

__all__ = ["differentiable"]


@checked(layer=LAYER, observe=Flag())
def differentiable(layer: Layer, observe: bool = False) -> Callable[..., Any]:
    """Return the layer as one function for use inside any `jax.grad`, with the hand-derived backward as its rule.

    The plain `layer.forward` has no such rule: JAX differentiates it automatically, which makes it the independent
    reference that a backward is proved against. This function has the rule, so comparing its gradient with
    `layer.backward` would compare the backward with itself.

    Args:
      layer: any `Layer`.
      observe: whether the function returns what the layer observed too, such as the means of a batch normalization.

    Returns:
      `apply(params, x, key=None, rows=None) -> y`, or `-> (y, stats)` if `observe`, a `jax.custom_vjp` function:
      reverse mode, of any order. Statistics have no gradient. Forward mode (`jax.jvp`, `jax.linearize`, and Hessians by
      forward over reverse) raises, as it does for every `custom_vjp`.

    Raises:
      ValueError: if it is not a `Layer`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> apply = differentiable(jaxnn.tanh())
      >>> jax.grad(lambda x: apply((), x).sum())(jnp.array([[0.0]]))
      Array([[1.]], dtype=float32)
    """

    @jax.custom_vjp
    def apply(params, x, key, rows):
        return forward(params, x, key, rows)[0]

    def forward(params, x, key, rows):
        y, cache = call_forward(layer, params, x, key, rows)
        return (y, layer.observe(cache)), (params, cache)

    def backward(residuals, cotangents):
        params, cache = residuals
        dparams, dx = layer.backward(params, cache, cotangents[0])
        return dparams, dx, None, None

    apply.defvjp(forward, backward)
    # The whole rule lies inside, so that dx lies as x, however that is split.
    placed = on_any_axes(apply, lambda outputs, params, x, *_: as_rows(outputs, x))

    def call(params, x, key=None, rows=None):
        y, stats = placed(params, jax.tree.map(promote_large_integers, x), key, rows)
        return (y, jax.lax.stop_gradient(stats)) if observe else y

    return call
