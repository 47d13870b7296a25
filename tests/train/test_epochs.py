"""Epochs: each example once, with its weight, in an order that depends on the key."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.training import (
    DROPPING,
    KEY,
    MODEL,
    OBJECTIVE,
    SGD,
    assert_close,
    assert_equal,
    counting,
    data,
    fit,
    numbered,
    params_of,
    state_of,
    telling,
    traced,
)


@pytest.mark.representatives("True-7-3", "False-7-3")
@pytest.mark.parametrize(("m", "batch_size"), [(7, 3), (6, 3), (5, 5), (5, 4), (3, 1)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_epoch_visits_every_example_once(m, batch_size, shuffle):
    one = optax.sgd(1.0)
    epoch = jaxnn.train.make_epoch(counting(), one, batch_size, shuffle=shuffle)
    state, sizes = epoch(state_of(jnp.zeros(m), one), numbered(m))
    assert state.params.tolist() == [1] * m
    full, rest = divmod(m, batch_size)
    assert sizes.tolist() == [batch_size] * full + [rest] * (rest > 0)
    assert state.step == len(sizes)


def test_epoch_uses_example_weights():
    one, weight = optax.sgd(1.0), jnp.array([1.0, 0, 2, 3, 0.5])
    state, _ = jaxnn.train.make_epoch(counting(), one, 2)(state_of(jnp.zeros(5), one), numbered(5, weight))
    assert state.params.tolist() == weight.tolist()


@pytest.mark.full
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_weights_mean_the_same_at_every_batch_size(batch_size):
    """The steps of an epoch follow the gradient of the whole data's weighted mean, each by its batch's part of it."""
    weight, rate, params = jnp.array([1.0, 0, 2, 30, 0.5, 1, 1]), 1e-3, params_of()
    batch = data(7)._replace(weight=weight)
    epoch = jaxnn.train.make_epoch(OBJECTIVE, optax.sgd(rate), batch_size, shuffle=False)
    state, _ = epoch(state_of(params, optax.sgd(rate)), batch)
    starts = range(0, 7, batch_size)
    sizes = [min(batch_size, 7 - i) for i in starts]
    parts = [
        jaxnn.Batch(*(a[i : i + n] for a in batch[:3]), n * weight.mean()) for i, n in zip(starts, sizes, strict=True)
    ]
    grads = [OBJECTIVE.value_and_grad(params, part)[1] for part in parts]
    mean = jax.tree.map(lambda *g: sum(n * a for n, a in zip(sizes, g, strict=True)) / 7, *grads)
    assert_close(mean, OBJECTIVE.value_and_grad(params, batch)[1])
    moved = jax.tree.map(lambda a, b: (a - b) / rate, params, state.params)
    for one, *others in zip(jax.tree.leaves(moved), *map(jax.tree.leaves, grads), strict=True):
        # The params move on between the steps, by about the rate.
        np.testing.assert_allclose(one, sum(others), rtol=0, atol=0.05 * np.abs(sum(others)).max())


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (jnp.array([0, 1]), None, r"y must be one target for each of the 7 examples, .*, got shape \(2,\)"),
        (jnp.zeros(9, int), None, r"y must be one target for each of the 7 examples, .*, got shape \(9,\)"),
        (jnp.zeros(7, int), jnp.ones(2), r"weight must have shape \(7,\), one number per example, got \(2,\)"),
    ],
)
def test_targets_and_weights_of_another_length_raise(y, weight, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.train.make_epoch(OBJECTIVE, SGD, 3)(state_of(params_of()), data(7)._replace(y=y, weight=weight))


@pytest.mark.full
def test_short_batch_is_trained_on_by_its_own_mean():
    batch, step = data(5), jax.jit(jaxnn.make_step(OBJECTIVE, SGD))
    state, losses = jaxnn.train.make_epoch(OBJECTIVE, SGD, 2, shuffle=False)(state_of(params_of()), batch)
    by_hand, each = state_of(params_of()), []
    for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
        by_hand, loss = step(by_hand, jaxnn.Batch(batch.x[rows], batch.y[rows]))
        each.append(loss)
    assert_close((state.params, losses), (by_hand.params, np.array(each)))


def orders(n_epochs, key=KEY, state=None, m=12):
    """The order of the examples, epoch by epoch, and the last state."""
    epoch, order = jaxnn.train.make_epoch(telling(), SGD, 1), []
    state = state_of(jnp.zeros(1), key=key) if state is None else state
    for _ in range(n_epochs):
        state, losses = epoch(state, numbered(m))
        order.append(losses.astype(int).tolist())
    return order, state


def test_shuffle_differs_by_epoch_and_by_seed_and_is_reproducible():
    order, _ = orders(3)
    assert all(sorted(one) == list(range(12)) for one in order)
    assert len({tuple(one) for one in order}) == 3
    assert list(range(12)) not in order
    assert orders(3)[0] == order
    assert orders(1, jax.random.key(6))[0] != order[:1]


@pytest.mark.full
def test_epoch_from_a_later_step_continues_identically():
    """From params, step and key alone, which a checkpoint stores."""
    order, _ = orders(3)
    _, state = orders(1)
    again = state_of(jnp.zeros(1))._replace(step=jnp.asarray(int(state.step), jnp.int32))
    assert orders(2, state=again)[0] == order[1:]
    objective, batch = jaxnn.objective(DROPPING, MODEL.loss), data()
    epoch = jaxnn.train.make_epoch(objective, SGD, 3)
    half, _ = epoch(state_of(params_of(DROPPING)), batch)
    resumed = state_of(half.params)._replace(step=jnp.array(int(half.step), jnp.int32))
    straight, _ = epoch(half, batch)
    resumed, _ = epoch(resumed, batch)
    assert_equal(resumed.params, straight.params)


def test_epoch_compiles_once():
    """The short batch is in the same program, and the next epoch does not trace."""
    objective, traces = traced()
    epoch = jaxnn.train.make_epoch(objective, SGD, 3)
    state = state_of(params_of())
    for _ in range(3):
        state, _ = epoch(state, data())
    assert traces == [(3, 3)]
    assert state.step == 9


def test_epoch_with_batches_larger_than_the_data_raises():
    with pytest.raises(ValueError, match="from 1 to the number of examples, 7, got 8"):
        jaxnn.train.make_epoch(OBJECTIVE, SGD, 8)(state_of(params_of()), data())


@pytest.mark.parametrize("given", [dict(args=(jnp.arange(7),)), dict(order=KEY)])
def test_an_epoch_takes_no_third_argument(given):
    epoch, extra = jaxnn.train.make_epoch(OBJECTIVE, SGD, 3), given.pop("args", ())
    with pytest.raises(TypeError, match="argument"):
        epoch(state_of(params_of(), SGD), data(), *extra, **given)


def test_custom_order_is_that_of_the_data():
    x, y = numbered(6)[:2]
    order = np.array([4, 0, 5, 2, 1, 3])
    batch = jaxnn.Batch(x[order], y[order])
    result = fit(telling(), jnp.zeros(1), batch, optimizer=SGD, batch_size=1, shuffle=False, epochs=1)
    assert result.losses.astype(int).tolist() == order.tolist()


@pytest.mark.full
def test_epochs_from_a_fits_state_are_those_of_a_longer_fit():
    adam = optax.adam(0.01)
    whole = fit(optimizer=adam, batch_size=3, epochs=4).losses
    epoch, state, losses = (
        jaxnn.train.make_epoch(OBJECTIVE, adam, 3),
        fit(optimizer=adam, batch_size=3, epochs=2).state,
        [],
    )
    for _ in range(2):
        state, more = epoch(state, data())
        losses += more.tolist()
    assert losses == whole[6:].tolist()
