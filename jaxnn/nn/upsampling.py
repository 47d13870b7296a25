"""Upsampling by repetition: each place several times."""

from functools import partial

import jax.numpy as jnp

from jaxnn.arrays import cast_like
from jaxnn.constraints import Floats, checked
from jaxnn.explicit_axes import rows_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.windows import PER_AXIS, PerAxis, PlacesShape, Windows, repeated, size_of, views
from jaxnn.typing import Array, Shape

__all__ = ["upsample", "upsample_backward", "upsample_forward"]


@rows_on_any_axes
@checked(x=Floats("m place... n"), factor=PER_AXIS)
def upsample_forward(x: Array, factor: PerAxis = 2) -> tuple[Array, Array]:
    """Compute y_{i, f u + a, c} = x_{i,u,c} for a = 0, ..., f - 1: each place f times, along each axis.

    For example i, place u and channel c; f u + a is meant axis by axis.

    Args:
      x: inputs, (m, *places, n). Whole numbers become floats.
      factor: f, a number for images, f x f; (f,) for sequences, (f_height, f_width) for images, one for each axis.

    Returns:
      y, with f times as many places, and the cache: x[:0], which has no elements and carries the shape.

    Raises:
      ValueError: if x has another number of axes than factor has numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(upsample_forward(jnp.array([1.0, 2.0]).reshape(1, 2, 1), (3,))[0].ravel())
      [1. 1. 1. 2. 2. 2.]
    """
    return repeated(x, _windows(x.shape[1:], factor)), x[:0]


@rows_on_any_axes
@checked(like=Floats("0 place... n"), dy=Floats("m larger... n"), factor=PER_AXIS)
def upsample_backward(like: Array, dy: Array, factor: PerAxis = 2) -> Array:
    """Compute dx_{i,u,c} = Σ_a dy_{i, f u + a, c}, since each place has f copies along an axis.

    Derivation. y_{i, f u + a, c} = x_{i,u,c} for a from 0 to f - 1, and the cotangents of all copies add up.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = upsample_forward(jnp.array([1.0, 2.0]).reshape(1, 2, 1), (3,))
      >>> print(upsample_backward(cache, jnp.arange(6.0).reshape(1, 6, 1), (3,)).ravel())
      [ 3. 12.]
    """
    return cast_like(like, sum(views(dy, _windows(like.shape[1:], factor)), jnp.zeros((), dy.dtype)))


@factory(computes="upsample_forward(x, factor)")
@checked(factor=PER_AXIS)
def upsample(factor: PerAxis = 2) -> Layer:
    """Return the layer that repeats each place; `upsample_backward` derives its gradient.

    Args:
      factor: how many times, a number for images, f x f; (f,) for sequences, (f_height, f_width) for images.

    Returns:
      A `Layer` without params, from examples (*places, n) to (*f places, n).

    Raises:
      ValueError: if factor is invalid; at `init`, if an example has another number of axes.

    Example:
      >>> import jax
      >>> upsample(2).init(jax.random.key(0), (7, 7, 16))[1]
      (14, 14, 16)
    """

    def out_shape(in_shape):
        return (*_windows(in_shape, factor, "in_shape").lengths, in_shape[-1])

    return stateless(partial(upsample_forward, factor=factor), partial(upsample_backward, factor=factor), out_shape)


def _windows(example: Shape, factor: PerAxis, name: str = "x.shape[1:]") -> Windows:
    """Return the windows of copies over the places of y, one for each place of one example of x."""
    factors = size_of(factor)
    places = PlacesShape(len(factors)).check(name, example)[:-1]
    lengths = tuple(n * f for n, f in zip(places, factors, strict=True))
    return Windows(lengths, factors, factors, ((0, 0),) * len(factors), (1,) * len(factors))


CASES = {
    "upsample": (upsample, (2, 3, 2)),
    "upsample_sequence": (lambda: upsample((3,)), (3, 2)),
}
