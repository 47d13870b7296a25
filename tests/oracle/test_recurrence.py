"""The oracle's recurrent layers: values worked out by hand, and gradients against complex steps."""

import math

import numpy as np
import pytest

from tests.helpers.oracle.cells import CELLS, GRU_AFTER, GRU_BEFORE, LSTM, SIMPLE, weight_shapes
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle.recurrence import d_one_direction, d_recurrence, one_direction, recurrence
from tests.helpers.oracle_cases import EXACT, assert_same
from tests.helpers.sequence_cases import draw, sequence_cases

CASES = list(sequence_cases())
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
by_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
SURE = 40.0
"""A gate with this input is 1 to the last digit, and with its negative below 5e-18."""


def flat(*trees):
    """All arrays of dictionaries, tuples and arrays, in order."""
    arrays = []
    for tree in trees:
        if isinstance(tree, dict):
            arrays += tree.values()
        elif isinstance(tree, tuple):
            arrays += flat(*tree)
        else:
            arrays.append(tree)
    return arrays


def like(tree, arrays):
    """A tree of the structure of `tree`, of an iterator of its arrays."""
    if isinstance(tree, dict):
        return {name: next(arrays) for name in tree}
    return tuple(like(one, arrays) for one in tree) if isinstance(tree, tuple) else next(arrays)


def by_steps(cell, drawn, x, lengths, directions):
    """The gradients (dweights, dx, dinitial) by complex steps, flat, of the sum of dy * y and dlast * last."""
    trees = drawn.weights, x, drawn.initial

    def value(*arrays):
        weights, x, initial = like(trees, iter(arrays))
        y, last = recurrence(cell, weights, x, lengths, initial, directions)
        return sum(np.sum(d * one) for d, one in zip(flat(drawn.dy, drawn.dlast), flat(y, last), strict=True))

    arrays = tuple(flat(trees))
    return complex_step(value, arrays, range(len(arrays)))


@pytest.mark.representatives(
    "both_mixed_given-simple",
    "lengths_0_1_and_T_given-lstm",
    "mixed-simple",
    "none_of_full_length_given-lstm",
    "one_step_given-lstm",
    "one_unit_both_given-lstm",
)
@by_cell
@by_name
def test_gradients_are_the_slopes(cell, case):
    drawn = draw(cell, case)
    actual = d_recurrence(
        cell, drawn.weights, case.x, case.lengths, drawn.initial, drawn.dy, drawn.dlast, case.directions
    )
    assert_same(flat(*actual), by_steps(cell, drawn, case.x, case.lengths, case.directions), rtol=1e-12, atol=1e-14)


@pytest.mark.representatives("gru_after", "simple")
@by_cell
def test_gradients_of_one_cotangent(cell):
    """Of an output in the middle, of the last state's arrays one after the other: all others are 0."""
    [case] = [case for case in CASES if case.name == "both_mixed_given"]
    drawn = draw(cell, case)
    nothing = like((drawn.dy, drawn.dlast), iter([0 * array for array in flat(drawn.dy, drawn.dlast)]))
    for place in range(1 + 2 * len(cell.states)):
        chosen = flat(*nothing)
        chosen[place] = flat(drawn.dy, drawn.dlast)[place]
        if place == 0:
            chosen[0] = chosen[0] * (np.arange(5) == 2)[:, None]
        one = drawn._replace(**dict(zip(("dy", "dlast"), like(nothing, iter(chosen)), strict=True)))
        actual = d_recurrence(cell, one.weights, case.x, case.lengths, one.initial, one.dy, one.dlast, case.directions)
        expected = by_steps(cell, one, case.x, case.lengths, case.directions)
        assert_same(flat(*actual), expected, rtol=1e-12, atol=1e-14)


def weights_of(cell, n_in, n, **given):
    """Zeros, but for what is given."""
    shapes = weight_shapes(cell, n_in, n)
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    for name, value in given.items():
        weights[name] = np.broadcast_to(np.array(value, float), shapes[name])
    return weights


def series(*numbers):
    """One example of one input, (1, T, 1)."""
    return np.array(numbers, float).reshape(1, -1, 1)


def states(*arrays):
    """A state of one example, each (1, n)."""
    return tuple(np.array([array], float) for array in arrays)


def run_by_hand(cell, weights, x, state, **kwargs):
    """(y (T, n), last (n,) each) of one example."""
    y, last = one_direction(cell, weights, x, [x.shape[1]], state, **kwargs)
    return y[0], [array[0] for array in last]


def test_simple_by_hand():
    """a = tanh(W_aa a + W_ax x + b): rows of W are the units of the result."""
    weights = weights_of(SIMPLE, 1, 2, W_ax=[[1], [2]], W_aa=[[0, 3], [0, 0]], b_a=[0.5, 0])
    y, (last,) = run_by_hand(SIMPLE, weights, series(0.1, 0.2), states([7, -0.1]))
    second = math.tanh(0.2)
    expected = [[math.tanh(0.1 + 0.5 - 0.3), second], [math.tanh(0.2 + 0.5 + 3 * second), math.tanh(0.4)]]
    np.testing.assert_allclose(y, expected, **EXACT)
    np.testing.assert_array_equal(last, y[-1])


