"""Divide all cat photos at random several times, and measure networks that were trained on each division."""

from typing import Any, NamedTuple

import numpy as np

from experiments.networks.spec import Spec
from experiments.studies.catvnoncat.data import Photos

N_SPLITS = 10


class Splits(NamedTuple):
    """The photos of both files, the training file's first, and which of them each split tests.

    Attributes:
      x: pixels divided by 255 as rows, (m, 12288).
      y: 1 for a cat, (m,).
      in_test: whether a split tests a photo, or else trains on it, (splits, m).
      n_chosen_on: the number of photos, the first ones, on which hyperparameters were chosen.
    """

    x: np.ndarray
    y: np.ndarray
    in_test: np.ndarray
    n_chosen_on: int


class Outcome(NamedTuple):
    """A network, trained once on each split.

    Attributes:
      name: its name.
      spec: its layers.
      probabilities: of a cat, for every photo, (splits, m).
      losses: the mean of each epoch's steps, (splits, epochs).
      first: its params, trained on the first split.
      seconds: of all trainings.
    """

    name: str
    spec: Spec
    probabilities: np.ndarray
    losses: np.ndarray
    first: Any
    seconds: float


def split_photos(photos: Photos, n: int = N_SPLITS) -> Splits:
    """Return n random splits, each testing as many photos as the course's test file has; split i has seed i."""
    x, y = (np.concatenate(parts) for parts in zip(photos.train[:2], photos.test[:2], strict=True))
    in_test = np.zeros((n, len(y)), bool)
    for i, row in enumerate(in_test):
        row[np.random.default_rng(i).permutation(len(y))[: len(photos.test.y)]] = True
    return Splits(x, y, in_test, len(photos.train.y))


def accuracies(outcome: Outcome, splits: Splits, photos: np.ndarray) -> np.ndarray:
    """Return the accuracy in percent of each split's network on a mask of photos, (splits, m), as (splits,)."""
    right = (outcome.probabilities > 0.5) == splits.y
    return 100 * (right & photos).sum(axis=1) / photos.sum(axis=1)


def standard_error(differences: np.ndarray, n_train: int, n_test: int) -> float:
    """Return the standard error of the mean of differences (n,) of n random splits of the same examples.

    Training sets of random splits overlap, so the splits are not independent: instead of by 1/n, the variance is
    multiplied by 1/n + n_test/n_train.

    Source: Nadeau and Bengio, "Inference for the generalization error", 2003, section 4.
    """
    n = len(differences)
    return float(np.sqrt((1 / n + n_test / n_train) * differences.var(ddof=1))) if n > 1 else float("nan")


def paired_differences(first: Outcome, second: Outcome, splits: Splits) -> np.ndarray:
    """Return by how many points of test accuracy the second network is better on each split, (splits,)."""
    of_first, of_second = (accuracies(each, splits, splits.in_test) for each in (first, second))
    return of_second - of_first
