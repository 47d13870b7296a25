"""`fit`."""

import gc
import weakref
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.registry import LayerCase
from tests.helpers.training import (
    DROPPING,
    OBJECTIVE,
    SGD,
    Fuse,
    assert_close,
    assert_equal,
    burning,
    data,
    fit,
    numbered,
    params_of,
    state_of,
    traced,
)
from tests.train.test_fitting_errors import DROPPED


@pytest.mark.full
def test_fit_is_epoch_after_epoch():
    result = fit(epochs=3, batch_size=3)
    epoch, state, losses = jaxnn.train.make_epoch(OBJECTIVE, SGD, 3), state_of(params_of()), []
    for _ in range(3):
        state, new = epoch(state, data())
        losses.append(np.asarray(new))
    assert_close((result.params, result.losses), (state.params, np.concatenate(losses)))
    assert result.diverged_at is None
    assert result.state.step == 9
    for report, new in zip(result.history, losses, strict=True):
        assert_close(report["loss"], new.mean())
    assert [(report["epoch"], report["step"]) for report in result.history] == [(1, 3), (2, 6), (3, 9)]


def test_fit_called_again_does_not_compile_again():
    objective, traces = traced()
    first, second = (fit(objective, epochs=2, batch_size=3) for _ in range(2))
    assert traces == [(3, 3)]
    assert_equal(second.params, first.params)


@pytest.mark.full
def test_programs_are_let_go_of():
    """Arrays that objectives close over are not kept alive."""
    alive = []
    for i in range(12):
        held = jnp.full(3, i)
        objective = OBJECTIVE._replace(value=lambda params, batch, key=None, held=held: OBJECTIVE.value(params, batch))
        alive.append(weakref.ref(objective.value))
        fit(objective)
    del objective, held
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 8


def test_unhashable_objective_is_accepted():
    @dataclass
    class ValueAndGrad:
        scale: float

        def __call__(self, params, batch, key=None):
            return OBJECTIVE.value_and_grad(params, batch, key)

    assert_equal(fit(OBJECTIVE._replace(value_and_grad=ValueAndGrad(1.0))).params, fit().params)


def test_fit_result_is_valid_after_continuing_from_its_state():
    result = fit()
    before = jax.tree.map(np.asarray, result.params)
    jaxnn.train.make_epoch(OBJECTIVE, SGD, 3)(result.state, data())
    assert_equal(result.params, before)


def test_weak_types_do_not_compile_twice():
    objective, traces = traced()
    weak = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), params_of())
    assert jax.tree.leaves(weak)[0].weak_type
    fit(objective, params=weak, epochs=3)
    assert len(traces) == 1


def test_report_every_changes_the_reports_alone():
    """The remainder is reported too, with the loss of its last epoch."""
    evaluate = jax.jit(lambda params: {"b": params[0]["b"][0], "one": 1})
    often, seldom = (fit(epochs=5, report_every=n, evaluate=evaluate) for n in (1, 2))
    assert_equal((seldom.params, seldom.losses), (often.params, often.losses))
    assert [report["epoch"] for report in seldom.history] == [2, 4, 5]
    assert_close(seldom.history, [often.history[i] for i in (1, 3, 4)])
    assert {type(value) for report in seldom.history for value in report.values()} == {int, float}
    assert_close(seldom.history[-1]["b"], float(seldom.params[0]["b"][0]))
    assert_close([report["loss"] for report in often.history], often.losses.tolist())


def test_callback_sees_each_report_and_stops():
    seen = []
    result = fit(epochs=10, report_every=2, callback=lambda report: seen.append(report) or report["epoch"] >= 4)
    assert seen == result.history
    assert [report["epoch"] for report in seen] == [2, 4]
    assert result.losses.shape == (4,)
    assert result.diverged_at is None
    assert_close(result.params, fit(epochs=4).params)


def test_full_batch_is_one_batch_in_order():
    assert_equal(fit(epochs=3).params, fit(epochs=3, batch_size=7, shuffle=False).params)
    assert_close(fit(epochs=3).params, fit(epochs=3, batch_size=7).params)


@pytest.mark.full
def test_weights_count_examples():
    """An example of weight 2 counts twice, and one of weight 0 not at all."""
    batch = data(4)
    twice = jaxnn.Batch(*(jnp.concatenate([a[:2], a[:1]]) for a in (batch.x, batch.y)))
    assert_close(fit(batch=batch, epochs=3, weight=[2.0, 1, 0, 0]).params, fit(batch=twice, epochs=3).params)