def test_lstm_gates_by_hand():
    """Gates of 1/2 for zero weights; one sure gate after the other."""
    x, start = series(0.3), states([0.2], [0.8])
    for given, c, open_by in [
        ({}, 0.4, 0.5),
        (dict(b_f=SURE), 0.8, 0.5),
        (dict(b_f=-SURE), 0.0, 0.5),
        (dict(b_o=SURE), 0.4, 1.0),
        (dict(b_o=-SURE), 0.4, 0.0),
        (dict(b_c=SURE), 0.4 + 0.5, 0.5),
        (dict(b_c=-SURE, b_u=SURE), 0.4 - 1.0, 0.5),
        (dict(b_c=SURE, b_u=-SURE), 0.4, 0.5),
        (dict(W_cx=2.0, b_u=SURE, b_f=-SURE), math.tanh(0.6), 0.5),
        (dict(W_ca=2.0, b_u=SURE, b_f=-SURE), math.tanh(0.4), 0.5),
    ]:
        y, (last_a, last_c) = run_by_hand(LSTM, weights_of(LSTM, 1, 1, **given), x, start)
        np.testing.assert_allclose(last_c, [c], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(y, [[open_by * math.tanh(c)]], rtol=1e-14, atol=1e-15)
        np.testing.assert_array_equal(last_a, y[0])


@pytest.mark.parametrize("cell", [GRU_BEFORE, GRU_AFTER], ids=lambda cell: cell.name)
def test_gru_gates_by_hand(cell):
    """u = 1 takes the candidate, and u = 0 keeps what was: PyTorch's and Keras's z is 1 - u."""
    x, start = series(0.3), states([0.8])
    for given, a in [
        ({}, 0.4),
        (dict(b_u=-SURE, b_c=1.0), 0.8),
        (dict(b_u=SURE, b_c=1.0), math.tanh(1.0)),
        (dict(b_u=SURE, W_cx=2.0), math.tanh(0.6)),
        (dict(b_u=SURE, W_ca=2.0), math.tanh(0.8)),
        (dict(b_u=SURE, W_ca=2.0, b_r=SURE), math.tanh(1.6)),
        (dict(b_u=SURE, W_ca=2.0, b_r=-SURE), 0.0),
    ]:
        y, (last,) = run_by_hand(cell, weights_of(cell, 1, 1, **given), x, start)
        np.testing.assert_allclose(y, [[a]], rtol=1e-14, atol=1e-15)
        np.testing.assert_array_equal(last, y[0])


def test_reset_before_and_after_by_hand():
    """r = (1/2, 1), and unit 1 reads unit 2: before, r is that of the unit which is read, after, of the one that reads.

    b' = 0.6 is reset with the rest, b is not.
    """
    given = dict(b_r=[0, SURE], b_u=SURE, W_ca=[[0, 2], [0, 0]], b_c=[0.1, 0.2])
    x, start = series(9.0), states([0.7, 0.4])
    y, _ = run_by_hand(GRU_BEFORE, weights_of(GRU_BEFORE, 1, 2, **given), x, start)
    np.testing.assert_allclose(y, [[math.tanh(0.1 + 2 * 0.4), math.tanh(0.2)]], **EXACT)
    y, _ = run_by_hand(GRU_AFTER, weights_of(GRU_AFTER, 1, 2, **given, b_ca=0.6), x, start)
    np.testing.assert_allclose(y, [[math.tanh(0.1 + (2 * 0.4 + 0.6) / 2), math.tanh(0.2 + 0.6)]], **EXACT)


def test_reverse_by_hand():
    """a = tanh(x + a before), from each example's own last time to its first; outputs stay in their places."""
    weights = weights_of(SIMPLE, 1, 1, W_ax=1.0, W_aa=1.0)
    x = np.array([[0.1, 0.2, 99.0], [0.4, 99.0, 99.0]])[:, :, None]
    y, (last,) = one_direction(SIMPLE, weights, x, [2, 1], (np.zeros((2, 1)),), "reverse")
    second = math.tanh(0.2)
    first = math.tanh(0.1 + second)
    np.testing.assert_allclose(y[:, :, 0], [[first, second, 0], [math.tanh(0.4), 0, 0]], **EXACT)
    np.testing.assert_allclose(last[:, 0], [first, math.tanh(0.4)], **EXACT)


@by_cell
@by_name
def test_what_comes_after_the_length_has_no_influence(cell, case):
    """NaN in x and dy there: y is 0 and dx is 0, exactly, and all else is as it was."""
    drawn = draw(cell, case)
    beyond = np.arange(case.x.shape[1]) >= case.lengths[:, None]
    x, dy = (np.where(beyond[:, :, None], np.nan, array) for array in (case.x, drawn.dy))
    results = []
    for at, cotangent in [(case.x, drawn.dy), (x, dy)]:
        y, last = recurrence(cell, drawn.weights, at, case.lengths, drawn.initial, case.directions)
        gradient = d_recurrence(
            cell, drawn.weights, at, case.lengths, drawn.initial, cotangent, drawn.dlast, case.directions
        )
        np.testing.assert_array_equal(y[beyond], 0)
        np.testing.assert_array_equal(gradient[1][beyond], 0)
        results.append(flat(y, last, *gradient))
    assert_same(*results, rtol=0)


@by_cell
def test_of_length_0_the_last_state_is_the_initial_one(cell):
    [case] = [case for case in CASES if case.name == "all_of_length_0_given"]
    drawn = draw(cell, case)
    y, last = recurrence(cell, drawn.weights, case.x, case.lengths, drawn.initial)
    dweights, dx, dinitial = d_recurrence(
        cell, drawn.weights, case.x, case.lengths, drawn.initial, drawn.dy, drawn.dlast
    )
    assert_same(flat(last, dinitial), flat(drawn.initial, drawn.dlast), rtol=0)
    for array in flat(y, dweights, dx):
        np.testing.assert_array_equal(array, 0)


@by_cell
@by_name
def test_examples_alone(cell, case):
    """Each example alone, cut to its length, and turned round if it is read in reverse: gradients of weights add."""
    drawn = draw(cell, case)
    y, last = recurrence(cell, drawn.weights, case.x, case.lengths, drawn.initial, case.directions)
    dweights, dx, dinitial = d_recurrence(
        cell, drawn.weights, case.x, case.lengths, drawn.initial, drawn.dy, drawn.dlast, case.directions
    )
    totals, total_dx = [0 * array for array in flat(dweights)], 0 * dx
    for i, length in enumerate(case.lengths):
        for place, direction in enumerate(case.directions):
            turn = 1 if direction == "forward" else -1
            here = slice(place * case.n, (place + 1) * case.n)
            start, after = (tuple(a[i : i + 1] for a in tree[place]) for tree in (drawn.initial, drawn.dlast))
            x, dy = (array[i : i + 1, :length][:, ::turn] for array in (case.x, drawn.dy[:, :, here]))
            alone = one_direction(cell, drawn.weights[place], x, [length], start)
            np.testing.assert_allclose(y[i, :length, here], alone[0][0, ::turn], **EXACT)
            assert_same([a[i] for a in last[place]], [a[0] for a in alone[1]], **EXACT)
            by_weight, by_x, by_start = d_one_direction(cell, drawn.weights[place], x, [length], start, dy, after)
            count = len(by_weight)
            for k, one in enumerate(by_weight.values()):
                totals[place * count + k] += one
            total_dx[i, :length] += by_x[0, ::turn]
            assert_same([a[i] for a in dinitial[place]], [a[0] for a in by_start], **EXACT)
    assert_same([total_dx, *totals], flat(dx, dweights), **EXACT)


@by_cell
def test_pieces_are_the_whole(cell):
    """The first 2 times, then the rest from their last state, whose gradient the first piece gets as its dlast."""
    [case] = [case for case in CASES if case.name == "all_of_full_length_given"]
    drawn = draw(cell, case)
    [weights], [start], [after] = drawn.weights, drawn.initial, drawn.dlast
    whole = one_direction(cell, weights, case.x, case.lengths, start)
    first, between = one_direction(cell, weights, case.x[:, :2], [2] * 3, start)
    second, last = one_direction(cell, weights, case.x[:, 2:], [3] * 3, between)
    assert_same(flat(np.concatenate([first, second], axis=1), last), flat(*whole), **EXACT)
    dweights, dx, dstart = d_one_direction(cell, weights, case.x, case.lengths, start, drawn.dy, after)
    by_second = d_one_direction(cell, weights, case.x[:, 2:], [3] * 3, between, drawn.dy[:, 2:], after)
    by_first = d_one_direction(cell, weights, case.x[:, :2], [2] * 3, start, drawn.dy[:, :2], by_second[2])
    total = {name: by_first[0][name] + by_second[0][name] for name in dweights}
    both = np.concatenate([by_first[1], by_second[1]], axis=1)
    assert_same(flat(total, both, by_first[2]), flat(dweights, dx, dstart), **EXACT)


def test_cases_have_names_and_keep_their_numbers():
    assert len({case.name for case in CASES}) == len(CASES)
    for one, other in zip(CASES, sequence_cases(), strict=True):
        assert (one.name, one.n, one.directions, one.given) == (other.name, other.n, other.directions, other.given)
        assert_same([one.x, one.lengths], [other.x, other.lengths], rtol=0)
        for cell in CELLS:
            assert_same(flat(*draw(cell, one)), flat(*draw(cell, other)), rtol=0)
            assert any(array.any() for array in flat(draw(cell, one).initial)) == one.given
