"""The oracle is proved here before it judges anything.

Values are held against 60-digit decimals or the formula in its plainest form, gradients against complex steps (or
five-point central differences where a function is not analytic), and the notes' own numbers are repeated.
"""

import math
from decimal import Decimal, localcontext
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from oracle import activations, logistic, losses, networks, optimizers
from oracle.differences import central, complex_step
from oracle.slips import SLIPS
from oracle.targets import RELU, TARGETS

EXACT = {"rtol": 1e-13, "atol": 1e-14}
BY_DIFFERENCES = {"rtol": 1e-9, "atol": 1e-10}
POINTS = np.array([-30.0, -10.0, -3.1, -1.0, -0.3, -0.004, 0.004, 0.3, 1.0, 3.1, 10.0, 30.0])
SPECS = [*activations.ACTIVATIONS, ("leaky_relu", 0.2), ("elu", 0.7)]


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


def binary(rng, *shape):
    return (rng.uniform(size=shape) < 0.5).astype(float)


def assert_same(actual, expected, **tolerance):
    """Compare two sequences of arrays, shapes included: nothing may broadcast."""
    for one, other in zip(actual, expected, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, **tolerance)


# Section 2: computation graphs and slopes


def test_graph_of_the_notes():
    """J = 3(a + bc) at a = 5, b = 3, c = 2: u = bc, v = a + u, J = 3v, then right to left."""
    a, b, c = 5.0, 3.0, 2.0
    u = b * c
    v = a + u
    J = 3 * v
    dv = 3.0
    da, du = dv * 1, dv * 1
    db, dc = du * c, du * b
    assert (u, v, J) == (6, 11, 33)
    assert (dv, da, du, db, dc) == (3, 3, 3, 6, 9)
    by_numbers = complex_step(lambda a, b, c: 3 * (a + b * c), (a, b, c), (0, 1, 2))
    assert_same(by_numbers, [np.array(da), np.array(db), np.array(dc)], **EXACT)


def test_graph_of_the_logistic_unit():
    """Node by node (*, +, negation, exp, +1, 1/x), the slope at w . x is sigma'(z), passed on by the products."""
    w, x = np.array([2.0, -3.0, -3.0]), np.array([-1.0, -2.0])
    z = w[0] * x[0] + w[1] * x[1] + w[2]
    exponential = math.exp(-z)
    below = 1 + exponential
    d_below = -1 / below**2
    dz = -(exponential * d_below)
    np.testing.assert_allclose(1 / below, activations.sigmoid(z), **EXACT)
    np.testing.assert_allclose(dz, activations.d_sigmoid(z), **EXACT)

    def unit(w, x):
        return activations.sigmoid(w[0] * x[0] + w[1] * x[1] + w[2])

    expected = [dz * np.array([x[0], x[1], 1.0]), dz * w[:2]]
    assert_same(complex_step(unit, (w, x), (0, 1)), expected, **EXACT)


@pytest.mark.parametrize(("differentiate", "tolerance"), [(complex_step, EXACT), (central, BY_DIFFERENCES)])
def test_differences_find_known_slopes(differentiate, tolerance):
    """f(a) = 3a has slope 3 and a^2 has slope 4, at a = 2; f = (x + y) z has slopes z, z, x + y."""
    np.testing.assert_allclose(differentiate(lambda a: 3 * a, (2.0,), (0,))[0], 3, **tolerance)
    np.testing.assert_allclose(differentiate(lambda a: a**2, (2.0,), (0,))[0], 4, **tolerance)
    slopes = differentiate(lambda x, y, z: (x + y) * z, (-2.0, 5.0, -4.0), (0, 1, 2))
    np.testing.assert_allclose(slopes, [-4, -4, 3], **tolerance)


# Section 4: activations


