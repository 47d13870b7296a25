"""Small cases of odd sizes for convolution and pooling, shared by the oracle's tests and the library's.

`kwargs` are the keyword arguments of the oracle's functions, which are tuples with one entry for each spatial axis;
`padding` may be "valid" or "same". Arrays are float64, and the same at each call.
"""

from typing import Any, NamedTuple

import numpy as np


class WindowCase(NamedTuple):
    """A case of a layer with weights: x (m, *spatial, c_in), K (*size, c_in / groups, c_out) and b (c_out,)."""

    name: str
    kwargs: dict[str, Any]
    x: np.ndarray
    K: np.ndarray
    b: np.ndarray


class PoolingCase(NamedTuple):
    """A case of pooling: x (m, *spatial, c), whose elements in one channel are all different."""

    name: str
    kwargs: dict[str, Any]
    x: np.ndarray


def _case(rng, name, x, K, *, groups=1, **kwargs):
    """Draw a case from the shapes of x and K; stride and dilation are 1, and nothing is padded, unless given."""
    axes = len(x) - 2
    defaults = dict(stride=(1,) * axes, padding="valid", dilation=(1,) * axes)
    return WindowCase(
        name, {**defaults, **kwargs, "groups": groups}, rng.normal(size=x), rng.normal(size=K), rng.normal(size=K[-1])
    )


