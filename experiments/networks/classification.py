"""What a classifier reaches for each class: the confusion matrix, precision, recall, F1, and areas under curves."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from experiments.reports import tables
from jaxnn.metrics import average_precision, class_scores, confusion_matrix, roc_auc, roc_curve

MOST_LISTED = 20
"""The maximum number of classes in a table."""


class ClassResults(NamedTuple):
    """Results on one set of examples, of k classes.

    Attributes:
      classes: their names.
      confusion: counts by true class (row) and predicted class (column), (k, k).
      precision, recall, f1: of each class, (k,).
      roc_auc, average_precision: of each class against all others, by its probability, (k,); NaN for a class without
        examples, or that all examples have.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    roc_auc: np.ndarray
    average_precision: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """Return the number of examples of each class."""
        return self.confusion.sum(axis=1)

    def as_json(self) -> dict[str, Any]:
        """Return the results as JSON: numbers of each class by its name, and the confusion matrix."""
        columns = {name: getattr(self, name).tolist() for name in ("support", *SCORES)}
        of_classes = {
            each: {name: column[i] for name, column in columns.items()} for i, each in enumerate(self.classes)
        }
        return {"classes": of_classes, "confusion_matrix": self.confusion.tolist()}


SCORES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC area",
    "average_precision": "PR area",
}
"""The scores of a class, with the head of their column."""


def class_results(classes: Sequence[str], y: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> ClassResults:
    """Compute the results of predicted probabilities, (m, k), and labels, (m,), for true labels y, (m,)."""
    k = len(classes)
    scores = class_scores(labels, y, k)
    areas = [
        [float(area(probabilities[:, i], (y == i).astype(int))) for i in range(k)]
        for area in (roc_auc, average_precision)
    ]
    matrix = np.asarray(confusion_matrix(labels, y, k))
    return ClassResults(tuple(classes), matrix, *map(np.asarray, scores[:3]), *map(np.array, areas))


def class_table(title: str, results: ClassResults) -> Table:
    """Return a table with a row for each class, the most frequent ones if there are many, and their mean."""
    rows = sorted(np.argsort(-results.support, kind="stable")[:MOST_LISTED])
    cells = [
        [results.classes[i], str(results.support[i]), *(_text(getattr(results, name)[i]) for name in SCORES)]
        for i in rows
    ]
    there = results.support > 0
    means = [getattr(results, name)[there] for name in SCORES]
    mean = ["mean of classes", str(results.support.sum()), *(_text(values.mean()) for values in means)]
    return tables.table(title, ("class", "rows", *SCORES.values()), [*cells, mean], 1)


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


class Curves(NamedTuple):
    """A class's curves: false and true positive rates, ascending, and the precision at each true positive rate."""

    fpr: np.ndarray
    tpr: np.ndarray
    precision: np.ndarray


def curves_of(y: np.ndarray, scores: np.ndarray) -> Curves:
    """Return the ROC curve and the precision over recall of scores, (m,), for labels 0/1, (m,), both of which occur."""
    fpr, tpr, _ = roc_curve(scores, y)
    right, wrong = tpr * y.sum(), fpr * (1 - y).sum()
    # Without a prediction, the precision is that of the first ones.
    found = right + wrong
    precision = np.where(found > 0, right / np.where(found > 0, found, 1), np.nan)
    precision[np.isnan(precision)] = precision[~np.isnan(precision)][0]
    return Curves(fpr, tpr, precision)
