"""The notes, compared with an oracle written from them in NumPy: every formula, number and slip of SPEC.md."""

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import functional
from tests.helpers.oracle import logistic, networks
from tests.helpers.oracle.slips import COURSE_SLIPS, SLIPS
from tests.helpers.oracle.targets import CONVOLUTION_GEOMETRY, POOLING_GEOMETRY, TARGETS
from tests.helpers.programs import TOLERANCE, compiled, same

EXACT = dict(rtol=1e-12, atol=1e-12)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def from_columns(network, parameters):
    """The notes' [(W, b (n, 1)), ...] as params of a network; under x64."""
    arrays = [a for W, b in parameters for a in (W, b[:, 0])]
    return jaxnn.models.params_from_arrays(network, (parameters[0][0].shape[1],), arrays)


def to_columns(params):
    """Params, or gradients, as the notes' [(W, b (n, 1)), ...]."""
    return [(np.asarray(p["W"]), np.asarray(p["b"])[:, None]) for p in params if isinstance(p, dict)]


def assert_pairs_close(got, expected):
    for (W, b), (expected_W, expected_b) in zip(got, expected, strict=True):
        assert W.shape == expected_W.shape and b.shape == expected_b.shape
        np.testing.assert_allclose(W, expected_W, **EXACT)
        np.testing.assert_allclose(b, expected_b, **EXACT)


# Section 2: computation graphs


def test_graph_of_three_times_a_plus_bc():
    """v = a + bc is a dense unit with the weight b and the bias a, on the input c; J = 3v follows it."""
    times_three = jaxnn.stateless(lambda v: (3 * v, ()), lambda _, dJ: 3 * dJ)
    a, b, c = 5.0, 3.0, 2.0
    unit, params, x = jaxnn.dense(1), {"W": jnp.array([[b]]), "b": jnp.array([a])}, jnp.array([[c]])
    network = jaxnn.chain(unit, times_three)
    J, cache = network.forward((params, ()), x)
    (dparams, _), dc = network.backward((params, ()), cache, jnp.ones_like(J))
    dv = times_three.backward((), (), jnp.ones_like(J))[1]
    assert unit.forward(params, x)[0].item() == 11
    assert J.item() == 33
    assert (dv.item(), dparams["b"].item(), dparams["W"].item(), dc.item()) == (3, 3, 6, 9)
    by_jax = jax.grad(lambda a, b, c: 3 * (a + b * c), argnums=(0, 1, 2))(a, b, c)
    assert by_jax == (dparams["b"].item(), dparams["W"].item(), dc.item())
    assert jax.grad(lambda u: 3 * (a + u))(b * c) == 3


def test_graph_of_sum_times_z():
    """f = (x + y)z: a unit that adds, then one whose weight is z."""
    network = jaxnn.chain(jaxnn.dense(1), jaxnn.dense(1))
    x, y, z = -2.0, 5.0, -4.0
    params = tuple({"W": jnp.array([w]), "b": jnp.zeros(1)} for w in ([1.0, 1.0], [z]))
    f, cache = network.forward(params, jnp.array([[x, y]]))
    (_, dz), dxy = network.backward(params, cache, jnp.ones_like(f))
    assert (f.item(), dxy.tolist(), dz["W"].item()) == (-12, [[-4, -4]], 3)


def test_graph_of_the_logistic_unit(x64):
    """Node by node, each with the notes' local derivative, it is the sigmoid layer."""
    nodes = [
        jaxnn.stateless(lambda x: (-x, ()), lambda _, d: -d),
        jaxnn.stateless(lambda x: (jnp.exp(x), jnp.exp(x)), lambda e, d: e * d),
        jaxnn.stateless(lambda x: (1 + x, ()), lambda _, d: d),
        jaxnn.stateless(lambda x: (1 / x, x), lambda x, d: -1 / x**2 * d),
    ]
    unit = {"W": jnp.array([[2.0, -3.0]]), "b": jnp.array([-3.0])}
    x = jnp.array([[-1.0, -2.0]])

    @compiled
    def run(unit, x):
        results = []
        for network in (jaxnn.chain(jaxnn.dense(1), *nodes), jaxnn.chain(jaxnn.dense(1), jaxnn.sigmoid())):
            params = (unit, *[()] * (4 if len(results) == 0 else 1))
            y, cache = network.forward(params, x)
            dparams, dx = network.backward(params, cache, jnp.ones_like(y))
            results.append((y, dparams[0], dx))
        return results

    by_nodes, by_layer = run(unit, x)
    same(by_nodes, by_layer, **EXACT)
    slope = np.exp(-1) / (1 + np.exp(-1)) ** 2
    np.testing.assert_allclose(by_nodes[1]["W"], slope * np.asarray(x), **EXACT)
    np.testing.assert_allclose(by_nodes[2], [[2 * slope, -3 * slope]], **EXACT)


