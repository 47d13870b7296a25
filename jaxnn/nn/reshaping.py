"""Flatten examples of any shape, such as images, to rows."""

import math
from typing import Any

import jax

from jaxnn.constraints import NO_CALL, Call, Constraint, Numbers, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.shapes import simplified, structs
from jaxnn.typing import Array
from jaxnn.validation import AT_EVERY_TIME, has_lengths

__all__ = ["flatten", "flatten_backward", "flatten_forward"]


class _Rows(Numbers):
    """An array (m, n) for the cache `like` of `flatten_forward`, n the number of entries of an example."""

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the array; its n is known from `like`."""
        if "like" in call.arguments:
            call.sizes["n"] = math.prod(call.arguments["like"].shape[1:])
        return super().check(name, value, call)

    def convert(self, value: Any, name: str) -> Any:
        """Return the array of numbers; the cotangent of whole numbers, a float0, is one of none."""
        return value if value.dtype == jax.dtypes.float0 else super().convert(value, name)


@checked(x=Numbers("m ..."))
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
    return x.reshape(x.shape[0], math.prod(x.shape[1:])), x[:0]


@checked(like=Numbers("0 ..."), dy=_Rows("m n"))
def flatten_backward(like: Array, dy: Array) -> Array:
    """Return dx = dy, (m, n), in the shape (m, ...) of x: each cotangent returns to the place of its element.

    Derivation. Each entry of y is one of x, so dx has the entries of dy in the shape of x.

    Raises:
      ValueError: if dy does not have the shape of the rows.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = flatten_forward(jnp.zeros((2, 4, 4)))
      >>> flatten_backward(cache, y).shape
      (2, 4, 4)
    """
    return dy.reshape(dy.shape[0], *like.shape[1:])


ONE_ARRAY = Constraint(
    "the shape of one array",
    fix=AT_EVERY_TIME,
    test=lambda shape: not has_lengths(shape),
)
"""The constraint of the shape of an example that is one array, without lengths."""


@factory(computes="flatten_forward(x)")
def flatten() -> Layer:
    """Return the layer that flattens each example, from in_shape (...) to (n,). See `flatten_forward`."""

    def out_shape(in_shape):
        like = structs(ONE_ARRAY.check("in_shape", in_shape))
        return simplified(jax.ShapeDtypeStruct((math.prod(like.shape),), like.dtype))

    return stateless(flatten_forward, flatten_backward, out_shape, whole_numbers=True)


CASES = {
    "flatten": (flatten, (2, 3, 2)),
    "flatten_scalar": (flatten, ()),
}
