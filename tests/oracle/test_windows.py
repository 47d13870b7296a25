"""The oracle's convolutions: values worked out by hand, and gradients against complex steps."""

import numpy as np
import pytest

from tests.helpers.oracle import windows
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle.windows import (
    convolution,
    d_convolution,
    d_transposed_convolution,
    same_padding,
    transposed_convolution,
)
from tests.helpers.oracle_cases import EXACT, assert_same
from tests.helpers.window_cases import WindowCase, convolution_cases, transposed_cases

SERIES = dict(stride=(1,), padding="valid", dilation=(1,), groups=1)
IMAGE = dict(stride=(1, 1), padding="valid", dilation=(1, 1), groups=1)
CONVOLUTIONS, TRANSPOSED = list(convolution_cases()), list(transposed_cases())
by_name = pytest.mark.parametrize("case", [*CONVOLUTIONS, *TRANSPOSED], ids=lambda case: case.name)


def functions(case):
    """The value and the gradient that a case belongs to."""
    if "output_padding" in case.kwargs:
        return transposed_convolution, d_transposed_convolution
    return convolution, d_convolution


def series(*numbers):
    """One example of one channel, (1, n, 1)."""
    return np.array(numbers, float).reshape(1, -1, 1)


def kernel(*numbers):
    """One filter of one channel, (k, 1, 1)."""
    return np.array(numbers, float).reshape(-1, 1, 1)


def convolved(x, K, b=0.0, **kwargs):
    """Numbers (n,) of a convolution of one series and one filter."""
    return convolution(series(*x), kernel(*K), np.array([b]), **{**SERIES, **kwargs}).ravel().tolist()


def transposed(x, K, b=0.0, **kwargs):
    kwargs = {**SERIES, "padding": ((0, 0),), "output_padding": (0,), **kwargs}
    return transposed_convolution(series(*x), kernel(*K), np.array([b]), **kwargs).ravel().tolist()


@pytest.mark.representatives(
    "2d_depthwise_times_2",
    "2d_even_kernel_same",
    "2d_everything_differs0",
    "2d_large_same",
    "2d_rectangular_strides_differ",
    "2d_stride_2_same",
)
@by_name
def test_gradients_are_the_slopes(rng, case):
    function, gradient = functions(case)
    dy = rng.normal(size=function(case.x, case.K, case.b, **case.kwargs).shape)
    expected = complex_step(
        lambda x, K, b: np.sum(dy * function(x, K, b, **case.kwargs)), (case.x, case.K, case.b), (0, 1, 2)
    )
    assert_same(gradient(case.x, case.K, case.b, **case.kwargs, dy=dy), expected, **EXACT)


def test_gradients_with_three_spatial_axes(rng):
    kwargs = dict(stride=(1, 2, 1), padding=((0, 1), (0, 0), (1, 0)), dilation=(1, 1, 2), groups=1)
    x, K, b = rng.normal(size=(1, 2, 4, 3, 1)), rng.normal(size=(2, 2, 2, 1, 2)), rng.normal(size=2)
    y = convolution(x, K, b, **kwargs)
    assert y.shape == (1, 2, 2, 2, 2)
    dy = rng.normal(size=y.shape)
    expected = complex_step(lambda x, K, b: np.sum(dy * convolution(x, K, b, **kwargs)), (x, K, b), (0, 1, 2))
    assert_same(d_convolution(x, K, b, **kwargs, dy=dy), expected, **EXACT)


def test_series_by_hand():
    """The filter (1, 10, 100) of the series 1 2 3 4 5, b = 0.5 or 0; it is not flipped."""
    x, K = (1, 2, 3, 4, 5), (1, 10, 100)
    assert convolved(x, K, 0.5) == [321.5, 432.5, 543.5]
    assert convolved(x, K, stride=(2,)) == [321, 543]
    assert convolved(x, K, stride=(3,)) == [321]
    assert convolved(x, K, padding=((1, 1),)) == [210, 321, 432, 543, 54]
    assert convolved(x, K, padding=((2, 0),)) == [100, 210, 321, 432, 543]
    assert convolved(x, K, dilation=(2,)) == [531]
    assert convolved(x, K, dilation=(2,), padding=((4, 0),)) == [100, 200, 310, 420, 531]
    assert convolved(x, K, padding=((3, 3),), stride=(4,), b=0.5) == [0.5, 432.5, 0.5]
    assert convolved(x, (7,), stride=(2,)) == [7, 21, 35]
    assert convolved(x, (1, 10), stride=(3,)) == [21, 54]
    assert convolved((3,), (2,), 1) == [7]