def decimal_value(name, number):
    """g(number) in 60-digit decimals, each from its definition."""
    with localcontext() as context:
        context.prec = 60
        z = Decimal(float(number))
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
        up, down = z.exp(), (-z).exp()
        if name == "gelu":
            return float(z / 2 * (1 + decimal_erf(z / Decimal(2).sqrt(), pi)))
        u = (2 / pi).sqrt() * (z + Decimal("0.044715") * z**3)
        by_name = {
            "identity": lambda: z,
            "sigmoid": lambda: 1 / (1 + down),
            "tanh": lambda: (up - down) / (up + down),
            "relu": lambda: max(Decimal(0), z),
            "leaky_relu": lambda: max(z / 100, z),
            "softplus": lambda: (1 + up).ln(),
            "silu": lambda: z / (1 + down),
            "gelu_tanh": lambda: z / 2 * (1 + (u.exp() - (-u).exp()) / (u.exp() + (-u).exp())),
            "elu": lambda: z if z > 0 else up - 1,
        }
        return float(by_name[name]())


def decimal_erf(x, pi):
    """erf(x) = 2/sqrt(pi) sum_n (-1)^n x^(2n + 1) / (n! (2n + 1)), by enough terms for |x| < 4."""
    total, power = Decimal(0), x
    for n in range(120):
        total += power / (2 * n + 1)
        power *= -x * x / (n + 1)
    return 2 / pi.sqrt() * total


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activation_values(name):
    points = POINTS[np.abs(POINTS) <= (4 if name in ("gelu", "gelu_tanh") else 30)]
    expected = [decimal_value(name, z) for z in points]
    np.testing.assert_allclose(activations.lookup(name).g(points), expected, rtol=3e-15)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activation_slopes(spec):
    """Away from the kinks, to the last digits by complex steps; gelu, whose erfc is real, by central differences."""
    g, dg = activations.lookup(spec)
    if spec == "gelu":
        points = np.linspace(-6, 6, 41)
        expected = [central(g, (z,), (0,))[0] for z in points]
        np.testing.assert_allclose(dg(points), expected, **BY_DIFFERENCES)
    else:
        expected = [complex_step(g, (z,), (0,))[0] for z in POINTS]
        np.testing.assert_allclose(dg(POINTS), expected, rtol=1e-13)


def test_activation_numbers_of_the_notes():
    assert activations.d_sigmoid(0.0) == 0.25
    assert activations.d_tanh(0.0) == 1.0
    assert np.all(activations.d_sigmoid([-10.0, 10.0]) < 5e-5)
    assert np.all(activations.d_tanh([-10.0, 10.0]) < 1e-8)
    a = activations.sigmoid(POINTS)
    np.testing.assert_allclose(activations.d_sigmoid(POINTS), a * (1 - a), **EXACT)
    np.testing.assert_allclose(activations.d_tanh(POINTS), 1 - np.tanh(POINTS) ** 2, **EXACT)


def test_slopes_at_the_kinks():
    assert activations.d_relu(0.0) == 0
    assert activations.d_leaky_relu(0.0) == 1
    assert activations.d_leaky_relu(0.0, slope=0.2) == 1
    assert activations.d_elu(0.0, alpha=0.7) == 0.7


def test_gelu_is_the_erf_form():
    erf = np.vectorize(math.erf, otypes=[float])
    np.testing.assert_allclose(activations.gelu(POINTS), POINTS / 2 * (1 + erf(POINTS / math.sqrt(2))), atol=1e-14)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activations_far_from_zero(spec):
    """At |z| = 1e4 each is its asymptote, finite, and so is its slope; warnings are errors while this runs."""
    g, dg = activations.lookup(spec)
    name, parameter = (spec, {"leaky_relu": 0.01, "elu": 1.0}.get(spec)) if isinstance(spec, str) else spec
    below, above = {
        "identity": (-1e4, 1e4),
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
        "leaky_relu": (-1e4 * (parameter or 0), 1e4),
        "elu": (-(parameter or 0), 1e4),
    }.get(name, (0, 1e4))
    d_below, d_above = {"identity": (1, 1), "sigmoid": (0, 0), "tanh": (0, 0), "leaky_relu": (parameter, 1)}.get(
        name, (0, 1)
    )
    np.testing.assert_array_equal(g(np.array([-1e4, 1e4])), [below, above])
    np.testing.assert_array_equal(dg(np.array([-1e4, 1e4])), [d_below, d_above])


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activations_keep_shapes_and_give_float64(spec):
    for shape in [(), (3,), (2, 3), (0, 4)]:
        for function in activations.lookup(spec):
            result = function(np.zeros(shape, dtype=np.float32))
            assert (result.shape, result.dtype) == (shape, np.float64)


