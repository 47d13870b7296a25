"""Mean absolute error and R² against scikit-learn."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxnn.metrics import mean_absolute_error, r_squared
from tests.helpers.programs import compiled

RNG = np.random.default_rng(0)
Y = RNG.normal(3, 2, (50, 3))
P = Y + RNG.normal(size=Y.shape)
WEIGHTS = [None, RNG.uniform(size=50), np.arange(50) % 3]
METRICS = {mean_absolute_error: sklearn.metrics.mean_absolute_error, r_squared: sklearn.metrics.r2_score}
each = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)


@pytest.mark.parametrize("weight", WEIGHTS, ids=["none", "fractions", "whole"])
@each
def test_it_is_scikit_learns(metric, weight):
    def check(predicted, y):
        expected = METRICS[metric](y.reshape(50, -1), predicted.reshape(50, -1), sample_weight=weight)
        np.testing.assert_allclose(metric(predicted, y, weight), expected, rtol=2e-5)

    check(P, Y)
    check(P[:, 0], Y[:, 0])
    check(P[:, :1], Y[:, 0])
    check(P.round(), Y.round().astype(int))
    check(1e6 + P[:, 0].round(), 1e6 + Y[:, 0].round())


@each
def test_in_a_program_and_side_by_side(metric):
    members = jnp.asarray(np.stack([P, Y, 2 * P]), jnp.float32)
    got = compiled(jax.vmap(lambda p: metric(p, jnp.asarray(Y), jnp.asarray(WEIGHTS[1]))))(members)
    np.testing.assert_allclose(got, [metric(p, Y, WEIGHTS[1]) for p in members], rtol=1e-5, atol=1e-6)


@each
def test_examples_of_weight_0_have_no_influence(metric):
    weight = np.append(np.ones(50), [0, 0])
    more = [np.concatenate([a, np.full((2, 3), np.nan)]) for a in (P, Y)]
    np.testing.assert_allclose(metric(*more, weight), metric(P, Y), rtol=1e-6)
    assert np.isnan(metric(P, Y, np.zeros(50)))


@pytest.mark.parametrize("unit", [1e-30, 1e-20, 1e20, 1e36])
def test_r_squared_does_not_depend_on_the_unit(unit):
    for predicted, y in ((P[:, 0], Y[:, 0]), ([2.0, 2, 2.5], [1.0, 2, 3]), ([5.0, -9, 10], [1.0, 2, 3])):
        given = [jnp.asarray(np.asarray(a) * unit, jnp.float32) for a in (predicted, y)]
        np.testing.assert_allclose(r_squared(*given), sklearn.metrics.r2_score(y, predicted), rtol=1e-5)


def test_differences_of_large_numbers_are_those_of_numpy():
    assert mean_absolute_error(np.array([10**9, 10**9 + 50]), np.array([10**9, 10**9 + 30])) == 10
    y = 1e9 + Y[:, 0]
    np.testing.assert_allclose(
        r_squared(y + P[:, 1] - Y[:, 1], y), r_squared(Y[:, 0] + P[:, 1] - Y[:, 1], Y[:, 0]), rtol=1e-5
    )


@pytest.mark.full
def test_r_squared_of_a_constant():
    """As scikit-learn: 1 for perfect predictions, else 0; also for one whose mean is rounded, where that one is not."""
    constant = np.full(7, 0.5)
    for predicted in (constant, constant + 1):
        expected = sklearn.metrics.r2_score(constant, predicted)
        assert r_squared(predicted, constant) == compiled(r_squared)(predicted, constant) == expected
    assert (r_squared(np.full(7, 0.1), np.full(7, 0.1)), r_squared(np.full(7, 1.1), np.full(7, 0.1))) == (1, 0)
    predicted, y = np.stack([constant, P[:7, 0]], 1), np.stack([constant, Y[:7, 0]], 1)
    np.testing.assert_allclose(r_squared(predicted, y), sklearn.metrics.r2_score(y, predicted), rtol=1e-5)
    beside = np.append(constant, 100.0)  # of weight 0
    assert r_squared(beside, beside, np.append(np.ones(7), 0)) == 1


def test_r_squared_is_0_for_the_mean_and_nan_for_nan():
    np.testing.assert_allclose(r_squared(np.full(50, Y[:, 0].mean()), Y[:, 0]), 0, atol=1e-6)
    for metric in METRICS:
        assert np.isnan(metric(np.full(5, np.nan), np.arange(5)))


def test_half_precision_is_added_up_in_float32():
    y = np.arange(3000) % 7
    got = mean_absolute_error(jnp.asarray(y + 1, jnp.bfloat16), jnp.asarray(y, jnp.bfloat16))
    assert (got.dtype, float(got)) == (jnp.float32, 1.0)


@pytest.mark.parametrize(
    ("predicted", "y"), [((5,), (4,)), ((5, 2), (5,)), ((0,), (0,)), ((), ()), ((5,), (1, 5)), ((5, 1, 1), (5, 1, 1))]
)
@each
def test_shapes_that_do_not_fit_raise(metric, predicted, y):
    with pytest.raises(ValueError, match=re.escape(f"(m,) or (m, k), got {predicted} and {y}")):
        metric(np.zeros(predicted), np.zeros(y))