@pytest.mark.parametrize(
    ("f", "slope", "at_2", "nudged", "derivative"),
    [
        (lambda a: 3 * a, lambda a: 3.0, 6.0, 6.003, 3.0),
        (lambda a: a * a, lambda a: 2 * a, 4.0, 4.004001, 4.0),
    ],
)
def test_derivative_is_the_slope_under_a_nudge(f, slope, at_2, nudged, derivative, x64):
    layer = jaxnn.stateless(lambda a: (f(a), a), lambda a, d: slope(a) * d)
    a, nudge = jnp.array([2.0]), 0.001
    y, cache = layer.forward((), a)
    y_nudged, _ = layer.forward((), a + nudge)
    assert layer.backward((), cache, jnp.ones(1))[1].item() == derivative
    np.testing.assert_allclose([y.item(), y_nudged.item()], [at_2, nudged], **EXACT)
    np.testing.assert_allclose((y_nudged - y) / nudge, derivative, atol=1.01 * nudge)


# Section 3: logistic regression


def logistic_case(rng):
    """(w, b, X, Y) in columns, and the same as (params, batch) in rows."""
    w, b, X = rng.normal(size=(3, 1)), float(rng.normal()), rng.normal(size=(3, 8))
    Y = rng.integers(0, 2, (1, 8)).astype(float)
    model = jaxnn.logistic_regression(3)
    params = from_columns(model.network, [(w.T, np.array([[b]]))])
    return (w, b, X, Y), model, params, jaxnn.Batch(jnp.asarray(X.T), jnp.asarray(Y[0]))


@pytest.mark.parametrize("written", [logistic.double_loop, logistic.example_loop, logistic.vectorized])
def test_logistic_regression_three_ways(written, rng, x64):
    columns, model, params, batch = logistic_case(rng)
    J, dw, db = written(*columns)
    (value, _), (grads,) = compiled(jaxnn.objective(model.network, model.loss).value_and_grad)(params, batch)
    np.testing.assert_allclose(value, J, **EXACT)
    assert_pairs_close(to_columns([grads]), [(dw.T, np.array([[db]]))])


def test_hundred_steps_of_gradient_descent(rng, x64):
    (_, _, X, Y), model, _, batch = logistic_case(rng)
    w, b, costs = logistic.gradient_descent(X, Y, rate=0.5, steps=100)
    state = jaxnn.train_state(from_columns(model.network, [(np.zeros((1, 3)), np.zeros((1, 1)))]), optax.sgd(0.5), KEY)
    state, losses = jaxnn.train.make_steps(jaxnn.objective(model.network, model.loss), optax.sgd(0.5), 100)(
        state, batch
    )
    np.testing.assert_allclose(losses, costs, **EXACT)
    np.testing.assert_allclose(losses[0], np.log(2), **EXACT)
    assert_pairs_close(to_columns(state.params), [(w.T, np.array([[b]]))])


KEY = jax.random.key(0)


# Section 4: the numbers that are stated


def test_stated_slopes(x64):
    z = jnp.array([0.0, 10.0, -10.0])

    @compiled
    def slopes(z):
        pairs = [
            (jaxnn.functional.sigmoid_forward, jaxnn.functional.sigmoid_backward),
            (jaxnn.functional.tanh_forward, jaxnn.functional.tanh_backward),
        ]
        return [backward(forward(z)[1], jnp.ones_like(z)) for forward, backward in pairs]

    d_sigmoid, d_tanh = np.asarray(slopes(z))
    assert (d_sigmoid[0], d_tanh[0]) == (0.25, 1)
    assert np.all((d_sigmoid[1:] > 0) & (d_sigmoid[1:] < 5e-5))
    assert np.all((d_tanh[1:] > 0) & (d_tanh[1:] < 1e-8))


