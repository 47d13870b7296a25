"""The oracle's normalizations against difference quotients, known values and each other."""

import numpy as np
import pytest

from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle.normalization import (
    BATCH_NORM,
    LAYER_NORM,
    RMS_NORM,
    d_normalization,
    group_norm,
    normalization,
)
from tests.helpers.oracle_cases import EXACT, assert_same

NORMS = {
    "layer": (LAYER_NORM, (3, 4)),
    "layer_rows": (LAYER_NORM, (2, 3, 2)),
    "rms": (RMS_NORM, (3, 4)),
    "group": (group_norm(2), (2, 2, 3, 4)),
    "group_vectors": (group_norm(3), (3, 6)),
    "batch": (BATCH_NORM, (4, 3)),
    "batch_images": (BATCH_NORM, (2, 2, 3, 2)),
}


@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("name", NORMS)
def test_gradients(rng, name, eps):
    norm, shape = NORMS[name]
    x, gamma, beta, dy = (rng.normal(size=size) for size in (shape, shape[-1:], shape[-1:], shape))
    expected = complex_step(
        lambda x, gamma, beta: np.sum(dy * normalization(norm, x, gamma, beta, eps)), (x, gamma, beta), (0, 1, 2)
    )
    assert_same(d_normalization(norm, x, gamma, dy, eps), expected, rtol=1e-11, atol=1e-13)


def test_known_values():
    """By hand: 1, 3 have mean 2 and variance 1; 3, 4 the mean square 12.5."""
    x, one = np.array([[1.0, 3.0], [7.0, 8.0]]), np.ones(2)
    np.testing.assert_allclose(normalization(LAYER_NORM, x, one, eps=0.0), [[-1, 1], [-1, 1]], **EXACT)
    np.testing.assert_array_equal(normalization(LAYER_NORM, np.full((1, 2), 7.0), one, one), [[1, 1]])
    np.testing.assert_allclose(normalization(BATCH_NORM, x, one, eps=0.0), [[-1, -1], [1, 1]], **EXACT)
    rms = normalization(RMS_NORM, np.array([[3.0, 4.0]]), 2 * one, eps=0.0)
    np.testing.assert_allclose(rms, [[6 / 12.5**0.5, 8 / 12.5**0.5]], **EXACT)
    grouped = normalization(group_norm(2), np.array([[1.0, 3.0, -10.0, 10.0]]), np.ones(4), eps=0.0)
    np.testing.assert_allclose(grouped, [[-1, 1, -1, 1]], **EXACT)


def test_one_group_and_a_group_for_each_channel(rng):
    """One group is layer normalization over places and channels; one for each channel, of each place list alone."""
    x, gamma, beta = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=4), rng.normal(size=4)
    flat = normalization(LAYER_NORM, x.reshape(2, 24), np.tile(gamma, 6), np.tile(beta, 6)).reshape(x.shape)
    np.testing.assert_allclose(normalization(group_norm(1), x, gamma, beta), flat, **EXACT)
    by_channel = normalization(LAYER_NORM, np.moveaxis(x, -1, 1).reshape(2, 4, 6), np.ones(6))
    instance = gamma * np.moveaxis(by_channel.reshape(2, 4, 3, 2), 1, -1) + beta
    np.testing.assert_allclose(normalization(group_norm(4), x, gamma, beta), instance, **EXACT)