# Section 3: logistic regression

FORMS = [logistic.double_loop, logistic.example_loop, logistic.vectorised]


def logistic_case(rng, n_x=4, m=9):
    return rng.normal(size=(n_x, 1)), float(rng.normal()), rng.normal(size=(n_x, m)), binary(rng, 1, m)


def test_logistic_forms_agree(rng):
    for n_x, m in [(4, 9), (1, 1), (12, 3)]:
        case = logistic_case(rng, n_x, m)
        results = [form(*case) for form in FORMS]
        assert results[0][1].shape == (n_x, 1)
        assert_same(results[1], results[0], rtol=1e-14, atol=1e-14)
        assert_same(results[2], results[0], rtol=1e-14, atol=1e-14)


def test_logistic_gradient_and_cost(rng):
    w, b, X, Y = logistic_case(rng)
    J, dw, db = logistic.vectorised(w, b, X, Y)
    assert_same((dw, np.array(db)), complex_step(logistic.cost, (w, b, X, Y), (0, 1)), **EXACT)
    A = 1 / (1 + np.exp(-(w.T @ X + b)))
    np.testing.assert_allclose(J, np.mean(-(Y * np.log(A) + (1 - Y) * np.log(1 - A))), **EXACT)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_logistic_is_stable(form):
    """z = 1e4 and -1e4 with the right and the wrong label each: losses 0, 1e4, 1e4, 0."""
    X, Y = np.array([[1e4, 1e4, -1e4, -1e4]]), np.array([[1.0, 0.0, 1.0, 0.0]])
    J, dw, db = form(np.ones((1, 1)), 0.0, X, Y)
    assert (J, db) == (5e3, 0)
    np.testing.assert_array_equal(dw, [[5e3]])


def test_logistic_gradient_descent(rng):
    X = rng.normal(size=(3, 40))
    Y = (X[:1] - 2 * X[1:2] + 0.3 > 0).astype(float)
    w, b, costs = logistic.gradient_descent(X, Y, 0.5, 30)
    assert (w.shape, costs.shape) == ((3, 1), (30,))
    assert f"{costs[0]:.6f}" == "0.693147"
    assert np.all(np.diff(costs) < 0)
    assert costs[-1] < 0.4
    by_hand_w, by_hand_b = np.zeros((3, 1)), 0.0
    for _ in range(30):
        _, dw, db = logistic.double_loop(by_hand_w, by_hand_b, X, Y)
        by_hand_w, by_hand_b = by_hand_w - 0.5 * dw, by_hand_b - 0.5 * db
    assert_same((w, b), (by_hand_w, by_hand_b), **EXACT)


# Section 5: one hidden layer


def one_hidden_case(rng, n_x=3, n_1=4, n_2=1, m=6):
    return (
        rng.normal(size=(n_1, n_x)),
        rng.normal(size=(n_1, 1)),
        rng.normal(size=(n_2, n_1)),
        rng.normal(size=(n_2, 1)),
        rng.normal(size=(n_x, m)),
        binary(rng, n_2, m),
    )


@pytest.mark.parametrize("hidden", ["identity", "sigmoid", "tanh", "relu", ("leaky_relu", 0.1)], ids=str)
@pytest.mark.parametrize("n_2", [1, 2])
def test_one_hidden_gradient(rng, hidden, n_2):
    case = one_hidden_case(rng, n_2=n_2)
    expected = complex_step(lambda *case: networks.one_hidden_cost(*case, hidden), case, (0, 1, 2, 3))
    assert_same(networks.one_hidden_backward(*case, hidden), expected, **EXACT)


def test_one_hidden_forward_is_the_formula(rng):
    W1, b1, W2, b2, X, Y = one_hidden_case(rng)
    Z1, A1, Z2, A2 = networks.one_hidden_forward(W1, b1, W2, b2, X)
    np.testing.assert_allclose(A1, np.tanh(W1 @ X + b1), **EXACT)
    np.testing.assert_allclose(A2, 1 / (1 + np.exp(-(W2 @ A1 + b2))), **EXACT)
    assert (Z1.shape, Z2.shape) == ((4, 6), (1, 6))
    J = -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
    np.testing.assert_allclose(networks.one_hidden_cost(W1, b1, W2, b2, X, Y), J, **EXACT)