def test_same_by_hand():
    """ceil(n / s) places; of an odd number of padding places, the last is at the end."""
    x = (1, 2, 3, 4, 5)
    assert convolved(x, (1, 10, 100), padding="same") == [210, 321, 432, 543, 54]
    assert convolved(x, (1, 10), padding="same") == [21, 32, 43, 54, 5]
    assert convolved(x, (1, 10), padding="same", stride=(2,)) == [21, 43, 5]
    assert convolved((1, 2, 3, 4), (1, 10, 100), padding="same", stride=(2,)) == [321, 43]
    assert convolved((1, 2, 3), (1, 10, 100), padding="same", dilation=(2,)) == [310, 20, 31]
    # Where the stride is over the size, places may be left over, and nothing is padded, nor cut.
    assert convolved((1, 2, 3, 4), (7,), padding="same", stride=(2,)) == [7, 21]
    for n, size, stride, dilation, pair in [
        (5, 3, 1, 1, (1, 1)),
        (5, 2, 1, 1, (0, 1)),
        (5, 4, 1, 1, (1, 2)),
        (5, 3, 2, 1, (1, 1)),
        (4, 3, 2, 1, (0, 1)),
        (28, 5, 2, 1, (1, 2)),
        (224, 7, 2, 1, (2, 3)),
        (5, 3, 1, 2, (2, 2)),
        (5, 1, 2, 1, (0, 0)),
        (6, 1, 2, 1, (0, 0)),
        (9, 2, 3, 1, (0, 0)),
        (8, 2, 3, 1, (0, 0)),
        (7, 2, 3, 1, (0, 1)),
        (1, 1, 1, 1, (0, 0)),
        (2, 5, 3, 1, (1, 2)),
    ]:
        assert same_padding(n, size, stride, dilation) == pair
        [places] = windows.output_places((n,), (size,), (stride,), (pair,), (dilation,))
        assert places == -(-n // stride)


def test_image_by_hand():
    """Rows before columns, axis by axis, in x, K and y."""
    x = np.array([[1.0, 2, 3], [4, 5, 6]]).reshape(1, 2, 3, 1)
    K = np.array([[1.0, 10], [100, 1000]]).reshape(2, 2, 1, 1)
    y = convolution(x, K, np.array([0.5]), **IMAGE)
    np.testing.assert_array_equal(y[0, :, :, 0], [[5421.5, 6532.5]])
    y = convolution(x, K, np.array([0.0]), **{**IMAGE, "stride": (1, 2), "padding": ((1, 0), (0, 1))})
    np.testing.assert_array_equal(y[0, :, :, 0], [[2100, 300], [5421, 603]])
    y = convolution(x, K, np.array([0.0]), **{**IMAGE, "padding": ((0, 0), (0, 0)), "dilation": (1, 2)})
    np.testing.assert_array_equal(y[0, :, :, 0], [[6431]])


def test_channels_by_hand():
    """A place with channels 1, 2, 3, 4, or 5, 6, 7, 8 of another example; o counts across the groups."""
    x = np.array([[[1.0, 2, 3, 4]], [[5, 6, 7, 8]]])
    b = np.array([0.5, 0.25])
    K = np.array([[[1.0, 2], [10, 20], [100, 200], [1000, 2000]]])
    y = convolution(x, K, b, **SERIES)
    np.testing.assert_array_equal(y, [[[4321.5, 8642.25]], [[8765.5, 17530.25]]])
    K = np.array([[[1.0, 2], [10, 20]]])
    y = convolution(x, K, b, **{**SERIES, "groups": 2})
    np.testing.assert_array_equal(y, [[[21.5, 86.25]], [[65.5, 174.25]]])
    K = np.array([[[1.0, 10, 1, 10, 1, 10, 1, 10]]])
    y = convolution(x, K, np.zeros(8), **{**SERIES, "groups": 4})
    np.testing.assert_array_equal(y[0, 0], [1, 10, 2, 20, 3, 30, 4, 40])


def test_overlapping_windows_add():
    """x = 1 2 3, K = 1 10, dy = 2 5: the middle place of x is in both windows."""
    dx, dK, db = d_convolution(series(1, 2, 3), kernel(1, 10), np.zeros(1), **SERIES, dy=series(2, 5))
    np.testing.assert_array_equal(dx.ravel(), [2, 25, 50])
    np.testing.assert_array_equal(dK.ravel(), [12, 19])
    np.testing.assert_array_equal(db, [7])


def test_places_that_no_window_reads_have_no_gradient():
    """Stride 3 over size 2 of 9 places, and stride 2 of 6 with size 3."""
    for size, stride, n, unread in [(2, 3, 9, [2, 5, 8]), (3, 2, 6, [5])]:
        kwargs = {**SERIES, "stride": (stride,)}
        x, K, b = np.ones((1, n, 1)), np.ones((size, 1, 1)), np.zeros(1)
        y = convolution(x, K, b, **kwargs)
        dx, _, _ = d_convolution(x, K, b, **kwargs, dy=np.ones(y.shape))
        assert np.flatnonzero(dx.ravel() == 0).tolist() == unread


def test_transposed_by_hand():
    """Each number of x puts its multiple of the filter into y."""
    assert transposed((1, 2), (1, 10, 100)) == [1, 12, 120, 200]
    assert transposed((1, 2), (1, 10, 100), 0.5) == [1.5, 12.5, 120.5, 200.5]
    assert transposed((1, 2), (1, 10, 100), stride=(2,)) == [1, 10, 102, 20, 200]
    assert transposed((1, 2), (1, 10, 100), stride=(2,), padding=((1, 0),)) == [10, 102, 20, 200]
    assert transposed((1, 2), (1, 10, 100), stride=(2,), padding=((0, 2),)) == [1, 10, 102]
    assert transposed((1, 2), (1, 10), dilation=(2,)) == [1, 2, 10, 20]
    assert transposed((1, 2), (1, 10), 0.5, stride=(3,), output_padding=(1,)) == [1.5, 10.5, 0.5, 2.5, 20.5, 0.5]
    # An output padding uncovers what the padding cut.
    assert transposed((1, 2), (1, 10, 100), stride=(2,), padding=((1, 1),), output_padding=(1,)) == [10, 102, 20, 200]
    assert transposed((3,), (2,), 1) == [7]


def test_transposed_channels_by_hand():
    """c_in of K is x's, c_out is y's, and both are cut into groups."""
    x = np.array([[[1.0, 2, 3, 4]]])
    kwargs = {**SERIES, "padding": ((0, 0),), "output_padding": (0,)}
    K = np.array([[[1.0], [10], [100], [1000]]])
    np.testing.assert_array_equal(transposed_convolution(x, K, np.array([0.5]), **kwargs), [[[4321.5]]])
    K = np.array([[[1.0, 2], [10, 20]]])
    y = transposed_convolution(x, K, np.zeros(2), **{**kwargs, "groups": 2})
    np.testing.assert_array_equal(y, [[[21, 86]]])


def test_9_and_10_places_both_give_4():
    """At k = 3, s = 2; the output padding of the transposed convolution decides."""
    for n, more in [(9, 0), (10, 1)]:
        assert len(convolved(range(n), (1, 1, 1), stride=(2,))) == 4
        assert len(transposed(range(4), (1, 1, 1), stride=(2,), output_padding=(more,))) == n


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: case.name)
def test_transposed_convolution_is_dx(rng, case):
    """With the filters' channel axes exchanged within each group, and what the stride leaves over as output padding."""
    kwargs, groups = case.kwargs, case.kwargs["groups"]
    spatial, size, stride, dilation = case.x.shape[1:-1], case.K.shape[:-2], kwargs["stride"], kwargs["dilation"]
    padding = windows.padding_pairs(kwargs["padding"], spatial, size, stride, dilation)
    more = tuple(
        (n + low + high - d * (k - 1) - 1) % s
        for n, (low, high), d, k, s in zip(spatial, padding, dilation, size, stride, strict=True)
    )
    exchanged = np.concatenate([np.swapaxes(K, -1, -2) for K in np.split(case.K, groups, axis=-1)], axis=-1)
    dy = rng.normal(size=convolution(case.x, case.K, case.b, **kwargs).shape)
    forward = transposed_convolution(
        dy, exchanged, np.zeros(case.x.shape[-1]), **{**kwargs, "padding": padding, "output_padding": more}
    )
    assert_same([forward], [d_convolution(case.x, case.K, case.b, **kwargs, dy=dy)[0]], **EXACT)


def test_cases_have_names_and_keep_their_numbers():
    for make in (convolution_cases, transposed_cases):
        first, second = list(make()), list(make())
        assert len({case.name for case in first}) == len(first)
        for one, other in zip(first, second, strict=True):
            assert isinstance(one, WindowCase) and one.kwargs == other.kwargs
            assert_same(one[2:], other[2:], rtol=0)
            assert one.K.shape[-2] * one.kwargs["groups"] == one.x.shape[-1]
