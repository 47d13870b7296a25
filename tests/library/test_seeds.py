"""An additional random draw does not change the others: keys are split by index, not passed on between draws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

KEY = jax.random.key(7)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 40)


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("n", [3, 4, 17])
def test_the_first_keys_of_a_split_do_not_depend_on_how_many_there_are(n):
    """Experiments rely on this when they split one seed for initialization, shuffles and more."""
    first, more = (jax.random.key_data(jax.random.split(KEY, k)) for k in (2, n))
    assert_same_bits(first, more[:2])
    assert len(np.unique(more)) == 2 * n


@pytest.mark.full
def test_additional_last_layer_changes_no_initial_params_or_dropout_before_it():
    layers = [jaxnn.dense(8), jaxnn.relu(), jaxnn.dropout(0.5), jaxnn.dense(5)]
    short, long = jaxnn.chain(*layers), jaxnn.chain(*layers, jaxnn.dropout(0.3), jaxnn.dense(2))
    params, more = (network.init(KEY, (4,))[0] for network in (short, long))
    assert_same_bits(params, more[:4])
    caches = [network.forward(p, X, KEY)[1] for network, p in ((short, params), (long, more))]
    assert_same_bits(caches[0], caches[1][:4])


@pytest.mark.full
def test_additional_unit_changes_no_initial_params_of_other_layers():
    narrow, wide = (jaxnn.mlp((4, n, 6, 2)).init(KEY) for n in (5, 9))
    assert_same_bits(narrow[-1], wide[-1])


MODEL = jaxnn.mlp((4, 6, 3), "tanh", output="softmax", dropout_rate=0.3)
OBJECTIVE = jaxnn.objective(MODEL.network, MODEL.loss)


def losses(objective=OBJECTIVE, **options):
    options = {"epochs": 3, "batch_size": 8, **options}
    return jaxnn.fit(objective, optax.adam(0.01), MODEL.init(KEY), X, Y, key=KEY, **options).losses


@pytest.mark.full
def test_longer_training_begins_like_the_shorter_one():
    assert_same_bits(losses(), losses(epochs=5)[: len(losses())])


@pytest.mark.full
def test_augmentation_changes_no_shuffle_and_no_dropout():
    drawing = jaxnn.train.with_augmentation(
        OBJECTIVE, lambda key, image: image + 0 * jax.random.normal(key, image.shape)
    )
    np.testing.assert_allclose(losses(drawing), losses(), rtol=1e-6)
    assert not np.allclose(
        losses(jaxnn.train.with_augmentation(OBJECTIVE, jaxnn.data.gaussian_noise(0.5))), losses(), rtol=1e-2
    )


@pytest.mark.full
def test_additional_member_changes_no_other(x64):
    def member(seed):
        return jaxnn.Member(OBJECTIVE, optax.sgd(0.1), MODEL.init(jax.random.key(seed)), jax.random.key(seed))

    plan = {"epochs": 3, "batch_size": 8, "shuffle": "own"}
    few, more = (jaxnn.fit_population(member, jnp.arange(n), X.astype(float), Y, **plan) for n in (2, 5))
    np.testing.assert_allclose(more.losses[:2], few.losses, rtol=1e-13)
    assert not np.allclose(more.losses[2], few.losses[0], rtol=1e-2)
