"""The products that convolutions are made of: a correlation, and its transposes.

A correlation y_u = Σ_a x_{s u + d a - p} K_a is linear in the inputs x and in the filters K. Its transposes with
respect to one and the other are the two products of its backward, and the first is also a transposed convolution. Each
is one convolution of XLA. On a CPU, though, XLA is slow where filters see few channels, as in images and in groups of
one channel, and for all other groups, also those that `jax.vmap` makes of members with different filters. There,

- products with one channel are sums of shifted ones, as are those of small filters with the inputs of a few;
- the gradient of a few channels, for which XLA needs as long as for 8, is a matrix product and sums of shifted parts;
- other groups, and members, are convolved one by one.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.arrays import in_memory, widened
from jaxnn.nn.taking_turns import in_turn
from jaxnn.nn.windows import Windows, added, padded, spread, views
from jaxnn.typing import Array

Product: TypeAlias = Callable[..., Array]

_ROWS = 8  # how many rows of products are added at once, in registers
_MOST_OFFSETS = 49  # of filters whose products are written out, offset by offset: it takes time to compile them
_MOST_GROUPS = 64  # that are convolved one by one, likewise
_MOST_TERMS = 36  # of a sum of products of several channels: 3 x 3 of four of them


def correlated(x: Array, K: Array, w: Windows, groups: int = 1) -> Array:
    """Compute y_{u,o} = Σ_{a,c} x_{s u + d a - p, c} K_{a,c,o}, with the channels c in the group of o.

    Args:
      x: inputs, (m, *places, c_in).
      K: filters, (*size, c_in/groups, c_out), which are not turned.
      w: the windows.
      groups: how many groups the channels are in, those of x and of y alike.

    Returns:
      y, (m, *counts, c_out).
    """

    def by_xla(x: Array, K: Array, groups: int = groups) -> Array:
        return lax.conv_general_dilated(
            x,
            K,
            w.stride,
            w.padding,
            rhs_dilation=w.dilation,
            dimension_numbers=_numbers(x.ndim),
            feature_group_count=groups,
        )

    def by_views(x: Array, K: Array) -> Array:
        shape, total, wide = (x.shape[0], *w.counts, K.shape[-1]), jnp.zeros((), widened(K).dtype), padded(x, w)
        for j in range(channels):
            filters = _by_offset(K[..., j : j + 1, :], groups)
            for i, view in enumerate(views(wide[..., j::channels], w)):
                total += widened(view)[..., None] * filters[i]
        return in_memory(total.reshape(shape).astype(x.dtype))

    channels = K.shape[-2]
    few = channels <= 4 and channels * math.prod(w.size) <= _MOST_TERMS
    special = by_views if few or _sees_one(w, channels) else None
    return _product(special, by_xla, groups)(x, K)


def transposed_in_inputs(dy: Array, K: Array, w: Windows, groups: int = 1) -> Array:
    """Compute dx_{h,c} = Σ dy_{u,o} K_{a,c,o} over all u and a with s u + d a - p = h: where the place was seen.

    It is the correlation of dy, with s - 1 zeros between its places, with the filters turned by 180 degrees, the axes
    of their channels swapped.

    Args:
      dy: (m, *counts, c_out).
      K: filters, (*size, c_in/groups, c_out).
      w: the windows.
      groups: how many groups the channels are in.

    Returns:
      dx, (m, *lengths, c_in).
    """

    def by_xla(dy: Array, K: Array, groups: int = groups) -> Array:
        turned = jnp.flip(swapped(K, groups), range(K.ndim - 2))
        return lax.conv_general_dilated(
            dy,
            turned,
            (1,) * len(w.size),
            [
                (span - 1 - low, n + low - s * (count - 1) - 1)
                for n, (low, _), span, s, count in zip(w.lengths, w.padding, w.spans, w.stride, w.counts, strict=True)
            ],
            lhs_dilation=w.stride,
            rhs_dilation=w.dilation,
            dimension_numbers=_numbers(dy.ndim),
            feature_group_count=groups,
        )

    def by_views(dy: Array, K: Array) -> Array:
        # One filter of each channel after the other: a sum over a short last axis is slow.
        def add(total: Array, way: tuple[Array, Array]) -> tuple[Array, None]:
            d, filters = way
            return total + spread(lambda i, d: d * filters[i], w, d), None

        ways = (
            jnp.moveaxis(widened(dy).reshape(*dy.shape[:-1], groups, dy.shape[-1] // groups), -1, 0),
            jnp.moveaxis(_by_offset(K, groups), -1, 0),
        )
        start = jnp.zeros((dy.shape[0], *w.lengths, groups), ways[0].dtype)
        return in_memory(lax.scan(add, start, ways)[0].astype(dy.dtype))

    def by_products(dy: Array, K: Array) -> Array:
        # Example by example, so that the products stay in the processor's cache.
        *size, _, n = K.shape
        filters = jnp.transpose(widened(K), (K.ndim - 1, *reversed(range(len(size))), K.ndim - 2)).reshape(n, -1)

        def add(_: None, d: Array) -> tuple[None, Array]:
            return None, added(in_memory(widened(d)[None] @ filters), w)[0].astype(dy.dtype)

        return in_memory(lax.scan(add, None, dy)[1])

    # Where it takes at most half of the processor time of XLA's, which uses more cores.
    few = K.shape[-2] < 8 and K.shape[-1] <= 16 * groups and math.prod(w.size) >= 9 and max(w.stride) == 1
    special = by_views if _sees_one(w, K.shape[-2]) else by_products if few and groups == 1 else None
    return _product(special, by_xla, groups, by_products if few else None)(dy, K)


def transposed_in_filters(x: Array, dy: Array, w: Windows, groups: int = 1) -> Array:
    """Compute dK_{a,c,o} = Σ_{i,u} x_{i, s u + d a - p, c} dy_{i,u,o}.

    It is a correlation too, of x with dy: the examples are summed over as channels are, dy is the filter with s - 1
    zeros between its places, and it slides by d.

    Args:
      x: inputs, (m, *places, c_in).
      dy: (m, *counts, c_out).
      w: the windows.
      groups: how many groups the channels are in.

    Returns:
      dK, (*size, c_in/groups, c_out).
    """
    places = tuple(range(1, x.ndim - 1))

    def by_xla(x: Array, dy: Array, groups: int = groups) -> Array:
        # In a loop, as a training is, XLA on a CPU is fast only with the axes where `_numbers` has them.
        dK = lax.conv_general_dilated(
            jnp.swapaxes(x, 0, -1),
            jnp.moveaxis(dy, 0, -2),
            w.dilation,
            [
                (low, span - 1 + s * (count - 1) + 1 - n - low)
                for n, (low, _), span, s, count in zip(w.lengths, w.padding, w.spans, w.stride, w.counts, strict=True)
            ],
            rhs_dilation=w.stride,
            dimension_numbers=_numbers(x.ndim),
            batch_group_count=groups,
        )
        return jnp.moveaxis(dK, 0, -2)

    def by_views(x: Array, dy: Array) -> Array:
        # Example by example, so that x and dy stay in the processor's cache for all offsets.
        def add(sums: Array, example: tuple[Array, Array]) -> tuple[Array, None]:
            one, d = (widened(a)[None] for a in example)
            d = d.reshape(*d.shape[:-1], groups, d.shape[-1] // groups)
            return sums + jnp.stack([_by_rows(view[..., None] * d)[0] for view in views(one, w)]), None

        examples = padded(x, w), dy
        like = jax.eval_shape(add, 0.0, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), examples))[0]
        sums, _ = lax.scan(add, jnp.zeros(like.shape, like.dtype), examples)
        return sums.sum(places).reshape(*w.size, 1, dy.shape[-1]).astype(x.dtype)

    return _product(by_views if _sees_one(w, x.shape[-1] // groups) else None, by_xla, groups)(x, dy)


def swapped(K: Array, groups: int) -> Array:
    """Return the filters of the transposed product: (*size, c_out/groups, c_in) of (*size, c_in/groups, c_out)."""
    *size, c, n = K.shape
    return K.reshape(*size, c, groups, n // groups).swapaxes(-3, -1).reshape(*size, n // groups, groups * c)


def _sees_one(w: Windows, channels: int) -> bool:
    """Return whether filters see one channel, at few enough places to compile a product for each."""
    return channels == 1 and math.prod(w.size) <= _MOST_OFFSETS


def _product(special: Product | None, by_xla: Product, groups: int, of_a_group: Product | None = None) -> Product:
    """Return the product: on a CPU the special one, if there is one, or group by group; else XLA's convolution.

    Args:
      special: for all groups at once.
      by_xla: the convolution, with the number of groups as its last argument.
      groups: how many there are.
      of_a_group: for one group, on a CPU; `None` for XLA's.
    """

    def one_by_one(a: Array, b: Array) -> Array:
        product = of_a_group or (lambda a, b: by_xla(a, b, 1))
        pairs = zip(jnp.split(a, groups, -1), jnp.split(b, groups, -1), strict=True)
        return jnp.concatenate([product(*pair) for pair in pairs], -1)

    on_a_cpu = one_by_one if special is None and 1 < groups <= _MOST_GROUPS else special
    if on_a_cpu is None:
        return in_turn(by_xla)
    return in_turn(lambda *arrays: lax.platform_dependent(*arrays, cpu=on_a_cpu, default=by_xla))


def _by_rows(products: Array) -> Array:
    """Add up the rows of products (1, rows, ...), some at a time, so that the sum is one pass of additions of rows."""
    rows = products.shape[1]
    block = -(-rows // _ROWS)
    blocks = [products[:, i : i + block] for i in range(0, rows, block)]
    rest = ((0, 0), (0, block - blocks[-1].shape[1]), *((0, 0),) * (products.ndim - 2))
    return sum(blocks[:-1], jnp.pad(blocks[-1], rest))


def _by_offset(K: Array, groups: int) -> Array:
    """Return filters of one channel as one array for each offset, with the axes (m, *counts, groups, filters)."""
    return widened(K).reshape(-1, *(1,) * (K.ndim - 1), groups, K.shape[-1] // groups)


def _numbers(axes: int) -> lax.ConvDimensionNumbers:
    """Return which axes of inputs, filters and outputs are what: channels are last everywhere."""
    places, size = range(1, axes - 1), range(axes - 2)
    return lax.ConvDimensionNumbers((0, axes - 1, *places), (axes - 1, axes - 2, *size), (0, axes - 1, *places))
