"""Batches drawn in shards: every example once, from its own shard, also where nothing divides the other."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from jaxnn.data.shards import Shards, in_shards, rows_of, shard_indices, take_in_shards, weight_of_places

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(1, 8)).filter(lambda s: s[1] <= s[0])


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_shards_are_parts_of_the_rows_in_order(sizes):
    m, n, _ = sizes
    shards = Shards(m, n)
    assert shards.counts.sum() == m
    assert shards.counts.max() - shards.counts.min() <= 1
    assert shards.examples[shards.is_example].tolist() == list(range(m))
    laid = in_shards(np.arange(m), shards)
    np.testing.assert_array_equal(laid, shards.examples)
    assert rows_of(laid)[shards.is_example.ravel()].tolist() == list(range(m))


@pytest.mark.full
@settings(max_examples=8, deadline=None)
@given(SIZES, st.booleans())
def test_an_epoch_has_every_example_once(sizes, shuffled):
    m, n, per_shard = sizes
    shards, size = Shards(m, n), n * per_shard
    places, weight = shard_indices(jax.random.key(3) if shuffled else None, shards, size)
    assert places.shape == weight.shape == (-(-m // size), n, per_shard)
    drawn = np.stack([shards.examples[s][places[:, s]] for s in range(n)], 1)
    assert sorted(drawn[np.asarray(weight) > 0].tolist()) == list(range(m))
    of_shards = np.moveaxis(np.asarray(weight), 1, 0).reshape(n, -1)
    assert (np.diff(of_shards, axis=1) <= 0).all()  # padding is last


def test_orders_are_those_of_each_shards_own_key():
    """So a shard draws the same on any device, and shards draw different orders."""
    shards, key = Shards(40, 4), jax.random.key(0)
    places = np.moveaxis(np.asarray(shard_indices(key, shards, 8)[0]), 1, 0).reshape(4, -1)
    assert len({tuple(order) for order in places.tolist()}) == 4
    again = shard_indices(key, Shards(10, 1), 2)[0].reshape(-1)
    assert sorted(again.tolist()) == sorted(places[0].tolist()) == list(range(10))
    assert (places[0] == again).all()


def test_rows_are_taken_from_their_shard():
    shards = Shards(7, 3)
    x = in_shards(np.arange(7.0)[:, None], shards)
    taken = take_in_shards(x, jnp.array([[2, 0], [1, 0], [1, 1]]))
    assert taken.ravel().tolist() == [2, 0, 4, 3, 6, 6]


def test_padding_counts_nothing():
    weight = weight_of_places(np.array([1.0, 2, 3, 4, 5]), Shards(5, 2))
    assert weight.tolist() == [[1, 2, 3], [4, 5, 0]]
    assert weight_of_places(None, Shards(5, 2)) is None


X = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, 21)
MODEL = jaxnn.mlp((3, 4, 1))
OBJECTIVE = jaxnn.objective(MODEL.network, MODEL.loss)


def losses(optimizer=None, **plan):
    plan = dict(key=jax.random.key(1), epochs=3, batch_size=6) | plan
    return jaxnn.fit(OBJECTIVE, optimizer or optax.sgd(0.1), MODEL.init(jax.random.key(0)), X, Y, **plan).losses


@pytest.mark.full
def test_one_shard_changes_nothing():
    np.testing.assert_array_equal(losses(shards=1), losses())


@pytest.mark.full
def test_of_several_shards_each_draws_its_part():
    """Without updates, the mean over an epoch's batches is the objective of all data, with weights too."""
    params = MODEL.init(jax.random.key(0))
    for weight in (None, np.arange(21)):
        found = losses(optax.sgd(0.0), shards=3, weight=weight, epochs=1)
        assert found.shape == (4,)
        if weight is None:
            sizes = np.array([6, 6, 6, 3])
            whole = OBJECTIVE.value(params, jaxnn.Batch(X, Y))[0]
            np.testing.assert_allclose((found * sizes).sum() / 21, whole, rtol=1e-6)
        else:  # each step divides by the mean weight of all data
            whole = OBJECTIVE.value(params, jaxnn.Batch(X, Y, weight))[0]
            np.testing.assert_allclose((found * np.array([6, 6, 6, 3])).sum() / 21, whole, rtol=1e-6)


def test_without_a_shuffle_a_full_batch_is_that_of_all_rows():
    np.testing.assert_allclose(losses(shards=4, batch_size=None), losses(batch_size=None), rtol=1e-6)


@pytest.mark.representatives("True")
@pytest.mark.parametrize("shuffle", [True, False])
def test_make_epoch_is_fit(shuffle):
    optimizer = optax.sgd(0.1)
    epoch = jaxnn.train.make_epoch(OBJECTIVE, optimizer, 6, shards=3, shuffle=shuffle)
    state = jaxnn.train_state(MODEL.init(jax.random.key(0)), optimizer, jax.random.key(1))
    found = []
    for _ in range(3):
        state, of_epoch = epoch(state, jaxnn.Batch(X, Y))
        found += [*of_epoch]
    np.testing.assert_array_equal(found, losses(optimizer, shards=3, shuffle=shuffle))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(shards=4), "^batch_size must be a multiple of the 4 shards, got 6: each has an equal part of a batch: 8"),
        (dict(shards=22, batch_size=None), "^shards must be at most the number of examples, 21, got 22"),
        (dict(shards=2.5), "^shards must be a whole number of at least 1, got 2.5"),
    ],
)
def test_what_shards_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses(**arguments)


def test_a_carry_needs_rows_in_their_order():
    network = jaxnn.chain(jaxnn.nn.recurrent(jaxnn.nn.simple_cell(2)), jaxnn.nn.each_step(jaxnn.dense(2)))
    loss = jaxnn.losses.each_step_loss(jaxnn.softmax_cross_entropy())
    objective = jaxnn.objective(network, loss, carry=True)
    with pytest.raises(ValueError, match="^shards must be None for an objective with a carry, got 2"):
        jaxnn.train.make_epoch(objective, optax.sgd(0.1), 4, shuffle=False, shards=2)
