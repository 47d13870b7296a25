"""Pooling, upsampling and padding, by loops over examples, places and channels; the conventions are those of `windows`.

Here a channel of the output reads one channel of the input, of the same number, and every window has dilation 1.
"""

import math

import numpy as np

from .activations import as_float
from .windows import every_index, output_places, padding_pairs, read_windows


def pooling_windows(x, size, stride, padding):
    """Return (places, windows): a window (u, [at, ...]) lists the places of the image that it reads, row by row.

    Padding is left out, so that a window of padding alone is an empty list.
    """
    spatial, dilation = x.shape[1:-1], (1,) * len(size)
    padding = padding_pairs(padding, spatial, size, stride, dilation)
    places = output_places(spatial, size, stride, padding, dilation)
    windows = read_windows(spatial, places, size, stride, padding, dilation)
    return places, [(u, [at for _, at in window]) for u, window in windows]


def first_largest(x, i, window, channel):
    """Return the first place of a window with its largest element; None if it has a NaN, or no place at all."""
    largest = None
    for at in window:
        value = x[(i, *at, channel)]
        if np.isnan(value):
            return None
        if largest is None or value.real > x[(i, *largest, channel)].real:
            largest = at
    return largest


def max_pooling(x, size, stride, padding):
    """Return the largest element of each window; padding is never the largest.

    A window with a NaN gives NaN; a window of padding alone gives -inf.

    Args:
        x: (m, *spatial, c).

    Returns:
        y (m, *places, c).
    """
    x = as_float(x)
    places, windows = pooling_windows(x, size, stride, padding)
    y = np.zeros((x.shape[0], *places, x.shape[-1]), dtype=x.dtype)
    for i in range(x.shape[0]):
        for u, window in windows:
            for c in range(x.shape[-1]):
                largest = first_largest(x, i, window, c)
                if largest is not None:
                    y[(i, *u, c)] = x[(i, *largest, c)]
                else:
                    y[(i, *u, c)] = np.nan if window else -np.inf
    return y


def d_max_pooling(x, size, stride, padding, dy):
    """dx[i, at, c] += dy[i, u, c] at the first largest element of each window, in row-major order.

    A window with a NaN, or of padding alone, adds nothing. An element may be the largest of several windows.

    Args:
        x: (m, *spatial, c). dy: (m, *places, c).

    Returns:
        dx, of x's shape.
    """
    x = as_float(x)
    _, windows = pooling_windows(x, size, stride, padding)
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for u, window in windows:
            for c in range(x.shape[-1]):
                largest = first_largest(x, i, window, c)
                if largest is not None:
                    dx[(i, *largest, c)] += dy[(i, *u, c)]
    return dx


def _count(window, size, count_padding):
    return math.prod(size) if count_padding else len(window)


def average_pooling(x, size, stride, padding, count_padding):
    """Return the sum of each window over its count: every place of its size, or only those in the image.

    A window of padding alone gives 0 if padding counts, else NaN, the mean of no elements.

    Args:
        x: (m, *spatial, c). count_padding: whether padding counts, as zeros.

    Returns:
        y (m, *places, c).
    """
    x = as_float(x)
    places, windows = pooling_windows(x, size, stride, padding)
    y = np.zeros((x.shape[0], *places, x.shape[-1]), dtype=x.dtype)
    for i in range(x.shape[0]):
        for u, window in windows:
            count = _count(window, size, count_padding)
            for c in range(x.shape[-1]):
                total = 0.0
                for at in window:
                    total += x[(i, *at, c)]
                y[(i, *u, c)] = total / count if count else np.nan
    return y


def d_average_pooling(x, size, stride, padding, count_padding, dy):
    """dx[i, at, c] += dy[i, u, c] / count for each place that a window reads; windows that overlap add.

    Args:
        x: (m, *spatial, c). dy: (m, *places, c).

    Returns:
        dx, of x's shape.
    """
    _, windows = pooling_windows(x, size, stride, padding)
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for u, window in windows:
            for at in window:
                for c in range(x.shape[-1]):
                    dx[(i, *at, c)] += dy[(i, *u, c)] / _count(window, size, count_padding)
    return dx


