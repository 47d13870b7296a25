"""The progress bar: it shows every report, ends where the training does, and changes nothing."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

X, Y = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32), np.arange(12) % 2
MODEL = jaxnn.logistic_regression(3)
OBJECTIVE = jaxnn.objective(MODEL.network, MODEL.loss)
KEY = jax.random.key(0)


def accuracy(params, *_):
    return {"accuracy": jaxnn.accuracy(MODEL.predict(params, X), Y)}


def one(**options):
    plan = dict(key=KEY, epochs=4, evaluate=accuracy) | options
    return jaxnn.fit(OBJECTIVE, optax.sgd(0.1), MODEL.init(KEY), X, Y, **plan)


def stream(**options):
    plan = dict(key=KEY, epochs=4, evaluate=accuracy) | options
    batches = jaxnn.data.host_batches(X, Y, 5, seed=0)
    return jaxnn.fit_stream(OBJECTIVE, optax.sgd(0.1), MODEL.init(KEY), batches, **plan)


def many(**options):
    def member(h):
        return jaxnn.Member(OBJECTIVE, optax.sgd(h["rate"]), MODEL.init(KEY), KEY)

    plan = dict(epochs=4, evaluate=accuracy) | options
    return jaxnn.fit_population(member, jaxnn.grid(rate=[0.1, 0.5]), X, Y, **plan)


def last_bar(text):
    """(epochs done, epochs in all, the values shown) of the last line that the bar drew."""
    bar = [part for part in re.split(r"[\r\n]", text) if "epoch" in part][-1]
    done, total = re.search(r"(\d+)/(\d+)", bar).groups()
    return int(done), int(total), dict(re.findall(r"(\w+)=([-\w.+]+)", bar))


@pytest.mark.representatives("one")
@pytest.mark.parametrize("train", [one, stream, many])
def test_the_bar_shows_the_last_report_and_changes_nothing(train, capfd):
    plain = train()
    assert capfd.readouterr() == ("", "")
    result = train(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    done, total, values = last_bar(err)
    expected = {name: f"{np.mean(result.history[-1][name]):.4g}" for name in ("loss", "accuracy")}
    assert (done, total, values) == (4, 4, expected)
    jax.tree.map(np.testing.assert_array_equal, result.params, plain.params)


def test_it_stops_where_the_training_stops(capfd):
    one(progress=True, callback=lambda report: report["epoch"] == 2)
    assert last_bar(capfd.readouterr().err)[:2] == (2, 4)

    def fail(report):
        raise RuntimeError("of the callback")

    with pytest.raises(RuntimeError, match="of the callback"):
        one(progress=True, callback=fail)
    assert capfd.readouterr().err.endswith("\n")  # what comes next begins on a line of its own


def test_a_resumed_training_begins_at_its_epoch(capfd):
    kept = []
    saver = jaxnn.Checkpointer(lambda start: None, lambda make, ended: kept.append(make()))
    one(checkpoints=saver, callback=lambda report: report["epoch"] == 3)
    halfway = kept[1]
    one(checkpoints=jaxnn.Checkpointer(lambda start: halfway, lambda make, ended: None), progress=True)
    shown = [part for part in re.split(r"[\r\n]", capfd.readouterr().err) if "epoch" in part]
    assert "2/4" in shown[0] and "4/4" in shown[-1]


@pytest.mark.full
def test_members_that_diverged_are_left_out_of_the_mean(capfd):
    def member(h):
        loss = jaxnn.objective(MODEL.network, jaxnn.squared_error())
        return jaxnn.Member(loss, optax.sgd(h["rate"]), MODEL.init(KEY), KEY)

    with pytest.warns(jaxnn.train.DivergenceWarning):
        population = jaxnn.fit_population(
            member, jaxnn.grid(rate=[1e-3, 1e30]), X, jnp.asarray(Y, float)[:, None], epochs=4, progress=True
        )
    finite = population.history[-1]["loss"][0]
    assert last_bar(capfd.readouterr().err)[2] == {"loss": f"{finite:.4g}"}