def test_params_are_copied():
    params = params_of()
    copy = jax.tree.map(np.array, params)
    fit(params=params, epochs=2, batch_size=3)
    assert_equal(params, copy)


def test_numpy_arrays_of_any_float_are_accepted():
    batch = jaxnn.Batch(np.asarray(data().x, np.float64), np.asarray(data().y, np.uint8))
    assert_close(fit(batch=batch, epochs=2).params, fit(epochs=2).params)


@pytest.mark.representatives("5-None-2-reports2-False-True", "4-3-1-reports3-True-True")
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.parametrize(
    ("at", "batch_size", "report_every", "reports", "loss", "update"),
    [
        (0, None, 1, [], True, True),
        (5, None, 2, [2, 4], True, False),
        (5, None, 2, [2, 4], False, True),
        (4, 3, 1, [1], True, True),
        (8, 3, 2, [2], False, True),
        (5, 3, 10, [], True, False),
    ],
)
def test_divergence_keeps_all_that_went_before(at, batch_size, report_every, reports, loss, update):
    """Params after k finite steps, k losses, and the reports of the epochs that were finite."""
    result = fit(
        burning(at, loss, update),
        Fuse(jnp.array(1.0), jnp.array(0.0)),
        optimizer=optax.sgd(1.0),
        epochs=6 if report_every < 10 else 12,
        batch_size=batch_size,
        report_every=report_every,
    )
    assert result.diverged_at == at
    np.testing.assert_allclose(result.params, (0.9**at, at), rtol=1e-5)
    np.testing.assert_allclose(result.losses, 0.9 ** np.arange(at), rtol=1e-5)
    assert result.state.step == at
    assert_equal(result.state.params, result.params)
    assert [report["epoch"] for report in result.history] == reports


def test_one_bad_batch_stops_the_training_though_the_next_is_fine():
    def value_and_grad(params, batch, key=None):
        return (jnp.where(batch.x[0, 0] == 2, jnp.nan, params), ()), -jnp.ones_like(params)

    objective = jaxnn.Objective(lambda *given: value_and_grad(*given)[0], value_and_grad)
    one, start = optax.sgd(1.0), jnp.array(0.0)
    with pytest.warns(jaxnn.train.DivergenceWarning):
        result = fit(objective, start, numbered(6), optimizer=one, batch_size=2, shuffle=False, epochs=2)
    assert (result.diverged_at, result.params, result.losses.tolist()) == (1, 1, [0])


@pytest.mark.full
def test_divergence_by_a_huge_rate_stops_before_the_infinite():
    """With dropout, shuffling and a stateful optimizer, at the step at which a manual loop overflows."""
    objective = jaxnn.objective(jaxnn.chain(jaxnn.dense(8), jaxnn.dropout(0.5), jaxnn.dense(1)), jaxnn.squared_error())
    optimizer = optax.sgd(1e4, momentum=0.9)
    params = LayerCase("", jaxnn.chain(jaxnn.dense(8), jaxnn.dropout(0.5), jaxnn.dense(1)), (3,)).params()
    with pytest.warns(jaxnn.train.DivergenceWarning):
        result = fit(objective, params, optimizer=optimizer, epochs=50, batch_size=3, report_every=20)
    epoch, state, states, losses = jaxnn.train.make_epoch(objective, optimizer, 3), state_of(params, optimizer), [], []
    for _ in range(-(-result.diverged_at // 3) + 1):
        state, new = epoch(state, data())
        states.append(jax.device_get(state.params))
        losses.append(new)
    losses = np.concatenate(losses)
    k = result.diverged_at
    assert 1 < k < 30
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((result.params, result.state.opt_state)))
    assert not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states[k // 3]))
    np.testing.assert_allclose(result.losses, losses[:k], rtol=1e-4)
    assert result.history == []


@pytest.mark.full
def test_keys_of_the_old_kind_train_alike():
    old, new = (
        fit(DROPPED, params_of(DROPPING), batch_size=3, key=key) for key in (jax.random.PRNGKey(3), jax.random.key(3))
    )
    assert_equal((old.params, old.losses), (new.params, new.losses))
