"""Training in the span of the examples, compared with `fit`: the same iterates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(4)
X = RNG.normal(size=(6, 40)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0])
MODEL = jaxnn.mlp((40, 3, 1), "tanh")
KEY = jax.random.key(1)


def both(x=X, y=Y, model=MODEL, regularizer=None, optimizer=None, start=None, **options):
    """Return the fit in the row space, and the fit on all features."""
    objective = jaxnn.objective(model.network, model.loss, regularizer)
    optimizer = optax.sgd(0.1) if optimizer is None else optimizer
    start = model.init(jax.random.key(0)) if start is None else start
    options = {"key": KEY, "epochs": 12, "report_every": 4, **options}
    return [
        train(objective, optimizer, start, x, y, **options) for train in (jaxnn.contrib.fit_in_row_space, jaxnn.fit)
    ]


def assert_same(short, long, tolerance=2e-5):
    np.testing.assert_allclose(short.losses, long.losses, rtol=tolerance)
    for a, b in zip(jax.tree.leaves(short.params), jax.tree.leaves(long.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


@pytest.mark.full
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.chain(optax.clip_by_global_norm(0.3), optax.sgd(optax.cosine_decay_schedule(0.5, 12))),
        optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.9)),
        optax.chain(optax.sgd(0.1), jaxnn.optim.max_norm(0.5)),
    ],
    ids=["descent", "nesterov", "clipped, scheduled", "weight decay", "max-norm"],
)
def test_the_iterates_are_those_of_fit(optimizer):
    # The start has a part outside of the span, which L2 shortens.
    assert_same(*both(optimizer=optimizer, regularizer=jaxnn.l2(0.2)))


@pytest.mark.full
@pytest.mark.parametrize("layer", [jaxnn.nn.batch_norm(0.1), jaxnn.dropout(0.5)], ids=["batch_norm", "dropout"])
def test_statistics_and_masks_are_those_of_fit(layer):
    """In dev losses too, which are measured in inference."""
    model = MODEL._replace(network=jaxnn.chain(jaxnn.dense(3), layer, jaxnn.tanh(), jaxnn.dense(1)))
    objective = jaxnn.objective(model.network, model.loss)
    short, long = both(model=model, evaluate=lambda p, stats: {"dev": objective.evaluate(p, stats, jaxnn.Batch(X, Y))})
    assert_same(short, long)
    for a, b in zip(jax.tree.leaves(short.stats), jax.tree.leaves(long.stats), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(*([report["dev"] for report in fit.history] for fit in (short, long)), rtol=2e-5)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
def test_half_precision_inputs_are_not_a_dependence_on_single_weights(seed):
    short, long = both(X.astype(np.float16), start=MODEL.init(jax.random.key(seed)), epochs=4)
    assert_same(short, long, 2e-3)  # what float16 rounds


@pytest.mark.full
def test_mini_batches_weights_and_jax_s_gradients():
    weight = np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0], np.float32)
    assert_same(*both(batch_size=4, weight=weight, gradients="auto"))
    assert_same(*both(batch_size=4, weight=(1e36 * weight).astype(np.float32)))


@pytest.mark.full
@pytest.mark.parametrize(
    "x",
    [X[[0, 1, 2, 0, 1, 2]], np.where(np.arange(6)[:, None] == 2, 0, X), X[:1].repeat(6, 0), X[:, :5], X * 0],
    ids=["duplicates", "a row of zeros", "all alike", "fewer features than examples", "nothing"],
)
def test_examples_of_any_rank(x):
    model = jaxnn.logistic_regression(x.shape[1])
    start = jax.tree.map(lambda leaf: leaf + 0.3, model.init(jax.random.key(0)))
    assert_same(*both(x, model=model, start=start, regularizer=jaxnn.l2(0.1)))


@pytest.mark.full
def test_in_float64_the_iterates_agree_to_the_last_digits():
    with jax.enable_x64():
        model = jaxnn.mlp((40, 3, 1), "tanh")
        short, long = both(
            X.astype(np.float64), model=model, optimizer=optax.sgd(0.1, momentum=0.9), key=jax.random.key(1)
        )
        assert short.losses.dtype == np.float64
        assert_same(short, long, 1e-11)


@pytest.mark.full
def test_one_example():
    assert_same(*both(X[:1], Y[:1]))


@pytest.mark.full
def test_metrics_are_computed_with_full_params():
    def evaluate(params):
        return {"size": jnp.square(params[0]["W"]).sum(), "z": MODEL.outputs(params, X[:1] + 1)[0, 0]}

    short, long = both(evaluate=evaluate, regularizer=jaxnn.l2(0.3))
    for a, b in zip(short.history, long.history, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose([*a.values()], [*b.values()], rtol=2e-5)


@pytest.mark.full
def test_a_divergence_keeps_the_last_finite_params():
    with pytest.warns(jaxnn.train.DivergenceWarning):
        short, _ = both(optimizer=optax.sgd(1e20), regularizer=jaxnn.l2(1.0))
    assert short.diverged_at is not None
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(short.params))
    assert short.params[0]["W"].shape == (3, 40)


def test_the_basis_is_orthonormal_and_brings_the_examples_back():
    span, coordinates = jaxnn.contrib.row_space(X)
    assert coordinates.shape == (6, 7)
    assert not coordinates[:, -1].any()
    np.testing.assert_allclose(span.basis @ span.basis.T, np.eye(6), atol=1e-6)
    np.testing.assert_allclose(coordinates[:, :-1] @ span.basis, X, atol=1e-5)
    W = RNG.normal(size=(2, 40)).astype(np.float32)
    np.testing.assert_allclose(span.lift(span.project(W), W), W, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(span.project(W), axis=1), np.linalg.norm(W, axis=1), rtol=1e-6)


def scaled_by_input(gradients, state, params=None):
    return jax.tree.map(lambda g: -g * jnp.linspace(0.1, 1, 40)[None, : g.shape[-1]], gradients), state


@pytest.mark.representatives("adam", "sign")
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(0.1),
        optax.adagrad(0.1),
        optax.sign_sgd(0.1),
        optax.lbfgs(),
        # Clipping that starts far from where the probe's gradients usually are.
        optax.chain(optax.clip(100.0), optax.sgd(0.1)),
        optax.chain(optax.clip_by_block_rms(1e-3), optax.sgd(0.1)),
        optax.GradientTransformation(lambda params: (), scaled_by_input),
    ],
    ids=["adam", "adagrad", "sign", "lbfgs", "clip each", "clip by mean square", "scaled by input"],
)
def test_optimizers_that_depend_on_the_coordinates_raise(optimizer):
    with pytest.raises(ValueError, match="optimizer must be equivariant under rotations, such as sgd"):
        both(optimizer=optimizer, epochs=1)


@pytest.mark.full
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
        optax.chain(optax.clip_by_global_norm(1e3), optax.sgd(0.1)),
    ],
    ids=["injected", "clip by norm"],
)
def test_optimizers_that_turn_are_taken(optimizer):
    assert_same(*both(optimizer=optimizer, epochs=2, report_every=1))


def fourth_powers():
    def value(params):
        return 1e-3 * jnp.sum(params[0]["W"] ** 2 * params[0]["W"] ** 2)

    return jaxnn.regularizers.Regularizer(value, jax.grad(value))


@pytest.mark.parametrize(
    "regularizer",
    [jaxnn.l1(1e-3), jaxnn.regularizers.elastic_net(0.1, 0.1), fourth_powers()],
    ids=["l1", "elastic net", "fourth powers"],
)
def test_penalties_that_depend_on_single_weights_raise(regularizer):
    with pytest.raises(ValueError, match="objective must be invariant under rotations .*, such as an L1 regularizer"):
        both(regularizer=regularizer, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": X[:, :7]}, r"W \(3, 40\) and x \(6, 7\)"),
        ({"start": {"W": np.zeros((1, 40))}}, "params must start with those of a dense layer, "),
        ({"start": ((), ())}, "params must start with those of a dense layer, "),
        ({"x": X * np.nan}, "x must be finite, got"),
        ({"optimizer": "sgd"}, "optimizer must be an optax optimizer, .*, got 'sgd'"),
        ({"evaluate": "loss"}, "evaluate must be a function .*, got 'loss'"),
    ],
)
def test_untrainable_params_raise(options, message):
    with pytest.raises(ValueError, match=message):
        both(**options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], r"x must be examples as rows \(m, n_in\) of floats, got float32 \(40,\)"),
        (X[None], "got float32"),
        (X[:0], "got float32"),
        (np.ones((3, 4), int), r"got int64 \(3, 4\)"),
        (X.astype(str), "got <U"),
        (X * np.nan, "x must be finite, got nan at .0, 0. and 240 such values"),
        (None, "x must be an array, got None"),
    ],
)
def test_invalid_row_space_raises(x, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.contrib.row_space(x)
