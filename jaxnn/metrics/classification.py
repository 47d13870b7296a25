"""Accuracy, log loss, confusion matrix, precision, recall and F1: pure functions, also inside compiled programs.

All of them take example weights, of which only the ratios affect a mean. An example of weight 0 has no influence, for
any label or prediction. If all weights are 0, a mean is undefined, and NaN is returned.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.constraints import Count, checked
from jaxnn.data.weights import weighted_mean
from jaxnn.metrics.inputs import (
    are_right,
    as_labels,
    as_numbers,
    as_probabilities,
    as_weight,
    class_numbers,
    ratios_of,
    share_of,
    sums_at,
)
from jaxnn.typing import Array, ArrayLike


def accuracy(predicted: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute the fraction of examples whose label is right.

    Args:
      predicted: labels, (m,), or (m, k) for k independent labels.
      y: true labels, in the same shape, or (m, 1) against (m,). NumPy labels may be whole numbers of any size.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in [0, 1], or NaN if all weights are 0.

    Raises:
      ValueError: if shapes do not fit or an argument is not an array of numbers; outside a compiled program, if labels
        are fractions (such as probabilities), or weights are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(accuracy(jnp.array([0, 1, 1, 1]), jnp.array([0, 1, 0, 1])))
      0.75
    """
    return share_of(*are_right(predicted, y, weight))


def error_rate(predicted: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute 1 - accuracy, the fraction of examples whose label is wrong, with the arguments of `accuracy`."""
    right, weight = are_right(predicted, y, weight)
    return share_of(~right, weight)


def log_loss(probabilities: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute the mean of -log p(y), the negative log-likelihood per example, in nats.

    Args:
      probabilities: of class 1, (m,) or (m, 1); or of each class, (m, k), rows summing to 1.
      y: labels, (m,): 0/1, or class numbers.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar of at least 0; inf if a label has probability 0, NaN if a label is not a class, or if all weights are 0.

    Raises:
      ValueError: if shapes do not fit or an argument is not an array of numbers; outside a compiled program, if
        probabilities are not in 0 to 1 (such as logits), or weights are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(log_loss(jnp.array([0.5, 0.5]), jnp.array([0, 1])))
      0.6931472
    """
    weight = as_weight(weight, probabilities)
    p, labels = as_probabilities(probabilities, weight), as_numbers("y", y)
    if not labels.ndim or p.shape[:1] != labels.shape[:1] or labels.size != labels.shape[0] or p.ndim > 2:
        raise ValueError(f"probabilities and y must be (m,) or (m, k), and (m,), got {p.shape} and {labels.shape}")
    binary = p.size == p.shape[0]
    p = p.reshape(-1) if binary else p
    column = class_numbers(labels.reshape(-1), 2 if binary else p.shape[1])
    return _log_loss(p, column, ratios_of(weight))


@jax.jit
def _log_loss(p: Array, column: Array, ratios: Any) -> Array:
    if p.ndim == 1:
        # For a label that is not a class, the logarithm of a negative number, which is NaN.
        of_label = jnp.where(column == 1, p, jnp.where(column == 0, 1 - p, -1))
    else:
        # An index past the end gives NaN.
        of_label = jnp.take_along_axis(p, column[:, None], axis=1, mode="fill")[:, 0]
    return -jnp.log(of_label).mean() if ratios is None else weighted_mean(-jnp.log(of_label), ratios)


@checked(classes=Count())
def confusion_matrix(predicted: ArrayLike, y: ArrayLike, classes: int, weight: ArrayLike | None = None) -> Array:
    """Count how often each true class is predicted as each class.

    Args:
      predicted: labels, (m,), 0 to classes-1.
      y: true labels, (m,), 0 to classes-1.
      classes: number of classes.
      weight: example weights (m,), which are summed; each example counts once by default.

    Returns:
      Counts (classes, classes), int32: row = true class, column = predicted class. Labels outside the classes
      are not counted. With weights, their sums, in JAX's default float dtype, inf if a sum overflows.

    Raises:
      ValueError: if shapes differ, an argument is not an array of numbers, or `classes` is not a whole number of at
        least 1; outside a compiled program, if labels are fractions, or weights are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(confusion_matrix(jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), 2))
      [[1 1]
       [0 1]]
    """
    weight = as_weight(weight, predicted)
    found, labels = as_labels(predicted, weight), as_numbers("y", y)
    if found.shape != labels.shape or labels.ndim != 1:
        raise ValueError(f"predicted and y must both be labels (m,), got {found.shape} and {labels.shape}")
    place = class_numbers(labels, classes), class_numbers(found, classes)
    return sums_at((classes, classes), place, weight)


class ClassScores(NamedTuple):
    """How well each class is found, (classes,) each.

    Attributes:
      precision: of the examples that are predicted as the class, the fraction that is right; 0 without any.
      recall: of the examples of the class, the fraction that is predicted as it; 0 without any.
      f1: the harmonic mean of both; its mean over the classes is the macro F1.
      support: the number of examples of the class; with weights, their sum.
    """

    precision: Array
    recall: Array
    f1: Array
    support: Array


@checked(classes=Count())
def class_scores(predicted: ArrayLike, y: ArrayLike, classes: int, weight: ArrayLike | None = None) -> ClassScores:
    """Compute precision, recall and F1 = 2 P R/(P + R) of each class.

    Args:
      predicted: labels, (m,), 0 to classes-1.
      y: true labels, (m,), 0 to classes-1.
      classes: number of classes.
      weight: example weights (m,); all 1 by default.

    Returns:
      A `ClassScores`. An example whose label is not a class is not counted.

    Raises:
      ValueError: as `confusion_matrix`.

    Example:
      >>> import jax.numpy as jnp
      >>> scores = class_scores(jnp.array([0, 1, 1, 1]), jnp.array([0, 0, 1, 1]), 2)
      >>> print(scores.precision, scores.recall, scores.f1)
      [1.        0.6666667] [0.5 1. ] [0.6666667 0.8      ]

    Source: van Rijsbergen, "Information Retrieval", 1979, chapter 7.
    """
    support = confusion_matrix(predicted, y, classes, weight).sum(axis=1)
    # Of relative weights, whose sums neither overflow nor vanish.
    ratios = ratios_of(as_weight(weight, predicted))
    counts = confusion_matrix(predicted, y, classes, ratios).astype(jnp.result_type(float))
    precision, recall, f1 = _precision_recall_f1(counts)
    return ClassScores(precision, recall, f1, support)


@jax.jit
def _precision_recall_f1(counts: Array) -> list[Array]:
    right, found, there = jnp.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return [
        jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)
        for part, whole in ((right, found), (right, there), (2 * right, found + there))
    ]
