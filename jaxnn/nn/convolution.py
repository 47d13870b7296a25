"""Convolution of sequences, images and volumes, also of groups of channels."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxnn.arrays import cast_like, floats
from jaxnn.constraints import Count, Floats, Function, Leaves, OneOf, RandomKey, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.correlation import correlated, transposed_in_filters, transposed_in_inputs
from jaxnn.nn.initializers import INITIALIZERS, InitializerName, initial_weights, scale_hint
from jaxnn.nn.layer import Layer
from jaxnn.nn.windows import PADDING, PER_AXIS, Padding, PerAxis, PlacesShape, Windows, size_of, windows_over
from jaxnn.typing import Array, Initializer, Params, Shape

__all__ = ["conv", "conv_backward", "conv_forward", "depthwise_conv"]

_FILTERS = Leaves(K="size... c c_out", b="c_out")
_OPTIONS = dict(stride=PER_AXIS, padding=PADDING, dilation=PER_AXIS, groups=Count())
INIT = OneOf(INITIALIZERS, fix=scale_hint) | Function("key", "shape", "dtype")


@forward_on_any_axes
@checked(params=_FILTERS, x=Floats("m place... c_in"), **_OPTIONS)
def conv_forward(
    params: Params,
    x: Array,
    stride: PerAxis = 1,
    padding: Padding = "same",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Compute z_{i,u,o} = b_o + Σ_{a,c} x_{i, s u + d a - p, c} K_{a,c,o}, for example i, window u and filter o.

    Along each axis a window sees k places, at the offsets a = 0, ..., k - 1; s is the stride, d the dilation, and p is
    p_low, the padding at the low end, as p_high is that at the high end. Places have one axis for sequences
    (m, T, c_in), two for images (m, height, width, c_in); s u + d a - p is meant axis by axis, and outside of x there
    are zeros. c runs over the channels that the filter sees: all of them, or with groups those of its part, counted in
    K from 0 in each part. As in all frameworks of neural networks, the filters are not turned: it is a correlation.
    Along an axis of n places there are floor((n + p_low + p_high - d (k - 1) - 1)/s) + 1 windows.

    Args:
      params: `{"K": (*size, c_in/groups, c_out), "b": (c_out,)}`, c_out filters.
      x: inputs, (m, *places, c_in). Whole numbers become floats.
      stride: s, the distance of the windows, one number or one for each axis.
      padding: "same" for ceil(n/s) windows, where an odd place of padding is at the high end; "valid" for none; else a
        number for all ends, or for each axis a number or a pair (low, high).
      dilation: d, the distance of the places that a window sees.
      groups: with g groups, the channels of x and the filters are in g equal parts, and the filters of a part see its
        channels alone.

    Returns:
      z, (m, *windows, c_out), and the cache, which is x itself, not a copy.

    Raises:
      ValueError: if x has another number of axes or of channels than the filters, the filters are larger than the
        padded x, or an option has not one number for each axis.

    Example:
      >>> import jax.numpy as jnp
      >>> edge = {"K": jnp.array([-1.0, 1.0]).reshape(2, 1, 1), "b": jnp.zeros(1)}
      >>> z, cache = conv_forward(edge, jnp.array([0.0, 0.0, 3.0, 3.0]).reshape(1, 4, 1), padding="valid")
      >>> print(z.ravel())
      [0. 3. 0.]
    """
    K, b = params["K"], params["b"]
    w = _windows(x.shape[1:], K.shape, stride, padding, dilation, groups)
    dtype = jnp.result_type(x, K)
    z = correlated(x.astype(dtype), K.astype(dtype), w, groups)
    return z + jnp.expand_dims(b, range(x.ndim - 1)), x


