"""The oracle's networks against difference quotients."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tests.helpers.oracle import logistic, networks
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle_cases import EXACT, assert_same, binary
from tests.oracle.test_logistic import logistic_case


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


def test_fused_losses_raise_for_other_outputs(rng):
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
