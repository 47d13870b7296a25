"""Windows that slide over images and sequences: where they lie, and views of what they see.

A window of size k has the offsets a = 0, ..., k - 1. With stride s, dilation d and padding p at the low end, window u
sees at offset a the place s u + d a - p, along each axis alone. `views` gives x at these places, one offset after the
other, as slices of x; `spread` is its transpose, which adds what belongs to an offset of a window to the place that it
sees.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxnn.arrays import in_memory
from jaxnn.constraints import NO_CALL, Call, Constraint, ExampleShape, OneOf
from jaxnn.typing import Array, Scalar, Shape
from jaxnn.validation import is_count

PerAxis: TypeAlias = int | tuple[int, ...]
"""One whole number for all axes of the places, or one for each."""
Widths: TypeAlias = int | tuple[int | tuple[int, int], ...]
"""Numbers of places at the ends of each axis: one for all ends, or for each axis a number or a pair (low, high)."""
Padding: TypeAlias = str | Widths
"""The places added at the ends of each axis: "same", "valid", or their widths."""


class Windows(NamedTuple):
    """Where windows lie. Each attribute has one entry for each axis of the places.

    Attributes:
      lengths: of the axes.
      size: of a window.
      stride: the distance from one window to the next.
      padding: the places added at the low and the high end.
      dilation: the distance from one offset of a window to the next.
    """

    lengths: Shape
    size: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    dilation: Shape

    @property
    def spans(self) -> Shape:
        """How many places a window reaches over: d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    @property
    def counts(self) -> Shape:
        """How many windows there are: floor((n + low + high - d (k - 1) - 1)/s) + 1."""
        along = zip(self.lengths, self.padding, self.spans, self.stride, strict=True)
        return tuple((n + sum(padding) - span) // s + 1 for n, padding, span, s in along)

    @property
    def offsets(self) -> Iterator[tuple[int, ...]]:
        """The offsets of a window, in row-major order."""
        return product(*map(range, self.size))


class _PerAxis(Constraint):
    """A whole number, or a tuple of them with one for each axis of the places."""

    def __init__(self, least: int = 1):
        rejects = (least - 1, 1.5, "3", True, (), (least - 1,), (1.5, 2), {1: 2})
        self.least, description = least, f"a whole number of at least {least}, or one for each axis"
        super().__init__(description, rejects, test=self._fits, convert=self._converted)

    def _fits(self, value: Any) -> bool:
        several = isinstance(value, tuple | list) and len(value) > 0
        return all(is_count(n, self.least) for n in value) if several else is_count(value, self.least)

    def _converted(self, value: Any) -> PerAxis:
        return tuple(map(int, value)) if isinstance(value, tuple | list) else int(value)


class _Paddings(Constraint):
    """A whole number for all axes, or for each axis a number or a pair (low, high)."""

    def __init__(self):
        rejects = (-1, 1.5, None, True, (), (-1,), ((1, 2, 3),), ("same",))
        description = "a whole number, or for each axis a number or a pair (low, high)"
        super().__init__(description, rejects, test=self._fits, convert=self._converted)

    def _fits(self, value: Any) -> bool:
        several = isinstance(value, tuple | list) and len(value) > 0
        return all(map(_is_width, value)) if several else is_count(value, 0)

    def _converted(self, value: Any) -> Any:
        return tuple(map(_pair, value)) if isinstance(value, tuple | list) else int(value)


def _is_width(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return all(is_count(n, 0) for n in value) if pair else is_count(value, 0)


def _pair(width: Any) -> tuple[int, int]:
    low, high = width if isinstance(width, tuple | list) else (width, width)
    return int(low), int(high)


PER_AXIS = _PerAxis()
PER_AXIS_OR_0 = _PerAxis(0)
WIDTHS = _Paddings()
PADDING = OneOf(("same", "valid")) | WIDTHS


class PlacesShape(ExampleShape):
    """The shape of one example with axes of places before the channels.

    Args:
      axes: how many axes of places; `None` for any number.
    """

    def __init__(self, axes: int | None = None):
        super().__init__(2)
        self.axes = axes

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the shape; raise ValueError if it has another number of axes."""
        value = super().check(name, value, call)
        if self.axes is not None and len(value) != self.axes + 1:
            fix = "a size such as (3,) is for sequences (T, channels)"
            if len(value) == self.axes:
                fix = f"x[..., None] adds the axis of the channels{f'; {fix}' * (self.axes == 2)}"
            expected = f"the shape of one example with {self.axes} axes of places and one of channels"
            raise ValueError(f"{name} must be {expected}, got {tuple(value)}: {fix}")
        return tuple(value)


def per_axis(value: PerAxis, axes: int, name: str) -> Shape:
    """Return one number for each axis of the places."""
    return tuple(low for low, _ in pairs(value, axes, name))


def size_of(size: PerAxis, **options: Any) -> Shape:
    """Return the size of a window, (k, k) for a number k, which is meant for images.

    Raises:
      ValueError: if an option has not one number for each of its axes.
    """
    size = size if isinstance(size, tuple) else (size, size)
    for name, option in options.items():
        pairs(option, len(size), name)
    return size


def pairs(padding: Padding, axes: int, name: str = "padding") -> tuple[tuple[int, int], ...]:
    """Return (low, high) for each axis of places."""
    if isinstance(padding, tuple):
        if len(padding) != axes:
            raise ValueError(f"{name} must have one entry for each of {axes} axes, got {padding}")
        return tuple(map(_pair, padding))
    return (_pair(0 if isinstance(padding, str) else padding),) * axes


def windows_over(
    lengths: Shape, size: Shape, stride: PerAxis = 1, padding: Padding = "valid", dilation: PerAxis = 1
) -> Windows:
    """Return the windows over axes of these lengths, with the padding resolved to a pair for each axis.

    Raises:
      ValueError: if an argument has not one entry for each axis, or a window is larger than what it slides over.

    Example:
      >>> windows_over((28, 28), (5, 5), stride=2, padding="same").padding
      ((1, 2), (1, 2))
      >>> windows_over((28, 28), (5, 5)).counts
      (24, 24)
    """
    axes = len(lengths)
    stride, dilation = per_axis(stride, axes, "stride"), per_axis(dilation, axes, "dilation")
    made = Windows(lengths, size, stride, pairs(0 if padding == "same" else padding, axes), dilation)
    if padding == "same":
        made = made._replace(padding=tuple(map(same_padding, lengths, made.spans, stride)))
    if min(made.counts) < 1:
        reached = tuple(n + sum(ends) for n, ends in zip(lengths, made.padding, strict=True))
        fix = 'padding="same" pads it' if padding == "valid" else "pad more, or make it smaller"
        raise ValueError(f"size must be at most that of the padded input, {reached}, got {made.spans}: {fix}")
    return made


def same_padding(length: int, span: int, stride: int) -> tuple[int, int]:
    """Return the padding of one axis with which there are ceil(length/stride) windows; an odd place is at the end."""
    total = max((-(-length // stride) - 1) * stride + span - length, 0)
    return total // 2, total - total // 2


def padded(x: Array, w: Windows, value: Scalar = 0) -> Array:
    """Return x (m, *places, channels) with a constant at the places of the padding, as an array in memory."""
    widths = ((0, 0, 0), *((low, high, 0) for low, high in w.padding), (0, 0, 0))
    wide = jax.lax.pad(x, jnp.asarray(value, x.dtype), widths) if any(map(any, w.padding)) else x
    return in_memory(wide)


def views(x: Any, w: Windows) -> Iterator[Any]:
    """Return for each offset, in row-major order, what the windows see there, (m, *counts, channels).

    Args:
      x: padded inputs, (m, *places, channels), an array of JAX or NumPy.
      w: the windows.
    """
    for offset in w.offsets:
        along = zip(w.dilation, offset, w.stride, w.counts, strict=True)
        yield x[:, *(slice(d * a, d * a + s * (n - 1) + 1, s) for d, a, s, n in along)]


def spread(part: Callable[..., Array], w: Windows, *arrays: Array) -> Array:
    """Add the parts of all offsets to the places that they see, the transpose of `views` and of padding.

    The places s q + r with one rest r along each axis have no place in common with those of another rest. So each rest
    is a sum of shifted parts, and the places are the rests side by side: nothing is added where nothing is.

    Args:
      part: `part(i, *arrays) -> (m, ..., channels)`, that of offset i in row-major order, element by element; it is 0
        where the arrays are.
      w: the windows.
      *arrays: what the parts are made of, (m, *counts, channels) each.

    Returns:
      The sums, (m, *lengths, channels).
    """
    offsets = [tuple(d * a for d, a in zip(w.dilation, offset, strict=True)) for offset in w.offsets]
    quotients = [-(-(n + low) // s) for n, (low, _), s in zip(w.lengths, w.padding, w.stride, strict=True)]
    shifts = [(span - 1) // s for span, s in zip(w.spans, w.stride, strict=True)]
    # Padded once: shifted one by one, each part would be one more pass.
    ends = [(j, max(q - n, 0)) for j, q, n in zip(shifts, quotients, w.counts, strict=True)]
    wide = [padded(a, w._replace(padding=(*ends,))) for a in arrays]

    def of_rest(rest: tuple[int, ...]) -> Array:
        total = jnp.zeros((), arrays[0].dtype)
        for i, offset in enumerate(offsets):
            if all(b % s == r for b, s, r in zip(offset, w.stride, rest, strict=True)):
                first = [j - b // s for j, b, s in zip(shifts, offset, w.stride, strict=True)]
                last = [j + q for j, q in zip(first, quotients, strict=True)]
                seen = [jax.lax.slice(a, (0, *first, 0), (a.shape[0], *last, a.shape[-1])) for a in wide]
                total += part(i, *seen)
        return jnp.broadcast_to(total, (wide[0].shape[0], *quotients, wide[0].shape[-1]))

    def side_by_side(rest: tuple[int, ...]) -> Array:
        axis = len(rest)
        if axis == len(w.stride):
            return of_rest(rest)
        parts = [side_by_side((*rest, r)) for r in range(w.stride[axis])]
        stacked = jnp.stack(parts, axis + 2)
        n, s = stacked.shape[axis + 1 : axis + 3]
        return stacked.reshape(*stacked.shape[: axis + 1], n * s, *stacked.shape[axis + 3 :])

    return _placed(side_by_side(()), w)


def added(products: Array, w: Windows) -> Array:
    """Add the products of all offsets to the places that they see, as `spread` does, one axis after the other.

    So there are as many sums as offsets along the axes together, not as offsets of a window.

    Args:
      products: (m, *counts, parts), with a part of equal size for each offset, those along the last axis outermost.
      w: the windows, with strides of 1.

    Returns:
      The sums, (m, *lengths, n), n the size of a part.
    """
    for axis in reversed(range(len(w.size))):
        zero, parts = jnp.zeros((), products.dtype), jnp.split(products, w.size[axis], -1)
        total = zero
        for i, part in enumerate(parts):
            low = w.dilation[axis] * i - w.padding[axis][0]
            ends = [(0, 0, 0)] * part.ndim
            ends[axis + 1] = (low, w.lengths[axis] - low - w.counts[axis], 0)
            total += jax.lax.pad(part, zero, ends)
        products = in_memory(total)
    return products


def repeated(a: Array, w: Windows) -> Array:
    """Give each window's number to all places that it sees, for windows side by side: as `spread` does, in one pass.

    Args:
      a: (m, *counts, channels).
      w: windows with a stride of their size, and no dilation.

    Returns:
      (m, *lengths, channels); places that no window sees have 0.
    """
    copies = [n for pair in zip(w.counts, w.size, strict=True) for n in pair]
    alone = [n for count in w.counts for n in (count, 1)]
    wide = jnp.broadcast_to(a.reshape(a.shape[0], *alone, a.shape[-1]), (a.shape[0], *copies, a.shape[-1]))
    places = (n * k for n, k in zip(w.counts, w.size, strict=True))
    return _placed(wide.reshape(a.shape[0], *places, a.shape[-1]), w)


def _placed(whole: Array, w: Windows) -> Array:
    """Cut off the padding from an array that starts at its low end, and fill it up with zeros to the lengths."""
    along = zip(w.lengths, w.padding, whole.shape[1:-1], strict=True)
    kept = ((0, 0, 0), *((-low, n + low - total, 0) for n, (low, _), total in along), (0, 0, 0))
    return jax.lax.pad(whole, jnp.zeros((), whole.dtype), kept)