@pytest.mark.representatives("1", "4")
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_identity_network_is_one_linear_map(depth, rng, x64):
    """W' = W_L ... W_1 and b' by the same products; under a sigmoid it is logistic regression, cost included."""
    sizes = [3, *[4] * (depth - 1), 1]
    parameters = [(rng.normal(size=(n, n_in)), rng.normal(size=(n, 1))) for n_in, n in pairwise(sizes)]
    W, b = np.eye(3), np.zeros((3, 1))
    for layer_W, layer_b in parameters:
        W, b = layer_W @ W, layer_W @ b + layer_b
    X, y = rng.normal(size=(3, 6)), rng.integers(0, 2, 6)
    deep, shallow = jaxnn.mlp(sizes, "identity"), jaxnn.logistic_regression(3)
    batch = jaxnn.Batch(jnp.asarray(X.T), jnp.asarray(y))

    @compiled
    def run(deep_params, shallow_params, batch):
        return [
            (
                model.outputs(params, batch.x),
                model.predict_proba(params, batch.x),
                jaxnn.objective(model.network, model.loss).value(params, batch)[0],
            )
            for model, params in ((deep, deep_params), (shallow, shallow_params))
        ]

    one, other = run(from_columns(deep.network, parameters), from_columns(shallow.network, [(W, b)]), batch)
    np.testing.assert_allclose(one[0], (W @ X + b).T, **EXACT)
    same(one, other, **EXACT)


# Section 5: one hidden layer


@pytest.mark.parametrize("hidden", ["tanh", "relu"])
def test_one_hidden_layer(hidden, rng, x64):
    W1, b1, W2, b2 = (rng.normal(size=shape) for shape in [(4, 3), (4, 1), (1, 4), (1, 1)])
    X, Y = rng.normal(size=(3, 7)), rng.integers(0, 2, (1, 7)).astype(float)
    model = jaxnn.mlp((3, 4, 1), hidden)
    params = from_columns(model.network, [(W1, b1), (W2, b2)])
    batch = jaxnn.Batch(jnp.asarray(X.T), jnp.asarray(Y[0]))

    @compiled
    def run(params, batch):
        (value, _), grads = jaxnn.objective(model.network, model.loss).value_and_grad(params, batch)
        return value, grads, model.predict_proba(params, batch.x)

    value, grads, y_hat = run(params, batch)
    dW1, db1, dW2, db2 = networks.one_hidden_backward(W1, b1, W2, b2, X, Y, hidden)
    np.testing.assert_allclose(y_hat.T, networks.one_hidden_forward(W1, b1, W2, b2, X, hidden).A2, **EXACT)
    np.testing.assert_allclose(value, networks.one_hidden_cost(W1, b1, W2, b2, X, Y, hidden), **EXACT)
    assert_pairs_close(to_columns(grads), [(dW1, db1), (dW2, db2)])


def trained_rows(init):
    """W of the hidden layer before and after 50 steps on the exclusive or."""
    model = jaxnn.mlp((2, 3, 1), "tanh", init=init)
    x, y = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), jnp.array([0, 1, 1, 1])
    state = jaxnn.train_state(model.init(KEY), optax.sgd(1.0), KEY)
    before = np.asarray(state.params[0]["W"])
    state, losses = jaxnn.train.make_steps(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), 50)(
        state, jaxnn.Batch(x, y)
    )
    assert losses[-1] < losses[0]
    return before, np.asarray(state.params[0]["W"])


@pytest.mark.parametrize("init", ["zeros", jax.nn.initializers.constant(0.3)])
def test_equal_weights_keep_hidden_units_equal_for_ever(init):
    before, after = trained_rows(init)
    np.testing.assert_array_equal(after, after[:1].repeat(3, axis=0))
    if init != "zeros":
        assert not np.array_equal(before, after)


