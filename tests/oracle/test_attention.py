"""The oracle's attention: values worked out by hand, and gradients against complex steps."""

import math

import numpy as np
import pytest

from tests.helpers.oracle import attention
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle_cases import EXACT, assert_same
from tests.helpers.sequence_cases import attention_cases

CASES = list(attention_cases())
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def additive_arguments(rng, case):
    """(q, k, values, W_q, W_k, v) of a case, with n = 3."""
    shapes = (3, case.q.shape[-1]), (3, case.k.shape[-1]), (3,)
    return case.q, case.k, case.v, *(rng.normal(size=shape) for shape in shapes)


@by_name
@pytest.mark.parametrize("dropout", [False, True])
def test_dot_gradients_are_the_slopes(rng, case, dropout):
    arguments, dy = (case.q, case.k, case.v), rng.normal(size=(*case.q.shape[:2], case.v.shape[-1]))
    shape = case.q.shape[0], case.heads, *case.visible.shape[1:]
    kept = (rng.uniform(size=shape) < 0.6) / 0.6 if dropout else None
    value = attention.dot_attention(*arguments, case.heads, case.visible, kept)
    assert value.shape == dy.shape
    expected = complex_step(
        lambda q, k, v: np.sum(dy * attention.dot_attention(q, k, v, case.heads, case.visible, kept)),
        arguments,
        (0, 1, 2),
    )
    actual = attention.d_dot_attention(*arguments, case.heads, case.visible, dy, kept)
    assert_same(actual, expected, rtol=1e-12, atol=1e-14)


@by_name
def test_additive_gradients_are_the_slopes(rng, case):
    arguments, dy = additive_arguments(rng, case), rng.normal(size=(*case.q.shape[:2], case.v.shape[-1]))
    expected = complex_step(
        lambda *moved: np.sum(dy * attention.additive_attention(*moved, case.visible)), arguments, range(6)
    )
    assert_same(attention.d_additive_attention(*arguments, case.visible, dy), expected, rtol=1e-12, atol=1e-14)


@by_name
def test_weights_are_distributions_over_the_visible_keys(rng, case):
    weights = attention.dot_weights(case.q, case.k, case.heads, case.visible)
    q, k, _, *others = additive_arguments(rng, case)
    additive = attention.additive_weights(q, k, *others, case.visible)
    for p in [*weights.swapaxes(0, 1), additive]:
        np.testing.assert_array_equal(p > 0, case.visible)
        np.testing.assert_allclose(p.sum(axis=-1), case.visible.any(axis=-1), **EXACT)


@by_name
def test_what_is_hidden_has_no_influence(rng, case):
    """A query without keys gives zeros, and keys that no query sees may hold NaN: they get a gradient of 0."""
    dy = rng.normal(size=(*case.q.shape[:2], case.v.shape[-1]))
    blind, unseen = ~case.visible.any(axis=2), ~case.visible.any(axis=1)
    q, dy_nan = (np.where(blind[:, :, None], np.nan, array) for array in (case.q, dy))
    k, v = (np.where(unseen[:, :, None], np.nan, array) for array in (case.k, case.v))
    _, _, _, *additive = additive_arguments(rng, case)
    dot_case, results = (case.heads, case.visible), []
    for arrays, cotangent in [((case.q, case.k, case.v), dy), ((q, k, v), dy_nan)]:
        dot = attention.dot_attention(*arrays, *dot_case)
        by_sum = attention.additive_attention(*arrays, *additive, case.visible)
        gradient = attention.d_dot_attention(*arrays, *dot_case, cotangent)
        by_sum_gradient = attention.d_additive_attention(*arrays, *additive, case.visible, cotangent)
        for y, (dq, dk, dv, *_) in [(dot, gradient), (by_sum, by_sum_gradient)]:
            for array, at in [(y, blind), (dq, blind), (dk, unseen), (dv, unseen)]:
                np.testing.assert_array_equal(array[at], 0)
        results.append([dot, by_sum, *gradient, *by_sum_gradient])
    assert_same(*results, rtol=0)


