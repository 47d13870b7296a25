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


@pytest.mark.representatives("binary-none", "several labels-weighted", "one-none", "two-weighted")
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
        np.testing.assert_allclose(got[each], value, rtol=1e-5, atol=1e-6)


def test_targets_that_are_probabilities_are_labels():
    model = jaxnn.logistic_regression(3)
    params = model.init(KEY)
    labels = np.asarray(model.predict(params, X))
    soft = np.where(labels == 1, 0.95, 0.05).astype(np.float32)
    assert jaxnn.train.evaluator(model, X, soft)(params)["dev_accuracy"] == 1
    assert jaxnn.train.evaluator(model, X, 1 - soft)(params)["dev_accuracy"] == 0
    of_classes, y = CLASSIFIERS["classes"]
    params = of_classes.init(KEY)
    expected = jaxnn.train.evaluator(of_classes, X, y)(params)["dev_accuracy"]
    assert jaxnn.train.evaluator(of_classes, X, np.eye(5, dtype=np.float32)[y])(params)["dev_accuracy"] == expected


@pytest.mark.full
def test_labels_that_do_not_count_in_the_loss_are_left_out():
    network = nn.each_step(jaxnn.dense(3))
    loss = jaxnn.softmax_cross_entropy(class_weights=[1.0, 5.0, 1.0], ignore=-1)
    model = jaxnn.Model(network, (4, 2), loss, *jaxnn.models.feedforward.OUTPUTS["softmax"][1:])
    x, params = RNG.normal(size=(6, 4, 2)).astype(np.float32), model.init(KEY)
    predicted = np.asarray(model.predict(params, x))
    y = np.where(RNG.uniform(size=(6, 4)) < 0.5, predicted, -1)
    assert 0 < (y == -1).sum() < 24
    assert jaxnn.train.evaluator(model, x, y)(params)["dev_accuracy"] == 1


def test_outputs_of_other_kinds_have_a_loss_alone():
    network = nn.fan_out(a=jaxnn.dense(2), b=jaxnn.dense(1))
    losses = {"a": (jaxnn.softmax_cross_entropy(), 1.0), "b": (jaxnn.squared_error(), 1.0)}
    model = jaxnn.Model(network, (3,), jaxnn.losses.weighted_sum(losses), lambda z: z, lambda z: z)
    y = {"a": np.arange(20) % 2, "b": np.ones((20, 1), np.float32)}
    assert [*jaxnn.train.evaluator(model, X, y)(model.init(KEY))] == ["dev_loss"]
    steps = jaxnn.Model(nn.each_step(jaxnn.dense(2)), (4, 3), jaxnn.squared_error(), lambda z: z, lambda z: z)
    x, y = RNG.normal(size=(5, 4, 3)).astype(np.float32), np.ones((5, 4, 2), np.float32)
    assert [*jaxnn.train.evaluator(steps, x, y)(steps.init(KEY))] == ["dev_loss"]


@pytest.mark.full
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


@pytest.mark.full
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


@pytest.mark.full
def test_an_empty_history_has_no_curves():
    model, y = VALUES["one"]
    objective = jaxnn.objective(model.network, model.loss)
    with pytest.warns(jaxnn.train.DivergenceWarning):
        fit = jaxnn.fit(objective, optax.sgd(jnp.nan), model.init(KEY), X, y, key=KEY, epochs=3)
    assert (fit.history, fit.curves) == ([], {})


def test_a_value_of_some_reports_is_nan_in_the_others():
    model, y = VALUES["one"]
    names = iter(["first", "second"])
    fit = jaxnn.fit(
        jaxnn.objective(model.network, model.loss),
        optax.sgd(0.1),
        model.init(KEY),
        X,
        y,
        key=KEY,
        epochs=2,
        evaluate=lambda params: {next(names): 1.0},
    )
    np.testing.assert_array_equal(fit.curves["first"], [1, np.nan])
    np.testing.assert_array_equal(fit.curves["second"], [np.nan, 1])
