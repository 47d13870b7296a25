"""Global pooling: one number for each channel, over all places."""

import math

import jax.numpy as jnp

from jaxnn.arrays import cast_like
from jaxnn.constraints import Floats, Instance, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.windows import PlacesShape
from jaxnn.typing import Array

__all__ = [
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_avg_pool_forward",
    "global_max_pool",
    "global_max_pool_backward",
    "global_max_pool_forward",
]

_PLACES = PlacesShape()


@checked(x=Floats("m place... n"))
def global_max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    """Compute y_{i,c} = max_h x_{i,h,c} over all places h. With a NaN among them it is NaN.

    Args:
      x: inputs, (m, *places, n), with one axis of places or more. Whole numbers become floats.

    Returns:
      y, (m, n), and the cache: x[:0], which has no elements and carries the shape, and the number of the first largest
      element, in row-major order of the places.

    Raises:
      ValueError: if x has no axis of places.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = global_max_pool_forward(jnp.array([1.0, 3.0, 2.0]).reshape(1, 3, 1))
      >>> y.item(), cache[1].item()
      (3.0, 1)
    """
    # In blocks of places: the largest of each block is one pass over x, and then one block is looked through.
    rows = _rows(x)
    size = next(k for k in range(math.isqrt(rows.shape[1]), 0, -1) if rows.shape[1] % k == 0)
    blocks = rows.reshape(x.shape[0], rows.shape[1] // size, size, x.shape[-1])
    block = _first_largest(blocks.max(2))
    inside = _taken(blocks, block[:, :, None])
    place = _first_largest(inside[:, 0])
    return _taken(inside[:, 0], place)[:, 0], (x[:0], (block * size + place)[:, 0])


@checked(cache=Instance(tuple), dy=Floats("m n"))
def global_max_pool_backward(cache: tuple[Array, Array], dy: Array) -> Array:
    """Compute dx, which is dy at the first largest element of each channel and 0 elsewhere.

    Derivation. It is that of `max_pool_backward`, for one window that sees all places: y is that element, and no other
    passes anything, also where it is as large. Where y is NaN, nothing passes.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = global_max_pool_forward(jnp.array([1.0, 3.0, 3.0]).reshape(1, 3, 1))
      >>> print(global_max_pool_backward(cache, jnp.ones_like(y)).ravel())
      [0. 1. 0.]
    """
    like, first = cache
    places = jnp.arange(math.prod(like.shape[1:-1])).reshape(1, -1, 1)
    dx = jnp.where(places == first[:, None], dy[:, None], 0)
    return cast_like(like, dx).reshape(-1, *like.shape[1:])


@checked(x=Floats("m place... n"))
def global_avg_pool_forward(x: Array) -> tuple[Array, Array]:
    """Compute y_{i,c} = Σ_h x_{i,h,c}/n_h, the mean over all n_h places h.

    Args:
      x: inputs, (m, *places, n), with one axis of places or more. Whole numbers become floats.

    Returns:
      y, (m, n), and the cache: x[:0], which has no elements and carries the shape.

    Raises:
      ValueError: if x has no axis of places.

    Example:
      >>> import jax.numpy as jnp
      >>> global_avg_pool_forward(jnp.array([1.0, 3.0, 2.0]).reshape(1, 3, 1))[0].item()
      2.0
    """
    return _rows(x).mean(1), x[:0]


@checked(like=Floats("0 place... n"), dy=Floats("m n"))
def global_avg_pool_backward(like: Array, dy: Array) -> Array:
    """Compute dx_{i,h,c} = dy_{i,c}/n_h, the same at all n_h places, since y is a mean of them.

    Derivation. y_{i,c} = Σ_h x_{i,h,c}/n_h, so ∂y_{i,c}/∂x_{i,h,c} = 1/n_h at each place h.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = global_avg_pool_forward(jnp.ones((1, 4, 1)))
      >>> print(global_avg_pool_backward(cache, jnp.ones_like(y)).ravel())
      [0.25 0.25 0.25 0.25]

    Source: Lin, Chen and Yan, "Network in network", 2014, section 3.2.
    """
    *places, n = like.shape[1:]
    share = (dy / math.prod(places)).reshape(-1, *(1,) * len(places), n)
    return cast_like(like, jnp.broadcast_to(share, (dy.shape[0], *places, n)))


@factory(computes="global_max_pool_forward(x)")
def global_max_pool() -> Layer:
    """Return the layer of the largest element of each channel, from examples (*places, n) to (n,).

    `global_max_pool_backward` derives its gradient.
    """
    return stateless(global_max_pool_forward, global_max_pool_backward, _out_shape)


@factory(computes="global_avg_pool_forward(x)")
def global_avg_pool() -> Layer:
    """Return the layer of the mean of each channel, from examples (*places, n) to (n,).

    `global_avg_pool_backward` derives its gradient.
    """
    return stateless(global_avg_pool_forward, global_avg_pool_backward, _out_shape)


def _out_shape(in_shape):
    return _PLACES.check("in_shape", in_shape)[-1:]


def _rows(x: Array) -> Array:
    """Return x (m, *places, n) with one axis of places."""
    _PLACES.check("x.shape[1:]", x.shape[1:])
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])


def _first_largest(a: Array) -> Array:
    """Return where along axis 1 the first largest element is, that axis kept; past its end for a NaN."""
    numbers = jnp.arange(a.shape[1]).reshape(1, -1, 1)
    # `argmax` takes several times as long on a CPU.
    return jnp.where(a == a.max(1, keepdims=True), numbers, a.shape[1]).min(1, keepdims=True)


def _taken(a: Array, i: Array) -> Array:
    return jnp.take_along_axis(a, i, 1, mode="fill", fill_value=jnp.nan)


CASES = {
    "global_max_pool": (global_max_pool, (2, 3, 2)),
    "global_avg_pool": (global_avg_pool, (2, 3, 2)),
    "global_avg_pool_sequence": (global_avg_pool, (3, 2)),
}
