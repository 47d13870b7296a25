"""Trainings resumed from a checkpoint end bit for bit as uninterrupted ones."""

from functools import partial

import jax
import numpy as np
import optax
import pytest

import jaxnn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
MODEL = jaxnn.mlp((5, 8, 1), "tanh", dropout_rate=0.2)
OBJECTIVE = jaxnn.objective(MODEL.network, MODEL.loss)
OPTIMIZER = optax.adam(jaxnn.optim.schedule("cosine", 1e-2, 24))
START = MODEL.init(jax.random.key(0))
KEY = jax.random.key(1)
FAILING = OBJECTIVE._replace(
    value_and_grad=lambda params, batch, key=None: jax.tree.map(
        lambda a: jax.numpy.where(batch.x[0, 0] > 1, np.nan, a), OBJECTIVE.value_and_grad(params, batch, key)
    )
)
HALF = jaxnn.objective(jaxnn.with_dtype(MODEL.network, jax.numpy.float16), MODEL.loss)
SCALED = jaxnn.optim.with_loss_scale(optax.adam(0.01), 2.0**22, growth_interval=3)
PATIENT = jaxnn.EarlyStopping("distance", patience=2)


def fit(objective=OBJECTIVE, optimizer=OPTIMIZER, **plan):
    return jaxnn.fit(objective, optimizer, START, X, Y, key=KEY, batch_size=16, **{"epochs": 6} | plan)


def fit_stream(objective=OBJECTIVE, optimizer=OPTIMIZER, **plan):
    batches = jaxnn.data.host_batches(X, Y, 16, seed=0)
    return jaxnn.fit_stream(objective, optimizer, START, batches, key=KEY, steps_per_call=3, **{"epochs": 6} | plan)


def member(h):
    key = jax.random.key(h["seed"])
    return jaxnn.Member(OBJECTIVE, optax.sgd(h["rate"], momentum=0.9), MODEL.init(key), key)


def fit_population(rates=(1e-3, 1e-2, 1e-1), **plan):
    return jaxnn.fit_population(
        member, jaxnn.grid(rate=rates, seed=range(2)), X, Y, batch_size=16, **{"epochs": 6} | plan
    )


def recorder(saved):
    return jaxnn.Checkpointer(lambda start: None, lambda make, ended: saved.append(make()))


def from_checkpoint(checkpoint, saved=None):
    keep = (lambda make, ended: None) if saved is None else (lambda make, ended: saved.append(make()))
    return jaxnn.Checkpointer(lambda start: checkpoint, keep)


