"""Flatten: from examples of any shape, such as images, to rows."""

import math

from jaxnn.factories import factory
from jaxnn.layer import Layer, stateless
from jaxnn.typing import Array


def flatten_forward(x: Array) -> tuple[Array, Array]:
    """Examples (m, ...) to rows (m, n), n the product of the other axes, in row-major order.

    Cached: x[:0], which has no elements and tells the shape.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = flatten_forward(jnp.zeros((2, 64, 64, 3)))
      >>> y.shape, cache.size
      ((2, 12288), 0)
    """
    return x.reshape(x.shape[0], math.prod(x.shape[1:])), x[:0]


def flatten_backward(like: Array, dy: Array) -> Array:
    """dx = dy, (m, n), put back into the shape (m, ...) of x: moving elements moves their cotangents back.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = flatten_forward(jnp.zeros((2, 4, 4)))
      >>> flatten_backward(cache, y).shape
      (2, 4, 4)
    """
    return dy.reshape(dy.shape[0], *like.shape[1:])


@factory
def flatten() -> Layer:
    """The layer that makes a row of each example: in_shape (...) to (n,). See `flatten_forward`."""
    return stateless(flatten_forward, flatten_backward, lambda in_shape: (math.prod(in_shape),))