def test_equal_hidden_units_stay_equal(rng):
    """Rows of W1 that start equal get equal rows of dW1; at zero weights the first cost is log 2."""
    W1, b1, W2, b2, X, Y = one_hidden_case(rng)
    dW1, db1, dW2, _ = networks.one_hidden_backward(np.tile(W1[:1], (4, 1)), 0 * b1, 0 * W2 + 0.3, b2, X, Y)
    assert max(np.ptp(dW1, axis=0).max(), np.ptp(db1), np.ptp(dW2)) < 1e-15
    J = networks.one_hidden_cost(0 * W1, 0 * b1, 0 * W2, 0 * b2, X, Y)
    assert f"{J:.6f}" == "0.693147"


# Section 6: L layers

HIDDEN = ["tanh", ("leaky_relu", 0.1), "relu", "sigmoid", "identity", "softplus", "silu", "gelu_tanh", ("elu", 0.7)]


def deep_case(rng, sizes, m=5):
    parameters = [
        (rng.normal(size=(n_out, n_in)) / math.sqrt(n_in), rng.normal(size=(n_out, 1)))
        for n_in, n_out in pairwise(sizes)
    ]
    return parameters, rng.normal(size=(sizes[0], m))


def assert_deep_gradient(parameters, layer_activations, X, Y, loss):
    """Compare every dW, every db, and dA0 / m with complex steps of the cost."""
    _, caches = networks.forward(parameters, layer_activations, X)
    gradients, dA0 = networks.backward(caches, Y, loss)
    flat = tuple(array for pair in parameters for array in pair) + (X,)

    def value(*flat):
        pairs = list(zip(flat[:-1:2], flat[1:-1:2], strict=True))
        return networks.cost(networks.forward(pairs, layer_activations, flat[-1])[1], Y, loss)

    actual = [array for pair in gradients for array in pair] + [dA0 / X.shape[1]]
    assert_same(actual, complex_step(value, flat, range(len(flat))), **EXACT)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "binary_cross_entropy_fused"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_deep_binary_gradient(rng, loss, depth):
    parameters, X = deep_case(rng, [3] + [4] * depth + [2])
    hidden = ["tanh", ("leaky_relu", 0.1), "relu"][:depth]
    assert_deep_gradient(parameters, hidden + ["sigmoid"], X, binary(rng, 2, 5), loss)


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_deep_gradient_of_every_activation(rng, hidden):
    parameters, X = deep_case(rng, [3, 4, 5, 2])
    assert_deep_gradient(parameters, [hidden, hidden, "identity"], X, rng.normal(size=(2, 5)), "squared_error")


@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh", "softplus"])
def test_deep_squared_error_gradient(rng, output):
    parameters, X = deep_case(rng, [3, 4, 2])
    assert_deep_gradient(parameters, ["tanh", output], X, rng.normal(size=(2, 5)), "squared_error")


@pytest.mark.parametrize("labels", ["one_hot", "soft"])
def test_deep_softmax_gradient(rng, labels):
    parameters, X = deep_case(rng, [3, 4, 3])
    Y = np.eye(3)[:, [0, 2, 1, 1, 0]] if labels == "one_hot" else rng.uniform(size=(3, 5))
    assert_deep_gradient(parameters, ["tanh", "softmax"], X, Y, "softmax_cross_entropy")


def test_deep_costs_are_the_formulas(rng):
    parameters, X = deep_case(rng, [3, 4, 3])
    Y = np.eye(3)[:, [0, 2, 1, 1, 0]]
    A, caches = networks.forward(parameters, ["tanh", "softmax"], X)
    np.testing.assert_allclose(A.sum(axis=0), 1, **EXACT)
    np.testing.assert_allclose(A, np.exp(caches[-1].Z) / np.exp(caches[-1].Z).sum(axis=0), **EXACT)
    expected = -np.sum(Y * np.log(A)) / 5
    np.testing.assert_allclose(networks.cost(caches, Y, "softmax_cross_entropy"), expected, **EXACT)
    A, caches = networks.forward(parameters, ["tanh", "identity"], X)
    expected = np.mean([np.sum((A[:, i] - Y[:, i]) ** 2) / 2 for i in range(5)])
    np.testing.assert_allclose(networks.cost(caches, Y, "squared_error"), expected, **EXACT)