@backward_on_any_axes
@checked(params=_FILTERS, x=Floats("m place... c_in"), dz=Floats("m window... c_out"), **_OPTIONS)
def conv_backward(
    params: Params,
    x: Array,
    dz: Array,
    stride: PerAxis = 1,
    padding: Padding = "same",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Params, Array]:
    """Compute dparams and dx of `conv_forward` from the cache x and the cotangent dz, in the shape of z.

    Derivation. Symbols are those of `conv_forward`, with p = p_low. z_{i,u,o} is b_o and, for each offset a and channel
    c, one product of x at the place h = s u + d a - p with K_{a,c,o}. So

        dK_{a,c,o} = Σ_{i,u} dz_{i,u,o} x_{i, s u + d a - p, c}     each filter entry is used once by every window
        db_o       = Σ_{i,u} dz_{i,u,o}                             b is added once to a window, not to each offset
        dx_{i,h,c} = Σ_o Σ_{u,a: s u + d a - p = h} dz_{i,u,o} K_{a,c,o}     over every window that sees the place

    and with groups, o runs over the filters of the part that c is in.

    Put s - 1 zeros between the places of dz, so that window u lies at s u: then dx is the correlation of that with the
    filters turned by 180 degrees, a -> k - 1 - a, and the axes of their channels swapped, and dK that of x with it.
    Places that no window sees have dx = 0.

    Example:
      >>> import jax.numpy as jnp
      >>> edge = {"K": jnp.array([-1.0, 1.0]).reshape(2, 1, 1), "b": jnp.zeros(1)}
      >>> x, dz = jnp.array([0.0, 0.0, 3.0, 3.0]).reshape(1, 4, 1), jnp.ones((1, 3, 1))
      >>> dparams, dx = conv_backward(edge, x, dz, padding="valid")
      >>> print(dparams["K"].ravel(), dparams["b"], dx.ravel())
      [3. 6.] [3.] [-1.  0.  0.  1.]

    Source: LeCun et al., "Backpropagation applied to handwritten zip code recognition", 1989.
    """
    K, b = params["K"], params["b"]
    w = _windows(x.shape[1:], K.shape, stride, padding, dilation, groups)
    dtype = jnp.result_type(x, K)
    wide_x, wide_K, d = x.astype(dtype), K.astype(dtype), dz.astype(dtype)
    dK = transposed_in_filters(wide_x, d, w, groups)
    db = dz.sum(range(dz.ndim - 1))
    dx = transposed_in_inputs(d, wide_K, w, groups)
    return {"K": cast_like(K, dK), "b": cast_like(b, db)}, cast_like(x, dx)


@factory(computes="conv_forward(params, x)")
@checked(c_out=Count(), size=PER_AXIS, **_OPTIONS, init=INIT)
def conv(
    c_out: int,
    size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = "same",
    dilation: PerAxis = 1,
    groups: int = 1,
    init: InitializerName | Initializer = "lecun",
) -> Layer:
    """Return a convolution with c_out filters, z = b + x * K; `conv_backward` derives its gradient.

    Args:
      c_out: number of filters, the channels of the output.
      size: of a filter: k for images, k x k; (k,) for sequences, (k_height, k_width) for images, one for each axis.
      stride: the distance of the windows, one number or one for each axis.
      padding: "same" for ceil(n/s) windows, "valid" for none; else a number for all ends, or for each axis a number
        or a pair (low, high).
      dilation: the distance of the places that a window sees.
      groups: of channels, of which each filter sees one.
      init: how K is initialized: a name in `INITIALIZERS`, or any initializer of `jax.nn.initializers`, called with the
        shape of K. The inputs n_in of a filter are the entries that it sees: its size times c_in/groups.

    Returns:
      A `Layer` with params `{"K": (*size, c_in/groups, c_out), "b": (c_out,)}`, from examples (*places, c_in) to
      (*windows, c_out); b starts at zero.

    Raises:
      ValueError: if an argument is invalid; at `init`, if an example has another number of axes than the filters have,
        no axis of channels, or is smaller than a filter; when called, if params have other filters.

    Example:
      >>> import jax, jaxnn
      >>> network = jaxnn.chain(conv(6, 5), jaxnn.relu(), jaxnn.nn.max_pool(2), jaxnn.flatten(), jaxnn.dense(10))
      >>> params, out_shape = network.init(jax.random.key(0), (28, 28, 1))
      >>> params[0]["K"].shape, params[4]["W"].shape
      ((5, 5, 1, 6), (10, 1176))
    """
    if c_out % groups:
        raise ValueError(f"c_out must be a multiple of groups={groups}, got {c_out}")
    return _layer(size, lambda c_in: (c_out, groups), init, stride=stride, padding=padding, dilation=dilation)


