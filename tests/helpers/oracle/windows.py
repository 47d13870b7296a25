"""Convolution, pooling, upsampling and padding of images and series, by loops over examples, places and channels.

Arrays are examples as rows, channels last: x (m, *spatial, c), with one spatial axis or more. `size`, `stride` and
`dilation` are tuples, one number for each spatial axis. `padding` is a tuple of (low, high), one pair for each spatial
axis; where windows are read, it may also be "valid", no padding, or "same", `same_padding` of each axis.

A window has a place u in the output and reads the places s u + d a - p of the image, for the offsets a of its size;
places outside the image are padding. `d_<function>` takes the gradient dy of the output last and returns the gradients
of the arrays. Complex numbers are taken, so that `differences.complex_step` can differentiate every value; the largest
of a window is then the one with the largest real part.
"""

import math
from itertools import product

import numpy as np

from .activations import as_float


def every_index(counts):
    """Return every index of an array of the shape `counts`, in row-major order."""
    return product(*map(range, counts))


def same_padding(n, size, stride, dilation):
    """Return the (low, high) of one axis for which the output has ceil(n / s) places; the odd one is at the end.

    The last of these windows ends at s (ceil(n / s) - 1) + d (k - 1) + 1, and what that exceeds n by is padding.
    """
    places = math.ceil(n / stride)
    total = max(0, stride * (places - 1) + dilation * (size - 1) + 1 - n)
    return total // 2, total - total // 2


def padding_pairs(padding, spatial, size, stride, dilation):
    """Return one (low, high) for each axis, of "valid", "same", or the pairs themselves."""
    if padding == "valid":
        return tuple((0, 0) for _ in spatial)
    if padding == "same":
        return tuple(same_padding(*axis) for axis in zip(spatial, size, stride, dilation, strict=True))
    return padding


def output_places(spatial, size, stride, padding, dilation):
    """Return floor((n + p_low + p_high - d (k - 1) - 1) / s) + 1 for each axis; padding is pairs."""
    return tuple(
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, (low, high), d in zip(spatial, size, stride, padding, dilation, strict=True)
    )


def read_windows(spatial, places, size, stride, padding, dilation):
    """Return a list of (u, window), one for each place u of the output, in row-major order.

    `window` is a list of (a, at), in row-major order of the offset a: at = s u + d a - p_low is the place that is read.
    Padding is left out: every `at` lies in the image.
    """
    windows = []
    for u in every_index(places):
        window = []
        for a in every_index(size):
            at = tuple(
                s * u_axis + d * a_axis - low
                for s, u_axis, d, a_axis, (low, _) in zip(stride, u, dilation, a, padding, strict=True)
            )
            if all(0 <= place < n for place, n in zip(at, spatial, strict=True)):
                window.append((a, at))
        windows.append((u, window))
    return windows


