"""Flatten examples of any shape, such as images, to rows."""

import math

from jaxnn.arrays import promote_large_integers
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.typing import Array
from jaxnn.validation import described

__all__ = ["flatten", "flatten_backward", "flatten_forward"]


def flatten_forward(x: Array) -> tuple[Array, Array]:
    """Flatten examples (m, ...) to rows (m, n), n the product of the other axes, in row-major order.

    The first axis is always that of the examples: a single image is `image[None]`.

    Cached: x[:0], which has no elements and carries the shape.

    Raises:
      ValueError: if x has no axis of examples.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = flatten_forward(jnp.zeros((2, 64, 64, 3)))
      >>> y.shape, cache.size
      ((2, 12288), 0)
    """
    x = promote_large_integers(x)
    if not getattr(x, "shape", ()):
        raise ValueError(f"x must be an array of examples (m, ...), got {described(x)}")
    return x.reshape(x.shape[0], math.prod(x.shape[1:])), x[:0]


def flatten_backward(like: Array, dy: Array) -> Array:
    """Return dx = dy, (m, n), in the shape (m, ...) of x: each cotangent returns to the place of its element.

    Raises:
      ValueError: if dy does not have the shape of the rows.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = flatten_forward(jnp.zeros((2, 4, 4)))
      >>> flatten_backward(cache, y).shape
      (2, 4, 4)
    """
    dy, n = promote_large_integers(dy), math.prod(like.shape[1:])
    if len(getattr(dy, "shape", ())) != 2 or dy.shape[1] != n:
        raise ValueError(f"dy must be (m, {n}) for examples of shape {like.shape[1:]}, got {described(dy)}")
    return dy.reshape(dy.shape[0], *like.shape[1:])


@factory(computes="flatten_forward(x)")
def flatten() -> Layer:
    """Return the layer that flattens each example, from in_shape (...) to (n,). See `flatten_forward`."""
    return stateless(flatten_forward, flatten_backward, lambda in_shape: (math.prod(in_shape),))


CASES = {
    "flatten": (flatten, (2, 3, 2)),
    "flatten_scalar": (flatten, ()),
}
