"""The axis of heads: dense layers of a sequence, split into heads, and the heads put side by side again."""

import jax.numpy as jnp

from jaxnn.nn.linear import dense_backward, dense_forward
from jaxnn.typing import Array, Params


def split_heads(heads: int, a: Array) -> Array:
    """Split the last axis into heads: (m, T, heads d) to (m, T, heads, d)."""
    return a.reshape(*a.shape[:-1], heads, a.shape[-1] // heads)


def join_heads(a: Array) -> Array:
    """Return the heads side by side: (m, T, heads, d) to (m, T, heads d)."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def heads_forward(params: Params, heads: int, x: Array) -> Array:
    """Return a dense layer of x, with a bias or without, split into heads."""
    return split_heads(heads, dense_forward(_with_bias(params), x)[0])


def heads_backward(params: Params, x: Array, d: Array) -> tuple[Params, Array]:
    """Return the gradient of the dense layer's params, a bias among them, and dx, for the cotangent of its heads."""
    return dense_backward(_with_bias(params), x, join_heads(d))


def _with_bias(params: Params) -> Params:
    """Return the params of a dense layer, a bias of 0 in place of one that is not there."""
    return {"b": jnp.zeros(len(params["W"]), params["W"].dtype), **params}