def convolution_cases():
    """Yield the cases of `windows.convolution`; where places are "left over", no window reads the last ones."""
    rng = np.random.default_rng(1)
    for name, x, K, kwargs in [
        # One spatial axis: x (m, n, c_in), K (k, c_in / groups, c_out).
        ("1d", (2, 5, 2), (3, 2, 3), {}),
        ("1d_batch_of_1_channel_1_to_1", (1, 4, 1), (2, 1, 1), {}),
        ("1d_kernel_of_the_whole_series", (2, 4, 2), (4, 2, 3), {}),
        ("1d_kernel_1_stride_2", (2, 6, 2), (1, 2, 2), dict(stride=(2,))),
        ("1d_kernel_1_stride_2_same", (1, 6, 2), (1, 2, 2), dict(stride=(2,), padding="same")),
        ("1d_stride_2_left_over", (2, 6, 2), (3, 2, 2), dict(stride=(2,))),
        ("1d_stride_2_same_odd", (1, 7, 1), (3, 1, 2), dict(stride=(2,), padding="same")),
        ("1d_stride_2_same_even", (1, 6, 1), (3, 1, 2), dict(stride=(2,), padding="same")),
        ("1d_stride_3_over_size_2_left_over", (2, 9, 1), (2, 1, 2), dict(stride=(3,))),
        ("1d_stride_3_over_size_2_same", (1, 8, 1), (2, 1, 2), dict(stride=(3,), padding="same")),
        ("1d_even_kernel_same", (2, 5, 1), (4, 1, 2), dict(padding="same")),
        ("1d_pairs", (2, 4, 2), (3, 2, 1), dict(padding=((2, 1),))),
        ("1d_causal", (2, 5, 1), (3, 1, 2), dict(padding=((4, 0),), dilation=(2,))),
        ("1d_padding_over_size", (1, 3, 1), (2, 1, 2), dict(padding=((3, 4),), stride=(2,))),
        ("1d_dilation_2", (2, 7, 1), (3, 1, 2), dict(dilation=(2,))),
        ("1d_dilation_2_stride_2_same", (1, 6, 1), (3, 1, 2), dict(dilation=(2,), stride=(2,), padding="same")),
        ("1d_kernel_over_the_series_same", (1, 2, 1), (5, 1, 2), dict(padding="same")),
        ("1d_groups_2", (1, 4, 4), (2, 2, 2), dict(groups=2)),
        ("1d_depthwise", (2, 4, 3), (3, 1, 3), dict(groups=3)),
        ("1d_depthwise_times_2", (1, 5, 3), (2, 1, 6), dict(groups=3, stride=(2,), padding="same")),
        # Two: x (m, h, w, c_in), K (k_h, k_w, c_in / groups, c_out).
        ("2d", (2, 4, 3, 2), (2, 2, 2, 3), {}),
        ("2d_batch_of_1_channel_1_to_1", (1, 4, 4, 1), (3, 3, 1, 1), {}),
        ("2d_kernel_of_the_whole_image", (2, 3, 2, 2), (3, 2, 2, 3), {}),
        ("2d_kernel_1_stride_2", (1, 5, 4, 2), (1, 1, 2, 3), dict(stride=(2, 2))),
        ("2d_kernel_1_stride_2_same", (1, 4, 5, 1), (1, 1, 1, 2), dict(stride=(2, 2), padding="same")),
        ("2d_stride_2_left_over", (1, 6, 4, 1), (3, 3, 1, 2), dict(stride=(2, 2))),
        ("2d_stride_2_same", (1, 4, 5, 2), (3, 3, 2, 1), dict(stride=(2, 2), padding="same")),
        ("2d_stride_3_same", (2, 7, 4, 1), (4, 3, 1, 2), dict(stride=(3, 3), padding="same")),
        ("2d_stride_3_over_size_2", (1, 5, 7, 1), (2, 2, 1, 2), dict(stride=(3, 3))),
        ("2d_even_kernel_same", (1, 3, 4, 1), (2, 4, 1, 2), dict(padding="same")),
        ("2d_rectangular_strides_differ", (1, 5, 4, 2), (3, 1, 2, 2), dict(stride=(1, 2))),
        ("2d_pairs_differ", (1, 3, 4, 1), (2, 3, 1, 2), dict(padding=((0, 2), (1, 0)), stride=(2, 1))),
        ("2d_padding_over_size", (1, 2, 2, 1), (2, 1, 1, 1), dict(padding=((3, 2), (1, 2)))),
        ("2d_dilation_2", (1, 5, 4, 1), (3, 2, 1, 2), dict(dilation=(2, 2))),
        ("2d_dilation_2_same", (1, 5, 4, 2), (3, 2, 2, 1), dict(dilation=(2, 2), padding="same")),
        ("2d_dilations_differ_stride_2", (1, 6, 5, 1), (2, 3, 1, 2), dict(dilation=(3, 1), stride=(2, 2))),
        (
            "2d_everything_differs",
            (1, 6, 5, 2),
            (2, 3, 1, 2),
            dict(stride=(3, 2), padding=((1, 0), (2, 1)), dilation=(2, 1), groups=2),
        ),
        ("2d_groups_2", (1, 3, 3, 4), (2, 2, 2, 2), dict(groups=2)),
        ("2d_groups_2_stride_2_same", (2, 4, 5, 4), (3, 2, 2, 6), dict(groups=2, stride=(2, 2), padding="same")),
        ("2d_depthwise", (2, 4, 3, 3), (3, 3, 1, 3), dict(groups=3, padding="same")),
        ("2d_depthwise_times_2", (1, 5, 4, 3), (2, 2, 1, 6), dict(groups=3, stride=(2, 1))),
        ("2d_channel_1_to_2", (2, 3, 3, 1), (2, 2, 1, 2), {}),
        # Few channels, and windows of at least nine places.
        ("1d_large_same", (2, 12, 2), (9, 2, 3), dict(padding="same")),
        ("2d_large", (2, 5, 4, 3), (3, 3, 3, 2), {}),
        ("2d_large_same", (1, 4, 3, 2), (2, 5, 2, 1), dict(padding="same")),
        (
            "2d_large_everything_differs",
            (2, 6, 4, 4),
            (3, 3, 2, 4),
            dict(padding=((0, 4), (3, 1)), dilation=(1, 2), groups=2),
        ),
        ("3d_large", (1, 3, 2, 3, 2), (3, 2, 2, 2, 1), dict(padding=((0, 0), (1, 0), (0, 2)))),
    ]:
        yield _case(rng, name, x, K, **kwargs)


