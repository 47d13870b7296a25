"""The oracle's logistic regression: three forms, one gradient."""

import numpy as np
import pytest

from tests.helpers.oracle import logistic
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle_cases import EXACT, assert_same, binary

FORMS = [logistic.double_loop, logistic.example_loop, logistic.vectorized]


def logistic_case(rng, n_x=4, m=9):
    return rng.normal(size=(n_x, 1)), float(rng.normal()), rng.normal(size=(n_x, m)), binary(rng, 1, m)


def test_logistic_forms_agree(rng):
    for n_x, m in [(4, 9), (1, 1), (12, 3)]:
        case = logistic_case(rng, n_x, m)
        results = [form(*case) for form in FORMS]
        assert results[0][1].shape == (n_x, 1)
        assert_same(results[1], results[0], rtol=1e-14, atol=1e-14)
        assert_same(results[2], results[0], rtol=1e-14, atol=1e-14)


def test_logistic_gradient_and_cost(rng):
    w, b, X, Y = logistic_case(rng)
    J, dw, db = logistic.vectorized(w, b, X, Y)
    assert_same((dw, np.array(db)), complex_step(logistic.cost, (w, b, X, Y), (0, 1)), **EXACT)
    A = 1 / (1 + np.exp(-(w.T @ X + b)))
    np.testing.assert_allclose(J, np.mean(-(Y * np.log(A) + (1 - Y) * np.log(1 - A))), **EXACT)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_logistic_is_stable(form):
    """z = 1e4 and -1e4 with the right and the wrong label each: losses 0, 1e4, 1e4, 0."""
    X, Y = np.array([[1e4, 1e4, -1e4, -1e4]]), np.array([[1.0, 0.0, 1.0, 0.0]])
    J, dw, db = form(np.ones((1, 1)), 0.0, X, Y)
    assert (J, db) == (5e3, 0)
    np.testing.assert_array_equal(dw, [[5e3]])


def test_logistic_gradient_descent(rng):
    X = rng.normal(size=(3, 40))
    Y = (X[:1] - 2 * X[1:2] + 0.3 > 0).astype(float)
    w, b, costs = logistic.gradient_descent(X, Y, 0.5, 30)
    assert (w.shape, costs.shape) == ((3, 1), (30,))
    assert f"{costs[0]:.6f}" == "0.693147"
    assert np.all(np.diff(costs) < 0)
    assert costs[-1] < 0.4
    by_hand_w, by_hand_b = np.zeros((3, 1)), 0.0
    for _ in range(30):
        _, dw, db = logistic.double_loop(by_hand_w, by_hand_b, X, Y)
        by_hand_w, by_hand_b = by_hand_w - 0.5 * dw, by_hand_b - 0.5 * db
    assert_same((w, b), (by_hand_w, by_hand_b), **EXACT)
