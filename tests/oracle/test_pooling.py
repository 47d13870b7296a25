"""The oracle's pooling, upsampling and padding: values worked out by hand, and gradients against differences."""

import numpy as np
import pytest

from tests.helpers.oracle import pooling
from tests.helpers.oracle.differences import central, complex_step
from tests.helpers.oracle_cases import BY_DIFFERENCES, EXACT, assert_same
from tests.helpers.window_cases import pooling_cases

CASES = list(pooling_cases())
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
COUNTS = pytest.mark.parametrize("count_padding", [True, False])


def series(*numbers):
    """One example of one channel, (1, n, 1)."""
    return np.array(numbers, float).reshape(1, -1, 1)


def image(*rows):
    """One example of one channel, (1, h, w, 1)."""
    return np.array(rows, float)[None, :, :, None]


def series_pooling(x, dy, size, stride, padding="valid"):
    """(y, dx) of the max pooling of one series, each (n,)."""
    kwargs = dict(size=(size,), stride=(stride,), padding=padding)
    y = pooling.max_pooling(series(*x), **kwargs)
    assert y.size == len(dy)
    return y.ravel(), pooling.d_max_pooling(series(*x), **kwargs, dy=series(*dy)).ravel()


def assert_slopes(rng, function, gradient, x, differentiate=complex_step, tolerance=EXACT):
    """Compare gradient(x, dy) with the slopes of the sum of dy * function(x)."""
    dy = rng.normal(size=function(x).shape)
    expected = differentiate(lambda x: np.sum(dy * function(x)), (x,), (0,))
    assert_same([gradient(x, dy)], expected, **tolerance)


@by_name
def test_max_gradients_are_the_slopes(rng, case):
    """Elements of one channel are 1/4 apart, so that no difference reaches a tie."""
    assert_slopes(
        rng,
        lambda x: pooling.max_pooling(x, **case.kwargs),
        lambda x, dy: pooling.d_max_pooling(x, **case.kwargs, dy=dy),
        case.x,
        central,
        BY_DIFFERENCES,
    )


@by_name
@COUNTS
def test_average_gradients_are_the_slopes(rng, case, count_padding):
    assert_slopes(
        rng,
        lambda x: pooling.average_pooling(x, **case.kwargs, count_padding=count_padding),
        lambda x, dy: pooling.d_average_pooling(x, **case.kwargs, count_padding=count_padding, dy=dy),
        case.x,
    )


@pytest.mark.parametrize("shape", [(2, 5, 2), (1, 3, 1), (2, 3, 2, 2), (1, 1, 1, 1)])
def test_other_gradients_are_the_slopes(rng, shape):
    x, axes = rng.permutation(np.prod(shape)).reshape(shape) / 4, len(shape) - 2
    factors, widths = (2, 3)[:axes], ((1, 2), (0, -1))[:axes]
    assert_slopes(
        rng,
        pooling.global_max_pooling,
        pooling.d_global_max_pooling,
        x,
        differentiate=central,
        tolerance=BY_DIFFERENCES,
    )
    assert_slopes(rng, pooling.global_average_pooling, pooling.d_global_average_pooling, x)
    assert_slopes(rng, lambda x: pooling.upsampling(x, factors), lambda x, dy: pooling.d_upsampling(x, factors, dy), x)
    assert_slopes(
        rng, lambda x: pooling.padding(x, widths, 0.5), lambda x, dy: pooling.d_padding(x, widths, 0.5, dy), x
    )


def test_max_by_hand():
    """Windows (1 5 2), (2 4 3): dy goes to 5 and to 4. With stride 1 every dy but the last goes to the 5 or the 4."""
    y, dx = series_pooling((1, 5, 2, 4, 3), (10, 20), size=3, stride=2)
    np.testing.assert_array_equal(y, [5, 4])
    np.testing.assert_array_equal(dx, [0, 10, 0, 20, 0])
    y, dx = series_pooling((1, 5, 2, 4, 3), (10, 20, 40), size=3, stride=1)
    np.testing.assert_array_equal(y, [5, 5, 4])
    np.testing.assert_array_equal(dx, [0, 30, 0, 40, 0])
    # Places that no window reads: stride 3 over size 2, the largest of all being one of them.
    y, dx = series_pooling((1, 2, 9, 4, 3, 8), (10, 20), size=2, stride=3)
    np.testing.assert_array_equal(y, [2, 4])
    np.testing.assert_array_equal(dx, [0, 10, 0, 20, 0, 0])


