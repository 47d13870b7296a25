"""The objective: the one mean of the library, padding that changes nothing, and checks before tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn as nn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled, same
from tests.helpers.registry import LayerCase, normal

KEY = jax.random.key(0)
NETWORK = nn.chain(nn.dense(4), nn.relu(), nn.dense(1))


def params_of(network, dtype=jnp.float32):
    return LayerCase("", network, (3,)).params(dtype)


@pytest.mark.parametrize(
    "weight", [None, [1.0, 1, 1, 1, 1], [2.0, 0, 0.5, 1e-3, 7], [0.0, 0, 3, 0, 0], [1, 0, 2, 3, 0]]
)
def test_weighted_mean_is_numpys(weight, x64):
    network, rng = nn.dense(2), np.random.default_rng(0)
    params, x, y = params_of(network, jnp.float64), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    objective = nn.objective(network, nn.squared_error())
    batch = nn.Batch(jnp.asarray(x), jnp.asarray(y), None if weight is None else jnp.asarray(weight))
    value, grads = compiled(objective.value_and_grad)(params, batch)
    z = x @ np.asarray(params["W"]).T + np.asarray(params["b"])[None]
    np.testing.assert_allclose(value, np.average(oracle.squared_error(z, y), weights=weight), **TOLERANCE["float64"])
    shares = np.full(5, 1 / 5) if weight is None else np.array(weight) / sum(weight)
    np.testing.assert_allclose(grads["W"], (shares[:, None] * (z - y)).T @ x, **TOLERANCE["float64"])
    np.testing.assert_allclose(grads["b"], shares @ (z - y), **TOLERANCE["float64"])


CASES = {
    "plain": nn.objective(NETWORK, nn.squared_error()),
    "penalty": nn.objective(NETWORK, nn.squared_error(), nn.elastic_net(0.1, 0.2)),
    "dropout": nn.objective(nn.chain(nn.dense(4), nn.relu(), nn.dropout(0.5), nn.dense(1)), nn.squared_error()),
    "probabilities": nn.objective(nn.chain(nn.dense(1), nn.sigmoid()), nn.binary_cross_entropy(), nn.l2(0.1)),
    "vector_outputs": nn.objective(
        nn.stateless(lambda x: (x[:, 0], x), lambda x, dy: jnp.zeros_like(x).at[:, 0].set(dy)), nn.squared_error()
    ),
}


def data(m=6):
    x = normal((m, 3), "float64")
    return nn.Batch(x, jnp.asarray(np.arange(m) % 2), jnp.asarray(np.arange(m) % 3, jnp.float64))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_hand_is_auto(name, weighted, x64):
    """With the same key, the same masks."""
    networks = {"dropout": nn.chain(nn.dense(4), nn.relu(), nn.dropout(0.5), nn.dense(1))}
    networks |= {"probabilities": nn.chain(nn.dense(1), nn.sigmoid()), "vector_outputs": nn.identity()}
    params = params_of(networks.get(name, NETWORK), jnp.float64)
    batch = data() if weighted else data()._replace(weight=None)

    @compiled
    def run(params, batch, key):
        objective = CASES[name]
        return [nn.gradients_by(objective, gradients)(params, batch, key) for gradients in ("hand", "auto")]

    hand, auto = run(params, batch, KEY)
    same(hand, auto, **TOLERANCE["float64"])


def test_penalty_is_added_once_and_outside_the_mean(x64):
    params, batch = params_of(NETWORK, jnp.float64), data()
    run = compiled(lambda p, b: [CASES[name].value_and_grad(p, b) for name in ("plain", "penalty")])
    (plain, plain_grads), (value, grads) = run(params, batch)
    weights = [np.asarray(params[i]["W"]) for i in (0, 2)]
    np.testing.assert_allclose(value - plain, oracle.elastic_net(weights, 0.1, 0.2), **TOLERANCE["float64"])
    for i, expected in zip((0, 2), oracle.d_elastic_net(weights, 0.1, 0.2), strict=True):
        np.testing.assert_allclose(grads[i]["W"] - plain_grads[i]["W"], expected, **TOLERANCE["float64"])
        np.testing.assert_allclose(grads[i]["b"], plain_grads[i]["b"], **TOLERANCE["float64"])


@pytest.mark.parametrize("loss", [nn.squared_error(), nn.sigmoid_cross_entropy(), nn.softmax_cross_entropy()])
def test_padding_changes_nothing_exactly(loss):
    """Whatever finite numbers the padded rows hold, those that overflow the loss included."""
    k = 3 if loss.value is nn.softmax_cross_entropy_value else 1
    network = nn.chain(nn.dense(4), nn.tanh(), nn.dense(4), nn.relu(), nn.dense(k))
    objective, params = nn.objective(network, loss), params_of(network)
    x, y = np.asarray(normal((5, 3))), np.array([0, 1, 1, 0, 1])
    zeros, noise = np.zeros((3, 3), np.float32), np.asarray(normal((3, 3), seed=9))
    huge = np.full((3, 3), 3e38, np.float32) * np.array([[1, -1, 1]], np.float32)
    targets = [np.zeros(3, int), np.ones(3, int), np.array([1, 0, 1])]
    if loss.value is nn.squared_error_value:
        targets = [np.zeros(3), np.full(3, 3e38), np.full(3, -1e30)]  # overflow when squared
    weight = np.array([1, 2, 1, 0.5, 1, 0, 0, 0], np.float32)
    run = compiled(objective.value_and_grad)
    results = [
        run(params, nn.Batch(np.concatenate([x, rows]), np.concatenate([y, labels]).astype(labels.dtype), weight))
        for rows, labels in zip((zeros, noise, huge), targets, strict=True)
    ]
    for value, grads in results:
        assert np.isfinite(value)
        jax.tree.map(np.testing.assert_array_equal, (value, grads), results[0])
    short = nn.Batch(x, y.astype(targets[0].dtype), weight[:5])
    same(results[0], run(params, short), **TOLERANCE["float32"])


def test_weights_of_zero_make_zero():
    objective, params = CASES["penalty"], params_of(NETWORK)
    batch = nn.Batch(normal((4, 3)), jnp.ones(4), jnp.zeros(4))
    run = compiled(lambda p, b: (objective.value_and_grad(p, b), nn.elastic_net(0.1, 0.2).value(p)))
    (value, grads), penalty = run(params, batch)
    assert value == penalty
    expected = nn.elastic_net(0.1, 0.2).gradient(params)
    jax.tree.map(np.testing.assert_array_equal, grads, expected)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (3,)])
def test_weights_of_another_shape_are_refused(shape):
    """One weight for four examples would broadcast, and make a sum of the mean."""
    batch = nn.Batch(np.zeros((4, 3), np.float32), np.zeros(4, np.float32), np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"weight has shape \(.*\), expected \(4,\)"):
        jax.eval_shape(CASES["plain"].value_and_grad, params_of(NETWORK), batch)


@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (nn.logistic_regression(3), (4, 2), np.zeros(4, int), r"weights for 3 features .* got x of shape \(4, 2\)"),
        (nn.logistic_regression(3), (4, 3), np.full(4, 2), "labels run from 2 to 2, expected 0 to 1"),
        (nn.logistic_regression(3), (4, 3), np.zeros((4, 2)), r"outputs \(4, 1\) and targets \(4, 2\) do not fit"),
        (nn.logistic_regression(3, 3), (4, 3), np.full(4, 3), "labels run from 3 to 3, expected 0 to 2 for 3 classes"),
        (nn.logistic_regression(3, 3), (4, 3), np.zeros(4), r"astype\(int\)"),
        (nn.mlp((3, 2), output="linear"), (4, 3), np.zeros(4), r"outputs \(4, 2\) and targets \(4,\) do not fit"),
    ],
)
def test_check_tells_before_anything_is_compiled(model, x, y, message):
    params = jax.eval_shape(model.init, KEY)  # shapes alone: nothing can be computed from these
    with pytest.raises(ValueError, match=message):
        nn.objective(model.network, model.loss).check(params, nn.Batch(np.zeros(x, np.float32), y))


def test_check_accepts_what_fits():
    model = nn.logistic_regression(3, 3)
    params = jax.eval_shape(model.init, KEY)
    nn.objective(model.network, model.loss).check(params, nn.Batch(np.zeros((4, 3)), np.array([0, 1, 2, 0])))


def test_another_word_for_gradients_is_refused():
    with pytest.raises(ValueError, match="gradients are 'hand' or 'auto', got 'numeric'"):
        nn.gradients_by(CASES["plain"], "numeric")


MODEL = nn.logistic_regression(2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((MODEL, MODEL.loss), "objective takes Layers, but argument 0 is a Model: pass its network"),
        ((MODEL.loss, MODEL.network), "objective takes Layers, but argument 0 is a Loss"),
        ((nn.dense, MODEL.loss), "call the factory"),
        (
            (MODEL.network, nn.squared_error),
            "loss is the function squared_error, expected a jaxnn.Loss: jaxnn.squared_error",
        ),
        ((MODEL.network, "mse"), r"loss is 'mse', expected a jaxnn.Loss: jaxnn.squared_error\(\) is one"),
        ((MODEL.network, MODEL.loss, 0.1), r"penalty is 0.1, expected a jaxnn.Penalty: jaxnn.l2\(0.01\) is one"),
        ((MODEL.network, MODEL.loss, nn.l2), "penalty is the function l2, expected a jaxnn.Penalty: jaxnn.l2"),
        ((MODEL.network, MODEL.loss, [nn.l2(0.1)]), "penalty is a list, expected a jaxnn.Penalty"),
    ],
)
def test_what_makes_no_objective_is_told(given, message):
    with pytest.raises(ValueError, match=message):
        nn.objective(*given)


@pytest.mark.parametrize("given", [MODEL, MODEL.loss, MODEL.network, CASES["plain"].value, None, "mse"])
def test_what_is_no_objective_is_told_wherever_one_is_taken(given):
    params, data, plan = params_of(NETWORK), (np.ones((4, 3)), np.zeros(4)), dict(key=KEY, epochs=1)
    for take in (
        lambda: nn.fit(given, optax.sgd(0.1), params, *data, **plan),
        lambda: nn.fit_stream(given, optax.sgd(0.1), params, [data], **plan),
        lambda: nn.fit_in_span(given, optax.sgd(0.1), params, *data, **plan),
        lambda: nn.make_step(given, optax.sgd(0.1)),
        lambda: nn.gradients_by(given),
        lambda: nn.augmented(given, nn.flips()),
        lambda: nn.fit_population(
            lambda h: nn.Member(given, optax.sgd(0.1), params, KEY), {"a": [0.0]}, *data, epochs=1
        ),
    ):
        with pytest.raises(ValueError, match=r"objective is .*, expected a jaxnn.Objective: jaxnn.objective\(model"):
            take()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((np.ones((4, 2)), np.zeros(4)), r"batch is a tuple, expected a jaxnn.Batch: jaxnn.Batch\(x, y\) makes one"),
        (np.ones((4, 2)), r"batch is float64 \(4, 2\), expected a jaxnn.Batch"),
        (nn.Batch([[1.0, 2.0]], [0]), r"x is \[\[1.0, 2.0\]\], expected an array"),
        (nn.Batch(np.ones((0, 2)), np.zeros(0)), r"the batch holds no example"),
        (
            nn.Batch(np.ones((2, 2)), np.zeros(2), np.ones(2), np.ones(2)),
            r"total has shape \(2,\), expected one number",
        ),
    ],
)
def test_what_is_no_batch_is_told(batch, message):
    objective = nn.objective(MODEL.network, MODEL.loss)
    params = {"W": np.ones((1, 2), np.float32), "b": np.ones(1, np.float32)}
    for of in (objective.value, objective.value_and_grad):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(lambda of=of: of((params,), batch))


def test_weights_and_scales_may_be_python_s():
    objective = nn.objective(MODEL.network, MODEL.loss)
    params = ({"W": jnp.ones((1, 2)), "b": jnp.ones(1)},)
    x, y = np.ones((2, 2), np.float32), np.zeros(2)
    listed, array = (nn.Batch(x, y, weight) for weight in ([1.0, 2.0], jnp.array([1.0, 2.0])))
    run = compiled(
        lambda params: (objective.value_and_grad(params, listed, None, 8), objective.value_and_grad(params, array))
    )
    jax.tree.map(np.testing.assert_array_equal, *run(params))
