"""The oracle's connectionist temporal classification: paths counted by hand, and gradients against complex steps."""

import math
from itertools import product

import numpy as np
import pytest

from tests.helpers.oracle.ctc import collapse, ctc_loss, d_ctc_loss, paths_by_label, posteriors
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle.losses import log_softmax, softmax
from tests.helpers.oracle_cases import EXACT, assert_same
from tests.helpers.sequence_cases import ctc_cases

CASES = list(ctc_cases())
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def least_length(label):
    """The length from which on a label is possible: its own, and a blank between each two equal neighbors."""
    return len(label) + sum(one == other for one, other in zip(label, label[1:], strict=False))


@by_name
def test_gradients_are_the_slopes(rng, case):
    """Of the losses that are finite, each times a number; the others have infinite losses and gradients of 0."""
    loss, weights = ctc_loss(case.z, *case[2:5]), rng.normal(size=len(case.z))
    np.testing.assert_array_equal(np.isposinf(loss), ~case.possible)
    assert np.isfinite(loss[case.possible]).all()
    [expected] = complex_step(
        lambda z: np.sum(weights * np.where(case.possible, ctc_loss(z, *case[2:5]), 0)), (case.z,), (0,)
    )
    dz = d_ctc_loss(case.z, *case[2:5])
    assert_same([weights[:, None, None] * dz], [expected], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(dz[~case.possible], 0)


@by_name
def test_what_comes_after_the_lengths_has_no_influence(case):
    """NaN in z and the class -1 in the labels there; dz is 0."""
    z, labels = case.z.copy(), case.labels.copy()
    beyond = np.arange(z.shape[1]) >= case.lengths[:, None]
    z[beyond] = np.nan
    labels[np.arange(labels.shape[1]) >= case.label_lengths[:, None]] = -1
    given = case.lengths, labels, case.label_lengths
    np.testing.assert_array_equal(ctc_loss(z, *given), ctc_loss(case.z, *case[2:5]))
    dz = d_ctc_loss(z, *given)
    np.testing.assert_array_equal(dz, d_ctc_loss(case.z, *case[2:5]))
    np.testing.assert_array_equal(dz[beyond], 0)


@pytest.mark.parametrize(("T", "k"), [(0, 2), (1, 3), (3, 2), (4, 3), (3, 4)])
def test_probabilities_of_all_labels_sum_to_1(rng, T, k):
    """Each path has one label; and the posteriors, weighted by their label's probability, are softmax(z)."""
    z, labels = rng.normal(size=(1, T, k)), list(paths_by_label(T, k))
    assert sum(len(paths) for paths in paths_by_label(T, k).values()) == k**T
    counts = [(np.array([T]), np.array([[*label, 0]]), np.array([len(label)])) for label in labels]
    probabilities = np.exp([-ctc_loss(z, *count)[0] for count in counts])
    np.testing.assert_allclose(np.sum(probabilities), 1, **EXACT)
    dz = sum(p * d_ctc_loss(z, *count) for p, count in zip(probabilities, counts, strict=True))
    np.testing.assert_allclose(dz, np.zeros(z.shape), atol=1e-14)


def test_posteriors_are_distributions(rng):
    log_p = log_softmax(rng.normal(size=(5, 3)))
    for label, paths in paths_by_label(5, 3).items():
        gamma = posteriors(log_p, paths)
        np.testing.assert_allclose(gamma.sum(axis=1), np.ones(5), **EXACT)
        np.testing.assert_array_equal((gamma > 0).any(axis=0)[1:], [k in label for k in (1, 2)])


def test_collapse_by_hand():
    """Repeats are taken out first, so that a blank between two equal classes keeps both."""
    for path, label in [
        ((), ()),
        ((0, 0, 0), ()),
        ((1, 1, 0, 1), (1, 1)),
        ((0, 1, 2, 2, 0), (1, 2)),
        ((1, 2, 1), (1, 2, 1)),
        ((2, 0, 0, 2, 2), (2, 2)),
    ]:
        assert collapse(path) == label


def test_paths_by_hand():
    paths = paths_by_label(3, 3)
    assert set(paths[1, 2]) == {(1, 2, 2), (1, 1, 2), (0, 1, 2), (1, 0, 2), (1, 2, 0)}
    assert paths[1, 1] == [(1, 0, 1)]
    assert set(paths[(2,)]) == {(2, 2, 2), (2, 2, 0), (0, 2, 2), (2, 0, 0), (0, 2, 0), (0, 0, 2)}
    assert paths[()] == [(0, 0, 0)]


@pytest.mark.parametrize(("T", "k"), [(0, 3), (1, 3), (3, 3), (5, 3), (4, 4)])
def test_possible_labels(T, k):
    """Those with T >= U + the number of equal neighbors, of all labels of up to T + 1 classes."""
    every = {label for U in range(T + 2) for label in product(range(1, k), repeat=U)}
    assert set(paths_by_label(T, k)) == {label for label in every if least_length(label) <= T}


def test_possible_cases():
    for case in CASES:
        labels = [tuple(row[:U].tolist()) for row, U in zip(case.labels, case.label_lengths, strict=True)]
        least = [least_length(label) for label in labels]
        np.testing.assert_array_equal(case.possible, case.lengths >= least)


def test_values_by_hand():
    """Two classes of 1/2: of 4 paths of 2 times, 3 give the label 1. Of 3/4 and 1/4, 7/16; the gradient of -log 3/4."""
    counts = np.array([2, 2]), np.array([[1], [1]]), np.array([1, 1])
    z = np.zeros((2, 2, 2))
    z[1, :, 0] = math.log(3)
    np.testing.assert_allclose(ctc_loss(z, *counts), [-math.log(3 / 4), -math.log(7 / 16)], **EXACT)
    third = 1 / 2 - 1 / 3
    np.testing.assert_allclose(d_ctc_loss(z, *counts)[0], [[third, -third]] * 2, **EXACT)
    # All blanks; no time at all, of which the empty label is certain and any other impossible.
    counts = np.array([2, 0, 0]), np.array([[1], [1], [1]]), np.array([0, 0, 1])
    z = np.zeros((3, 2, 2))
    np.testing.assert_allclose(ctc_loss(z, *counts), [math.log(4), 0, np.inf], **EXACT)
    dz = d_ctc_loss(z, *counts)
    np.testing.assert_allclose(dz[0], [[-0.5, 0.5]] * 2, **EXACT)
    np.testing.assert_array_equal(dz[1:], 0)


def test_one_path_is_a_cross_entropy(rng):
    """A label with one path only: the sum of -log p of each class in turn, and softmax(z) - one-hot."""
    z = rng.normal(size=(1, 3, 3))
    counts = np.array([3]), np.array([[2, 1, 2]]), np.array([3])
    np.testing.assert_allclose(ctc_loss(z, *counts), [-log_softmax(z[0])[range(3), [2, 1, 2]].sum()], **EXACT)
    np.testing.assert_allclose(d_ctc_loss(z, *counts)[0], softmax(z[0]) - np.eye(3)[[2, 1, 2]], **EXACT)


def test_extreme_logits():
    """Probabilities of e^-2000, which no float64 holds, of three equal paths; the others are e^-3000."""
    z = np.array([[[1000.0, 0, 0]] * 3])
    counts = np.array([3]), np.array([[1, 2]]), np.array([2])
    # Two classes and a blank in one of three places.
    np.testing.assert_allclose(ctc_loss(z, *counts), [2000 - math.log(3)], rtol=1e-15)
    np.testing.assert_allclose(
        d_ctc_loss(z, *counts)[0], np.eye(3)[[0, 0, 0]] - np.array([[1, 2, 0], [1, 1, 1], [1, 0, 2]]) / 3, **EXACT
    )


def test_cases_have_names_and_keep_their_numbers():
    assert len({case.name for case in CASES}) == len(CASES)
    for one, other in zip(CASES, ctc_cases(), strict=True):
        assert_same(one[1:], other[1:], rtol=0)