def test_ties_go_to_the_first_in_row_major_order():
    x, dy = image([1, 3, 3], [3, 3, 0]), image([10, 20])
    kwargs = dict(size=(2, 2), stride=(1, 1), padding="valid")
    np.testing.assert_array_equal(pooling.max_pooling(x, **kwargs), image([3, 3]))
    # Both windows have their first 3 in the first row, at column 1.
    np.testing.assert_array_equal(pooling.d_max_pooling(x, **kwargs, dy=dy), image([0, 30, 0], [0, 0, 0]))
    zeros = np.zeros((1, 2, 4, 1))
    dx = pooling.d_max_pooling(zeros, (2, 2), (2, 2), "valid", image([10, 20]))
    np.testing.assert_array_equal(dx, image([10, 0, 20, 0], [0, 0, 0, 0]))
    # A row comes before a column: of [[0, 1], [1, 0]] the 1 of the first row is first.
    dx = pooling.d_max_pooling(image([0, 1], [1, 0]), (2, 2), (1, 1), "valid", image([7]))
    np.testing.assert_array_equal(dx, image([0, 7], [0, 0]))
    # 0 and -0 are equal, and so are infinities.
    np.testing.assert_array_equal(series_pooling((-0.0, 0.0), (7,), 2, 1)[1], [7, 0])
    np.testing.assert_array_equal(series_pooling((np.inf, np.inf), (7,), 2, 1)[1], [7, 0])
    np.testing.assert_array_equal(series_pooling((-np.inf, -np.inf), (7,), 2, 1)[1], [7, 0])


def test_padding_is_never_the_largest():
    y, dx = series_pooling((-3, -5), (10, 20, 40), size=2, stride=1, padding=((1, 1),))
    np.testing.assert_array_equal(y, [-3, -3, -5])
    np.testing.assert_array_equal(dx, [30, 40])
    # Not even over -inf, which padding is equal to.
    y, dx = series_pooling((-np.inf,), (10,), size=2, stride=1, padding=((1, 0),))
    np.testing.assert_array_equal(y, [-np.inf])
    np.testing.assert_array_equal(dx, [10])


def test_windows_of_padding_alone():
    y, dx = series_pooling((1, 2), (10, 20, 40), size=1, stride=2, padding=((1, 3),))
    np.testing.assert_array_equal(y, [-np.inf, 2, -np.inf])
    np.testing.assert_array_equal(dx, [0, 20])
    kwargs = dict(size=(1,), stride=(2,), padding=((1, 3),))
    for count_padding, alone in [(True, 0), (False, np.nan)]:
        y = pooling.average_pooling(series(1, 2), **kwargs, count_padding=count_padding)
        np.testing.assert_array_equal(y, series(alone, 2, alone))
        dx = pooling.d_average_pooling(series(1, 2), **kwargs, count_padding=count_padding, dy=series(10, 20, 40))
        np.testing.assert_array_equal(dx, series(0, 20))


def test_nan_passes_nothing():
    """Whether it comes before or after the largest; a window without it is as ever, and so is another channel."""
    y, dx = series_pooling((5, np.nan, 1, 2), (10, 20, 40), size=2, stride=1)
    np.testing.assert_array_equal(y, [np.nan, np.nan, 2])
    np.testing.assert_array_equal(dx, [0, 0, 0, 40])
    x = np.array([[[np.nan, 1.0], [2, 3]]])
    dy = np.array([[[10.0, 20]]])
    np.testing.assert_array_equal(pooling.max_pooling(x, (2,), (1,), "valid"), [[[np.nan, 3]]])
    np.testing.assert_array_equal(pooling.d_max_pooling(x, (2,), (1,), "valid", dy), [[[0, 0], [0, 20]]])
    np.testing.assert_array_equal(pooling.global_max_pooling(x), [[np.nan, 3]])
    np.testing.assert_array_equal(pooling.d_global_max_pooling(x, dy[0]), [[[0, 0], [0, 20]]])


