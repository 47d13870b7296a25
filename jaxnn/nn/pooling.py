"""Pooling: the largest or the mean of what a window sees, channel by channel."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import cast_like, in_memory
from jaxnn.constraints import Flag, Floats, Instance, Nothing, checked
from jaxnn.explicit_axes import rows_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.windows import (
    PADDING,
    PER_AXIS,
    Padding,
    PerAxis,
    PlacesShape,
    Windows,
    padded,
    repeated,
    size_of,
    spread,
    views,
    windows_over,
)
from jaxnn.typing import Array, Shape

__all__ = [
    "avg_pool",
    "avg_pool_backward",
    "avg_pool_forward",
    "max_pool",
    "max_pool_backward",
    "max_pool_forward",
]

_AT_ONCE = 25
"""The largest number of places of a window that is pooled at once, not axis by axis."""
_OPTIONS = dict(size=PER_AXIS, stride=PER_AXIS | Nothing(), padding=PADDING)


@checked(x=Floats("m place... n"), **_OPTIONS)
def max_pool_forward(
    x: Array, size: PerAxis = 2, stride: PerAxis | None = None, padding: Padding = "valid"
) -> tuple[Array, tuple[Array, ...]]:
    """Compute y_{i,u,c} = max_a x_{i, s u + a - p, c}, the largest element that window u sees.

    For example i and channel c; along each axis, a window of size k has the offsets a = 0, ..., k - 1, s is the stride
    and p the padding at the low end; s u + a - p is meant axis by axis.
    Padding is never the largest. A window with NaN gives NaN.

    Args:
      x: inputs, (m, *places, n), as of `conv_forward`. Whole numbers become floats.
      size: of a window: k for images, k x k; (k,) for sequences, (k_height, k_width) for images, one for each axis.
      stride: s, the distance of the windows; the size by default.
      padding: as of `conv_forward`.

    Returns:
      y, (m, *windows, n), and the cache: x[:0], which has no elements and carries the shape, and the offset of the
      first largest element of each window, a byte; for windows of more than 25 places, those along each axis.

    Raises:
      ValueError: if x has another number of axes than a window, or a window is larger than the padded x.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = max_pool_forward(jnp.array([1.0, 3.0, 2.0, 2.0]).reshape(1, 4, 1), size=(2,))
      >>> print(y.ravel(), cache[1].ravel())
      [3. 2.] [1 0]
    """
    y, firsts = x, []
    for w in _passes(_windows(x.shape[1:], size, stride, padding)):
        y, first = _largest(y, w)
        firsts.append(first)
    return y, (x[:0], *firsts)


def _largest(x: Array, w: Windows) -> tuple[Array, Array]:
    """Return the largest element that each window sees, and the offset of the first such element."""
    none = math.prod(w.size)
    y, first = jnp.full((), -jnp.inf, x.dtype), jnp.full((), none, np.min_scalar_type(none))
    padding_alone = True  # whether some window has seen nothing else
    for i, (seen, inside) in enumerate(zip(views(padded(x, w, -jnp.inf), w), _inside(w), strict=True)):
        larger = (seen > y) | jnp.isnan(seen)
        if padding_alone:  # of elements that are all -inf, the first in x is taken, not one of the padding
            larger |= (first == none) & inside
            padding_alone = inside is not True
        y, first = jnp.where(larger, seen, y), jnp.where(larger, jnp.asarray(i, first.dtype), first)
    return y, in_memory(jnp.where(jnp.isnan(y), jnp.asarray(none, first.dtype), first))


@checked(cache=Instance(tuple), dy=Floats("m window... n"), **_OPTIONS)
def max_pool_backward(
    cache: tuple[Array, ...],
    dy: Array,
    size: PerAxis = 2,
    stride: PerAxis | None = None,
    padding: Padding = "valid",
) -> Array:
    """Compute dx, where dy of each window is added to the place of its first largest element, in row-major order.

    Derivation. In one example and channel, y_u = x_h for the place h of the largest element, so ∂y_u/∂x_h = 1, and the
    others are 0. Windows that overlap may have the same largest element: dx_h = Σ_{u: h is the largest of u} dy_u. At a
    tie the maximum has no derivative; the first place has it all, as JAX has it for `lax.reduce_window`. A window with
    NaN passes nothing.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, 3.0, 2.0, 2.0]).reshape(1, 4, 1)
      >>> y, cache = max_pool_forward(x, size=(2,), stride=1)
      >>> print(max_pool_backward(cache, jnp.ones_like(y), size=(2,), stride=1).ravel())
      [0. 2. 1. 0.]

    Source: Riesenhuber and Poggio, "Hierarchical models of object recognition in cortex", 1999.
    """
    like, *firsts = cache
    passes, dx = _passes(_windows(like.shape[1:], size, stride, padding)), dy
    for w, first in zip(reversed(passes), reversed(firsts), strict=True):
        dx = spread(lambda i, d, first: jnp.where(first == i, d, 0), w, dx, first)
    return in_memory(cast_like(like, dx))  # else it would be computed once for each layer and sum that reads it


@checked(x=Floats("m place... n"), **_OPTIONS, count_padding=Flag())
def avg_pool_forward(
    x: Array,
    size: PerAxis = 2,
    stride: PerAxis | None = None,
    padding: Padding = "valid",
    count_padding: bool = True,
) -> tuple[Array, Array]:
    """Compute y_{i,u,c} = Σ_a x_{i, s u + a - p, c}/n_u, the mean of the n_u elements that window u sees.

    The other symbols are those of `max_pool_forward`. By default the zeros of the padding count, and n_u is the number
    of places in a window; without `count_padding`, it is the number of those that are in x.

    Args:
      x: inputs, (m, *places, n), as of `conv_forward`. Whole numbers become floats.
      size: of a window: k for images, k x k; (k,) for sequences, (k_height, k_width) for images, one for each axis.
      stride: s, the distance of the windows; the size by default.
      padding: as of `conv_forward`.
      count_padding: whether the zeros of the padding count, as in Flax and PyTorch; in Keras they do not.

    Returns:
      y, (m, *windows, n), and the cache: x[:0], which has no elements and carries the shape.

    Raises:
      ValueError: if x has another number of axes than a window, or a window is larger than the padded x.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = avg_pool_forward(jnp.array([1.0, 3.0, 2.0, 2.0]).reshape(1, 4, 1), size=(2,))
      >>> print(y.ravel())
      [2. 2.]
    """
    w = _windows(x.shape[1:], size, stride, padding)
    total = x
    for one in _passes(w):
        total = sum(views(padded(total, one), one), jnp.zeros((), x.dtype))
    return total / _counts(w, count_padding, x), x[:0]


@rows_on_any_axes
@checked(like=Floats("0 place... n"), dy=Floats("m window... n"), **_OPTIONS, count_padding=Flag())
def avg_pool_backward(
    like: Array,
    dy: Array,
    size: PerAxis = 2,
    stride: PerAxis | None = None,
    padding: Padding = "valid",
    count_padding: bool = True,
) -> Array:
    """Compute dx_h = Σ_{u sees h} dy_u/n_u.

    Derivation. In one example and channel, with n_u as in `avg_pool_forward`, y_u is linear in each element that it
    sees, with the factor 1/n_u; what windows that overlap pass to the same place is added.

    Args:
      like: the cache of `avg_pool_forward`.
      dy: cotangent of y, (m, *windows, n).
      size: as of the forward, like the others.
      stride: the distance of the windows; the size by default.
      padding: the places added at the ends.
      count_padding: whether the padding counts.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = avg_pool_forward(jnp.zeros((1, 4, 1)), size=(2,), stride=1)
      >>> print(avg_pool_backward(cache, jnp.ones_like(y), size=(2,), stride=1).ravel())
      [0.5 1.  1.  0.5]
    """
    w = _windows(like.shape[1:], size, stride, padding)
    dx = dy / _counts(w, count_padding, dy)
    if w.stride == w.size:
        return cast_like(like, repeated(dx, w))
    for one in reversed(_passes(w)):
        dx = spread(lambda i, d: d, one, dx)
    return cast_like(like, dx)


@factory(computes="max_pool_forward(x, size)")
@checked(**_OPTIONS)
def max_pool(size: PerAxis = 2, stride: PerAxis | None = None, padding: Padding = "valid") -> Layer:
    """Return the layer of the largest element of each window; `max_pool_backward` derives its gradient.

    Args:
      size: of a window: k for images, k x k; (k,) for sequences, (k_height, k_width) for images, one for each axis.
      stride: the distance of the windows; the size by default.
      padding: "valid" for none, "same" for ceil(n/s) windows; else as of `conv_forward`.

    Returns:
      A `Layer` without params, from examples (*places, n) to (*windows, n).

    Raises:
      ValueError: if an argument is invalid; at `init`, if an example has another number of axes than a window has, no
        axis of channels, or is smaller than a window.

    Example:
      >>> import jax
      >>> max_pool(3, stride=2, padding="same").init(jax.random.key(0), (64, 64, 16))[1]
      (32, 32, 16)
    """
    return _layer(max_pool_forward, max_pool_backward, size, stride, padding)


@factory(computes="avg_pool_forward(x, size)")
@checked(**_OPTIONS, count_padding=Flag())
def avg_pool(
    size: PerAxis = 2, stride: PerAxis | None = None, padding: Padding = "valid", count_padding: bool = True
) -> Layer:
    """Return the layer of the mean of each window; `avg_pool_backward` derives its gradient.

    Args:
      size: of a window: k for images, k x k; (k,) for sequences, (k_height, k_width) for images, one for each axis.
      stride: the distance of the windows; the size by default.
      padding: "valid" for none, "same" for ceil(n/s) windows; else as of `conv_forward`.
      count_padding: whether the zeros of the padding count, as in Flax and PyTorch; in Keras they do not.

    Returns:
      A `Layer` without params, from examples (*places, n) to (*windows, n).

    Raises:
      ValueError: as of `max_pool`.

    Example:
      >>> import jax
      >>> avg_pool((4,)).init(jax.random.key(0), (100, 16))[1]
      (25, 16)
    """
    return _layer(avg_pool_forward, avg_pool_backward, size, stride, padding, count_padding=count_padding)


def _layer(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    **options: bool,
) -> Layer:
    size = size_of(size, padding=padding, **({} if stride is None else {"stride": stride}))
    given: dict[str, Any] = dict(size=size, stride=stride, padding=padding, **options)
    shape = PlacesShape(len(size))

    def out_shape(in_shape):
        *places, n = shape.check("in_shape", in_shape)
        return (*_windows((*places, n), size, stride, padding).counts, n)

    return stateless(partial(forward, **given), partial(backward, **given), out_shape)


def _windows(example: Shape, size: PerAxis, stride: PerAxis | None, padding: Padding) -> Windows:
    """Return the windows over one example (*places, n); each sees a place of it."""
    PlacesShape(len(size_of(size))).check("x.shape[1:]", example)
    w = windows_over(example[:-1], size_of(size), size if stride is None else stride, padding)
    if any(max(ends) >= k for ends, k in zip(w.padding, w.size, strict=True)):
        raise ValueError(f"padding must be below the size {w.size} of a window, got {w.padding}")
    return w


def _passes(w: Windows) -> list[Windows]:
    """Return windows along one axis each, the last one first, that pool one after the other as large windows do.

    The largest element of a window is that of its rows, and the first of them in row-major order is in the first row
    that has it. So there are as many offsets as a window has rows and columns, not as many as it has places: small
    windows are faster at once, and large ones would take minutes to compile.
    """
    if math.prod(w.size) <= _AT_ONCE:
        return [w]
    passes, axes = [], range(len(w.size))
    for axis in reversed(axes):
        lengths = tuple(w.counts[i] if i > axis else w.lengths[i] for i in axes)
        size, stride = (tuple(a[i] if i == axis else 1 for i in axes) for a in (w.size, w.stride))
        padding = tuple(w.padding[i] if i == axis else (0, 0) for i in axes)
        passes.append(Windows(lengths, size, stride, padding, w.dilation))
    return passes


def _inside(w: Windows) -> Iterator[bool | np.ndarray]:
    """Return for each offset where the place that it sees is in x, not in the padding: True, or a mask."""
    inside = np.pad(np.ones((1, *w.lengths, 1), bool), ((0, 0), *w.padding, (0, 0)))
    for mask in views(inside, w):
        yield True if mask.all() else mask


def _counts(w: Windows, count_padding: bool, like: Array) -> Array:
    """Return how many elements of each window count, to divide by."""
    n = math.prod(w.size) if count_padding else sum(np.asarray(mask, int) for mask in _inside(w))
    return jnp.asarray(n, like.dtype)


CASES = {
    "max_pool": (max_pool, (4, 5, 2)),
    "max_pool_overlapping": (lambda: max_pool(3, 2, "same"), (4, 5, 2)),
    "max_pool_strided": (lambda: max_pool((2,), 3), (7, 3)),
    "max_pool_whole": (lambda: max_pool((3, 2)), (3, 2, 2)),
    "max_pool_large": (lambda: max_pool((6, 5), (2, 3), "same"), (7, 8, 2)),
    "avg_pool": (avg_pool, (4, 5, 2)),
    "avg_pool_overlapping": (lambda: avg_pool((3,), 2, padding=((1, 2),)), (5, 2)),
    "avg_pool_large": (lambda: avg_pool((6, 5), 2, 1), (7, 8, 2)),
    "avg_pool_without_padding": (lambda: avg_pool(3, (2, 1), "same", count_padding=False), (4, 5, 2)),
}
