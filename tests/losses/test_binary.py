"""Cross-entropies of binary labels, with positive weights, against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.programs import TOLERANCE

RNG = np.random.default_rng(0)


@pytest.mark.representatives("0.1")
@pytest.mark.parametrize("weight", [0.1, 1.0, 4.0])
def test_positive_weight_multiplies_the_term_of_positive_labels(weight, x64):
    z, y = RNG.normal(size=(6, 3)) * 4, RNG.uniform(size=(6, 3))
    loss, p = jaxnn.sigmoid_cross_entropy(weight), 1 / (1 + np.exp(-z))
    expected = -(weight * y * np.log(p) + (1 - y) * np.log1p(-p)).sum(axis=1)
    np.testing.assert_allclose(loss.value(z, y), expected, **TOLERANCE["float64"])
    np.testing.assert_allclose(loss.gradient(z, y), (1 - y) * p - weight * y * (1 - p), **TOLERANCE["float64"])
    far, inf = jnp.array([np.inf, -np.inf, 1e30, -1e30], jnp.float32), np.inf
    np.testing.assert_allclose(loss.value(far, np.ones(4)), weight * np.array([0, inf, 0, 1e30]), rtol=1e-6)
    np.testing.assert_allclose(loss.value(far, np.zeros(4)), [inf, 0, 1e30, 0], rtol=1e-6)
    np.testing.assert_allclose(loss.gradient(far, np.ones(4)), weight * np.array([0, -1, 0, -1]), rtol=1e-6)
    np.testing.assert_allclose(loss.gradient(far, np.zeros(4)), [1, 0, 1, 0], rtol=1e-6)


def test_invalid_positive_weights_raise():
    for given in (0, -1.0, np.inf, "2", None):
        with pytest.raises(ValueError, match="positive_weight must be positive and finite, got .*: the number of"):
            jaxnn.sigmoid_cross_entropy(given)