def test_average_by_hand():
    x = series(1, 5, 3, 7)
    kwargs = dict(size=(2,), stride=(1,), padding=((1, 0),))
    counted = pooling.average_pooling(x, **kwargs, count_padding=True)
    np.testing.assert_array_equal(counted, series(0.5, 3, 4, 5))
    left_out = pooling.average_pooling(x, **kwargs, count_padding=False)
    np.testing.assert_array_equal(left_out, series(1, 3, 4, 5))
    dy = series(8, 2, 4, 6)
    dx = pooling.d_average_pooling(x, **kwargs, count_padding=True, dy=dy)
    np.testing.assert_array_equal(dx, series(5, 3, 5, 3))
    dx = pooling.d_average_pooling(x, **kwargs, count_padding=False, dy=dy)
    np.testing.assert_array_equal(dx, series(9, 3, 5, 3))
    x = image([1, 2, 3], [4, 5, 6])
    y = pooling.average_pooling(x, (2, 2), (1, 1), "same", count_padding=False)
    np.testing.assert_array_equal(y, image([3, 4, 4.5], [4.5, 5.5, 6]))
    y = pooling.average_pooling(x, (2, 2), (2, 2), "same", count_padding=True)
    np.testing.assert_array_equal(y, image([3, 2.25]))


def test_global_by_hand():
    x = np.array([[[[1.0, 8], [4, 8]], [[4, 2], [3, 6]]]])
    np.testing.assert_array_equal(pooling.global_max_pooling(x), [[4, 8]])
    dx = pooling.d_global_max_pooling(x, np.array([[10.0, 20]]))
    np.testing.assert_array_equal(dx, [[[[0, 20], [10, 0]], [[0, 0], [0, 0]]]])
    np.testing.assert_array_equal(pooling.global_average_pooling(x), [[3, 6]])
    dx = pooling.d_global_average_pooling(x, np.array([[4.0, 8]]))
    np.testing.assert_array_equal(dx, np.broadcast_to([1.0, 2], (1, 2, 2, 2)))


@by_name
def test_global_is_one_window_over_the_whole_image(rng, case):
    spatial, dy = case.x.shape[1:-1], rng.normal(size=(case.x.shape[0], case.x.shape[-1]))
    kwargs = dict(size=spatial, stride=(1,) * len(spatial), padding="valid")
    places = tuple(range(1, case.x.ndim - 1))
    x, dys = np.round(case.x / 3), np.expand_dims(dy, places)  # with ties
    np.testing.assert_array_equal(pooling.global_max_pooling(x), pooling.max_pooling(x, **kwargs).squeeze(places))
    expected = pooling.d_max_pooling(x, **kwargs, dy=dys)
    np.testing.assert_array_equal(pooling.d_global_max_pooling(x, dy), expected)
    average = pooling.average_pooling(x, **kwargs, count_padding=False)
    np.testing.assert_allclose(pooling.global_average_pooling(x), average.squeeze(places), **EXACT)
    expected = pooling.d_average_pooling(x, **kwargs, count_padding=False, dy=dys)
    assert_same([pooling.d_global_average_pooling(x, dy)], [expected], **EXACT)


def test_upsampling_by_hand():
    np.testing.assert_array_equal(pooling.upsampling(series(1, 2), (3,)), series(1, 1, 1, 2, 2, 2))
    y = pooling.upsampling(image([1, 2]), (3, 2))
    np.testing.assert_array_equal(y, image(*[[1, 1, 2, 2]] * 3))
    dx = pooling.d_upsampling(image([1, 2]), (2, 2), image([1, 10, 2, 20], [100, 1000, 200, 2000]))
    np.testing.assert_array_equal(dx, image([1111, 2222]))
    x = image([1, 2], [3, 4])
    np.testing.assert_array_equal(pooling.upsampling(x, (1, 1)), x)


def test_padding_by_hand():
    np.testing.assert_array_equal(pooling.padding(series(1, 2), ((1, 2),), 7.0), series(7, 1, 2, 7, 7))
    y = pooling.padding(image([1, 2], [3, 4]), ((0, 1), (2, 0)), 0.0)
    np.testing.assert_array_equal(y, image([0, 0, 1, 2], [0, 0, 3, 4], [0, 0, 0, 0]))
    np.testing.assert_array_equal(pooling.padding(series(1, 2, 3), ((-1, 1),), 7.0), series(2, 3, 7))
    dx = pooling.d_padding(series(1, 2), ((1, 2),), 7.0, series(1, 2, 3, 4, 5))
    np.testing.assert_array_equal(dx, series(2, 3))
    dx = pooling.d_padding(series(1, 2, 3), ((-1, 1),), 7.0, series(5, 6, 7))
    np.testing.assert_array_equal(dx, series(0, 5, 6))


def test_cases_have_names_and_keep_their_numbers():
    assert len({case.name for case in CASES}) == len(CASES)
    for one, other in zip(CASES, pooling_cases(), strict=True):
        assert one.kwargs == other.kwargs
        np.testing.assert_array_equal(one.x, other.x)