def test_small_random_weights_break_the_symmetry():
    before, after = trained_rows("normal")
    assert np.abs(before).max() < 0.05
    distances = [np.abs(after[i] - after[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(distances) > 1e-4


# Section 6: L layers


class Deep(NamedTuple):
    """Sizes, the notes' activations (the last one included), the oracle's loss, and jaxnn's last layer and loss."""

    sizes: tuple[int, ...]
    activations: tuple[Any, ...]
    oracle_loss: str
    loss: jaxnn.Loss
    fused: bool  # the last activation is in the loss


DEEP = {
    "one_layer": Deep((3, 1), ("sigmoid",), "binary_cross_entropy_fused", jaxnn.sigmoid_cross_entropy(), True),
    "binary_fused": Deep(
        (3, 5, 4, 1),
        ("tanh", "relu", "sigmoid"),
        "binary_cross_entropy_fused",
        jaxnn.sigmoid_cross_entropy(),
        True,
    ),
    "binary_from_probabilities": Deep(
        (3, 5, 4, 2),
        ("leaky_relu", "tanh", "sigmoid"),
        "binary_cross_entropy",
        jaxnn.losses.binary_cross_entropy(),
        False,
    ),
    "softmax": Deep((3, 5, 4), ("sigmoid", "softmax"), "softmax_cross_entropy", jaxnn.softmax_cross_entropy(), True),
    "squared_error": Deep((3, 4, 4, 2), ("softplus", "elu", "identity"), "squared_error", jaxnn.squared_error(), False),
    "house_price": Deep((3, 4, 1), ("silu", "relu"), "squared_error", jaxnn.squared_error(), False),
    "six_layers": Deep(
        (3, 4, 4, 4, 4, 4, 1),
        ("relu", "tanh", "gelu", ("leaky_relu", 0.2), ("elu", 0.7), "sigmoid"),
        "binary_cross_entropy",
        jaxnn.losses.binary_cross_entropy(),
        False,
    ),
}


def layer_of(activation):
    name, *parameter = (activation,) if isinstance(activation, str) else activation
    return {**jaxnn.nn.ACTIVATIONS, "leaky_relu": jaxnn.leaky_relu, "elu": jaxnn.nn.elu}[name](*parameter)


def targets_for(case, rng, m):
    k = case.sizes[-1]
    if case.oracle_loss == "squared_error":
        return rng.normal(size=(k, m))
    if case.oracle_loss == "softmax_cross_entropy":
        return rng.dirichlet(np.ones(k), m).T
    return rng.integers(0, 2, (k, m)).astype(float)


@pytest.mark.representatives("one_layer", "softmax", "six_layers")
@pytest.mark.parametrize("name", DEEP)
def test_network_of_L_layers(name, rng, x64):
    case = DEEP[name]
    sizes = case.sizes
    parameters = [(rng.normal(size=(n, k)) / 2, rng.normal(size=(n, 1))) for k, n in pairwise(sizes)]
    X, Y = rng.normal(size=(sizes[0], 6)), targets_for(case, rng, 6)
    A, caches = networks.forward(parameters, case.activations, X)
    expected, dA0 = networks.backward(caches, Y, case.oracle_loss)

    layers = [part for n, g in zip(sizes[1:], case.activations, strict=True) for part in (jaxnn.dense(n), g)]
    layers = [
        part if isinstance(part, jaxnn.Layer) else layer_of(part) for part in (layers[:-1] if case.fused else layers)
    ]
    network = jaxnn.chain(*layers)
    params, batch = from_columns(network, parameters), jaxnn.Batch(jnp.asarray(X.T), jnp.asarray(Y.T))

    @compiled
    def run(params, batch):
        z, cache = network.forward(params, batch.x)
        _, dx = network.backward(params, cache, case.loss.gradient(z, batch.y))
        return z, dx, *jaxnn.objective(network, case.loss).value_and_grad(params, batch)

    z, dx, (value, _), grads = run(params, batch)
    np.testing.assert_allclose(z.T, caches[-1].Z if case.fused else A, **EXACT)
    np.testing.assert_allclose(value, networks.cost(caches, Y, case.oracle_loss), **EXACT)
    np.testing.assert_allclose(dx.T, dA0, **EXACT)
    assert_pairs_close(to_columns(grads), expected)


# Section 8: the slips


def logistic_value(w, b, x, y):
    objective = jaxnn.objective(jaxnn.dense(1), jaxnn.sigmoid_cross_entropy())
    return objective, {"W": w[None], "b": b[None]}, jaxnn.Batch(x, y), lambda d: (d["W"][0], d["b"][0])


def layer_value(W, b, x, y):
    objective = jaxnn.objective(jaxnn.dense(3), jaxnn.sigmoid_cross_entropy())
    return objective, {"W": W, "b": b}, jaxnn.Batch(x, y), lambda d: (d["W"], d["b"])


def one_hidden_value(W1, b1, W2, b2, x, y):
    objective = jaxnn.objective(
        jaxnn.chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1)), jaxnn.sigmoid_cross_entropy()
    )
    params = ({"W": W1, "b": b1}, (), {"W": W2, "b": b2})
    return objective, params, jaxnn.Batch(x, y), lambda d: (d[0]["W"], d[0]["b"], d[2]["W"], d[2]["b"])


def elementwise(layer):
    """sum(da · g(z)), as an objective whose params are z."""

    def value_and_grad(z, batch, key=None):
        a, cache = layer.forward((), z)
        return ((batch.y * a).sum(), ()), layer.backward((), cache, batch.y)[1]

    def value(z, da):
        objective = jaxnn.Objective(lambda z, batch, key=None: value_and_grad(z, batch)[0], value_and_grad)
        return objective, z, jaxnn.Batch(z, da), lambda dz: (dz,)

    return value


RIGHT = {
    "logistic": logistic_value,
    "layer": layer_value,
    "one_hidden": one_hidden_value,
    "relu": elementwise(jaxnn.relu()),
    "leaky_relu": elementwise(jaxnn.leaky_relu()),
}


def witness(target, arguments):
    """Return the value, the gradient of `jax.grad` and jaxnn's gradient of the right function, at the arguments."""

    @compiled
    def run(arguments):
        objective, params, batch, as_tuple = RIGHT[target.name](*arguments)
        (value, _), by_jax = jax.value_and_grad(objective.value, has_aux=True)(params, batch)
        return value, as_tuple(by_jax), as_tuple(objective.value_and_grad(params, batch)[1])

    return run(jax.tree.map(jnp.asarray, arguments))


def check_gradient(gradient, expected):
    """The check that the registry's gradients pass: structure, shapes, dtypes, and 1e-12."""
    same(jax.tree.map(jnp.asarray, gradient), expected, **TOLERANCE["float64"])


def arguments_of(target, rng, at_kink=False):
    arguments = target.arguments(rng)
    if at_kink:
        arguments[0][2, 1] = 0
    return arguments


@pytest.mark.representatives("False-logistic", "False-one_hidden", "True-relu")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("at_kink", [False, True])
def test_right_gradient_is_accepted(target, at_kink, rng, x64):
    arguments = arguments_of(target, rng, at_kink and target.name.endswith("relu"))
    value, expected, by_hand = witness(target, arguments)
    np.testing.assert_allclose(value, target.value(*arguments), **EXACT)
    check_gradient(target.gradient(*arguments), expected)
    check_gradient(by_hand, expected)


@pytest.mark.representatives(
    "1_dz_is_sigmoid_slope",
    "7_dW_without_transpose_and_mean",
    "8_activation_in_place_of_its_slope",
    "9_relu_slope_one_at_zero",
)
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip.section_item}_{slip.name}")
def test_slip_raises(slip, rng, x64):
    """The same check on the same function; ReLU's slope at 0 can only be seen at 0."""
    arguments = arguments_of(slip.target, rng, at_kink=slip.section_item == 9)
    _, expected, _ = witness(slip.target, arguments)
    with pytest.raises(AssertionError):
        check_gradient(slip.function(*arguments), expected)


