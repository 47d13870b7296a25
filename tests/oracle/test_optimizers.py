"""The oracle's optimizers against unrolled sums."""

import math

import numpy as np
import pytest

from tests.helpers.oracle import optimizers
from tests.helpers.oracle_cases import EXACT, assert_same


def run(optimizer, params, grads):
    """Apply a list of gradients; return the parameters after each."""
    state, path = optimizer.init(params), []
    for grad in grads:
        state, params = optimizer.step(state, params, grad)
        path.append(params)
    return path


def unrolled(name, grads, t, rate=0.1):
    """The step after gradients g_0..g_t, with each running quantity as an explicit weighted sum of all of them."""
    g = grads[t]

    def decayed(decay, values):
        return sum(decay ** (t - i) * values[i] for i in range(t + 1))

    squares = [grad**2 for grad in grads]
    if name == "gradient_descent":
        return rate * g
    if name == "momentum":
        return rate * decayed(0.9, grads)
    if name == "nesterov":
        return rate * (g + 0.9 * decayed(0.9, grads))
    if name == "adagrad":
        return rate * g / np.sqrt(0.1 + sum(squares[: t + 1]) + 1e-7)
    if name == "rmsprop":
        return rate * g / np.sqrt(0.1 * decayed(0.9, squares) + 1e-8)
    mean = decayed(0.9, grads) / sum(0.9**i for i in range(t + 1))
    mean_square = decayed(0.999, squares) / sum(0.999**i for i in range(t + 1))
    return rate * mean / (np.sqrt(mean_square) + 1e-8)


OPTIMIZERS = ["gradient_descent", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_its_unrolled_sum(rng, name):
    """A recurrence from zero is a weighted sum over the past; Adam's corrections divide by the sum of the weights."""
    params, grads = rng.normal(size=(2, 3)), list(rng.normal(size=(12, 2, 3)))
    before = params
    for t, after in enumerate(run(getattr(optimizers, name)(0.1), params, grads)):
        np.testing.assert_allclose(after, before - unrolled(name, grads, t), rtol=1e-12, atol=1e-14)
        before = after


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_pure(rng, name):
    params, grad = rng.normal(size=3), rng.normal(size=3)
    optimizer = getattr(optimizers, name)(0.1)
    state = optimizer.init(params)
    copies = params.copy(), grad.copy()
    first, second = optimizer.step(state, params, grad), optimizer.step(state, params, grad)
    np.testing.assert_array_equal(first[1], second[1])
    assert_same((params, grad), copies, rtol=0)


def test_nesterov_is_the_look_ahead_form(rng):
    """Sutskever et al. (2013), equations 3 and 4, on a quadratic: theta + decay u follows the same path as p."""
    curvature = np.array([1.0, 5.0, 0.2])
    theta = rng.normal(size=3)
    velocity, optimizer = np.zeros(3), optimizers.nesterov(0.05, 0.9)
    params, state = theta.copy(), optimizer.init(theta)
    for _ in range(20):
        velocity = 0.9 * velocity - 0.05 * curvature * (theta + 0.9 * velocity)
        theta = theta + velocity
        state, params = optimizer.step(state, params, curvature * params)
        np.testing.assert_allclose(params, theta + 0.9 * velocity, **EXACT)


def test_optimizer_first_steps():
    """Adam's first step is the rate for a gradient of any size, RMSprop's is rate/sqrt(0.1); at g = 0 nothing moves."""
    grad = np.array([1e-3, -1.0, 1e3])
    adam, rmsprop = (run(make(0.1), np.zeros(3), [grad])[0] for make in (optimizers.adam, optimizers.rmsprop))
    np.testing.assert_allclose(adam, -0.1 * np.sign(grad), rtol=2e-5)
    np.testing.assert_allclose(rmsprop[1:], -0.1 * np.sign(grad[1:]) / math.sqrt(0.1), rtol=1e-7)
    for name in OPTIMIZERS:
        np.testing.assert_array_equal(run(getattr(optimizers, name)(0.1), np.ones(3), [np.zeros(3)])[0], np.ones(3))
