"""Inverted dropout: the dropped share, the scale of the rest, and exact inference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.oracle.slips import COURSE_SLIPS
from tests.helpers.oracle.targets import DROPOUT, KEEP
from tests.helpers.programs import compiled

KEY = jax.random.key(3)
X = jnp.asarray(np.random.default_rng(0).normal(size=(500, 400)) + 1, jnp.float32)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_scale_and_mean(rate):
    layer = jaxnn.dropout(rate)

    @compiled
    def run(x, key):
        y, mask = layer.forward((), x, key)
        return y, mask, layer.backward((), mask, x)[1]

    y, mask, dx = run(X, KEY)
    assert (mask.dtype, mask.shape, mask.nbytes) == (bool, X.shape, X.size)
    np.testing.assert_allclose(y, np.where(mask, X / (1 - rate), 0), rtol=1e-6)
    np.testing.assert_array_equal(dx, y)  # linear in x, by the same mask
    spread = (rate * (1 - rate) / X.size) ** 0.5
    assert abs((1 - mask.mean()) - rate) < 4 * spread
    assert abs(y.mean() - X.mean()) < 4 * 1.5 * (rate / (1 - rate) / X.size) ** 0.5
    # Neither rows nor columns share their fate.
    assert abs(np.asarray(mask).mean(0) - (1 - rate)).max() < 6 * (rate * (1 - rate) / 500) ** 0.5
    assert abs(np.asarray(mask).mean(1) - (1 - rate)).max() < 6 * (rate * (1 - rate) / 400) ** 0.5


def test_backward_has_the_keep_of_the_forward(x64):
    """The oracle's gradient for the mask that was drawn; the slip with another keep fails the same check."""
    layer, (x, _, dy) = jaxnn.dropout(1 - KEEP), DROPOUT.arguments(np.random.default_rng(1))
    y, mask = layer.forward((), jnp.asarray(x), KEY)
    dx = layer.backward((), mask, jnp.asarray(dy))[1]
    np.testing.assert_allclose((dy * y).sum(), DROPOUT.value(x, np.asarray(mask), dy), rtol=1e-12)
    np.testing.assert_allclose(dx, DROPOUT.gradient(x, np.asarray(mask), dy)[0], rtol=1e-12)
    [slip] = [slip for slip in COURSE_SLIPS if slip.target is DROPOUT]
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(dx, slip.function(x, np.asarray(mask), dy)[0], rtol=1e-12)


def test_rate_zero_drops_nothing():
    y, mask = jaxnn.dropout(0.0).forward((), X[:5], KEY)
    np.testing.assert_array_equal(y, X[:5])
    assert mask.all()


def test_inference_is_exact():
    layer = jaxnn.dropout(0.5)
    assert layer.infer((), (), X) is X
    assert layer.observe(layer.forward((), X, KEY)[1]) == ()


@pytest.mark.parametrize(
    "drop",
    [
        lambda: jaxnn.dropout(0.5).forward((), X),
        lambda: jaxnn.dropout(0.0).forward((), X, None),
        lambda: jaxnn.functional.dropout_forward(X, 0.5, None),
        lambda: jaxnn.residual(jaxnn.dropout(0.5)).forward((), X),
    ],
)
def test_training_without_a_key_raises(drop):
    with pytest.raises(
        ValueError,
        match=r"^key must be one random key, got None: infer\(params, stats, x\) is the network",
    ):
        drop()


def test_statistics_of_another_network_raise():
    with pytest.raises(ValueError, match=r"^stats must be \(\) for a layer without statistics, got .*another network"):
        jaxnn.dropout(0.5).infer((), {"mean": jnp.ones(2)}, X)


def test_key_decides():
    masks = compiled(jax.vmap(lambda key: jaxnn.functional.dropout_forward(X[:5], 0.5, key)[1]))(
        jax.random.split(KEY, 2)
    )
    assert not np.array_equal(*masks)
    np.testing.assert_array_equal(
        masks[0], jaxnn.functional.dropout_forward(X[:5], 0.5, jax.random.split(KEY, 2)[0])[1]
    )


def test_traced_rate_under_jit_and_vmap():
    rates = jnp.array([0.0, 0.2, 0.7])

    @compiled
    def run(rates):
        many = jax.vmap(lambda rate: jaxnn.dropout(rate).forward((), X[:20], KEY)[0])(rates)
        return many, jnp.stack([jaxnn.dropout(rates[i]).forward((), X[:20], KEY)[0] for i in range(3)])

    many, loop = run(rates)
    np.testing.assert_array_equal(many, loop)
    kept = np.count_nonzero(many, axis=(1, 2)) / X[:20].size
    np.testing.assert_allclose(kept, [1, 0.8, 0.3], atol=0.03)


def test_what_is_dropped_is_gone():
    x = jnp.full((50, 4), jnp.nan)
    y, mask = jaxnn.functional.dropout_forward(x, 0.5, KEY)
    assert not np.any(np.asarray(y)[~np.asarray(mask)])


@pytest.mark.parametrize("rate", [1.0, 2, -0.5, "0.5", None, True, [0.5], np.array([0.5, 0.5])])
def test_the_function_raises_for_rates_too(rate):
    """At a rate of 1, x/0 would be infinite."""
    for drop in (lambda: jaxnn.dropout(rate=rate), lambda: jaxnn.functional.dropout_forward(jnp.ones(3), rate, KEY)):
        with pytest.raises(ValueError, match="rate must be the fraction to drop, 0 <= rate < 1, got"):
            drop()


@pytest.mark.parametrize("rate", [0, np.int32(0), jnp.int32(0)], ids=repr)
def test_whole_number_rate(rate):
    x = jnp.ones((2, 3))
    np.testing.assert_array_equal(jaxnn.dropout(rate).forward((), x, jax.random.key(0))[0], x)
    y, mask = jax.jit(lambda rate: jaxnn.functional.dropout_forward(x, rate, jax.random.key(0)))(rate)
    np.testing.assert_array_equal(y, x)
    assert mask.all()
