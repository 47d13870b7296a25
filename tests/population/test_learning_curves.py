"""Learning curves against single trainings on arrays of each subset."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(2)
X, X_DEV = RNG.normal(size=(23, 3)), RNG.normal(size=(9, 3))
Y, Y_DEV = (X[:, 0] > 0.3).astype(np.int32), (X_DEV[:, 0] > 0.3).astype(np.int32)
DEV = jaxnn.Batch(X_DEV, Y_DEV)
MODEL = jaxnn.mlp((3, 4, 1), "tanh")
GRID = jaxnn.grid(seed=[0, 5], l2=[0.0, 0.1])
SIZES, SEEDS = [4, 23, 10], [3, 8, 9]


def member(h):
    objective = jaxnn.objective(MODEL.network, MODEL.loss, jaxnn.l2(h["l2"]))
    key = jax.random.key(h["seed"])
    return jaxnn.Member(objective, optax.adam(0.05), MODEL.init(key), key)


def measure(params, batch):
    return {
        "error": jaxnn.metrics.error_rate(MODEL.predict(params, batch.x), batch.y, batch.weight),
        "loss": jaxnn.objective(MODEL.network, MODEL.loss).evaluate(params, (), batch),
    }


def curve(hyperparameters=GRID, member=member, x=X, y=Y, sizes=SIZES, **options):
    options = {"dev": DEV, "seeds": SEEDS, "measure": measure, "epochs": 6, **options}
    return jaxnn.population.learning_curve(member, hyperparameters, x, y, sizes, **options)


def subset(size, seed):
    """The first examples in the order that NumPy's generator gives."""
    return np.random.default_rng(seed).permutation(len(X))[:size]


@pytest.mark.full
def test_each_size_is_the_training_on_the_subset_alone(x64):
    result = curve()
    assert result.sizes.tolist() == SIZES
    for i, s, k in ((0, 0, 0), (3, 2, 2)):
        made = member({name: values[i] for name, values in GRID.items()})
        part = np.sort(subset(SIZES[k], SEEDS[s]))
        alone = jaxnn.fit(made.objective, made.optimizer, made.params, X[part], Y[part], key=made.key, epochs=6)
        ours = result.population.member((i * len(SEEDS) + s) * len(SIZES) + k)
        for a, b in zip(jax.tree.leaves(ours.params), jax.tree.leaves(alone.params), strict=True):
            assert a.dtype == jnp.float64
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(ours.losses, alone.losses, rtol=1e-12)
        for measured, batch in (
            (result.train, jaxnn.Batch(jnp.asarray(X[part]), jnp.asarray(Y[part]))),
            (result.dev, jaxnn.Batch(jnp.asarray(X_DEV), jnp.asarray(Y_DEV))),
        ):
            assert measured.keys() == {"error", "loss"}
            for name, value in measure(alone.params, batch).items():
                assert measured[name].shape == (4, 3, 3)
                np.testing.assert_allclose(measured[name][i, s, k], value, rtol=1e-10)


@pytest.mark.full
def test_larger_training_sets_hold_the_smaller_ones_and_seeds_draw_others():
    """With a measure that returns the weights."""

    def weights(params, batch):
        return {f"is {i}": batch.weight[i] for i in range(9)}

    seen = curve(jaxnn.grid(seed=[0], l2=[0.0]), sizes=[5, 12, 23], measure=weights, epochs=1).train
    seen = np.stack(list(seen.values()))[:, 0]
    assert (seen[..., 0] <= seen[..., 1]).all() and (seen[..., 2] == 1).all()
    for s, seed in enumerate(SEEDS):
        for k, size in enumerate((5, 12)):
            np.testing.assert_array_equal(seen[:, s, k], np.isin(np.arange(9), subset(size, seed)))