def global_max_pooling(x):
    """Return the largest element of each channel of each example: (m, *spatial, c) to (m, c). A NaN gives NaN."""
    x = as_float(x)
    y = np.zeros((x.shape[0], x.shape[-1]), dtype=x.dtype)
    for i in range(x.shape[0]):
        for c in range(x.shape[-1]):
            largest = first_largest(x, i, every_index(x.shape[1:-1]), c)
            y[i, c] = np.nan if largest is None else x[(i, *largest, c)]
    return y


def d_global_max_pooling(x, dy):
    """dx is dy[i, c] at the first largest element of the channel, in row-major order; a channel with a NaN has none."""
    x = as_float(x)
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for c in range(x.shape[-1]):
            largest = first_largest(x, i, every_index(x.shape[1:-1]), c)
            if largest is not None:
                dx[(i, *largest, c)] = dy[i, c]
    return dx


def global_average_pooling(x):
    """Return the mean over all places of each channel of each example: (m, *spatial, c) to (m, c)."""
    x = as_float(x)
    y = np.zeros((x.shape[0], x.shape[-1]), dtype=x.dtype)
    for i in range(x.shape[0]):
        for at in every_index(x.shape[1:-1]):
            for c in range(x.shape[-1]):
                y[i, c] += x[(i, *at, c)] / math.prod(x.shape[1:-1])
    return y


def d_global_average_pooling(x, dy):
    """dx[i, at, c] = dy[i, c] over the number of places."""
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for at in every_index(x.shape[1:-1]):
            for c in range(x.shape[-1]):
                dx[(i, *at, c)] = dy[i, c] / math.prod(x.shape[1:-1])
    return dx


def upsampling(x, factors):
    """Return y[i, v, c] = x[i, floor(v / f), c]: every element repeated f times on each axis.

    Args:
        x: (m, *spatial, c). factors: f, a tuple, one number for each spatial axis.

    Returns:
        y (m, *(f n for each axis), c).
    """
    x = as_float(x)
    spatial = tuple(f * n for f, n in zip(factors, x.shape[1:-1], strict=True))
    y = np.zeros((x.shape[0], *spatial, x.shape[-1]), dtype=x.dtype)
    for i in range(x.shape[0]):
        for v in every_index(spatial):
            at = tuple(place // f for place, f in zip(v, factors, strict=True))
            for c in range(x.shape[-1]):
                y[(i, *v, c)] = x[(i, *at, c)]
    return y


def d_upsampling(x, factors, dy):
    """dx[i, floor(v / f), c] += dy[i, v, c]: the sum over the repetitions of each element."""
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for v in every_index(dy.shape[1:-1]):
            at = tuple(place // f for place, f in zip(v, factors, strict=True))
            for c in range(x.shape[-1]):
                dx[(i, *at, c)] += dy[(i, *v, c)]
    return dx


def padding(x, widths, value):
    """Return x with `low` places before it and `high` after it on each spatial axis, each holding `value`.

    Args:
        x: (m, *spatial, c). widths: a tuple of (low, high), one pair for each spatial axis; a negative width cuts.
        value: one number.

    Returns:
        y (m, *(n + low + high for each axis), c).
    """
    x = as_float(x)
    spatial = tuple(n + low + high for n, (low, high) in zip(x.shape[1:-1], widths, strict=True))
    y = np.zeros((x.shape[0], *spatial, x.shape[-1]), dtype=x.dtype)
    for i in range(x.shape[0]):
        for v in every_index(spatial):
            at = tuple(place - low for place, (low, _) in zip(v, widths, strict=True))
            inside = all(0 <= place < n for place, n in zip(at, x.shape[1:-1], strict=True))
            for c in range(x.shape[-1]):
                y[(i, *v, c)] = x[(i, *at, c)] if inside else value
    return y


def d_padding(x, widths, value, dy):
    """dx[i, at, c] = dy[i, at + low, c]; what was cut has 0. `value` has no part in it."""
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for at in every_index(x.shape[1:-1]):
            v = tuple(place + low for place, (low, _) in zip(at, widths, strict=True))
            if all(0 <= place < n for place, n in zip(v, dy.shape[1:-1], strict=True)):
                for c in range(x.shape[-1]):
                    dx[(i, *at, c)] = dy[(i, *v, c)]
    return dx
