"""Extreme but valid inputs, for each entry point: they train without a warning, or raise with a reason.

Warnings are errors here as in the whole suite, NumPy's and JAX's.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
NORMAL = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
LABELS = (np.arange(12) % 2).astype(np.int32)
MIXED = np.where(np.arange(4) == 1, np.float32(1e30), np.float32(1)) * NORMAL

INPUTS = {
    "features of 1e30": (NORMAL * np.float32(1e30), LABELS),
    "the largest floats": (np.sign(NORMAL) * np.float32(3.4e38), LABELS),
    "one feature of 1e30": (MIXED, LABELS),
    "subnormal features": (NORMAL * np.float32(1e-42), LABELS),
    "constant features": (np.full((12, 4), 7.3, np.float32), LABELS),
    "constant 1e30": (np.full((12, 4), 1e30, np.float32), LABELS),
    "all 0": (np.zeros((12, 4), np.float32), LABELS),
    "class 0 only": (NORMAL, 0 * LABELS),
    "class 1 only": (NORMAL, 0 * LABELS + 1),
    "one example": (NORMAL[:1], LABELS[1:2]),
    "more features than examples": (np.random.default_rng(1).normal(size=(5, 60)).astype(np.float32), LABELS[:5]),
    "duplicates of one row": (np.repeat(NORMAL[:1], 12, axis=0), LABELS),
    "float64 that float32 cannot hold": (NORMAL.astype(float) * 1e300, LABELS),
    "float16 near its end": (np.clip(NORMAL * 3e4, -6e4, 6e4).astype(np.float16), LABELS),
}
HUGE = {"features of 1e30", "the largest floats", "one feature of 1e30", "constant 1e30"}
UNHOLDABLE = "float64 that float32 cannot hold"
COSTLY = {"features of 1e30", "more features than examples"}
"""Those of programs that others do not share."""


# What trains. Models and optimisers are made once, so that inputs of one shape share their programs.

MODELS = {
    n: (
        jaxnn.logistic_regression(n),
        jaxnn.mlp((n, 5, 1), "tanh"),
        jaxnn.mlp((n, 5, 3), output="softmax", dropout_rate=0.2),
    )
    for n in (4, 60)
}
OBJECTIVES = {n: [jaxnn.objective(model.network, model.loss, jaxnn.l2(0.01)) for model in MODELS[n]] for n in MODELS}
SGD, ADAM = optax.sgd(0.1), optax.adam(0.1)


def fitted(number, optimizer, batch_size=None, fit=jaxnn.fit):
    def run(x, y):
        model, objective = MODELS[x.shape[1]][number], OBJECTIVES[x.shape[1]][number]
        size = {} if batch_size is None else {"batch_size": min(batch_size, len(x))}
        return fit(objective, optimizer, model.init(KEY), x, y, key=KEY, epochs=2, report_every=2, **size), model

    return run


def in_stream(objective, optimizer, params, x, y, *, batch_size, **options):
    return jaxnn.fit_stream(objective, optimizer, params, jaxnn.data.host_batches(x, y, batch_size, seed=0), **options)


BY_ONES = fitted(2, ADAM, 1)


def standardized(x, y):
    return BY_ONES(jaxnn.standardize(jaxnn.data.fit_standardizer(x), x), y)


@cache
def member_of(n_in):
    def member(h):
        return jaxnn.Member(OBJECTIVES[n_in][1], optax.adam(h["rate"]), MODELS[n_in][1].init(KEY), KEY)

    return member


def population(x, y):
    n_in, options = x.shape[1], dict(epochs=2, report_every=2, batch_size=min(5, len(x)))
    trained = jaxnn.fit_population(member_of(n_in), jaxnn.grid(rate=[0.1, 0.01]), x, y, **options)
    return trained.member(0), MODELS[n_in][1]


TRAINING = {
    "logistic regression, all examples at once": fitted(0, SGD),
    "three classes, dropout, batches of 1": BY_ONES,
    "fit_stream": fitted(1, ADAM, 5, in_stream),
    "fit_in_row_space": fitted(1, SGD, 5, jaxnn.contrib.fit_in_row_space),
    "fit_population": population,
    "standardized": standardized,
}
OVERFLOWED = "overflowed first, computed from numbers up to"
REASONS = {
    **{(name, UNHOLDABLE): "must be finite, got .* such values" for name in TRAINING},
    **{("logistic regression, all examples at once", name): OVERFLOWED for name in HUGE},
    ("three classes, dropout, batches of 1", "the largest floats"): OVERFLOWED,
    ("fit_in_row_space", "the largest floats"): "x must have examples of norms of at most .*, got",
    ("fit_in_row_space", "float16 near its end"): "x must have examples of norms of at most .* in float16, got",
    (
        "standardized",
        "the largest floats",
    ): "x must have standard deviations of at most .* in float32, got 3.*e\\+38",
}


@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.representatives(
    "fit_stream-float64 that float32 cannot hold",
    "logistic regression, all examples at once-float16 near its end",
    "logistic regression, all examples at once-one example",
)
@pytest.mark.usefixtures("optimized")  # whether huge terms cancel exactly depends on the order of their sum
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("entry", TRAINING)
def test_it_trains_or_raises_with_the_reason(entry, given):
    x, y = INPUTS[given]
    reason = REASONS.get((entry, given), "")
    if reason and not reason.startswith(OVERFLOWED):
        with pytest.raises(ValueError, match=reason):
            TRAINING[entry](x, y)
        return
    result, model = TRAINING[entry](x, y)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.params))
    if reason:
        assert reason in str(result.divergence)
        return
    if given == "the largest floats" and result.divergence is not None:
        # The order of a sum decides whether it overflows, and that differs between versions of JAX.
        assert str(result.divergence).startswith("step ")
        return
    assert result.divergence is None and result.losses.size > 0 and np.isfinite(result.losses).all()
    if TRAINING[entry] is not BY_ONES:
        return
    # What is measured of it.
    p, labels = model.predict_proba(result.params, x), model.predict(result.params, x)
    assert 0 <= jaxnn.accuracy(labels, y) <= 1 and 0 <= jaxnn.metrics.expected_calibration_error(p, y) <= 1
    assert jaxnn.metrics.log_loss(p, y) >= 0 and jaxnn.metrics.confusion_matrix(labels, y, 3).sum() == len(y)


# What is done to data


def parts(x, y):
    return np.concatenate([part.x for part in jaxnn.split(x, y, (0.6, 0.4), seed=0, stratify=True)])


def folds(x, y):
    return jaxnn.data.k_folds(y, 5, seed=0, stratify=True).sum(axis=0)


in_a_program = jax.jit(jaxnn.standardize)


def standardized_in_a_program(x, y):
    return in_a_program(jaxnn.data.fit_standardizer(x), jnp.asarray(x))


FIELDS = (
    jaxnn.data.random_shift(1.0),
    jaxnn.data.random_rotation(10),
    jaxnn.data.random_scale(0.1),
    jaxnn.data.random_shear(10),
    jaxnn.data.elastic_deformation(3.0, 1.0),
)
augment = jax.jit(
    jax.vmap(
        jaxnn.data.compose(
            jaxnn.data.random_flip(),
            jaxnn.data.warp(*FIELDS),
            jaxnn.data.gaussian_noise(0.1),
            jaxnn.data.random_crop(1, 2),
        )
    )
)


def distorted(x, y):
    images = np.resize(jaxnn.data.check_batch(x, y).x[:, :4], (12, 2, 2))
    return augment(jax.random.split(KEY, 12), jnp.asarray(images))


def spanned(x, y):
    span, coordinates = jaxnn.contrib.row_space(x)
    back = coordinates[:, :-1].astype(float) @ span.basis.astype(float)
    largest = max(np.abs(x).max(), 1e-30)
    np.testing.assert_allclose(back / largest, x / largest, atol=2e-3 if x.dtype == np.float16 else 1e-5)
    return coordinates


PREPARING = {
    "split": parts,
    "k_folds": folds,
    "standardize in a program": standardized_in_a_program,
    "augment": distorted,
    "row_space": spanned,
}
REFUSED = {
    ("split", "one example"): "fractions must give every part an example, .*: increase the smallest fraction",
    ("k_folds", "one example"): "k must be from 2 to the number of examples, 1, got 5",
    (
        "row_space",
        "the largest floats",
    ): "x must have examples of norms of at most .* in float32, got .*: scale the features",
    (
        "row_space",
        "float16 near its end",
    ): "x must have examples of norms of at most .* in float16, got .*: scale the features",
    (
        "standardize in a program",
        "the largest floats",
    ): "x must have standard deviations of at most .* in float32, got .*: scale the features first",
    ("augment", UNHOLDABLE): "x must be finite, got .* and 48 such values",
    ("standardize in a program", UNHOLDABLE): "x must be finite, got .* and 48 such values",
}


@pytest.mark.representatives(
    *(f"{entry}-{given}" for entry in PREPARING if entry != "augment" for given in INPUTS), f"augment-{UNHOLDABLE}"
)
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("entry", PREPARING)
def test_data_are_prepared_or_raise_with_the_reason(entry, given):
    x, y = INPUTS[given]
    reason = REFUSED.get((entry, given))
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            PREPARING[entry](x, y)
        return
    got = np.asarray(PREPARING[entry](x, y))
    assert np.isfinite(got).all()
    assert entry != "split" or sorted(got.ravel()) == sorted(x.ravel())
    assert entry != "k_folds" or (got == 1).all()


# How weights start, from the smallest layers to wide ones


@pytest.mark.representatives("100000-1-he", "100000-1-orthogonal")
@pytest.mark.parametrize("init", jaxnn.nn.INITIALIZERS)
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (1, 300), (300, 1), (100_000, 1)])
def test_initial_weights_are_finite(init, n_in, n_out):
    W = jaxnn.mlp((n_in, n_out), output="linear", init=init).init(KEY)[0]["W"]
    assert W.shape == (n_out, n_in) and np.isfinite(W).all() and np.abs(W).max() < 10


@pytest.mark.full
def test_folds_of_one_class_and_of_one_example_each():
    """Each fold a single example, of one class or two, and a member of which every training differs."""
    x, y = INPUTS["one feature of 1e30"][0][:4], LABELS[:4]

    def measure(params, batch):
        model = MODELS[4][1]
        return {"accuracy": jaxnn.accuracy(model.predict(params, batch.x), batch.y, batch.weight)}

    options = dict(k=4, seed=0, measure=measure, stratify=True, epochs=2, batch_size=1)
    result = jaxnn.cross_validate(member_of(4), jaxnn.grid(rate=[0.1]), x, y, **options)
    assert set(result.measured["accuracy"].ravel()) <= {0.0, 1.0}
