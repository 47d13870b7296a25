"""Skipped updates: training with bad steps equals training without them, and the steps are counted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(2)
X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
MODEL = jaxnn.logistic_regression(3)
PLAIN = jaxnn.objective(MODEL.network, MODEL.loss)
START = MODEL.init(jax.random.key(0))
BAD = X[3, 0]  # of an example in the second batch of three
ADAM = optax.adam(0.1)


def failing(loss=True, gradient=True, always=False):
    """The objective, whose loss or gradient, or both, are not finite for the batch that begins with the bad example."""

    def value_and_grad(params, batch, key=None):
        (value, stats), grads = PLAIN.value_and_grad(params, batch, key)
        bad = always | (batch.x[0, 0] == BAD)
        value = jnp.where(bad & loss, jnp.inf, value)
        return (value, stats), jax.tree.map(lambda g: jnp.where(bad & gradient, jnp.nan, g), grads)

    return PLAIN._replace(value=lambda *given: value_and_grad(*given)[0], value_and_grad=value_and_grad)


def fit(objective, on_nan="skip", **options):
    options = {"key": KEY, "epochs": 4, "batch_size": 3, "shuffle": False} | options
    return jaxnn.fit(objective, options.pop("optimizer", ADAM), START, X, Y, on_nan=on_nan, **options)


def without_the_bad():
    """Adam by hand, by the three good batches of each epoch: params after each, and their losses."""
    params, state = START, ADAM.init(START)
    losses = []
    for _ in range(4):
        for i in (0, 6, 9):
            (loss, _), grads = PLAIN.value_and_grad(params, jaxnn.Batch(X[i : i + 3], Y[i : i + 3]))
            updates, state = ADAM.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            losses.append(float(loss))
    return params, np.array(losses)


def assert_close(got, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)


@pytest.mark.representatives("True-False")
@pytest.mark.parametrize(("loss", "gradient"), [(True, True), (False, True), (True, False)])
def test_training_with_skipped_steps_equals_training_without_them(loss, gradient):
    result = fit(failing(loss, gradient))
    params, losses = without_the_bad()
    assert_close(result.params, params)
    assert (result.skipped, result.diverged_at, result.divergence, result.stopped_by) == (4, None, None, "epochs")
    assert [report["skipped"] for report in result.history] == [1, 2, 3, 4]
    assert int(result.state.step) == 16
    good = np.arange(16) % 4 != 1
    np.testing.assert_allclose(result.losses[good], losses, rtol=1e-5)
    assert np.isinf(result.losses[~good]).all() == loss
    if loss:
        np.testing.assert_allclose([r["loss"] for r in result.history], losses.reshape(4, 3).mean(axis=1), rtol=1e-5)


@pytest.mark.full
def test_the_same_by_default_stops():
    with pytest.warns(jaxnn.train.DivergenceWarning):
        result = fit(failing(), on_nan="stop")
    assert (result.diverged_at, result.skipped, result.stopped_by) == (1, 0, "divergence")
    assert "skipped" not in fit(PLAIN, on_nan="stop").history[-1]


def test_nothing_to_skip_changes_nothing():
    careful, plain = fit(PLAIN), fit(PLAIN, on_nan="stop")
    assert_close(careful.params, plain.params)
    assert careful.skipped == 0 and careful.history[-1]["skipped"] == 0
    assert_close(careful.losses, plain.losses)


@pytest.mark.full
def test_too_many_in_a_row_stop_the_training():
    """Ten are skipped, in epochs of nothing else; the eleventh is a divergence, before which the params stay."""
    with pytest.warns(jaxnn.train.DivergenceWarning):
        result = fit(failing(always=True))
    assert (result.diverged_at, result.skipped, result.stopped_by) == (10, 10, "divergence")
    assert [np.isnan(report["loss"]) for report in result.history] == [True, True]
    jax.tree.map(np.testing.assert_array_equal, result.params, START)
    assert result.divergence.step == 10 and result.divergence.what == "loss"


@pytest.mark.full
def test_overflow_of_the_update_alone_is_a_divergence():
    with pytest.warns(jaxnn.train.DivergenceWarning):
        result = fit(PLAIN, optimizer=optax.sgd(lambda step: jnp.where(step == 2, jnp.inf, 0.1)))
    assert (result.divergence.what, result.diverged_at, result.skipped) == ("update", 2, 0)


def test_early_stopping_goes_by_the_finite_losses():
    result = fit(failing(gradient=False), epochs=30, early_stopping=jaxnn.EarlyStopping("loss", patience=3))
    assert result.best_epoch == 30 and result.skipped == 30


@pytest.mark.full
def test_members_and_streams_skip_as_fit_does():
    def member(h):
        # The bad example is one to the first member alone.
        bad = failing()
        objective = bad._replace(
            value_and_grad=lambda params, batch, key=None: jax.tree.map(
                lambda a, b: jnp.where(h["bad"], a, b),
                bad.value_and_grad(params, batch, key),
                PLAIN.value_and_grad(params, batch, key),
            )
        )
        return jaxnn.Member(objective, optax.adam(h["rate"]), START, KEY)

    h = {"bad": np.array([1, 0, 1]), "rate": np.array([0.1, 0.1, 0.2])}
    plan = dict(epochs=4, batch_size=3, shuffle=None, on_nan="skip")
    population = jaxnn.fit_population(member, h, X, Y, **plan)
    alone, plain = fit(failing()), fit(PLAIN)
    for i, single in enumerate((alone, plain)):
        assert_close(population.member(i).params, single.params)
        assert population.member(i).skipped == single.skipped
        np.testing.assert_allclose(
            [r["loss"][i] for r in population.history], [r["loss"] for r in single.history], 1e-5
        )
    assert [report["skipped"].tolist() for report in population.history] == [[n, 0, n] for n in (1, 2, 3, 4)]
    assert population.diverged_at == [None] * 3

    batches = jaxnn.data.host_batches(X, Y, 3, seed=0, shuffle=False)
    streamed = jaxnn.fit_stream(failing(), ADAM, START, batches, key=KEY, epochs=4, on_nan="skip")
    assert_close(streamed.params, alone.params)
    assert streamed.skipped == 4 and streamed.history[-1]["skipped"] == 4


@pytest.mark.full
def test_a_member_that_fails_for_good_diverges_among_others():
    def member(h):
        always = failing(always=h["always"] == 1)
        return jaxnn.Member(always, ADAM, START, KEY)

    h = {"always": np.array([0, 1])}
    with pytest.warns(
        jaxnn.train.DivergenceWarning, match="1 of 2 members diverged, member 1 first: it diverged at step 10"
    ):
        population = jaxnn.fit_population(member, h, X, Y, epochs=5, batch_size=3, shuffle=None, on_nan="skip")
    assert population.diverged_at == [None, 10] and population.member(1).skipped == 10
    assert np.isnan(population.history[-1]["loss"]).tolist() == [False, True]
    jax.tree.map(lambda leaf, first: np.testing.assert_array_equal(leaf[1], first), population.params, START)


def test_nothing_compiles_again_for_the_same_training(caplog):
    objective, compiled = failing(), []
    for _ in range(2):
        caplog.clear()
        with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
            fit(objective)
        compiled.append(sum("Compiling" in record.getMessage() for record in caplog.records))
    assert compiled[0] > 0 and compiled[1] == 0


@pytest.mark.parametrize("max_consecutive_errors", [0, 1.5])
def test_skipping_fewer_than_one_raises(max_consecutive_errors):
    with pytest.raises(
        ValueError, match=f"max_consecutive_errors must be a whole number of at least 1, got {max_consecutive_errors}"
    ):
        jaxnn.optim.skip_nonfinite(ADAM, max_consecutive_errors)
