"""The objective: the mean over examples, padding without effect, and checks before tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled, same
from tests.helpers.registry import LayerCase, normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
NETWORK = jaxnn.chain(jaxnn.dense(4), jaxnn.relu(), jaxnn.dense(1))


def params_of(network, dtype=jnp.float32):
    return LayerCase("", network, (3,)).params(dtype)


@pytest.mark.parametrize(
    "weight", [None, [1.0, 1, 1, 1, 1], [2.0, 0, 0.5, 1e-3, 7], [0.0, 0, 3, 0, 0], [1, 0, 2, 3, 0]]
)
def test_weighted_mean_is_numpys(weight, x64):
    network, rng = jaxnn.dense(2), np.random.default_rng(0)
    params, x, y = params_of(network, jnp.float64), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    objective = jaxnn.objective(network, jaxnn.squared_error())
    batch = jaxnn.Batch(jnp.asarray(x), jnp.asarray(y), None if weight is None else jnp.asarray(weight))
    (value, stats), grads = compiled(objective.value_and_grad)(params, batch)
    assert stats == ()
    z = x @ np.asarray(params["W"]).T + np.asarray(params["b"])[None]
    np.testing.assert_allclose(value, np.average(oracle.squared_error(z, y), weights=weight), **TOLERANCE["float64"])
    shares = np.full(5, 1 / 5) if weight is None else np.array(weight) / sum(weight)
    np.testing.assert_allclose(grads["W"], (shares[:, None] * (z - y)).T @ x, **TOLERANCE["float64"])
    np.testing.assert_allclose(grads["b"], shares @ (z - y), **TOLERANCE["float64"])


CASES = {
    "plain": jaxnn.objective(NETWORK, jaxnn.squared_error()),
    "regularizer": jaxnn.objective(NETWORK, jaxnn.squared_error(), jaxnn.regularizers.elastic_net(0.1, 0.2)),
    "dropout": jaxnn.objective(
        jaxnn.chain(jaxnn.dense(4), jaxnn.relu(), jaxnn.dropout(0.5), jaxnn.dense(1)), jaxnn.squared_error()
    ),
    "probabilities": jaxnn.objective(
        jaxnn.chain(jaxnn.dense(1), jaxnn.sigmoid()), jaxnn.losses.binary_cross_entropy(), jaxnn.l2(0.1)
    ),
    "vector_outputs": jaxnn.objective(
        jaxnn.stateless(lambda x: (x[:, 0], x), lambda x, dy: jnp.zeros_like(x).at[:, 0].set(dy)), jaxnn.squared_error()
    ),
}


def data(m=6):
    x = normal((m, 3), "float64")
    return jaxnn.Batch(x, jnp.asarray(np.arange(m) % 2), jnp.asarray(np.arange(m) % 3, jnp.float64))


@pytest.mark.representatives("plain-False", "dropout-True")
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_hand_is_auto(name, weighted, x64):
    """With the same key, the same masks."""
    networks = {"dropout": jaxnn.chain(jaxnn.dense(4), jaxnn.relu(), jaxnn.dropout(0.5), jaxnn.dense(1))}
    networks |= {"probabilities": jaxnn.chain(jaxnn.dense(1), jaxnn.sigmoid()), "vector_outputs": jaxnn.nn.identity()}
    params = params_of(networks.get(name, NETWORK), jnp.float64)
    batch = data() if weighted else data()._replace(weight=None)

    @compiled
    def run(params, batch, key):
        objective = CASES[name]
        return [jaxnn.train.gradients_by(objective, gradients)(params, batch, key) for gradients in ("hand", "auto")]

    hand, auto = run(params, batch, KEY)
    same(hand, auto, **TOLERANCE["float64"])


def test_penalty_is_added_once_and_outside_the_mean(x64):
    params, batch = params_of(NETWORK, jnp.float64), data()
    run = compiled(lambda p, b: [CASES[name].value_and_grad(p, b) for name in ("plain", "regularizer")])
    ((plain, _), plain_grads), ((value, _), grads) = run(params, batch)
    weights = [np.asarray(params[i]["W"]) for i in (0, 2)]
    np.testing.assert_allclose(value - plain, oracle.elastic_net(weights, 0.1, 0.2), **TOLERANCE["float64"])
    for i, expected in zip((0, 2), oracle.d_elastic_net(weights, 0.1, 0.2), strict=True):
        np.testing.assert_allclose(grads[i]["W"] - plain_grads[i]["W"], expected, **TOLERANCE["float64"])
        np.testing.assert_allclose(grads[i]["b"], plain_grads[i]["b"], **TOLERANCE["float64"])


@pytest.mark.representatives("loss0")
@pytest.mark.parametrize("loss", [jaxnn.squared_error(), jaxnn.sigmoid_cross_entropy(), jaxnn.softmax_cross_entropy()])
def test_padding_changes_nothing_exactly(loss):
    """Padded rows may hold any finite numbers, including those that overflow the loss."""
    k = 3 if loss == jaxnn.softmax_cross_entropy() else 1
    network = jaxnn.chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(4), jaxnn.relu(), jaxnn.dense(k))
    objective, params = jaxnn.objective(network, loss), params_of(network)
    x, y = np.asarray(normal((5, 3))), np.array([0, 1, 1, 0, 1])
    zeros, noise = np.zeros((3, 3), np.float32), np.asarray(normal((3, 3), seed=9))
    huge = np.full((3, 3), 3e38, np.float32) * np.array([[1, -1, 1]], np.float32)
    targets = [np.zeros(3, int), np.ones(3, int), np.array([1, 0, 1])]
    if loss == jaxnn.squared_error():
        targets = [np.zeros(3), np.full(3, 3e38), np.full(3, -1e30)]  # overflow when squared
    weight = np.array([1, 2, 1, 0.5, 1, 0, 0, 0], np.float32)
    run = compiled(objective.value_and_grad)
    results = [
        run(params, jaxnn.Batch(np.concatenate([x, rows]), np.concatenate([y, labels]).astype(labels.dtype), weight))
        for rows, labels in zip((zeros, noise, huge), targets, strict=True)
    ]
    for (value, stats), grads in results:
        assert np.isfinite(value) and stats == ()
        jax.tree.map(np.testing.assert_array_equal, ((value, stats), grads), results[0])
    short = jaxnn.Batch(x, y.astype(targets[0].dtype), weight[:5])
    same(results[0], run(params, short), **TOLERANCE["float32"])


def test_weights_of_zero_make_zero():
    objective, params = CASES["regularizer"], params_of(NETWORK)
    batch = jaxnn.Batch(normal((4, 3)), jnp.ones(4), jnp.zeros(4))
    run = compiled(lambda p, b: (objective.value_and_grad(p, b), jaxnn.regularizers.elastic_net(0.1, 0.2).value(p)))
    ((value, _), grads), regularizer = run(params, batch)
    assert value == regularizer
    expected = jaxnn.regularizers.elastic_net(0.1, 0.2).gradient(params)
    jax.tree.map(np.testing.assert_array_equal, grads, expected)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (3,)])
def test_weights_of_another_shape_raise(shape):
    """One weight for four examples would broadcast, and make a sum of the mean."""
    batch = jaxnn.Batch(np.zeros((4, 3), np.float32), np.zeros(4, np.float32), np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"weight must have shape \(4,\), one number per example, got \("):
        jax.eval_shape(CASES["plain"].value_and_grad, params_of(NETWORK), batch)


@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (
            jaxnn.logistic_regression(3),
            (4, 2),
            np.zeros(4, int),
            r"x must be floats \(..., n_in=3\) for W .* \(4, 2\)",
        ),
        (jaxnn.logistic_regression(3), (4, 3), np.full(4, 2), "y must be binary labels, from 0 to 1, got 2 to 2"),
        (jaxnn.logistic_regression(3), (4, 3), np.zeros((4, 2)), r"the shape of outputs z, \(4, 1\), got \w+ \(4, 2\)"),
        (
            jaxnn.logistic_regression(3, 3),
            (4, 3),
            np.full(4, 3),
            "y must be labels of 3 classes, from 0 to 2, got 3 to 3",
        ),
        (jaxnn.logistic_regression(3, 3), (4, 3), np.zeros(4), r"astype\(int\)"),
        (
            jaxnn.mlp((3, 2), output="linear"),
            (4, 3),
            np.zeros(4),
            r"the shape of outputs z, \(4, 2\), got \w+ \(4,\)",
        ),
    ],
)
def test_check_raises_before_compilation(model, x, y, message):
    params = jax.eval_shape(model.init, KEY)  # shapes alone: nothing can be computed from these
    with pytest.raises(ValueError, match=message):
        jaxnn.objective(model.network, model.loss).check(params, jaxnn.Batch(np.zeros(x, np.float32), y))


def test_check_accepts_what_fits():
    model = jaxnn.logistic_regression(3, 3)
    params = jax.eval_shape(model.init, KEY)
    jaxnn.objective(model.network, model.loss).check(params, jaxnn.Batch(np.zeros((4, 3)), np.array([0, 1, 2, 0])))


MODEL = jaxnn.logistic_regression(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((MODEL, MODEL.loss), "network must be a Layer, got a Model: pass its network"),
        ((MODEL.loss, MODEL.network), "network must be a Layer, got a Loss"),
        ((jaxnn.dense, MODEL.loss), "call the factory"),
        (
            (MODEL.network, jaxnn.squared_error),
            "loss must be a Loss, got the function squared_error: jaxnn.squared_error",
        ),
        ((MODEL.network, "mse"), r"loss must be a Loss, got 'mse': jaxnn.squared_error\(\), or model.loss"),
        (
            (MODEL.network, MODEL.loss, 0.1),
            r"regularizer must be a Regularizer or None, got 0.1: jaxnn.l2\(0.01\)",
        ),
        (
            (MODEL.network, MODEL.loss, jaxnn.l2),
            "regularizer must be a Regularizer or None, got the function l2: jaxnn.l2",
        ),
        (
            (MODEL.network, MODEL.loss, [jaxnn.l2(0.1)]),
            "regularizer must be a Regularizer or None, got a list",
        ),
    ],
)
def test_invalid_parts_of_an_objective_raise(given, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.objective(*given)


@pytest.mark.parametrize("given", [MODEL, MODEL.loss, MODEL.network, CASES["plain"].value, None, "mse"])
def test_invalid_objective_raises_in_every_function(given):
    params, data, plan = params_of(NETWORK), (np.ones((4, 3)), np.zeros(4)), dict(key=KEY, epochs=1)
    for take in (
        lambda: jaxnn.fit(given, optax.sgd(0.1), params, *data, **plan),
        lambda: jaxnn.fit_stream(given, optax.sgd(0.1), params, [data], **plan),
        lambda: jaxnn.contrib.fit_in_row_space(given, optax.sgd(0.1), params, *data, **plan),
        lambda: jaxnn.make_step(given, optax.sgd(0.1)),
        lambda: jaxnn.train.gradients_by(given),
        lambda: jaxnn.train.with_augmentation(given, jaxnn.data.random_flip()),
        lambda: jaxnn.fit_population(
            lambda h: jaxnn.Member(given, optax.sgd(0.1), params, KEY), {"a": [0.0]}, *data, epochs=1
        ),
    ):
        with pytest.raises(ValueError, match=r"objective must be a jaxnn.Objective, got .*: jaxnn.objective\(model"):
            take()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((np.ones((4, 2)), np.zeros(4)), r"batch must be a jaxnn.Batch, got a tuple: jaxnn.Batch\(x, y\)"),
        (np.ones((4, 2)), r"batch must be a jaxnn.Batch, got float64 \(4, 2\)"),
        (jaxnn.Batch([[1.0, 2.0]], [0]), r"x must be an array, got \[\[1.0, 2.0\]\]"),
        (jaxnn.Batch(np.ones((0, 2)), np.zeros(0)), r"batch must hold at least one example, got x of shape \(0, ...\)"),
        (
            jaxnn.Batch(np.ones((2, 2)), np.zeros(2), np.ones(2), np.ones(2)),
            r"normalizer must be a scalar, got shape \(2,\)",
        ),
    ],
)
def test_invalid_batch_raises(batch, message):
    objective = jaxnn.objective(MODEL.network, MODEL.loss)
    params = {"W": np.ones((1, 2), np.float32), "b": np.ones(1, np.float32)}
    for of in (objective.value, objective.value_and_grad):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(lambda of=of: of((params,), batch))


def test_weights_and_scales_may_be_python_s():
    objective = jaxnn.objective(MODEL.network, MODEL.loss)
    params = ({"W": jnp.ones((1, 2)), "b": jnp.ones(1)},)
    x, y = np.ones((2, 2), np.float32), np.zeros(2)
    listed, array = (jaxnn.Batch(x, y, weight) for weight in ([1.0, 2.0], jnp.array([1.0, 2.0])))
    run = compiled(
        lambda params: (objective.value_and_grad(params, listed, None, 8), objective.value_and_grad(params, array))
    )
    jax.tree.map(np.testing.assert_array_equal, *run(params))


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (jaxnn.softmax(), jaxnn.softmax_cross_entropy()),
        (jaxnn.sigmoid(), jaxnn.sigmoid_cross_entropy()),
        (jaxnn.softmax(), jaxnn.losses.kl_divergence()),
        (jaxnn.chain(jaxnn.dense(2), jaxnn.softmax()), jaxnn.softmax_cross_entropy(0.1)),
    ],
)
def test_probabilities_for_a_loss_of_logits_warn(last, loss):
    with pytest.warns(UserWarning, match="makes probabilities, but .* takes logits.*: leave that layer out") as caught:
        jaxnn.objective(jaxnn.chain(jaxnn.dense(3), last), loss)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (jaxnn.sigmoid(), jaxnn.losses.binary_cross_entropy()),
        (jaxnn.sigmoid(), jaxnn.squared_error()),
        (jaxnn.dense(2), jaxnn.softmax_cross_entropy()),
        (jaxnn.Layer(*jaxnn.softmax()), jaxnn.softmax_cross_entropy()),
    ],
)
def test_other_ends_do_not_warn(last, loss, recwarn):
    jaxnn.objective(jaxnn.chain(jaxnn.dense(3), last), loss)
    assert not recwarn
