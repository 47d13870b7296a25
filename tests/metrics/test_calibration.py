"""Calibration, against loops over examples and scikit-learn's calibration curve."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.calibration import calibration_curve

import jaxnn
from tests.helpers.programs import compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
M = 300
BINARY = RNG.beta(0.5, 0.5, M), RNG.integers(0, 2, M)
MANY = RNG.dirichlet(np.full(4, 0.4), M), RNG.integers(0, 4, M)
CASES = {"binary": BINARY, "column": (BINARY[0][:, None], BINARY[1]), "many": MANY, "bytes": (MANY[0], MANY[1] % 2)}


def by_loops(p, y, bins):
    """Compute from the definition, one example at a time, with bins ((b - 1)/bins, b/bins], and 0 in the first."""
    sums = np.zeros((bins, 3))
    for p_i, y_i in zip(p.reshape(len(p), -1).tolist(), y.tolist(), strict=True):
        guess = 1 if len(p_i) == 1 else p_i.index(max(p_i))
        b = next(b for b in range(bins) if max(p_i) <= (b + 1) / bins or b == bins - 1)
        sums[b] += 1, max(p_i), y_i == guess
    used = sums[:, 0] > 0
    means = np.full((bins, 2), np.nan)
    means[used] = sums[used, 1:] / sums[used, :1]
    ece = sum(n / len(p) * abs(right / n - confidence / n) for n, confidence, right in sums if n)
    return means[:, 0], means[:, 1], sums[:, 0], ece


@partial(compiled, static_argnums=2)
def both(p, y, bins):
    return jaxnn.metrics.reliability_curve(p, y, bins), jaxnn.metrics.expected_calibration_error(p, y, bins)


@pytest.mark.representatives("binary-10", "many-47", "bytes-1")
@pytest.mark.parametrize("bins", [1, 10, 47])
@pytest.mark.parametrize("name", CASES)
def test_calibration_is_that_of_the_loops(name, bins, x64):
    p, y = CASES[name]
    *expected, expected_ece = by_loops(p, y, bins)
    curve, ece = both(p, y, bins)
    for ours, theirs in zip(curve, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(ece, expected_ece, rtol=1e-12)


@pytest.mark.representatives("10")
@pytest.mark.parametrize("bins", [3, 10])
def test_curve_is_scikit_learns(bins, x64):
    p, y = BINARY
    right = (MANY[0].argmax(axis=1) == MANY[1]).astype(int)
    for ours, theirs in (
        (both(p, y, bins)[0], calibration_curve(y, p, n_bins=bins)),
        (both(*MANY, bins)[0], calibration_curve(right, MANY[0].max(axis=1), n_bins=bins)),
    ):
        used = ours.count > 0
        np.testing.assert_allclose(ours.accuracy[used], theirs[0], rtol=1e-12)
        np.testing.assert_allclose(ours.confidence[used], theirs[1], rtol=1e-12)


def test_ends_and_edges_have_a_bin():
    """An edge belongs to the bin below it, 0 to the first, also in float32, where 0.3 is a little more."""
    p = jnp.array([0.0, 0.1, 0.3, 0.7, 1.0], jnp.float32)
    assert jaxnn.metrics.reliability_curve(p, jnp.ones(5)).count.tolist() == [2, 0, 1, 0, 0, 0, 1, 0, 0, 1]


def test_calibrated_and_deceived():
    """The error is 0 if confidence equals accuracy, and 1 if predictions are confident and always wrong."""
    p, y = jnp.repeat(jnp.array([0.25, 0.75]), 4), jnp.array([1, 0, 0, 0, 1, 1, 1, 0])
    assert both(p, y, 10)[1] == 0
    assert both(jnp.array([1.0, 0.0]), jnp.array([0, 1]), 10)[1] == 1
    assert both(jnp.eye(3), jnp.array([1, 2, 0]), 10)[1] == 1


def test_errors_of_one_bin_cancel():
    """Over all examples at once: |share of class 1 - mean probability|."""
    p, y = BINARY
    np.testing.assert_allclose(both(p, y, 1)[1], abs(y.mean() - p.mean()), rtol=1e-5)


@pytest.mark.full
def test_in_programs_and_over_populations():
    p, y = jnp.asarray(MANY[0], jnp.float32), jnp.asarray(MANY[1])
    curve, ece = both(p, y, 10)
    for ours, theirs in zip(curve, jaxnn.metrics.reliability_curve(p, y), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    many = compiled(jax.vmap(jaxnn.metrics.expected_calibration_error, in_axes=(0, None)))(jnp.stack([p, p[::-1]]), y)
    np.testing.assert_allclose(many, [ece, both(p[::-1], y, 10)[1]], rtol=1e-6)


def test_many_examples_in_half_precision_are_all_counted():
    n = 70_000
    curve = both(jnp.full(n, 0.5, jnp.bfloat16), jnp.zeros(n, jnp.uint8), 2)[0]
    assert curve.count.tolist() == [n, 0]
    assert curve.confidence[0] == 0.5 and curve.confidence.dtype == jnp.float32


@pytest.mark.parametrize("label", [-1, 0.5, 4])
def test_invalid_labels_give_nan(label):
    assert np.isnan(jaxnn.metrics.expected_calibration_error(MANY[0][:2], np.array([0, label])))
    assert np.isnan(jaxnn.metrics.expected_calibration_error(BINARY[0][:2], np.array([0, label])))


def test_a_probability_of_nan_stays_one():
    assert np.isnan(jaxnn.metrics.expected_calibration_error(np.array([0.5, np.nan]), np.array([0, 1])))


@pytest.mark.parametrize(
    ("p", "y", "bins", "message"),
    [
        (np.ones(5), np.ones(4), 10, r"probabilities and y must be .*, got \(5,\) and \(4,\)"),
        (np.ones((5, 2)), np.ones((5, 2)), 10, "probabilities and y must be .*, got"),
        (np.ones((5, 2, 1)), np.ones(5), 10, "probabilities and y must be .*, got"),
        (np.ones(0), np.ones(0), 10, "probabilities and y must be .*, got"),
        (
            np.array([-3.0, 2.0]),
            np.ones(2),
            10,
            r"probabilities must be from 0 to 1, got -3.0 to 2.0: model.predict_proba",
        ),
        (np.ones(5), np.ones(5), 0, "whole number of at least 1, got 0"),
        (np.ones(5), np.ones(5), 2.5, "whole number of at least 1, got 2.5"),
        (np.ones(5), np.ones(5), True, "whole number of at least 1, got True"),
        (np.ones(5), np.ones(5), "10", "whole number of at least 1, got '10'"),
        (["a"] * 5, np.ones(5), 10, r"probabilities must be real numbers, got <U1 \(5,\)"),
    ],
)
def test_what_raises(p, y, bins, message):
    for measure in (jaxnn.metrics.reliability_curve, jaxnn.metrics.expected_calibration_error):
        with pytest.raises(ValueError, match=message):
            measure(p, y, bins)
