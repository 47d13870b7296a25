"""`evaluator`: the model's own loss and right metrics, as an argument of all trainings."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

import jaxnn
from jaxnn import nn

RNG = np.random.default_rng(0)
X, KEY = RNG.normal(size=(20, 3)).astype(np.float32), jax.random.key(0)
WEIGHT = np.arange(20) % 4
CLASSIFIERS = {
    "binary": (jaxnn.mlp((3, 4, 1)), np.arange(20) % 2),
    "binary column": (jaxnn.mlp((3, 4, 1)), (np.arange(20) % 2)[:, None]),
    "classes": (jaxnn.mlp((3, 4, 5), output="softmax"), np.arange(20) % 5),
    "several labels": (jaxnn.mlp((3, 4, 2)), RNG.integers(0, 2, (20, 2))),
}
VALUES = {
    "one": (jaxnn.mlp((3, 4, 1), output="linear"), RNG.normal(size=20)),
    "two": (jaxnn.mlp((3, 4, 2), output="linear"), RNG.normal(size=(20, 2))),
}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["none", "weighted"])
@pytest.mark.parametrize("name", [*CLASSIFIERS, *VALUES])
def test_it_is_the_loss_and_scikit_learns_metrics(name, weight):
    model, y = (CLASSIFIERS | VALUES)[name]
    params = model.init(KEY)
    got = jaxnn.train.evaluator(model, X, y, weight)(params)
    batch = jaxnn.Batch(X, jnp.asarray(y), None if weight is None else jnp.asarray(weight))
    loss = jaxnn.objective(model.network, model.loss).evaluate(params, (), batch)
    predicted = np.asarray(model.predict(params, X))
    if name in CLASSIFIERS:
        right = (predicted.reshape(20, -1) == y.reshape(20, -1)).mean(axis=1)
        expected = {"dev_loss": loss, "dev_accuracy": np.average(right, weights=weight)}
    else:
        given = dict(y_true=y, y_pred=predicted.reshape(y.shape), sample_weight=weight)
        expected = {
            "dev_loss": loss,
            "dev_mean_absolute_error": sklearn.metrics.mean_absolute_error(**given),
            "dev_r_squared": sklearn.metrics.r2_score(**given),
        }
    assert [*got] == [*expected]
    for each, value in expected.items():
        np.testing.assert_allclose(got[each], value, rtol=1e-5)


def test_reports_of_each_training_have_it_and_curves_collect_it():
    model, y = CLASSIFIERS["binary"]
    objective = jaxnn.objective(model.network, model.loss)
    evaluate = jaxnn.train.evaluator(model, X, y)
    given = dict(key=KEY, epochs=3, evaluate=evaluate, early_stopping=jaxnn.EarlyStopping("dev_loss", 5))
    fit = jaxnn.fit(objective, optax.sgd(0.1), model.init(KEY), X, y, **given)
    batches = jaxnn.data.host_batches(X, y, 20, seed=0)
    stream = jaxnn.fit_stream(objective, optax.sgd(0.1), model.init(KEY), batches, **given)

    def member(h):
        return jaxnn.Member(objective, optax.sgd(h["rate"]), model.init(KEY), KEY)

    population = jaxnn.fit_population(member, jaxnn.grid(rate=[0.1, 0.2]), X, y, epochs=3, evaluate=evaluate)
    assert {*fit.curves} == {"epoch", "step", "loss", "dev_loss", "dev_accuracy"}
    assert fit.curves["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(fit.curves["dev_loss"], [report["dev_loss"] for report in fit.history])
    for other in (stream.history, [{name: np.asarray(a).flat[0] for name, a in r.items()} for r in population.history]):
        np.testing.assert_allclose([r["dev_loss"] for r in other], fit.curves["dev_loss"], rtol=1e-5)
    assert float(evaluate(fit.params)["dev_loss"]) == pytest.approx(min(fit.curves["dev_loss"]), rel=1e-6)


def test_statistics_of_training_are_used():
    network = jaxnn.chain(jaxnn.dense(4), nn.batch_norm(), jaxnn.dense(2))
    model = jaxnn.Model(network, (3,), *jaxnn.models.feedforward.OUTPUTS["softmax"])
    y = np.arange(20) % 2
    evaluate = jaxnn.train.evaluator(model, X, y, prefix="test_")
    objective = jaxnn.objective(network, model.loss)
    fit = jaxnn.fit(objective, optax.sgd(0.1), model.init(KEY), X, y, key=KEY, epochs=2, evaluate=evaluate)
    expected = objective.evaluate(fit.params, fit.stats, jaxnn.Batch(X, jnp.asarray(y)))
    np.testing.assert_allclose(fit.history[-1]["test_loss"], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="stats"):
        evaluate(fit.params)


def test_equal_models_share_a_program():
    y = np.arange(20) % 2
    first, second = (jaxnn.train.evaluator(jaxnn.mlp((3, 7, 1)), X, y) for _ in range(2))
    params = jaxnn.mlp((3, 7, 1)).init(KEY)
    first(params)
    with jax.log_compiles(False), jax.no_tracing():
        second(params)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, np.full(20, 7), "y must"),
        (X[:, :2], np.zeros(20, int), "x must be"),
        (X, np.zeros(19, int), "y must be one target for each of the 20 examples"),
        (np.full((20, 3), np.nan), np.zeros(20, int), "x must be finite"),
    ],
)
def test_data_that_do_not_fit_raise_at_once(x, y, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.train.evaluator(jaxnn.mlp((3, 4, 1)), x, y)


def test_an_empty_history_has_no_curves():
    model, y = VALUES["one"]
    objective = jaxnn.objective(model.network, model.loss)
    with pytest.warns(jaxnn.train.DivergenceWarning):
        fit = jaxnn.fit(objective, optax.sgd(1e38), model.init(KEY), X, y, key=KEY, epochs=3)
    assert fit.curves == {name: pytest.approx([r[name] for r in fit.history]) for name in (fit.history or [{}])[0]}
