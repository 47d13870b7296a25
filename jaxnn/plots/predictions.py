"""Predictions beside the truth: confusion of classes, the ROC curve, calibration."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from jaxnn.constraints import Count, checked
from jaxnn.metrics.calibration import Reliability, reliability_curve
from jaxnn.metrics.classification import confusion_matrix
from jaxnn.metrics.inputs import as_labels
from jaxnn.metrics.ranking import roc_auc, roc_curve
from jaxnn.plots.drawing import OneAxesDisplay, draw_confusion, draw_curves
from jaxnn.typing import ArrayLike

_MOST = 1000
"""Classes whose matrix can be drawn."""


class ConfusionDisplay(OneAxesDisplay):
    """How often each class is predicted as each: true classes as rows, predicted ones as columns.

    Args:
      matrix: the counts, (classes, classes), of `jaxnn.metrics.confusion_matrix`.
      class_names: of the classes; their numbers by default.

    Attributes:
      ax_: matplotlib's axes.
      figure_: matplotlib's figure.
    """

    def __init__(self, matrix: np.ndarray, class_names: Sequence[str] | None = None) -> None:
        self.matrix = np.asarray(matrix)
        self.class_names = [*map(str, range(len(self.matrix)) if class_names is None else class_names)]
        if self.matrix.shape != (len(self.class_names),) * 2:
            n = len(self.class_names)
            raise ValueError(
                f"class_names must be those of the {len(self.matrix)} classes of the matrix, got {n} names"
            )

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        predicted: ArrayLike,
        *,
        class_names: Sequence[str] | None = None,
        weight: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> "ConfusionDisplay":
        """Count and draw.

        Args:
          y: true labels, (m,).
          predicted: predicted labels, (m,), as `Model.predict` returns them.
          class_names: of the classes; by default the numbers to the largest that occurs.
          weight: example weights (m,); all 1 by default.
          ax: where to draw; on a new figure by default.

        Raises:
          ValueError: as `jaxnn.metrics.confusion_matrix`.

        Example:
          >>> display = ConfusionDisplay.from_predictions([0, 1, 1], [0, 1, 0], class_names=["cat", "dog"])
          >>> display.matrix.tolist()
          [[1, 0], [1, 1]]
        """
        y, predicted = (np.asarray(as_labels(a, weight)).reshape(-1) for a in (y, predicted))
        if not y.size or len(y) != len(predicted):
            raise ValueError(f"y and predicted must be labels of as many examples, got {len(y)} and {len(predicted)}")
        largest = int(max(a.max() for a in (y, predicted))) + 1
        classes = min(largest, _MOST) if class_names is None else len(class_names)
        if largest > classes:
            raise ValueError(f"labels must be below {classes}, the number of classes, got {largest - 1}")
        matrix = np.asarray(confusion_matrix(predicted, y, classes, weight))
        return cls(matrix, class_names).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> "ConfusionDisplay":
        """Draw the matrix, and return the display."""
        self._begin(ax)
        draw_confusion(self.ax_, self.matrix, self.class_names)
        return self


class RocDisplay(OneAxesDisplay):
    """The rate of true positives over that of false ones, at each threshold of the scores.

    Args:
      fpr: rates of false positives, ascending from 0 to 1.
      tpr: rates of true positives.
      roc_auc: the area under the curve.
      name: of the curve.

    Attributes:
      ax_: matplotlib's axes.
      figure_: matplotlib's figure.
    """

    def __init__(self, fpr: np.ndarray, tpr: np.ndarray, roc_auc: float, name: str = "network") -> None:
        self.fpr, self.tpr, self.roc_auc, self.name = fpr, tpr, roc_auc, name

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        scores: ArrayLike,
        *,
        weight: ArrayLike | None = None,
        name: str = "network",
        ax: Axes | None = None,
    ) -> "RocDisplay":
        """Compute and draw.

        Args:
          y: labels 0/1, (m,).
          scores: higher for class 1, (m,) or (m, 1), as `Model.predict_proba` returns them.
          weight: example weights (m,); all 1 by default.
          name: of the curve, in the legend.
          ax: where to draw; on a new figure by default.

        Raises:
          ValueError: as `jaxnn.metrics.roc_curve`.

        Example:
          >>> round(RocDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).roc_auc, 2)
          0.75
        """
        fpr, tpr, _ = roc_curve(scores, y, weight)
        return cls(fpr, tpr, float(roc_auc(scores, y, weight)), name).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> "RocDisplay":
        """Draw the curve, and return the display."""
        self._begin(ax)
        curves = {f"{self.name}: area {self.roc_auc:.3f}": (self.fpr, self.tpr)}
        draw_curves(self.ax_, curves, title="ROC", x="rate of false positives", y="rate of true positives")
        self.ax_.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
        return self


class CalibrationDisplay(OneAxesDisplay):
    """The observed frequency over the predicted probability, in bins; on the diagonal they are calibrated.

    Args:
      reliability: the result of `jaxnn.metrics.reliability_curve`.
      name: of the curve.

    Attributes:
      ax_: matplotlib's axes.
      figure_: matplotlib's figure.
    """

    def __init__(self, reliability: Reliability, name: str = "network") -> None:
        self.reliability, self.name = reliability, name

    @classmethod
    @checked(bins=Count())
    def from_predictions(
        cls,
        y: ArrayLike,
        probabilities: ArrayLike,
        *,
        bins: int = 10,
        weight: ArrayLike | None = None,
        name: str = "network",
        ax: Axes | None = None,
    ) -> "CalibrationDisplay":
        """Compute and draw.

        Args:
          y: labels, (m,): 0/1, or class numbers.
          probabilities: as `Model.predict_proba` returns them: of class 1, (m,) or (m, 1); or of each class, (m, k).
          bins: number of bins from 0 to 1.
          weight: example weights (m,); all 1 by default.
          name: of the curve, in the legend.
          ax: where to draw; on a new figure by default.

        Raises:
          ValueError: as `jaxnn.metrics.reliability_curve`.

        Example:
          >>> display = CalibrationDisplay.from_predictions([0, 1, 1, 0], [0.1, 0.3, 0.8, 0.8], bins=2)
          >>> display.reliability.accuracy.tolist()
          [0.5, 0.5]
        """
        return cls(reliability_curve(probabilities, y, bins, weight), name).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> "CalibrationDisplay":
        """Draw the curve, and return the display."""
        self._begin(ax)
        confidence, accuracy, _ = map(np.asarray, self.reliability)
        there = np.isfinite(confidence)
        curves = {self.name: (confidence[there], accuracy[there])}
        draw_curves(self.ax_, curves, title="calibration", x="predicted probability", y="observed frequency")
        self.ax_.lines[-1].set_marker("o")
        self.ax_.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
        return self