def assert_same(a, b):
    """Results of `fit` and its kind, bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(_numbers, tuple(r)) for r in (a, b)))


def _numbers(leaf):
    is_key = isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


TRAININGS = {
    "fit": fit,
    "fit, reports of two epochs": partial(fit, report_every=2),
    "fit, the last report shorter": partial(fit, report_every=4),
    "fit_stream": fit_stream,
    "fit_stream, reports of four epochs": partial(fit_stream, report_every=4),
    "fit_population": fit_population,
    "fit_population, own shuffles": partial(fit_population, shuffle="own"),
    "fit_population, in chunks": partial(fit_population, chunk=4),
    "fit_population, one diverges": partial(fit_population, rates=(1e-2, 1e38), epochs=3),
    "fit, updates skipped": partial(fit, objective=FAILING, on_nan="skip"),
    "fit_stream, float16 at a scale that adapts": partial(fit_stream, objective=HALF, optimizer=SCALED),
}


@pytest.mark.representatives("fit")
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.parametrize("train", TRAININGS.values(), ids=TRAININGS)
def test_resumed_training_ends_as_without_an_interruption_at_any_step(train):
    saved = []
    whole = train(checkpoints=recorder(saved))
    assert_same(train(), whole)  # keeping checkpoints changes nothing
    assert len(saved) == len(whole.history)
    for i, checkpoint in enumerate(saved):
        again, reported = [], []
        picked_up = train(checkpoints=from_checkpoint(checkpoint, again), callback=reported.append)
        assert_same(picked_up, whole)
        assert len(again) == max(1, len(saved) - 1 - i)  # nothing is done twice; the end is reported in any case
        assert [report["epoch"] for report in reported] == [report["epoch"] for report in whole.history]


@pytest.mark.full
def test_a_population_that_diverged_did_so():
    with pytest.warns(jaxnn.train.DivergenceWarning):
        assert None in (found := fit_population(rates=(1e-2, 1e38)).diverged_at)
    assert any(at is not None for at in found)


@pytest.mark.full
@pytest.mark.parametrize("name", ["fit, updates skipped", "fit_stream, float16 at a scale that adapts"])
def test_trainings_that_skip_do_skip(name):
    assert 0 < TRAININGS[name]().skipped < 10


@pytest.mark.parametrize("reports", [2, 4, 5])
def test_early_stopping_and_its_best_params_survive(reports):
    distances = [3.0, 2.0, 1.0, 5.0, 4.0, 0.0]

    def measuring(calls):
        rest = iter(calls)
        return lambda params: {"distance": next(rest)}

    saved = []
    whole = fit(evaluate=measuring(distances), early_stopping=PATIENT, checkpoints=recorder(saved))
    assert (whole.best_epoch, whole.stopped_by, len(saved)) == (3, "patience", 5)
    there = from_checkpoint(saved[reports - 1])
    assert_same(fit(evaluate=measuring(distances[reports:]), early_stopping=PATIENT, checkpoints=there), whole)


@pytest.mark.representatives("callback-fit")
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.parametrize("train", [fit, fit_stream])
@pytest.mark.parametrize("stopped_by", ["divergence", "callback"])
def test_finished_training_is_not_continued(train, stopped_by):
    plans = {"divergence": {"optimizer": optax.sgd(1e38)}, "callback": {"callback": lambda entry: entry["epoch"] == 2}}
    saved, again = [], []
    whole = train(checkpoints=recorder(saved), **plans[stopped_by])
    assert whole.stopped_by == stopped_by
    assert_same(train(checkpoints=from_checkpoint(saved[-1], again), **plans[stopped_by]), whole)
    assert len(again) == 1  # that it has ended


@pytest.mark.full
def test_more_epochs_continue_from_the_end():
    saved, adam = [], optax.adam(0.01)
    fit(optimizer=adam, checkpoints=recorder(saved))
    more = fit(optimizer=adam, epochs=9, checkpoints=from_checkpoint(saved[-1]))
    assert_same(more, fit(optimizer=adam, epochs=9))


@pytest.mark.representatives("fit", "train1")
@pytest.mark.parametrize("train", [fit, partial(fit_stream, report_every=4), fit_population])
def test_save_is_called_at_the_end(train):
    reported = []
    train(checkpoints=jaxnn.Checkpointer(lambda start: None, lambda make, ended: reported.append(ended)))
    assert reported == [False] * (len(reported) - 1) + [True]


@pytest.mark.full
def test_resumed_stream_has_the_same_batch_size():
    """The size is that of the very first batch."""

    def batches(epoch):
        for rows in np.split(np.arange(10), [4, 8] if epoch % 2 == 0 else [2, 6]):
            yield X[rows], Y[rows]

    def train(checkpoints):
        return jaxnn.fit_stream(OBJECTIVE, OPTIMIZER, START, batches, key=KEY, epochs=3, checkpoints=checkpoints)

    saved = []
    whole = train(recorder(saved))
    for checkpoint in saved:
        assert_same(train(from_checkpoint(checkpoint)), whole)


def test_error_of_save_ends_the_training():
    def stop(make, ended):
        raise InterruptedError(f"after epoch {make().history[-1]['epoch']}")

    with pytest.raises(InterruptedError, match="after epoch 1"):
        fit(checkpoints=jaxnn.Checkpointer(lambda start: None, stop))


def test_checkpoint_of_another_training_raises():
    saved = []
    fit(epochs=1, checkpoints=recorder(saved))
    there = from_checkpoint(saved[0])
    with pytest.raises(ValueError, match="checkpoint must be of this training, with state.*, got that of another: "):
        fit(optimizer=optax.sgd(0.1), checkpoints=there)
    with pytest.raises(
        ValueError,
        match="checkpoint must be of this training, with state.key key<fry> .*, got that of another: key<fry>",
    ):
        jaxnn.fit(OBJECTIVE, OPTIMIZER, START, X, Y, key=jax.random.key(2), epochs=1, checkpoints=there)
    wider = jaxnn.mlp((5, 9, 1), "tanh", dropout_rate=0.2)
    objective = jaxnn.objective(wider.network, wider.loss)
    with pytest.raises(
        ValueError, match=r"state.params\[0\]\['W'\] float32 \(9, 5\), got that of another: float32 \(8, 5\)"
    ):
        jaxnn.fit(objective, OPTIMIZER, wider.init(KEY), X, Y, key=KEY, epochs=1, checkpoints=there)
    fit(epochs=2, checkpoints=recorder(saved))
    with pytest.raises(ValueError, match="epochs must be at least the checkpoint's 2, got 1"):
        fit(epochs=1, checkpoints=from_checkpoint(saved[-1]))
    best = saved[0]._replace(best=0, best_state=saved[0].state._replace(params=()))
    with pytest.raises(ValueError, match="checkpoint must be of this training, with state.* got that of another: "):
        fit(checkpoints=from_checkpoint(best))


@pytest.mark.parametrize(
    ("checkpoints", "message"),
    [
        (
            jaxnn.Checkpointer(lambda start: start, lambda make, ended: None),
            "result of restore must be a Checkpoint, as make.. of save returns or None, got a TrainState",
        ),
        (
            jaxnn.Checkpointer(lambda start: 5, lambda make, ended: None),
            "result of restore must be a Checkpoint, .*, got 5",
        ),
    ],
)
def test_invalid_checkpointer_raises(checkpoints, message):
    with pytest.raises(ValueError, match=message):
        fit(checkpoints=checkpoints)