def test_fused_equals_unfused(rng):
    parameters, X = deep_case(rng, [3, 4, 4, 2])
    Y = binary(rng, 2, 5)
    _, caches = networks.forward(parameters, ["relu", "tanh", "sigmoid"], X)
    fused, unfused = "binary_cross_entropy_fused", "binary_cross_entropy"
    np.testing.assert_allclose(networks.cost(caches, Y, fused), networks.cost(caches, Y, unfused), **EXACT)
    (gradients, dA0), (others, other_dA0) = networks.backward(caches, Y, fused), networks.backward(caches, Y, unfused)
    assert_same([dA0, *sum(gradients, ())], [other_dA0, *sum(others, ())], **EXACT)


def test_deep_with_one_hidden_layer_is_the_one_hidden_form(rng):
    W1, b1, W2, b2, X, Y = one_hidden_case(rng)
    A, caches = networks.forward([(W1, b1), (W2, b2)], ["tanh", "sigmoid"], X)
    gradients, _ = networks.backward(caches, Y, "binary_cross_entropy_fused")
    assert_same([A], [networks.one_hidden_forward(W1, b1, W2, b2, X).A2], **EXACT)
    assert_same(sum(gradients, ()), networks.one_hidden_backward(W1, b1, W2, b2, X, Y), **EXACT)
    J = networks.cost(caches, Y, "binary_cross_entropy_fused")
    np.testing.assert_allclose(J, networks.one_hidden_cost(W1, b1, W2, b2, X, Y), **EXACT)


def test_deep_with_no_hidden_layer_is_logistic_regression(rng):
    w, b, X, Y = logistic_case(rng)
    _, caches = networks.forward([(w.T, np.array([[b]]))], ["sigmoid"], X)
    [(dW, db)], _ = networks.backward(caches, Y, "binary_cross_entropy_fused")
    J = networks.cost(caches, Y, "binary_cross_entropy_fused")
    assert_same([J, dW.T, db.item()], logistic.double_loop(w, b, X, Y), **EXACT)


def test_identity_network_is_one_linear_function(rng):
    parameters, X = deep_case(rng, [3, 4, 5, 2])
    W, b = np.eye(3), np.zeros((3, 1))
    for W_l, b_l in parameters:
        W, b = W_l @ W, W_l @ b + b_l
    np.testing.assert_allclose(networks.forward(parameters, ["identity"] * 3, X)[0], W @ X + b, **EXACT)


def test_fused_losses_refuse_other_outputs(rng):
    parameters, X = deep_case(rng, [3, 2])
    _, caches = networks.forward(parameters, ["tanh"], X)
    for loss, message in [
        ("binary_cross_entropy_fused", "'sigmoid'; got 'tanh'"),
        ("softmax_cross_entropy", "'softmax'; got 'tanh'"),
        ("no_such_loss", "unknown loss"),
    ]:
        for function in (networks.cost, networks.backward):
            with pytest.raises(ValueError, match=message):
                function(caches, np.zeros((2, 5)), loss)


# Losses and penalties


def loss_cases(rng):
    """(value, gradient, first argument, labels) of each loss, with (m, k) and (m,) where both are allowed."""
    m, k = 6, 3
    z, a = 3 * rng.normal(size=(m, k)), rng.uniform(0.02, 0.98, size=(m, k))
    labels, soft = binary(rng, m, k), rng.uniform(size=(m, k))
    return [
        (losses.sigmoid_cross_entropy, losses.d_sigmoid_cross_entropy, z, soft),
        (losses.sigmoid_cross_entropy, losses.d_sigmoid_cross_entropy, z[:, 0], labels[:, 0]),
        (losses.cross_entropy, losses.d_cross_entropy, a, soft),
        (losses.cross_entropy, losses.d_cross_entropy, a[:, 0], labels[:, 0]),
        (losses.softmax_cross_entropy_integer, losses.d_softmax_cross_entropy_integer, z, np.array([0, 2, 1, 1, 0, 2])),
        (losses.softmax_cross_entropy, losses.d_softmax_cross_entropy, z, soft),
        (losses.squared_error, losses.d_squared_error, a, soft),
        (losses.squared_error, losses.d_squared_error, a[:, 0], soft[:, 0]),
    ]