def transposed_cases():
    """Yield the cases of `windows.transposed_convolution`; padding is pairs."""
    rng = np.random.default_rng(2)
    for name, x, K, kwargs in [
        ("1d", (2, 4, 2), (3, 2, 3), dict(padding=((0, 0),))),
        ("1d_batch_of_1_channel_1_to_1", (1, 3, 1), (2, 1, 1), dict(padding=((0, 0),))),
        ("1d_9_places", (1, 4, 1), (3, 1, 2), dict(stride=(2,), padding=((0, 0),))),
        ("1d_10_places", (1, 4, 1), (3, 1, 2), dict(stride=(2,), padding=((0, 0),), output_padding=(1,))),
        ("1d_stride_3_over_size_2", (2, 3, 1), (2, 1, 2), dict(stride=(3,), padding=((0, 0),), output_padding=(2,))),
        ("1d_pairs", (1, 4, 2), (4, 2, 1), dict(stride=(2,), padding=((2, 1),))),
        (
            "1d_padding_output_padding",
            (1, 3, 1),
            (3, 1, 2),
            dict(stride=(2,), padding=((1, 1),), output_padding=(1,)),
        ),
        ("1d_dilation_2", (1, 3, 1), (3, 1, 2), dict(dilation=(2,), padding=((1, 0),))),
        ("1d_groups_2", (1, 3, 4), (2, 2, 2), dict(groups=2, padding=((0, 0),))),
        ("1d_depthwise_times_2", (1, 3, 2), (3, 1, 4), dict(groups=2, stride=(2,), padding=((1, 1),))),
        ("2d", (1, 2, 3, 2), (2, 2, 2, 2), dict(padding=((0, 0), (0, 0)))),
        ("2d_kernel_1_stride_2", (1, 2, 2, 2), (1, 1, 2, 1), dict(stride=(2, 2), padding=((0, 0), (0, 0)))),
        (
            "2d_everything_differs",
            (1, 2, 3, 2),
            (3, 2, 1, 2),
            dict(stride=(2, 3), padding=((1, 0), (1, 1)), dilation=(1, 2), output_padding=(1, 2), groups=2),
        ),
    ]:
        axes = len(x) - 2
        yield _case(rng, name, x, K, **{"output_padding": (0,) * axes, **kwargs})


def pooling_cases():
    """Yield the cases of `pooling.max_pooling` and, with `count_padding`, of `pooling.average_pooling`."""
    rng = np.random.default_rng(3)
    for name, x, size, stride, padding in [
        ("1d", (2, 6, 2), (2,), (2,), "valid"),
        ("1d_overlapping", (1, 7, 2), (3,), (1,), "valid"),
        ("1d_overlapping_same", (2, 6, 1), (3,), (2,), "same"),
        ("1d_stride_3_over_size_2", (1, 9, 1), (2,), (3,), "valid"),
        ("1d_window_of_the_whole_series", (2, 4, 2), (4,), (1,), "valid"),
        ("2d", (2, 4, 4, 2), (2, 2), (2, 2), "valid"),
        ("2d_left_over", (1, 5, 7, 2), (2, 2), (2, 2), "valid"),
        ("2d_overlapping", (1, 5, 5, 1), (3, 3), (2, 2), "valid"),
        ("2d_overlapping_same", (1, 4, 5, 2), (3, 3), (2, 2), "same"),
        ("2d_stride_1_even_same", (1, 3, 4, 1), (2, 2), (1, 1), "same"),
        ("2d_stride_3_over_size_2", (1, 5, 8, 1), (2, 2), (3, 3), "valid"),
        ("2d_rectangular_strides_differ", (1, 5, 6, 1), (3, 2), (1, 3), "valid"),
        ("2d_pairs", (1, 4, 4, 1), (3, 2), (2, 1), ((1, 2), (0, 1))),
        ("2d_window_1_stride_2", (1, 3, 4, 2), (1, 1), (2, 2), "valid"),
        ("2d_window_1_stride_2_same", (1, 4, 3, 1), (1, 1), (2, 2), "same"),
        ("2d_window_of_the_whole_image", (2, 3, 2, 2), (3, 2), (1, 1), "valid"),
    ]:
        ranks = rng.permuted(np.arange(np.prod(x)))
        yield PoolingCase(name, dict(size=size, stride=stride, padding=padding), (ranks / 4 - 3.1).reshape(x))
