"""Padding: constant places around an image or a sequence."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnn.arrays import cast_like
from jaxnn.constraints import Floats, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.windows import WIDTHS, PlacesShape, Widths, pairs
from jaxnn.typing import Array, Scalar, Shape

__all__ = ["pad", "pad_backward", "pad_forward"]

_VALUE = Real()


@checked(x=Floats("m place... n"), widths=WIDTHS, value=_VALUE)
def pad_forward(x: Array, widths: Widths, value: Scalar = 0.0) -> tuple[Array, Array]:
    """Compute y, which is x with constant places at the ends of each axis of places.

    Args:
      x: inputs, (m, *places, n). Whole numbers become floats.
      widths: how many places: a number for all sides of images; else for each axis a number or a pair (low, high), so
        that ((1, 0),) pads the start of sequences.
      value: what they hold.

    Returns:
      y, (m, *places, n), and the cache: x[:0], which has no elements and carries the shape.

    Raises:
      ValueError: if x has another number of axes than widths has entries.

    Example:
      >>> import jax.numpy as jnp
      >>> print(pad_forward(jnp.array([1.0, 2.0]).reshape(1, 2, 1), ((2, 1),))[0].ravel())
      [0. 0. 1. 2. 0.]
    """
    ends = ((0, 0, 0), *((low, high, 0) for low, high in _ends(x.shape[1:], widths)), (0, 0, 0))
    return jax.lax.pad(x, jnp.asarray(value, x.dtype), ends), x[:0]


@checked(like=Floats("0 place... n"), dy=Floats("m larger... n"), widths=WIDTHS)
def pad_backward(like: Array, dy: Array, widths: Widths) -> Array:
    """Compute dx, the part of dy where x is: the places around it hold a constant.

    Derivation. y is x where x is, with derivative 1, and does not depend on x at the places around it.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = pad_forward(jnp.array([1.0, 2.0]).reshape(1, 2, 1), ((2, 1),))
      >>> print(pad_backward(cache, jnp.arange(5.0).reshape(1, 5, 1), ((2, 1),)).ravel())
      [2. 3.]
    """
    ends = zip(_ends(like.shape[1:], widths), like.shape[1:-1], strict=True)
    return cast_like(like, dy[:, *(slice(low, low + n) for (low, _), n in ends)])


@factory(computes="pad_forward(x, widths)")
@checked(widths=WIDTHS, value=_VALUE)
def pad(widths: Widths, value: Scalar = 0.0) -> Layer:
    """Return the layer that adds constant places around an example; `pad_backward` derives its gradient.

    Args:
      widths: how many places: a number for all sides of images; else for each axis a number or a pair (low, high).
      value: what they hold, a scalar; may be traced.

    Returns:
      A `Layer` without params, from examples (*places, n) to larger ones.

    Raises:
      ValueError: if an argument is invalid; at `init`, if an example has another number of axes.

    Example:
      >>> import jax
      >>> pad(((0, 1), (0, 1))).init(jax.random.key(0), (4, 4, 3))[1]
      (5, 5, 3)
    """

    def out_shape(in_shape):
        ends = _ends(in_shape, widths, "in_shape")
        return (*(n + sum(end) for n, end in zip(in_shape, ends, strict=False)), in_shape[-1])

    return stateless(partial(pad_forward, widths=widths, value=value), partial(pad_backward, widths=widths), out_shape)


def _ends(example: Shape, widths: Widths, name: str = "x.shape[1:]") -> tuple[tuple[int, int], ...]:
    axes = len(widths) if isinstance(widths, tuple) else 2
    PlacesShape(axes).check(name, example)
    return pairs(widths, axes, "widths")


CASES = {
    "pad": (lambda: pad(1), (2, 3, 2)),
    "pad_pairs": (lambda: pad((0, (1, 2)), 0.5), (2, 3, 2)),
    "pad_sequence": (lambda: pad(((3, 0),)), (2, 3)),
}
