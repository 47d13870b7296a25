"""Which point of a sweep is the best: by its mean over seeds, on dev."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from experiments.sweep.training import Training


class Standing(NamedTuple):
    """A point, and what its trainings came to.

    Attributes:
      point: its number in the plan.
      trainings: from each seed, that with the highest dev accuracy first, those that diverged last.
    """

    point: int
    trainings: list[Training]

    @property
    def sound(self) -> list[Training]:
        """Those that did not diverge."""
        return [training for training in self.trainings if training.diverged_at is None]

    @property
    def diverged(self) -> int:
        """How many diverged."""
        return len(self.trainings) - len(self.sound)

    @property
    def dev_accuracies(self) -> np.ndarray:
        """Of those that did not diverge."""
        return np.array([training.dev_accuracy for training in self.sound])

    @property
    def dev_loss(self) -> float:
        """The mean of those that did not diverge."""
        return float(np.mean([training.dev_loss for training in self.sound]))


def rank(trainings: Iterable[Training]) -> list[Standing]:
    """The points, best first: by how many trainings diverged, the mean dev accuracy, the mean dev loss."""
    of_points: dict[int, list[Training]] = {}
    for training in trainings:
        of_points.setdefault(training.point, []).append(training)
    standings = [Standing(point, sorted(own, key=_training_order)) for point, own in of_points.items()]
    return sorted(standings, key=_standing_order)


def _training_order(training: Training) -> tuple[bool, float, float]:
    return training.diverged_at is not None, -training.dev_accuracy, _nan_last(training.dev_loss)


def _standing_order(standing: Standing) -> tuple[int, float, float]:
    if not standing.sound:
        return standing.diverged, 0.0, 0.0
    # In float32, equal numbers of right answers may differ by the last digit of their means.
    return standing.diverged, -round(float(standing.dev_accuracies.mean()), 6), _nan_last(standing.dev_loss)


def _nan_last(value: float) -> float:
    return float("inf") if np.isnan(value) else value
