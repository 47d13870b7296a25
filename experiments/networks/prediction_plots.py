"""Draw predictions beside the truth, of one network or of several."""

from collections.abc import Mapping

import numpy as np

from experiments.datasets.targets import Target
from experiments.networks.classification import ClassResults, curves_of
from experiments.reports import plots

MOST_CURVES = 10
MOST_NAMES = 40
"""Classes whose names fit beside a confusion matrix; those of more are not written."""


def draw_residuals(name: str, target: Target, y: np.ndarray, predicted: Mapping[str, np.ndarray]) -> tuple[bytes, str]:
    """Return a picture, as PNG, of predicted numbers and their residuals on the test set, and its caption.

    Args:
      name: of the data.
      target: what is predicted.
      y: the scaled numbers of the test rows, (m,).
      predicted: the numbers that each network predicts for the test rows, (m,).
    """
    true, column = target.in_units(y), plain(target.name)
    figure, axes = plots.grid(2, len(predicted))
    for (above, below), (network, values) in zip(axes.T, predicted.items(), strict=True):
        ends = [min(true.min(), values.min()), max(true.max(), values.max())]
        above.plot(ends, ends, color="gray", linewidth=1, linestyle="--")
        above.plot(true, values, ".", alpha=0.6)
        above.set(title=network, xlabel=f"true {column}", ylabel=f"predicted {column}")
        below.axhline(0, color="gray", linewidth=1, linestyle="--")
        below.plot(values, true - values, ".", alpha=0.6)
        below.set(xlabel=f"predicted {column}", ylabel="residual, true - predicted")
    caption = (
        f"{name}, test set: predicted numbers over true ones, and residuals over predicted ones. Residuals that "
        "have a trend, or that widen, show what a network does not predict."
    )
    return plots.png(figure), caption


def draw_classes(name: str, results: ClassResults, y: np.ndarray, probabilities: np.ndarray) -> tuple[bytes, str]:
    """Return a picture, as PNG, of a classifier on the test set, and its caption.

    It has the confusion matrix, ROC curves and precision over recall, of each class against all others.

    Args:
      name: of the data and the network.
      results: on the test rows.
      y: the classes of the test rows, (m,).
      probabilities: of each class, (m, k).
    """
    support, names = results.support, [plain(each, 16) for each in results.classes]
    k = len(names)
    side = float(np.clip(0.2 * k + 1.5, 3.6, 9))
    figure, axes = plots.grid(1, 3)
    figure.set_size_inches(side + 11, side)
    plots.draw_confusion(axes[0, 0], results.confusion, names if k <= MOST_NAMES else [""] * k)
    drawn = [i for i in np.argsort(-support, kind="stable") if 0 < support[i] < len(y)]
    roc, precision = {}, {}
    for i in drawn[:MOST_CURVES]:
        curves, each = curves_of((y == i).astype(int), probabilities[:, i]), names[i]
        roc[f"{each}: {results.roc_auc[i]:.3f}"] = curves.fpr, curves.tpr
        precision[f"{each}: {results.average_precision[i]:.3f}"] = curves.tpr, curves.precision
    if roc:
        plots.draw_curves(axes[0, 1], roc, title="ROC, with areas", x="false positive rate", y="true positive rate")
        plots.draw_curves(axes[0, 2], precision, title="precision over recall, with areas", x="recall", y="precision")
    caption = (
        f"{name}, test set: counts by true class (row) and predicted class (column); curves of each class against all "
        "others, by its predicted probability."
    )
    return plots.png(figure), caption


def plain(text: str, most: int = 40) -> str:
    """Return a text of at most that many characters, without the marks of formulas."""
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")