def _channels(c_in, c_out, groups):
    """Return a list of (q, c, o): output channel o reads input channel q, by the filters' input channel c.

    Channels of input and output are cut into `groups` blocks alike, and a block of the output reads that of the input.
    """
    block_in, block_out = c_in // groups, c_out // groups
    return [(o // block_out * block_in + c, c, o) for o in range(c_out) for c in range(block_in)]


def _conv_windows(x, K, stride, padding, dilation):
    """Return (places, windows) of a convolution."""
    spatial, size = x.shape[1:-1], K.shape[:-2]
    padding = padding_pairs(padding, spatial, size, stride, dilation)
    places = output_places(spatial, size, stride, padding, dilation)
    return places, read_windows(spatial, places, size, stride, padding, dilation)


def convolution(x, K, b, stride, padding, dilation, groups):
    """Return y[i, u, o] = b_o + sum_{a, c} x[i, s u + d a - p, q] K[a, c, o]; the filter is not flipped.

    Args:
        x: (m, *spatial, c_in). K: (*size, c_in / groups, c_out). b: (c_out,).
        stride: s. padding: p. dilation: d. groups: with 1, q = c; with c_in, depthwise, each o reads one channel.

    Returns:
        y (m, *places, c_out).
    """
    x, K, b = as_float(x), as_float(K), as_float(b)
    m, c_out, channels = x.shape[0], K.shape[-1], _channels(x.shape[-1], K.shape[-1], groups)
    places, windows = _conv_windows(x, K, stride, padding, dilation)
    y = np.zeros((m, *places, c_out), dtype=np.result_type(x, K, b))
    for i in range(m):
        for u, window in windows:
            for o in range(c_out):
                y[(i, *u, o)] = b[o]
            for a, at in window:
                for q, c, o in channels:
                    y[(i, *u, o)] += x[(i, *at, q)] * K[(*a, c, o)]
    return y


def d_convolution(x, K, b, stride, padding, dilation, groups, dy):
    """dx and dK collect, over every product of the sum, dy times the other factor; db_o = sum over i, u of dy[i, u, o].

    dx[i, s u + d a - p, q] += dy[i, u, o] K[a, c, o] and dK[a, c, o] += dy[i, u, o] x[i, s u + d a - p, q].

    Args:
        dy: (m, *places, c_out), the rest as in `convolution`.

    Returns:
        (dx, dK, db), of the shapes of x, K and b.
    """
    x, K, b = as_float(x), as_float(K), as_float(b)
    m, c_out, channels = x.shape[0], K.shape[-1], _channels(x.shape[-1], K.shape[-1], groups)
    _, windows = _conv_windows(x, K, stride, padding, dilation)
    dx, dK, db = np.zeros(x.shape), np.zeros(K.shape), np.zeros(b.shape)
    for i in range(m):
        for u, window in windows:
            for o in range(c_out):
                db[o] += dy[(i, *u, o)]
            for a, at in window:
                for q, c, o in channels:
                    dx[(i, *at, q)] += dy[(i, *u, o)] * K[(*a, c, o)]
                    dK[(*a, c, o)] += dy[(i, *u, o)] * x[(i, *at, q)]
    return dx, dK, db


def _transposed_windows(x, K, stride, padding, output_padding, dilation):
    """Return (spatial, windows) of the output that a transposed convolution writes: u is a place of x, `at` of y."""
    places, size = x.shape[1:-1], K.shape[:-2]
    spatial = tuple(
        s * (n - 1) + d * (k - 1) + 1 - low - high + more
        for n, k, s, (low, high), more, d in zip(places, size, stride, padding, output_padding, dilation, strict=True)
    )
    return spatial, read_windows(spatial, places, size, stride, padding, dilation)


def transposed_convolution(x, K, b, stride, padding, output_padding, dilation, groups):
    """Return y[i, s u + d a - p, o] = b_o + sum_{u, a, c} x[i, u, q] K[a, c, o], by adding each product to its place.

    The forward is the dx of a convolution whose filters have the channel axes of K exchanged within each group. What
    falls outside y is lost, and places that nothing reaches hold b alone.

    Args:
        x: (m, *places, c_in). K: (*size, c_in / groups, c_out), c_in and c_out being those of x and of y. b: (c_out,).
        stride: s. padding: pairs (low, high), by which y is cut. output_padding: a tuple, one number for each axis, the
        places added at the end. dilation: d.

    Returns:
        y (m, *spatial, c_out), with s (n - 1) + d (k - 1) + 1 - p_low - p_high + output_padding places on each axis.
    """
    x, K, b = as_float(x), as_float(K), as_float(b)
    m, c_out, channels = x.shape[0], K.shape[-1], _channels(x.shape[-1], K.shape[-1], groups)
    spatial, windows = _transposed_windows(x, K, stride, padding, output_padding, dilation)
    y = np.zeros((m, *spatial, c_out), dtype=np.result_type(x, K, b))
    for i in range(m):
        for at in every_index(spatial):
            for o in range(c_out):
                y[(i, *at, o)] = b[o]
        for u, window in windows:
            for a, at in window:
                for q, c, o in channels:
                    y[(i, *at, o)] += x[(i, *u, q)] * K[(*a, c, o)]
    return y


def d_transposed_convolution(x, K, b, stride, padding, output_padding, dilation, groups, dy):
    """dx[i, u, q] += dy[i, s u + d a - p, o] K[a, c, o]; dK[a, c, o] += dy[i, s u + d a - p, o] x[i, u, q]; db sums dy.

    Args:
        dy: (m, *spatial, c_out), the rest as in `transposed_convolution`.

    Returns:
        (dx, dK, db), of the shapes of x, K and b.
    """
    x, K, b = as_float(x), as_float(K), as_float(b)
    m, c_out, channels = x.shape[0], K.shape[-1], _channels(x.shape[-1], K.shape[-1], groups)
    spatial, windows = _transposed_windows(x, K, stride, padding, output_padding, dilation)
    dx, dK, db = np.zeros(x.shape), np.zeros(K.shape), np.zeros(b.shape)
    for i in range(m):
        for at in every_index(spatial):
            for o in range(c_out):
                db[o] += dy[(i, *at, o)]
        for u, window in windows:
            for a, at in window:
                for q, c, o in channels:
                    dx[(i, *u, q)] += dy[(i, *at, o)] * K[(*a, c, o)]
                    dK[(*a, c, o)] += dy[(i, *at, o)] * x[(i, *u, q)]
    return dx, dK, db
