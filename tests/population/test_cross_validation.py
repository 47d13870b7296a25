"""Folds, and cross-validation against single trainings on arrays without the fold."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(1)
X = RNG.normal(size=(14, 3)).astype(np.float32)
Y = (X[:, 0] > 0.3).astype(np.int32)
MODEL = jaxnn.mlp((3, 4, 1), "tanh")
GRID = jaxnn.grid(learning_rate=[0.1, 0.5], l2=[0.0, 0.1])


def member(h):
    objective = jaxnn.objective(MODEL.network, MODEL.loss, jaxnn.l2(h["l2"]))
    key = jax.random.key(3)
    return jaxnn.Member(objective, optax.sgd(h["learning_rate"]), MODEL.init(key), key)


def measure(params, batch):
    return {
        "accuracy": jaxnn.accuracy(MODEL.predict(params, batch.x), batch.y, batch.weight),
        "loss": jaxnn.objective(MODEL.network, MODEL.loss).evaluate(params, (), batch),
    }


def validate(hyperparameters=GRID, member=member, **options):
    return jaxnn.cross_validate(
        member, hyperparameters, X, Y, **{"k": 3, "seed": 0, "measure": measure, "epochs": 5, **options}
    )


@pytest.mark.parametrize(("m", "k"), [(14, 3), (5, 5), (9, 2)])
def test_every_example_is_held_out_once(m, k):
    folds = jaxnn.data.k_folds(np.arange(m), k, seed=7)
    assert folds.shape == (k, m)
    assert (folds.sum(axis=0) == 1).all()
    assert np.ptp(folds.sum(axis=1)) <= 1
    assert (folds == jaxnn.data.k_folds(np.arange(m), k, seed=7)).all()
    assert m < 6 or not (folds == jaxnn.data.k_folds(np.arange(m), k, seed=8)).all()


def test_stratified_folds_keep_the_classes_shares():
    y = np.repeat([0, 1, 2], [20, 8, 4])
    folds = jaxnn.data.k_folds(y, 4, seed=0, stratify=True)
    for label, count in ((0, 5), (1, 2), (2, 1)):
        assert abs((folds * (y == label)).sum(axis=1) - count).max() <= 1


@pytest.mark.parametrize("k", [1, 15, 2.0])
def test_invalid_folds(k):
    with pytest.raises(
        ValueError, match="k must be (from 2 to the number of examples, 14|a whole number of at least 2), got"
    ):
        jaxnn.data.k_folds(Y, k, seed=0)
    with pytest.raises(ValueError, match="labels"):
        jaxnn.data.k_folds(np.zeros((14, 2)), 2, seed=0, stratify=True)


@pytest.mark.full
def test_each_fold_equals_the_training_without_it():
    result = validate()
    held_out = jaxnn.data.k_folds(Y, 3, seed=0)
    assert result.measured["accuracy"].shape == (4, 3)
    for i, fold in ((1, 2), (3, 1)):
        made = member({name: values[i] for name, values in GRID.items()})
        out = held_out[fold] == 1
        single = jaxnn.fit(made.objective, made.optimizer, made.params, X[~out], Y[~out], key=made.key, epochs=5)
        np.testing.assert_allclose(result.population.member(3 * i + fold).losses, single.losses, rtol=1e-5)
        expected = measure(single.params, jaxnn.Batch(jnp.asarray(X[out]), jnp.asarray(Y[out])))
        for name, value in expected.items():
            np.testing.assert_allclose(result.measured[name][i, fold], value, rtol=1e-5)


@pytest.mark.full
def test_shards_are_those_of_a_training_on_the_weights_of_a_fold():
    plan = dict(shards=2, batch_size=4)
    result = validate(**plan, shuffle="own")
    out = jaxnn.data.k_folds(Y, 3, seed=0)[2]
    made = member({name: values[1] for name, values in GRID.items()})
    single = jaxnn.fit(
        made.objective, made.optimizer, made.params, X, Y, key=made.key, weight=1 - out, epochs=5, **plan
    )
    np.testing.assert_allclose(result.population.member(5).losses, single.losses, rtol=1e-5)


@pytest.mark.full
def test_the_best_is_by_the_mean_over_folds():
    result = validate()
    assert result.best("loss") == np.argmin(result.measured["loss"].mean(axis=1))
    assert result.best("accuracy", mode="max") == np.argmax(result.measured["accuracy"].mean(axis=1))
    with pytest.raises(ValueError, match="monitor must be one of .*, got 'f1'"):
        result.best("f1")


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
def test_a_member_that_diverges_in_a_fold_is_not_the_best():
    result = validate({"learning_rate": np.array([1e30, 0.1]), "l2": np.zeros(2)})
    assert np.isnan(result.measured["loss"][0]).any()
    assert np.isfinite(result.measured["loss"][1]).all()
    assert result.best("loss") == 1
    with pytest.raises(
        ValueError, match="at least one member must have a finite value, got NaN of all that have not diverged"
    ):
        validate({"learning_rate": np.array([1e30]), "l2": np.zeros(1)}).best("loss")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 1}, "k must be from 2 to the number of examples, 14, got 1"),
        ({"hyperparameters": {}}, "must be arrays with one entry for each member, at least one, got"),
        (
            {"member": lambda h: member(h)._replace(weight=jnp.ones(14))},
            "weight of a member must be None, .*: pass them as weight",
        ),
        ({"measure": lambda params, batch: params}, "dictionary of scalars"),
        (
            {"hyperparameters": {"learning_rate": 0.1, "l2": 0.0}},
            r"one entry for each member, at least one, got hyperparameters\['.*'\] \(\)",
        ),
        (
            {"hyperparameters": {"learning_rate": [0.1], "l2": [0.0, 0.1]}},
            r"one entry for each member, .*\['l2'\] \(2,\), hyperparameters\['learning_rate'\] \(1,\): grid",
        ),
        ({"member": lambda h: None}, "result of member must be a jaxnn.Member, got None"),
        ({"member": lambda: None}, r"member must be a function member\(hyperparameters\), got a function of \(\)"),
        (
            {"measure": lambda params, stats, x, y: {}},
            r"measure must be a function measure\(params, batch\), or measure\(params, stats, batch\), "
            r"got a function of \(params, stats, x, y\)",
        ),
        ({"seed": jax.random.key(0)}, "seed must be a whole number of at least 0, got"),
    ],
)
def test_invalid_plans_raise(options, message):
    with pytest.raises(ValueError, match=message):
        validate(**options)


@pytest.mark.full
def test_hyperparameters_may_be_lists():
    lists = {name: values.tolist() for name, values in GRID.items()}
    np.testing.assert_array_equal(validate(lists, epochs=1).measured["loss"], validate(epochs=1).measured["loss"])