def test_loss_gradients(rng):
    for value, gradient, z, y in loss_cases(rng):
        assert value(z, y).shape == (6,)
        expected = complex_step(lambda z, y, value=value: np.sum(value(z, y)), (z, y), (0,))
        assert_same([gradient(z, y)], expected, **EXACT)


def test_loss_values(rng):
    z, y = rng.normal(size=(5, 3)), binary(rng, 5, 3)
    a, p = 1 / (1 + np.exp(-z)), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum(axis=1)
    np.testing.assert_allclose(losses.sigmoid_cross_entropy(z, y), expected, **EXACT)
    np.testing.assert_allclose(losses.cross_entropy(a, y), expected, **EXACT)
    np.testing.assert_allclose(losses.softmax_cross_entropy(z, y), -(y * np.log(p)).sum(axis=1), **EXACT)
    integer = np.array([2, 0, 1, 1, 2])
    expected = [-np.log(p[i, integer[i]]) for i in range(5)]
    np.testing.assert_allclose(losses.softmax_cross_entropy_integer(z, integer), expected, **EXACT)
    np.testing.assert_allclose(losses.softmax_cross_entropy(z, np.eye(3)[integer]), expected, **EXACT)
    np.testing.assert_array_equal(losses.squared_error(np.array([[3.0, 1.0]]), np.array([[1.0, 0.0]])), [2.5])


