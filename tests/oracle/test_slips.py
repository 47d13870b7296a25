"""Each known slip is wrong in the known way."""

import math

import numpy as np
import pytest

from tests.helpers.oracle import activations, logistic, losses, networks, windows
from tests.helpers.oracle.cells import LSTM
from tests.helpers.oracle.differences import central, complex_step
from tests.helpers.oracle.recurrence import states_of
from tests.helpers.oracle.slips import COURSE_SLIPS, OPTIMIZER_SLIPS, SLIPS
from tests.helpers.oracle.targets import (
    CONVOLUTION_GEOMETRY,
    COURSE_TARGETS,
    LSTM_TARGET,
    RELU,
    TARGETS,
    lstm_start,
    lstm_weights,
)
from tests.helpers.oracle_cases import BY_DIFFERENCES, EXACT, assert_same
from tests.oracle.test_optimizers import run, unrolled

GRADIENT_SLIPS = [*SLIPS, *COURSE_SLIPS]


@pytest.mark.parametrize("target", [*TARGETS, *COURSE_TARGETS], ids=lambda target: target.name)
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


@pytest.mark.parametrize("slip", GRADIENT_SLIPS, ids=lambda slip: slip.name)
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


def with_bias_inside(x, K, b):
    """The convolution of item 14, by a channel of ones, also in the padding, whose filter holds b at each offset."""
    padding = windows.padding_pairs("same", x.shape[1:-1], K.shape[:-2], (2, 1), (1, 1))
    padded = np.pad(x, [(0, 0), *padding, (0, 0)])
    ones, offsets = np.ones((*padded.shape[:-1], 1)), np.ones((*K.shape[:-2], 1, 1))
    inputs, filters = np.concatenate([padded, ones], axis=-1), np.concatenate([K, offsets * K.shape[-2] * b], axis=-2)
    return windows.convolution(inputs, filters, 0 * b, **{**CONVOLUTION_GEOMETRY, "padding": "valid"})


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
        "bias_inside_the_window_sum": lambda x, K, b, dy: np.sum(dy * with_bias_inside(x, K, b)),
        "dropout_with_another_keep": lambda x, mask, da: np.sum(da * mask * x / 0.5),
    }


@pytest.mark.parametrize("name", wrong_values())
def test_slip_is_the_gradient_of_its_wrong_function(rng, name):
    [slip] = [slip for slip in GRADIENT_SLIPS if slip.name == name]
    case = slip.target.arguments(rng)
    expected = central(wrong_values()[name], case, slip.target.wrt)
    assert_same(slip.function(*case), expected, **BY_DIFFERENCES)


def test_slips_with_a_wrong_shape(rng):
    """Two slips have the right numbers inside a wrong shape; all others have the right shapes."""
    for slip in GRADIENT_SLIPS:
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


def test_bias_inside_the_window_sum_is_wrong_in_value():
    """Of zeros under ones, (3, 2, 2, 1): b = 0.5 once, or 12 times."""
    x, K, b = np.zeros((1, 4, 3, 2)), np.ones((3, 2, 2, 1)), np.array([0.5])
    np.testing.assert_array_equal(windows.convolution(x, K, b, **CONVOLUTION_GEOMETRY), np.full((1, 2, 3, 1), 0.5))
    np.testing.assert_array_equal(with_bias_inside(x, K, b), np.full((1, 2, 3, 1), 6.0))


def lstm_slips():
    """The two slips of item 15: no gradient between steps, and a bias gradient added to another."""
    return [slip.function for slip in COURSE_SLIPS if slip.section_item == 15]


def test_no_gradient_between_steps_is_the_gradient_of_each_step_alone(rng):
    """With each step's state before as a constant; of one step, nothing is wrong, and of the last of several, dx."""
    case = LSTM_TARGET.arguments(rng)
    x, *weights, dy = case
    fixed = [states_of(LSTM, lstm_weights(weights), one, range(4), lstm_start(lstm_weights(weights))) for one in x]

    def each_step_alone(x, *weights_and_dy):
        *weights, dy = weights_and_dy
        steps = [(i, t) for i in range(len(x)) for t in range(4)]
        return sum(np.sum(dy[i, t] * LSTM.step(lstm_weights(weights), x[i, t], fixed[i][t])[0]) for i, t in steps)

    without_future, right = lstm_slips()[0](*case), LSTM_TARGET.gradient(*case)
    assert_same(without_future, complex_step(each_step_alone, case, LSTM_TARGET.wrt), **EXACT)
    np.testing.assert_allclose(without_future[0][:, -1], right[0][:, -1], **EXACT)
    assert distance([without_future[0][:, 0]], [right[0][:, 0]]) > 0.1
    first = x[:, :1], *weights, dy[:, :1]
    assert_same(lstm_slips()[0](*first), LSTM_TARGET.gradient(*first), **EXACT)


def test_bias_gradient_added_to_another_is_that_of_one_bias_in_two_gates(rng):
    """Of an update gate that also has b_f, less the number which b_f has; all arrays but db_f are right."""
    case = LSTM_TARGET.arguments(rng)
    names = ["x", *lstm_weights(case[1:-1])]
    f, u = names.index("b_f"), names.index("b_u")

    def b_f_in_two_gates(*moved):
        return LSTM_TARGET.value(*moved[:u], moved[u] + moved[f] - case[f], *moved[u + 1 :])

    wrong, right = lstm_slips()[1](*case), LSTM_TARGET.gradient(*case)
    assert_same(wrong, complex_step(b_f_in_two_gates, case, LSTM_TARGET.wrt), **EXACT)
    assert_same(wrong[:f] + wrong[f + 1 :], right[:f] + right[f + 1 :], rtol=0)
    assert distance([wrong[f]], [right[f]]) > 0.1


@pytest.mark.parametrize("slip", OPTIMIZER_SLIPS, ids=lambda slip: slip.name)
def test_optimizer_slip_differs_from_the_paper(rng, slip):
    """With gradients as small as eps^(1/2), the right steps are the unrolled sums, and the slip's are not."""
    params, grads = np.zeros(4), list(1e-4 * rng.normal(size=(8, 4)))
    right, wrong = (run(make(0.1), params, grads) for make in (slip.target, slip.function))
    for t, (one, other, before) in enumerate(zip(right, wrong, [params, *right], strict=False)):
        np.testing.assert_allclose(one, before - unrolled("adam", grads, t), rtol=1e-12, atol=1e-14)
        if t == 0 and slip.name == "adam_corrections_without_the_power":
            np.testing.assert_allclose(other, one, **EXACT)
        else:
            assert distance([other], [one]) > 0.1


def test_slips_cover_the_section():
    slips = [*GRADIENT_SLIPS, *OPTIMIZER_SLIPS]
    assert {slip.section_item for slip in SLIPS} == set(range(1, 12))
    assert {slip.section_item for slip in slips} == {*range(1, 18)}
    assert len({slip.name for slip in slips}) == len(slips)
    for slip in slips:
        assert f"Item {slip.section_item}:" in slip.function.__doc__
