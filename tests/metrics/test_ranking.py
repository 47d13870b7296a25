"""Areas under curves and top-k accuracy against scikit-learn and against all pairs, one by one."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from jaxnn import metrics
from tests.helpers.programs import compiled

RNG = np.random.default_rng(0)
M = 60
Y, CLASSES = RNG.integers(0, 2, M), RNG.integers(0, 4, M)
SCORES = RNG.normal(size=M).round(1)  # with ties
PROBABILITIES = RNG.dirichlet(np.ones(4), M).round(2) + 1e-3
PROBABILITIES = (PROBABILITIES / PROBABILITIES.sum(1, keepdims=True)).astype(np.float32)
WEIGHTS = [None, RNG.uniform(size=M), RNG.integers(0, 3, M)]

weights = pytest.mark.parametrize("weight", WEIGHTS, ids=["none", "fractions", "whole"])


@pytest.mark.representatives("fractions")
@weights
def test_areas_are_scikit_learns(weight):
    for scores in (SCORES, SCORES[:, None], SCORES.astype(np.float32), np.stack([-SCORES, SCORES], 1)):
        for labels in (Y, Y[:, None], Y.astype(bool)):
            area, precision = metrics.roc_auc(scores, labels, weight), metrics.average_precision(scores, labels, weight)
            expected = sklearn.metrics.roc_auc_score(Y, SCORES, sample_weight=weight)
            np.testing.assert_allclose(area, expected, rtol=1e-5)
            expected = sklearn.metrics.average_precision_score(Y, SCORES, sample_weight=weight)
            np.testing.assert_allclose(precision, expected, rtol=1e-5)


@weights
def test_the_curve_is_scikit_learns(weight):
    got = metrics.roc_curve(SCORES, Y, weight)
    counts = np.ones(M) if weight is None else weight
    kept = counts > 0
    expected = sklearn.metrics.roc_curve(Y[kept], SCORES[kept], sample_weight=counts[kept], drop_intermediate=False)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    with pytest.raises(ValueError, match="scores must be of class 1"):
        metrics.roc_curve(PROBABILITIES, CLASSES)


@pytest.mark.parametrize("shift", [0, -20, 20])
def test_two_probabilities_rank_as_the_logits_that_they_come_from(shift):
    """Near 0 and 1 too, where their difference is rounded to -1 or 1."""
    z = (SCORES + shift).astype(np.float32)
    p = np.asarray(jax.nn.softmax(jnp.stack([jnp.zeros(M), z], 1), axis=1))
    for scores in (p, np.stack([np.zeros(M), z], 1), np.stack([-z, z], 1) * np.float32(1e37)):
        area = sklearn.metrics.roc_auc_score(Y, SCORES)
        np.testing.assert_allclose(metrics.roc_auc(scores, Y), area, rtol=1e-6)
        expected = sklearn.metrics.average_precision_score(Y, SCORES)
        np.testing.assert_allclose(compiled(metrics.average_precision)(scores, Y), expected, rtol=1e-6)


@pytest.mark.full
def test_no_area_is_above_1():
    for seed in range(50):
        weight = np.random.default_rng(seed).uniform(size=M)
        for metric in (metrics.roc_auc, metrics.average_precision):
            assert 1 - 1e-6 < metric(Y, Y, weight) <= 1


def test_the_curve_has_all_digits_and_rejects_what_is_no_score():
    assert len(metrics.roc_curve(np.array([1 + 1e-10, 1 + 2e-10]), [0, 1])[2]) == 3
    for scores, y in (([0.1, np.nan], [0, 1]), ([0.1, 0.2], [0, 2]), ([0.1, 0.2], [0, 0.5])):
        with pytest.raises(ValueError, match="scores must be numbers and y labels 0/1"):
            metrics.roc_curve(scores, y)
    assert metrics.roc_curve([0.1, np.nan, 0.3], [0, 7, 1], [1, 0, 1])[1].tolist() == [0, 1, 1]


@weights
def test_areas_of_classes_are_scikit_learns_means(weight):
    expected = sklearn.metrics.roc_auc_score(CLASSES, PROBABILITIES, multi_class="ovr", sample_weight=weight)
    np.testing.assert_allclose(metrics.roc_auc(PROBABILITIES, CLASSES, weight), expected, rtol=1e-5)
    one_hot = np.eye(4)[CLASSES]
    expected = sklearn.metrics.average_precision_score(one_hot, PROBABILITIES, sample_weight=weight)
    np.testing.assert_allclose(metrics.average_precision(PROBABILITIES, CLASSES, weight), expected, rtol=1e-5)


@pytest.mark.full
@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=8))
def test_the_area_is_the_share_of_pairs(rows):
    s, y, w = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [
        (w[i] * w[j], (s[i] > s[j]) + (s[i] == s[j]) / 2)
        for i, j in itertools.product(range(len(s)), repeat=2)
        if y[i] and not y[j]
    ]
    total = sum(weight for weight, _ in pairs)
    s, y, w = (np.append(a, np.zeros(8 - len(a), a.dtype)) for a in (s, y, w))  # one program for all
    got = metrics.roc_auc(s, y, w)
    if total == 0:
        assert np.isnan(got)
    else:
        np.testing.assert_allclose(got, sum(weight * right for weight, right in pairs) / total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
@weights
def test_top_k_is_scikit_learns(k, weight):
    scores = RNG.permuted(np.tile(np.arange(4.0), (M, 1)), axis=1)  # without ties
    expected = sklearn.metrics.top_k_accuracy_score(CLASSES, scores, k=min(k, 4), sample_weight=weight) if k < 4 else 1
    for same in (scores, scores.astype(np.float16), np.exp(scores)):
        np.testing.assert_allclose(metrics.top_k_accuracy(same, CLASSES, k, weight), expected, rtol=1e-6)


def test_top_1_is_the_accuracy_of_the_label_also_with_ties():
    scores = RNG.integers(0, 2, (M, 4)).astype(np.float32)
    expected = jaxnn.accuracy(scores.argmax(1), CLASSES)
    np.testing.assert_allclose(metrics.top_k_accuracy(scores, CLASSES, 1), expected)


FUNCTIONS = {
    "roc": (metrics.roc_auc, SCORES, Y),
    "roc of classes": (metrics.roc_auc, PROBABILITIES, CLASSES),
    "precision": (metrics.average_precision, SCORES, Y),
    "precision of classes": (metrics.average_precision, PROBABILITIES, CLASSES),
    "top 2": (lambda s, y, weight=None: metrics.top_k_accuracy(s, y, 2, weight), PROBABILITIES, CLASSES),
}
each = pytest.mark.parametrize("name", FUNCTIONS)


@pytest.mark.representatives("roc", "top 2")
@each
def test_in_a_program_and_side_by_side(name):
    metric, scores, y = FUNCTIONS[name]
    scores = jnp.asarray(scores, jnp.float32)
    members = jnp.stack([scores, -scores, scores**2])
    got = compiled(jax.vmap(lambda s: metric(s, jnp.asarray(y), jnp.asarray(WEIGHTS[1]))))(members)
    np.testing.assert_allclose(got, [metric(s, y, WEIGHTS[1]) for s in members], rtol=1e-5)


@pytest.mark.representatives("roc of classes", "precision", "top 2")
@each
def test_examples_of_weight_0_have_no_influence(name):
    metric, scores, y = FUNCTIONS[name]
    weight = np.ones(M + 2)
    weight[-2:] = 0
    more = np.concatenate([scores, np.full((2, *scores.shape[1:]), np.nan)])
    np.testing.assert_allclose(metric(more, np.append(y, [-100, 99]), weight), metric(scores, y), rtol=1e-5)


@each
def test_what_is_undefined_is_nan(name):
    metric, scores, y = FUNCTIONS[name]
    broken = np.array(scores)
    broken[3] = np.nan
    assert np.isnan(metric(broken, y))
    assert np.isnan(metric(scores, np.where(np.arange(M) == 3, 7, y)))
    assert np.isnan(metric(scores, y, np.zeros(M)))
    if "top" not in name:
        assert np.isnan(metric(scores, np.zeros(M, int)))


@pytest.mark.representatives("1e+30")
@pytest.mark.parametrize("of_large", [1.0, 1e30])
def test_many_examples_lose_no_digits(of_large):
    y = RNG.integers(0, 2, 300_000)
    scores = RNG.normal(size=y.size) + y
    expected = sklearn.metrics.roc_auc_score(y, scores)
    np.testing.assert_allclose(metrics.roc_auc(scores, y, np.full(y.size, of_large)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("scores", "y"), [((5,), (4,)), ((5, 2, 1), (5,)), ((0,), (0,)), ((), ()), ((5,), (5, 2)), ((5,), (1, 5))], ids=str
)
def test_shapes_that_do_not_fit_raise(scores, y):
    shapes = re.escape(f"got {scores} and {y}")
    for metric in (metrics.roc_auc, metrics.average_precision, metrics.top_k_accuracy):
        with pytest.raises(ValueError, match=f"scores and y must be .*{shapes}"):
            metric(np.zeros(scores), np.zeros(y, int))


def test_weights_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="weight must have shape"):
        metrics.roc_auc(SCORES, Y, np.ones(3))
    with pytest.raises(ValueError, match="weight must be at least 0"):
        metrics.top_k_accuracy(PROBABILITIES, CLASSES, 2, -np.ones(M))
