"""Optimisers by name do what their papers say: 20 steps against the oracle in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracle import optimizers as oracle

import jaxnn as nn
from tests.test_registry import TOLERANCE, compiled

CASES = {
    "sgd": (lambda: nn.optimizer("sgd", 0.1), oracle.gradient_descent(0.1)),
    "momentum": (lambda: nn.optimizer("momentum", 0.1), oracle.momentum(0.1)),
    "rmsprop": (lambda: nn.optimizer("rmsprop", 0.01), oracle.rmsprop(0.01)),
    "adagrad": (lambda: nn.optimizer("adagrad", 0.1), oracle.adagrad(0.1)),
    "adam": (lambda: nn.optimizer("adam", 0.01), oracle.adam(0.01)),
    "nesterov": (lambda: optax.sgd(0.1, momentum=0.9, nesterov=True), oracle.nesterov(0.1)),
}


def test_every_name_has_a_case():
    assert set(nn.OPTIMIZERS) == set(CASES) - {"nesterov"}


@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_are_the_papers(name, x64):
    """On gradients that are large, small, 0 and of changing sign."""
    make, paper = CASES[name]
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(20, 6)) * np.array([[1, 1e-6, 1e3, 1, 1, 0]])
    params = rng.normal(size=6)
    optimizer = make()

    @compiled
    def run(params, grads):
        def step(carry, grad):
            params, state = carry
            updates, state = optimizer.update(grad, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (params, optimizer.init(params)), grads)[1]

    got = run(jnp.asarray(params), jnp.asarray(grads))
    state = paper.init(params)
    for i, grad in enumerate(grads):
        state, params = paper.step(state, params, grad)
        np.testing.assert_allclose(got[i], params, **TOLERANCE["float64"])


def test_schedule_is_a_rate_too():
    sgd = nn.optimizer("sgd", lambda step: 1.0 / (1 + step))
    state, grads = sgd.init(jnp.zeros(1)), jnp.ones(1)
    first, state = sgd.update(grads, state)
    second, _ = sgd.update(grads, state)
    assert (first.item(), second.item()) == (-1, -0.5)


def test_traced_rate_is_a_hyperparameter():
    def one_step(rate):
        sgd = nn.optimizer("sgd", rate)
        return sgd.update(jnp.ones(2), sgd.init(jnp.ones(2)))[0]

    np.testing.assert_allclose(jax.jit(jax.vmap(one_step))(jnp.array([0.1, 0.2])), [[-0.1] * 2, [-0.2] * 2], rtol=1e-6)


def test_unknown_name_is_told():
    with pytest.raises(ValueError, match=r"unknown optimizer 'Adam': expected one of \['adagrad', 'adam'"):
        nn.optimizer("Adam", 0.1)


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, -1, np.nan, np.inf, np.float32(-1), np.float64(0), np.int64(-1)])
@pytest.mark.parametrize("name", nn.OPTIMIZERS)
def test_rate_must_be_positive_and_finite(name, rate):
    with pytest.raises(ValueError, match="a learning rate must be positive and finite, got"):
        nn.optimizer(name, rate)
