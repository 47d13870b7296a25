"""Early stopping: the rule on reports, and `fit` with it, compared with the whole history."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

KEY, MODEL = jax.random.key(5), jaxnn.mlp((4, 16, 1), "tanh", init="he")
OBJECTIVE, ADAM = jaxnn.objective(MODEL.network, MODEL.loss), optax.adam(0.05)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)
(TRAIN, DEV), START = jaxnn.split(X, Y, (0.5, 0.5), seed=0), MODEL.init(jax.random.key(1))
DEV_LOSS = jax.jit(lambda params, x, y: OBJECTIVE.evaluate(params, (), jaxnn.Batch(x, y)))


def fit(epochs=40, **options):
    options = {"evaluate": lambda params: {"dev_loss": DEV_LOSS(params, DEV.x, DEV.y)}, **options}
    return jaxnn.fit(OBJECTIVE, ADAM, START, TRAIN.x, TRAIN.y, key=KEY, epochs=epochs, **options)


def measuring(values):
    """Return an `evaluate` that returns the values one after another."""
    values = iter(values)
    return lambda params: {"measure": np.float32(next(values))}


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.full
def test_the_params_are_those_of_the_best_report():
    """The noisy labels are overfitted, so the best dev loss is not the last."""
    whole = [report["dev_loss"] for report in fit().history]
    best = int(np.argmin(whole))
    assert 1 < best < 30
    result = fit(early_stopping=jaxnn.EarlyStopping("dev_loss", patience=6))
    assert (result.best_epoch, result.stopped_by) == (best + 1, "patience")
    assert [report["dev_loss"] for report in result.history] == whole[: best + 1 + 6]
    assert len(result.losses) == best + 1 + 6
    assert_equal(result.params, fit(epochs=best + 1).params)
    assert int(result.state.step) == best + 1
    assert_equal(result.params, result.state.params)
    assert DEV_LOSS(result.params, DEV.x, DEV.y) == np.float32(whole[best])


def test_the_best_params_are_returned_where_all_epochs_were_done():
    result = fit(epochs=30, early_stopping=jaxnn.EarlyStopping("dev_loss", patience=100))
    assert result.stopped_by == "epochs"
    assert len(result.history) == 30 > result.best_epoch
    assert_equal(result.params, fit(epochs=result.best_epoch).params)


@pytest.mark.full
def test_stream_stops_like_fit():
    rule = jaxnn.EarlyStopping("dev_loss", patience=6)
    plan = {"key": KEY, "epochs": 40, "evaluate": lambda params: {"dev_loss": DEV_LOSS(params, DEV.x, DEV.y)}}
    whole = fit(early_stopping=rule)
    batches = [(TRAIN.x, TRAIN.y)]
    result = jaxnn.fit_stream(OBJECTIVE, ADAM, START, batches, early_stopping=rule, steps_per_call=1, **plan)
    assert (result.best_epoch, result.stopped_by) == (whole.best_epoch, "patience")
    assert len(result.losses) == len(whole.losses) and int(result.state.step) == whole.best_epoch
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), result.params, whole.params)


@pytest.mark.full
def test_continuing_from_the_best_state_takes_the_same_steps():
    result = fit(early_stopping=jaxnn.EarlyStopping("dev_loss", patience=6))
    _, losses = jaxnn.train.make_steps(OBJECTIVE, ADAM, 3)(result.state, jaxnn.Batch(TRAIN.x, TRAIN.y))
    np.testing.assert_allclose(losses, result.losses[result.best_epoch : result.best_epoch + 3], rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "options", "best", "reports"),
    [
        ([3, 2, 2, 2, 1], {"patience": 2}, 2, 4),  # the same again is no better
        ([3, 2, 4, 1, 5, 5], {"patience": 2}, 4, 6),
        ([1, 2, 3, 3, 2, 9], {"patience": 2, "mode": "max"}, 3, 5),
        ([np.nan, 5, np.nan, 4, np.nan, np.nan, np.nan], {"patience": 3}, 4, 7),
        ([-np.inf, np.nan, 1, 0, 0], {"patience": 2, "mode": "max"}, None, 2),
        ([np.nan, np.inf, np.nan, 1], {"patience": 3}, None, 3),
    ],
)
def test_rule_by_hand(values, options, best, reports):
    result = fit(evaluate=measuring(values), early_stopping=jaxnn.EarlyStopping("measure", **options))
    assert (result.best_epoch, len(result.history), result.stopped_by) == (best, reports, "patience")
    assert_equal(result.params, fit(epochs=best or reports, evaluate=None).params)


def test_patience_counts_reports_not_epochs():
    result = fit(
        evaluate=measuring([1, 2, 3, 0]), report_every=5, early_stopping=jaxnn.EarlyStopping("measure", patience=2)
    )
    assert (result.best_epoch, [report["epoch"] for report in result.history]) == (5, [5, 10, 15])


@pytest.mark.full
def test_a_divergence_after_the_best_report_loses_nothing():
    diverging, options = optax.sgd(lambda step: jnp.where(step < 4, 0.1, jnp.nan)), {"key": KEY, "evaluate": None}
    rule = jaxnn.EarlyStopping("loss", patience=9)
    with pytest.warns(jaxnn.train.DivergenceWarning, match="diverged at step 4: the update"):
        result = jaxnn.fit(OBJECTIVE, diverging, START, TRAIN.x, TRAIN.y, epochs=9, early_stopping=rule, **options)
    assert (result.stopped_by, result.diverged_at, result.best_epoch) == ("divergence", 4, 4)
    sound = jaxnn.fit(OBJECTIVE, optax.sgd(0.1), START, TRAIN.x, TRAIN.y, epochs=4, **options)
    assert_equal(result.params, sound.params)


def test_stopped_by_is_reported_without_early_stopping_too():
    assert (fit(epochs=2).stopped_by, fit(epochs=2).best_epoch) == ("epochs", None)
    result = fit(epochs=2, callback=lambda report: True, early_stopping=jaxnn.EarlyStopping("dev_loss", patience=1))
    assert (result.stopped_by, result.best_epoch) == ("callback", 1)


def test_missing_monitor_raises():
    with pytest.raises(
        ValueError,
        match=r"monitor must be one of .* \['dev_loss', 'epoch'.*, got 'dev_los': did you mean 'dev_loss'",
    ):
        fit(early_stopping=jaxnn.EarlyStopping("dev_los"))