@pytest.mark.full
def test_stratified_parts_keep_the_classes_shares():
    y = np.repeat([0, 1], [15, 8])

    def share(params, batch):
        return {"ones": (batch.weight * batch.y).sum()}

    ones = curve(jaxnn.grid(seed=[0], l2=[0.0]), y=y, measure=share, epochs=1, stratify=True).train["ones"]
    assert abs(ones[0] - np.array(SIZES) * 8 / 23).max() <= 1
    # By chance they would not, in the orders that these seeds give.
    assert max(abs(y[subset(size, seed)].sum() - size * 8 / 23) for size in SIZES for seed in SEEDS) > 1


@pytest.mark.full
def test_more_data_bring_dev_and_train_error_together():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 20)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=400) > 0).astype(int)
    model = jaxnn.logistic_regression(20)

    def logistic(h):
        objective = jaxnn.objective(model.network, model.loss)
        key = jax.random.key(0)
        return jaxnn.Member(objective, optax.sgd(h["rate"]), model.init(key), key)

    def error(params, batch):
        return {"error": jaxnn.metrics.error_rate(model.predict(params, batch.x), batch.y, batch.weight)}

    result = jaxnn.population.learning_curve(
        logistic,
        {"rate": np.array([1.0])},
        x[:200],
        y[:200],
        [10, 50, 200],
        dev=jaxnn.Batch(x[200:], y[200:]),
        seeds=range(4),
        measure=error,
        epochs=200,
    )
    train, dev = (measured["error"].mean(axis=(0, 1)) for measured in (result.train, result.dev))
    assert train[0] == 0 and (np.diff(train) > 0).all() and (np.diff(dev) < 0).all()


@pytest.mark.full
def test_weights_of_the_dev_set_count():
    of_few = np.arange(9) < 4
    result = curve(jaxnn.grid(seed=[0], l2=[0.0]), dev=DEV._replace(weight=of_few.astype(float)), epochs=1)
    few = jaxnn.Batch(jnp.asarray(X_DEV[of_few], jnp.float32), jnp.asarray(Y_DEV[of_few]))
    expected = jax.jit(jax.vmap(lambda params: measure(params, few)["loss"]))(result.population.params)
    np.testing.assert_allclose(result.dev["loss"].ravel(), expected, rtol=1e-5)


@pytest.mark.full
def test_a_training_that_diverges_is_nan():
    h = {"seed": np.array([0]), "l2": np.array([1e38])}
    with pytest.warns(jaxnn.train.DivergenceWarning):
        result = curve(h, member=lambda h: member(h)._replace(optimizer=optax.sgd(1e10)))
    assert np.isnan(result.train["loss"]).all() and np.isnan(result.dev["error"]).all()


@pytest.mark.representatives("options8-result of member must be a jaxnn.Member, got ")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [24]}, "sizes must be from 1 to the number of examples, 23, got 24"),
        ({"seeds": []}, r"seeds must be a list of .*, got \[\]: seeds=\[0\] is one random order"),
        ({"hyperparameters": {}}, "must be arrays with one entry for each member, at least one, got"),
        (
            {"member": lambda h: member(h)._replace(weight=jnp.ones(23))},
            "weight of a member must be None, .*: pass them as weight",
        ),
        ({"measure": lambda params, batch: params}, "dictionary of scalars"),
        ({"dev": jaxnn.Batch(X_DEV, Y_DEV[:4])}, "y must be one target for each of the 9 examples"),
        ({"y": np.zeros((23, 2)), "stratify": True}, r"y must be labels \(m,\) to be stratified"),
        (
            {"hyperparameters": {"seed": 0, "l2": 0.0}},
            r"one entry for each member, at least one, got hyperparameters\['.*'\] \(\)",
        ),
        ({"member": lambda h: (1, 2)}, "result of member must be a jaxnn.Member, got "),
        ({"measure": lambda params: {}}, r"measure must be .*, got a function of \(params\)"),
    ],
)
def test_invalid_plans_raise(options, message):
    with pytest.raises(ValueError, match=message):
        curve(**options)