@factory(computes="conv_forward(params, x, groups=c_in)")
@checked(size=PER_AXIS, multiplier=Count(), stride=PER_AXIS, padding=PADDING, dilation=PER_AXIS, init=INIT)
def depthwise_conv(
    size: PerAxis,
    multiplier: int = 1,
    stride: PerAxis = 1,
    padding: Padding = "same",
    dilation: PerAxis = 1,
    init: InitializerName | Initializer = "lecun",
) -> Layer:
    """Return a convolution of each channel with filters that see it alone: `conv` with as many groups as channels.

    With a convolution of size 1 behind it, which sees all channels at one place, it is a separable convolution.

    Derivation. It is that of `conv_backward`, with one channel in each group.

    Args:
      size: of a filter, as of `conv`.
      multiplier: number of filters for each channel. Outputs lie channel by channel.
      stride: the distance of the windows, one number or one for each axis.
      padding: "same" for ceil(n/s) windows, "valid" for none; else a number for all ends, or for each axis a number
        or a pair (low, high).
      dilation: the distance of the places that a window sees.
      init: how K is initialized, as of `conv`; the inputs of a filter are the places that it sees.

    Returns:
      A `Layer` with params `{"K": (*size, 1, c_in multiplier), "b": (c_in multiplier,)}`.

    Raises:
      ValueError: as of `conv`.

    Example:
      >>> import jax
      >>> params, out_shape = depthwise_conv(3, stride=2).init(jax.random.key(0), (32, 32, 64))
      >>> params["K"].shape, out_shape
      ((3, 3, 1, 64), (16, 16, 64))

    Source: Chollet, "Xception: deep learning with depthwise separable convolutions", 2017.
    """
    counts = lambda c_in: (multiplier * c_in, c_in)  # noqa: E731
    return _layer(size, counts, init, stride=stride, padding=padding, dilation=dilation)


def _layer(
    size: PerAxis, counts: Callable[[int], tuple[int, int]], init: InitializerName | Initializer, **options: Any
) -> Layer:
    """Return the layer of a convolution; `counts(c_in)` is how many filters and groups it has."""
    size = size_of(size, **options)

    @checked(key=RandomKey(), in_shape=PlacesShape(len(size)))
    def init_params(key, in_shape):
        *lengths, c_in = in_shape
        c_out, groups = counts(c_in)
        w = _windows(in_shape, (*size, c_in // groups, c_out), groups=groups, name="in_shape", **options)
        K = initial_weights(init, key, (*size, c_in // groups, c_out), "K")
        return {"K": K, "b": jnp.zeros(c_out, K.dtype)}, (*w.counts, c_out)

    def forward(params, x, key=None):
        x = floats(x, "x")
        c_out, groups = counts(x.shape[-1])
        forward = conv_forward.with_sizes(c_out=c_out, **{"size...": size})  # pyright: ignore[reportFunctionMemberAccess]
        return forward(params, x, **options, groups=groups)

    def backward(params, x, dz):
        return conv_backward(params, x, dz, **options, groups=counts(x.shape[-1])[1])

    return Layer(init_params, forward, backward)


def _windows(
    example: Shape, filters: Shape, stride: PerAxis, padding: Padding, dilation: PerAxis, groups: int, name: str = "x"
) -> Windows:
    """Return the windows of filters over one example; raise ValueError if they do not fit."""
    check_filters(example, filters, groups, name)
    return windows_over(example[:-1], filters[:-2], stride, padding, dilation)


def check_filters(example: Shape, filters: Shape, groups: int, name: str) -> None:
    """Raise ValueError unless examples (*places, c_in) fit the filters (*size, c_in/groups, c_out)."""
    (*size, c, c_out), axes = filters, len(filters) - 2
    if len(example) != axes + 1 or example[-1] != c * groups or c_out % groups:
        of_groups = f" in {groups} groups" if groups > 1 else ""
        fixes = (
            (len(example) == axes, f"{name}[..., None] adds the axis of the channels"),
            (example[0] == c * groups, f"channels are last, jnp.moveaxis({name}, 1, -1)"),
        )
        raise ValueError(
            f"{name} must be examples with {len(size)} axes of places and channels={c * groups} for filters "
            f"{filters}{of_groups}, got {example}{next((f': {fix}' for likely, fix in fixes if likely), '')}"
        )


CASES = {
    "conv": (lambda: conv(3, 3), (4, 5, 2)),
    "conv_valid": (lambda: conv(2, (2, 3), padding="valid"), (4, 5, 1)),
    "conv_strided": (lambda: conv(2, 2, stride=3, padding=((1, 0), (0, 2))), (5, 4, 3)),
    "conv_dilated": (lambda: conv(2, (2,), dilation=2, padding=1), (5, 3)),
    "conv_whole": (lambda: conv(3, (3, 2), padding="valid"), (3, 2, 2)),
    "conv_groups": (lambda: conv(4, 3, stride=2, groups=2), (5, 4, 4)),
    "conv_one_place": (lambda: conv(2, (1, 1), stride=2), (3, 3, 2)),
    "depthwise_conv": (lambda: depthwise_conv(3), (4, 3, 3)),
    "depthwise_conv_two": (lambda: depthwise_conv((3,), 2, stride=2, padding="valid", dilation=2), (9, 2)),
}