@by_name
def test_heads_are_side_by_side(rng, case):
    """Each head is an attention of one head on its part of the last axis."""
    dy = rng.normal(size=(*case.q.shape[:2], case.v.shape[-1]))
    y = attention.dot_attention(case.q, case.k, case.v, case.heads, case.visible)
    gradient = attention.d_dot_attention(case.q, case.k, case.v, case.heads, case.visible, dy)
    parts = [np.split(array, case.heads, axis=-1) for array in (case.q, case.k, case.v, dy)]
    heads = list(zip(*parts, strict=True))
    alone = [attention.dot_attention(*head[:3], 1, case.visible) for head in heads]
    np.testing.assert_array_equal(y, np.concatenate(alone, axis=-1))
    alone = [attention.d_dot_attention(*head[:3], 1, case.visible, head[3]) for head in heads]
    expected = [np.concatenate(arrays, axis=-1) for arrays in zip(*alone, strict=True)]
    assert_same(gradient, expected, rtol=0)


def test_dot_by_hand():
    """d = 4, so that scores are q . k / 2: keys of scores log 3 and 0 have the weights 3/4 and 1/4."""
    q = np.array([[[2 * math.log(3), 0, 0, 0]]])
    k = np.array([[[1.0, 5, 0, 0], [0, 7, 1, 0]]])
    v = np.array([[[4.0, 0], [8, 40]]])
    both, second = np.array([[[True, True]]]), np.array([[[False, True]]])
    np.testing.assert_allclose(attention.dot_weights(q, k, 1, both), [[[[0.75, 0.25]]]], **EXACT)
    np.testing.assert_allclose(attention.dot_attention(q, k, v, 1, both), [[[5, 10]]], **EXACT)
    np.testing.assert_allclose(attention.dot_attention(q, k, v, 1, second), [[[8, 40]]], **EXACT)
    kept = np.array([[[[0.0, 2]]]])
    np.testing.assert_allclose(attention.dot_attention(q, k, v, 1, both, kept), [[[4, 20]]], **EXACT)


def test_additive_by_hand():
    """e = 2 tanh(q + k) of q = 0.1: the second of two equal keys halves; W_k = 0 makes all weights equal."""
    q, k, v = np.array([[[0.1]]]), np.array([[[0.2], [0.2], [-0.1]]]), np.array([[[1.0], [2], [4]]])
    one, two, visible = np.ones((1, 1)), np.full(1, 2.0), np.ones((1, 1, 3), bool)
    power = math.exp(2 * math.tanh(0.3))
    expected = np.array([power, power, 1]) / (2 * power + 1)
    np.testing.assert_allclose(attention.additive_weights(q, k, one, one, two, visible), [[expected]], **EXACT)
    y = attention.additive_attention(q, k, v, one, one, two, visible)
    np.testing.assert_allclose(y, [[[expected @ [1, 2, 4]]]], **EXACT)
    y = attention.additive_attention(q, k, v, one, 0 * one, two, visible)
    np.testing.assert_allclose(y, [[[7 / 3]]], **EXACT)


def test_visible_keys_by_hand():
    visible = attention.visible_keys(3, 2, 3, key_lengths=[3, 1, 0], causal=True)
    np.testing.assert_array_equal(visible[0], [[1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(visible[1], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(visible[2], np.zeros((2, 3)))
    assert attention.visible_keys(3, 2, 3).all()


def test_large_scores():
    """Scores of 1e4 and 1e4 - 1: no exponential is infinite."""
    q, k = np.array([[[1e4]]]), np.array([[[1.0], [1 - 1e-4]]])
    p = attention.dot_weights(q, k, 1, np.ones((1, 1, 2), bool))
    np.testing.assert_allclose(p, [[[[1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))]]]], rtol=1e-11)


def test_cases_have_names_and_keep_their_numbers():
    assert len({case.name for case in CASES}) == len(CASES)
    for one, other in zip(CASES, attention_cases(), strict=True):
        assert (one.name, one.heads, one.causal) == (other.name, other.heads, other.causal)
        assert_same([one.q, one.k, one.v, one.visible], [other.q, other.k, other.v, other.visible], rtol=0)
    assert sum(not case.visible.any(axis=-1).all() for case in CASES) >= 5
