"""Points and tolerances of the oracle's tests."""

import numpy as np

from tests.helpers.oracle import activations

EXACT = {"rtol": 1e-13, "atol": 1e-14}


BY_DIFFERENCES = {"rtol": 1e-9, "atol": 1e-10}


POINTS = np.array([-30.0, -10.0, -3.1, -1.0, -0.3, -0.004, 0.004, 0.3, 1.0, 3.1, 10.0, 30.0])


SPECS = [*activations.ACTIVATIONS, ("leaky_relu", 0.2), ("elu", 0.7)]


def binary(rng, *shape):
    return (rng.uniform(size=shape) < 0.5).astype(float)


def assert_same(actual, expected, **tolerance):
    """Compare two sequences of arrays, shapes included: nothing may broadcast."""
    for one, other in zip(actual, expected, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, **tolerance)