def test_losses_far_from_zero():
    z, y = np.array([1e4, 1e4, -1e4, -1e4]), np.array([1.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(losses.sigmoid_cross_entropy(z, y), [0, 1e4, 1e4, 0])
    np.testing.assert_array_equal(losses.d_sigmoid_cross_entropy(z, y), [0, 1, -1, 0])
    np.testing.assert_array_equal(losses.softmax_cross_entropy_integer(np.array([[1e4, -1e4]] * 2), [0, 1]), [0, 2e4])
    np.testing.assert_array_equal(losses.cross_entropy(np.array([0.0, 1.0]), np.array([0.0, 1.0])), [0, 0])
    np.testing.assert_array_equal(losses.d_cross_entropy(np.array([0.0, 1.0]), np.array([0.0, 1.0])), [1, -1])


def test_penalties(rng):
    def penalty(value, strengths, *weights):
        return value(weights, *strengths)

    weights = [array + 0.1 * np.sign(array) for array in (rng.normal(size=(2, 3)), rng.normal(size=4))]
    for value, gradient, strengths in [
        (losses.l2, losses.d_l2, (0.3,)),
        (losses.l1, losses.d_l1, (0.3,)),
        (losses.elastic_net, losses.d_elastic_net, (0.3, 0.7)),
    ]:
        expected = central(partial(penalty, value, strengths), tuple(weights), (0, 1))
        assert_same(gradient(weights, *strengths), expected, **BY_DIFFERENCES)
    small = [np.array([[3.0, -4.0]]), np.array([0.0])]
    assert (losses.l2(small, 0.5), losses.l1(small, 0.5)) == (6.25, 3.5)
    assert losses.elastic_net(small, 0.5, 0.5) == 9.75
    assert losses.d_l1(small, 0.5)[1][0] == 0


# Section 7: optimisers


def run(optimizer, params, grads):
    """Apply a list of gradients; return the parameters after each."""
    state, path = optimizer.init(params), []
    for grad in grads:
        state, params = optimizer.step(state, params, grad)
        path.append(params)
    return path


def unrolled(name, grads, t, rate=0.1):
    """The step after gradients g_0..g_t, with each running quantity as an explicit weighted sum of all of them."""
    g = grads[t]

    def decayed(decay, values):
        return sum(decay ** (t - i) * values[i] for i in range(t + 1))

    squares = [grad**2 for grad in grads]
    if name == "gradient_descent":
        return rate * g
    if name == "momentum":
        return rate * decayed(0.9, grads)
    if name == "nesterov":
        return rate * (g + 0.9 * decayed(0.9, grads))
    if name == "adagrad":
        return rate * g / np.sqrt(0.1 + sum(squares[: t + 1]) + 1e-7)
    if name == "rmsprop":
        return rate * g / np.sqrt(0.1 * decayed(0.9, squares) + 1e-8)
    mean = decayed(0.9, grads) / sum(0.9**i for i in range(t + 1))
    mean_square = decayed(0.999, squares) / sum(0.999**i for i in range(t + 1))
    return rate * mean / (np.sqrt(mean_square) + 1e-8)


OPTIMIZERS = ["gradient_descent", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_its_unrolled_sum(rng, name):
    """A recurrence from zero is a weighted sum over the past; Adam's corrections divide by the sum of the weights."""
    params, grads = rng.normal(size=(2, 3)), list(rng.normal(size=(12, 2, 3)))
    before = params
    for t, after in enumerate(run(getattr(optimizers, name)(0.1), params, grads)):
        np.testing.assert_allclose(after, before - unrolled(name, grads, t), rtol=1e-12, atol=1e-14)
        before = after


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_pure(rng, name):
    params, grad = rng.normal(size=3), rng.normal(size=3)
    optimizer = getattr(optimizers, name)(0.1)
    state = optimizer.init(params)
    copies = params.copy(), grad.copy()
    first, second = optimizer.step(state, params, grad), optimizer.step(state, params, grad)
    np.testing.assert_array_equal(first[1], second[1])
    assert_same((params, grad), copies, rtol=0)


def test_nesterov_is_the_look_ahead_form(rng):
    """Sutskever et al. (2013), equations 3 and 4, on a quadratic: theta + decay u follows the same path as p."""
    curvature = np.array([1.0, 5.0, 0.2])
    theta = rng.normal(size=3)
    velocity, optimizer = np.zeros(3), optimizers.nesterov(0.05, 0.9)
    params, state = theta.copy(), optimizer.init(theta)
    for _ in range(20):
        velocity = 0.9 * velocity - 0.05 * curvature * (theta + 0.9 * velocity)
        theta = theta + velocity
        state, params = optimizer.step(state, params, curvature * params)
        np.testing.assert_allclose(params, theta + 0.9 * velocity, **EXACT)


def test_optimizer_first_steps():
    """Adam's first step is the rate for a gradient of any size, RMSprop's is rate/sqrt(0.1); at g = 0 nothing moves."""
    grad = np.array([1e-3, -1.0, 1e3])
    adam, rmsprop = (run(make(0.1), np.zeros(3), [grad])[0] for make in (optimizers.adam, optimizers.rmsprop))
    np.testing.assert_allclose(adam, -0.1 * np.sign(grad), rtol=2e-5)
    np.testing.assert_allclose(rmsprop[1:], -0.1 * np.sign(grad[1:]) / math.sqrt(0.1), rtol=1e-7)
    for name in OPTIMIZERS:
        np.testing.assert_array_equal(run(getattr(optimizers, name)(0.1), np.ones(3), [np.zeros(3)])[0], np.ones(3))


# Section 8: the slips


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target_gradients_are_right(rng, target):
    case = target.arguments(rng)
    assert_same(target.gradient(*case), complex_step(target.value, case, target.wrt), **EXACT)


def test_targets_agree_with_the_columns(rng):
    """The rows' gradients are the columns' gradients, transposed."""
    by_name = {target.name: target for target in TARGETS}
    w, b, x, y = by_name["logistic"].arguments(rng)
    _, dw, db = logistic.double_loop(w[:, None], b, x.T, y[None, :])
    assert_same(by_name["logistic"].gradient(w, b, x, y), (dw[:, 0], db), **EXACT)
    W1, b1, W2, b2, x, y = by_name["one_hidden"].arguments(rng)
    dW1, db1, dW2, db2 = networks.one_hidden_backward(W1, b1[:, None], W2, b2[:, None], x.T, y.T)
    assert_same(by_name["one_hidden"].gradient(W1, b1, W2, b2, x, y), (dW1, db1[:, 0], dW2, db2[:, 0]), **EXACT)


def distance(actual, expected):
    """The largest relative distance over the arrays of two gradients; infinite where a shape differs."""
    return max(
        np.linalg.norm(one - other) / np.linalg.norm(other) if np.shape(one) == np.shape(other) else math.inf
        for one, other in zip(actual, expected, strict=True)
    )


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.name)
def test_slip_differs_from_the_right_gradient(rng, slip):
    for _ in range(5):
        case = slip.target.arguments(rng)
        right, wrong = slip.target.gradient(*case), slip.function(*case)
        assert distance(right, complex_step(slip.target.value, case, slip.target.wrt)) < 1e-13
        if slip.section_item == 9:
            assert distance(wrong, right) == 0
        elif slip.section_item == 4:
            z, da = case
            assert distance([wrong[0][z < 0]], [right[0][z < 0]]) == 1
            assert distance(wrong, right) > 0.002
        else:
            assert distance(wrong, right) > 0.1


def test_slip_at_the_kink():
    [slip] = [slip for slip in SLIPS if slip.section_item == 9]
    z, da = np.array([[-1.0, 0.0, 2.0]]), np.array([[3.0, 5.0, 7.0]])
    np.testing.assert_array_equal(RELU.gradient(z, da)[0], [[0, 0, 7]])
    np.testing.assert_array_equal(slip.function(z, da)[0], [[0, 5, 7]])


def wrong_values():
    """The slips that are the exact gradient of a wrong function, with that function."""

    def bracket(w, b, x, y):
        a = activations.sigmoid(x @ w + b)
        return np.mean(-(y * np.log(a)) + (1 - y) * np.log(1 - a))

    def no_minus(w, b, x, y):
        a = activations.sigmoid(x @ w + b)
        return np.mean(y * np.log(a) + (1 - y) * np.log(1 - a))

    def skips_hidden(W1, b1, W2, b2, x, y):
        return np.mean(losses.sigmoid_cross_entropy(x @ W2.T + b2, y))

    return {
        "loss_bracket_closed_early": bracket,
        "cost_without_minus": no_minus,
        "second_layer_reads_the_input": skips_hidden,
        "leaky_relu_as_max_with_slope": lambda z, da: np.sum(da * np.maximum(0.01, z)),
        "relu_as_maximum_over_the_axis": lambda z, da: np.sum(da * np.max(z, 0)),
    }


@pytest.mark.parametrize("name", wrong_values())
def test_slip_is_the_gradient_of_its_wrong_function(rng, name):
    [slip] = [slip for slip in SLIPS if slip.name == name]
    case = slip.target.arguments(rng)
    expected = central(wrong_values()[name], case, slip.target.wrt)
    assert_same(slip.function(*case), expected, **BY_DIFFERENCES)


def test_slips_with_a_wrong_shape(rng):
    """Two slips have the right numbers inside a wrong shape; all others have the right shapes."""
    for slip in SLIPS:
        case = slip.target.arguments(rng)
        right, wrong = slip.target.gradient(*case), slip.function(*case)
        same = [np.shape(one) == np.shape(other) for one, other in zip(wrong, right, strict=True)]
        assert all(same) == (slip.name not in ("dw_of_length_m", "db_without_the_sum"))
        if slip.name == "dw_of_length_m":
            assert wrong[0].shape == (6,)
            np.testing.assert_allclose(wrong[0], [*right[0], 0, 0, 0], **EXACT)
        if slip.name == "db_without_the_sum":
            assert wrong[1].shape == (5, 3)
            np.testing.assert_allclose(wrong[1].mean(axis=0), right[1], **EXACT)


def test_slips_cover_the_section():
    assert {slip.section_item for slip in SLIPS} == set(range(1, 12))
    assert len({slip.name for slip in SLIPS}) == len(SLIPS)
    for slip in SLIPS:
        assert f"Item {slip.section_item}:" in slip.function.__doc__
