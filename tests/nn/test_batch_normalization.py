"""Batch normalization: batches of one value for each channel."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.functional import batch_norm_backward, batch_norm_forward
from jaxnn.nn import batch_norm

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(5)
PARAMS = {"gamma": jnp.ones(2), "beta": jnp.zeros(2)}
KEY = jax.random.key(0)
NETWORK = jaxnn.chain(batch_norm(), jaxnn.dense(1))
OBJECTIVE = jaxnn.objective(NETWORK, jaxnn.squared_error())
START = jax.jit(lambda key: NETWORK.init(key, (3,))[0])(KEY)
X, Y = RNG.normal(size=(5, 3)).astype(np.float32), RNG.normal(size=5).astype(np.float32)


def test_one_value_is_its_mean():
    """The function takes it: y is β, and no gradient passes. Only a training raises."""
    y, cache = batch_norm_forward(PARAMS, jnp.array([[3.0, -1e3]]))
    np.testing.assert_array_equal(y, [[0, 0]])
    dparams, dx = batch_norm_backward(PARAMS, cache, jnp.ones((1, 2)))
    np.testing.assert_array_equal(dx, [[0, 0]])
    np.testing.assert_array_equal(dparams["gamma"], [0, 0])


def test_a_row_of_weight_0_is_the_constant_0(x64):
    """Its y is β - γ μ/σ, its dy counts in dγ, dβ and the dx of the others, and its own dx is 0."""
    weights, eps = jnp.array([1.0, 2.0, 0.0, 0.5]), 0.1
    params = {"gamma": jnp.asarray(RNG.normal(size=2)), "beta": jnp.asarray(RNG.normal(size=2))}
    x, dy = jnp.asarray(RNG.normal(size=(4, 2))), jnp.asarray(RNG.normal(size=(4, 2)))

    def plain(params, x):
        x, w = x.at[2].set(0), weights[:, None] / weights.sum()
        mean = (w * x).sum(0)
        sigma = jnp.sqrt((w * (x - mean[None]) ** 2).sum(0) + eps)
        y = params["gamma"][None] * (x - mean[None]) / sigma[None] + params["beta"][None]
        return y, params["beta"] - params["gamma"] * mean / sigma

    (y, of_row), pull = jax.vjp(plain, params, x)
    got, cache = batch_norm_forward(params, x, weights, eps)
    np.testing.assert_allclose(got, y, rtol=1e-12)
    np.testing.assert_allclose(got[2], of_row, rtol=1e-12)
    dparams, dx = batch_norm_backward(params, cache, dy)
    expected, expected_dx = pull((dy, jnp.zeros(2)))
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(dx[2], 0)
    for name, one in expected.items():
        np.testing.assert_allclose(dparams[name], one, rtol=1e-12)


ONE_VALUE = (
    r"x must be more than one value for each channel in training, got float32 \(1, 3\): use a batch_size above 1 and "
    "above the number of micro_batches, or layer_norm"
)


@pytest.mark.parametrize(
    "train",
    [
        lambda: jaxnn.fit(OBJECTIVE, optax.sgd(0.1), START, X, Y, key=KEY, epochs=1, batch_size=1),
        lambda: jaxnn.fit(OBJECTIVE, optax.sgd(0.1), START, X[:1], Y[:1], key=KEY, epochs=1, gradients="auto"),
        lambda: jaxnn.fit_stream(OBJECTIVE, optax.sgd(0.1), START, [(X[:1], Y[:1])], key=KEY, epochs=1),
        lambda: jaxnn.fit_population(
            lambda h: jaxnn.Member(OBJECTIVE, optax.sgd(h["rate"]), START, KEY),
            jaxnn.grid(rate=[0.1, 0.2]),
            X,
            Y,
            epochs=1,
            batch_size=1,
        ),
    ],
    ids=["fit", "auto", "fit_stream", "fit_population"],
)
def test_training_on_one_value_for_each_channel_raises(train):
    with pytest.raises(ValueError, match=ONE_VALUE):
        train()


def test_a_last_batch_of_one_example_trains():
    """`fit` and `fit_stream` pad it, with examples of weight 0."""
    result = jaxnn.fit(OBJECTIVE, optax.sgd(0.1), START, X, Y, key=KEY, epochs=1, batch_size=2, shuffle=False)
    batches = [(X[:2], Y[:2]), (X[2:4], Y[2:4]), (X[4:], Y[4:])]
    stream = jaxnn.fit_stream(OBJECTIVE, optax.sgd(0.1), START, batches, key=KEY, epochs=1)
    assert np.isfinite(result.losses).all() and result.losses.size == 3
    np.testing.assert_allclose(stream.losses, result.losses, rtol=1e-5)


@pytest.mark.full
def test_images_train_one_by_one():
    network = jaxnn.chain(batch_norm(), jaxnn.flatten(), jaxnn.dense(1))
    params, _ = network.init(KEY, (2, 2, 3))
    images = RNG.normal(size=(3, 2, 2, 3)).astype(np.float32)
    objective = jaxnn.objective(network, jaxnn.squared_error())
    result = jaxnn.fit(objective, optax.sgd(0.01), params, images, Y[:3], key=KEY, epochs=1, batch_size=1)
    assert np.isfinite(result.losses).all()
