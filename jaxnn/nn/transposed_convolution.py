"""Transposed convolution, which makes places out of windows: from small images to larger ones."""

from functools import partial
from typing import Any

import jax.numpy as jnp

from jaxnn.arrays import cast_like
from jaxnn.constraints import Count, Floats, Leaves, RandomKey, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.convolution import INIT, check_filters
from jaxnn.nn.correlation import correlated, swapped, transposed_in_filters, transposed_in_inputs
from jaxnn.nn.initializers import InitializerName, initial_weights
from jaxnn.nn.layer import Layer
from jaxnn.nn.windows import (
    PADDING,
    PER_AXIS,
    PER_AXIS_OR_0,
    Padding,
    PerAxis,
    PlacesShape,
    Windows,
    pairs,
    per_axis,
    same_padding,
    size_of,
)
from jaxnn.typing import Array, Initializer, Params, Shape

__all__ = ["conv_transpose", "conv_transpose_backward", "conv_transpose_forward"]

_FILTERS = Leaves(K="size... c c_out", b="c_out")
_OPTIONS = dict(stride=PER_AXIS, padding=PADDING, output_padding=PER_AXIS_OR_0, dilation=PER_AXIS, groups=Count())


@forward_on_any_axes
@checked(params=_FILTERS, x=Floats("m place... c_in"), **_OPTIONS)
def conv_transpose_forward(
    params: Params,
    x: Array,
    stride: PerAxis = 1,
    padding: Padding = "same",
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Compute z_{i,h,o} = b_o + Σ_c Σ_{u,a: s u + d a - p = h} x_{i,u,c} K_{a,c,o}: each place fills a window of z.

    Place u of example i fills k places of z along each axis, at the offsets a = 0, ..., k - 1; s is the stride, d the
    dilation, and p is p_low: p_low and p_high places are cut off at the ends. s u + d a - p is meant axis by axis. c
    runs over all channels of x, or with groups over those of the part that o is in.

    It is what a convolution from z to x, with filters K whose axes of channels are swapped, does to the cotangent of x:
    place u of x is its window, and lies at s u in z. Filters are not turned, as in PyTorch and Keras;
    `lax.conv_transpose` and Flax turn them by default, so that their filters are `jnp.flip(K, axes of size)` here.
    Along an axis of n places, z has s (n - 1) + d (k - 1) + 1 - p_low - p_high + output_padding places. Those that no
    window reaches have b.

    Args:
      params: `{"K": (*size, c_in/groups, c_out), "b": (c_out,)}`.
      x: inputs, (m, *places, c_in). Whole numbers become floats.
      stride: s, how many places of z lie between two of x, one number or one for each axis.
      padding: the places cut off at the ends: "same" for s n places of z, "valid" for none; else as of `conv_forward`.
      output_padding: how many places more z has at the high end, below s: a convolution with stride 2 makes 4 places of
        9 and of 10, so that its transpose has a choice.
      dilation: d, the distance of the places of a window.
      groups: with g groups, the channels of x and of z are in g equal parts, and a part of z sees that of x alone.

    Returns:
      z, (m, *places, c_out), and the cache, which is x itself, not a copy.

    Raises:
      ValueError: if x has another number of axes or of channels than the filters, no place of z remains, or an option
        has not one number for each axis.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"K": jnp.array([1.0, 2.0]).reshape(2, 1, 1), "b": jnp.zeros(1)}
      >>> z, cache = conv_transpose_forward(params, jnp.array([1.0, 10.0]).reshape(1, 2, 1), stride=2)
      >>> print(z.ravel())
      [ 1.  2. 10. 20.]
    """
    K, b = params["K"], params["b"]
    w = _windows(x.shape[1:], K.shape, stride, padding, output_padding, dilation, groups)
    dtype = jnp.result_type(x, K)
    z = transposed_in_inputs(x.astype(dtype), swapped(K, groups).astype(dtype), w, groups)
    return z + jnp.expand_dims(b, range(x.ndim - 1)), x


@backward_on_any_axes
@checked(params=_FILTERS, x=Floats("m place... c_in"), dz=Floats("m target... c_out"), **_OPTIONS)
def conv_transpose_backward(
    params: Params,
    x: Array,
    dz: Array,
    stride: PerAxis = 1,
    padding: Padding = "same",
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Params, Array]:
    """Compute dparams and dx of `conv_transpose_forward` from the cache x and the cotangent dz, in the shape of z.

    Derivation. Symbols are those of `conv_transpose_forward`, with p = p_low. Each x_{i,u,c} and K_{a,c,o} has one
    product, which is added at the place s u + d a - p of z. So

        dx_{i,u,c} = Σ_{a,o} dz_{i, s u + d a - p, o} K_{a,c,o}     a convolution of dz with stride s
        dK_{a,c,o} = Σ_{i,u} x_{i,u,c} dz_{i, s u + d a - p, o}
        db_o       = Σ_{i,h} dz_{i,h,o}

    These are the three products of a convolution from z to x: z is its dx, dx its z, and dK its dK with the axes of the
    channels swapped.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"K": jnp.array([1.0, 2.0]).reshape(2, 1, 1), "b": jnp.zeros(1)}
      >>> x, dz = jnp.array([1.0, 10.0]).reshape(1, 2, 1), jnp.ones((1, 4, 1))
      >>> dparams, dx = conv_transpose_backward(params, x, dz, stride=2)
      >>> print(dparams["K"].ravel(), dparams["b"], dx.ravel())
      [11. 11.] [4.] [3. 3.]

    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.
    """
    K, b = params["K"], params["b"]
    w = _windows(x.shape[1:], K.shape, stride, padding, output_padding, dilation, groups)
    dtype = jnp.result_type(x, K)
    d = dz.astype(dtype)
    dK = swapped(transposed_in_filters(d, x.astype(dtype), w, groups), groups)
    db = dz.sum(range(dz.ndim - 1))
    dx = correlated(d, swapped(K, groups).astype(dtype), w, groups)
    return {"K": cast_like(K, dK), "b": cast_like(b, db)}, cast_like(x, dx)


@factory(computes="conv_transpose_forward(params, x)")
@checked(c_out=Count(), size=PER_AXIS, **_OPTIONS, init=INIT)
def conv_transpose(
    c_out: int,
    size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = "same",
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    init: InitializerName | Initializer = "lecun",
) -> Layer:
    """Return a transposed convolution with c_out channels; `conv_transpose_backward` derives its gradient.

    Args:
      c_out: number of channels of the output.
      size: of a filter: k for images, k x k; (k,) for sequences, (k_height, k_width) for images, one for each axis.
      stride: how many places of the output lie between two of x, one number or one for each axis.
      padding: the places cut off at the ends: "same" for s n places of the output, "valid" for none; else a number for
        all ends, or for each axis a number or a pair (low, high).
      output_padding: how many places more the output has at the high end, below the stride.
      dilation: the distance of the places of a window.
      groups: of channels; a group of the output sees that of x alone.
      init: how K is initialized: a name in `INITIALIZERS`, or any initializer of `jax.nn.initializers`, called with the
        shape of K.

    Returns:
      A `Layer` with params `{"K": (*size, c_in/groups, c_out), "b": (c_out,)}`; b starts at zero.

    Raises:
      ValueError: if an argument is invalid; at `init`, if an example has another number of axes than the filters have,
        or no axis of channels; when called, if params have other filters.

    Example:
      >>> import jax
      >>> params, out_shape = conv_transpose(8, 4, stride=2).init(jax.random.key(0), (7, 7, 16))
      >>> params["K"].shape, out_shape
      ((4, 4, 16, 8), (14, 14, 8))
    """
    options: dict[str, Any] = dict(
        stride=stride, padding=padding, output_padding=output_padding, dilation=dilation, groups=groups
    )
    size = size_of(size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation)

    @checked(key=RandomKey(), in_shape=PlacesShape(len(size)))
    def init_params(key, in_shape):
        shape = (*size, in_shape[-1] // groups, c_out)
        w = _windows(in_shape, shape, name="in_shape", **options)
        K = initial_weights(init, key, shape, "K")
        return {"K": K, "b": jnp.zeros(c_out, K.dtype)}, (*w.lengths, c_out)

    def forward(params, x, key=None):
        forward = conv_transpose_forward.with_sizes(c_out=c_out, **{"size...": size})  # pyright: ignore
        return forward(params, x, **options)

    return Layer(init_params, forward, partial(conv_transpose_backward, **options))


def _windows(
    example: Shape,
    filters: Shape,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    dilation: PerAxis,
    groups: int,
    name: str = "x",
) -> Windows:
    """Return the windows over the places of z that the places of one example fill; raise ValueError if none remain."""
    check_filters(example, filters, groups, name)
    axes = len(filters) - 2
    stride, more = per_axis(stride, axes, "stride"), per_axis(output_padding, axes, "output_padding")
    w = Windows(example[:axes], filters[:axes], stride, pairs(padding, axes), per_axis(dilation, axes, "dilation"))
    if padding == "same":  # as for a convolution with this stride from s n places to n
        ends = (same_padding(s * n, span, s) for n, s, span in zip(w.lengths, stride, w.spans, strict=True))
        w = w._replace(padding=tuple(ends))
        more = tuple(max(s - span, 0) for s, span in zip(stride, w.spans, strict=True))
    along = zip(w.lengths, stride, w.spans, w.padding, more, strict=True)
    made = w._replace(lengths=tuple(s * (n - 1) + span - sum(ends) + rest for n, s, span, ends, rest in along))
    if min(made.lengths) < 1 or any(rest >= s for rest, s in zip(more, stride, strict=True)):
        raise ValueError(
            f"padding and output_padding must leave places of the output and less than stride={stride} more, "
            f"got {w.padding} and {more} for {w.lengths} places"
        )
    return made


CASES = {
    "conv_transpose": (lambda: conv_transpose(3, 3, stride=2), (3, 2, 2)),
    "conv_transpose_valid": (lambda: conv_transpose(2, (2,), stride=3, padding="valid"), (3, 2)),
    "conv_transpose_output_padding": (
        lambda: conv_transpose(2, 3, (2, 3), padding=((1, 0), (2, 1)), output_padding=(1, 2)),
        (3, 3, 1),
    ),
    "conv_transpose_groups": (lambda: conv_transpose(4, 2, stride=2, dilation=2, groups=2), (2, 3, 4)),
}
