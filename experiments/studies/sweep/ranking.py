"""Rank the points of a sweep by their mean score on dev over seeds: the accuracy, or R² for regression."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from experiments.studies.sweep.training import Training

_ROUNDING = 1e-6
"""In float32, the means of equal numbers of correct predictions may differ in their last digit."""


class Standing(NamedTuple):
    """A point and its trainings.

    Attributes:
      point: its index in the plan.
      trainings: one per seed, the highest dev score first, diverged ones last.
    """

    point: int
    trainings: list[Training]

    @property
    def finished(self) -> list[Training]:
        """Return the trainings that did not diverge."""
        return [training for training in self.trainings if training.diverged_at is None]

    @property
    def diverged(self) -> int:
        """Return how many trainings diverged."""
        return len(self.trainings) - len(self.finished)

    @property
    def dev_scores(self) -> np.ndarray:
        """Return the dev scores of the trainings that did not diverge."""
        return np.array([training.dev_score for training in self.finished])

    @property
    def dev_loss(self) -> float:
        """Return the mean dev loss of the trainings that did not diverge."""
        return float(np.mean([training.dev_loss for training in self.finished]))


def rank(trainings: Iterable[Training], dev_examples: int | None = None) -> list[Standing]:
    """Return the points, best first: by the number of diverged trainings, mean dev score, mean dev loss.

    Within noise, the loss decides: points that are less than one example of the dev set, or at most one standard error
    of the mean over seeds, below the most accurate one are ordered by loss; then follows the most accurate one of the
    rest with the points within its noise, and so on.

    Args:
      trainings: of all points.
      dev_examples: the size of the dev set. If `None`, every difference in the score decides, as for R², which ranks as
        the loss does.

    Source: the rule of one standard error, Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
    """
    of_points: dict[int, list[Training]] = {}
    for training in trainings:
        of_points.setdefault(training.point, []).append(training)
    standings = [Standing(point, sorted(own, key=_training_order)) for point, own in of_points.items()]
    standings.sort(key=_standing_order)
    ranked: list[Standing] = []
    while len(ranked) < len(standings):
        best, *others = standings[len(ranked) :]
        alike = [best, *itertools.takewhile(lambda one, best=best: _is_alike(one, best, dev_examples), others)]
        ranked += sorted(alike, key=_loss)
    return ranked


def tied(standings: list[Standing], dev_examples: int | None = None) -> int:
    """Return how many of the ranked points are within noise of the highest mean score, by the rule of `rank`."""
    highest = min(standings, key=_standing_order)
    return 1 + sum(_is_alike(one, highest, dev_examples) for one in standings if one is not highest)


def _training_order(training: Training) -> tuple[bool, float, float]:
    return training.diverged_at is not None, -training.dev_score, _nan_last(training.dev_loss)


def _standing_order(standing: Standing) -> tuple[int, float, float]:
    if not standing.finished:
        return standing.diverged, 0.0, 0.0
    return standing.diverged, -round(float(standing.dev_scores.mean()), 6), _loss(standing)


def _is_alike(one: Standing, best: Standing, dev_examples: int | None) -> bool:
    if dev_examples is None or not best.finished or one.diverged != best.diverged:
        return False
    behind = best.dev_scores.mean() - one.dev_scores.mean()
    n = len(best.finished)
    error = best.dev_scores.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
    return bool(behind < 1 / dev_examples - _ROUNDING or behind <= error + _ROUNDING)


def _loss(standing: Standing) -> float:
    return _nan_last(standing.dev_loss) if standing.finished else 0.0


def _nan_last(value: float) -> float:
    return float("inf") if np.isnan(value) else value