def by_layer(name, **options):
    """Return a function of (x, *params, dy) to (y, cotangents of x and params), by jaxnn's pure functions."""
    forward, backward = getattr(functional, f"{name}_forward"), getattr(functional, f"{name}_backward")

    def run(x, *given):
        *params, dy = given
        if params:
            params = dict(zip("Kb", params, strict=True))
            y, cache = forward(params, x, **options)
            dparams, dx = backward(params, cache, dy, **options)
            return y, (dx, dparams["K"], dparams["b"])
        y, cache = forward(x, **options)
        return y, (backward(cache, dy, **options),)

    return run


OF_COURSES = {
    "convolution": by_layer("conv", **CONVOLUTION_GEOMETRY),
    "max_pooling": by_layer("max_pool", **POOLING_GEOMETRY),
    "average_pooling": by_layer("avg_pool", **POOLING_GEOMETRY, count_padding=False),
}


@pytest.mark.parametrize(
    "slip", [slip for slip in COURSE_SLIPS if slip.target.name in OF_COURSES], ids=lambda slip: slip.name
)
def test_slip_of_courses_raises(slip, rng, x64):
    """The right gradient passes the check that the slip does not."""
    arguments = [jnp.asarray(a) for a in slip.target.arguments(rng)]
    y, gradient = compiled(OF_COURSES[slip.target.name])(*arguments)
    np.testing.assert_allclose((y * arguments[-1]).sum(), slip.target.value(*map(np.asarray, arguments)), **EXACT)
    check_gradient(slip.target.gradient(*map(np.asarray, arguments)), gradient)
    with pytest.raises(AssertionError):
        check_gradient(slip.function(*map(np.asarray, arguments)), gradient)


def test_relu_slope_one_at_zero_is_right_elsewhere(rng, x64):
    slip = next(slip for slip in SLIPS if slip.section_item == 9)
    arguments = slip.target.arguments(rng)
    check_gradient(slip.function(*arguments), witness(slip.target, arguments)[1])
