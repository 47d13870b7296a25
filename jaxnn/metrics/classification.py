"""Accuracy, error rate, log loss, confusion matrix: pure functions, also inside compiled programs.

All of them take example weights, of which only the ratios matter to a mean. An example of weight 0 changes nothing,
whatever its label or prediction. If all weights are 0, there is nothing to take a mean of, and it is NaN.
"""

import jax.numpy as jnp

from jaxnn.data.weights import weighted_mean
from jaxnn.metrics.inputs import (
    are_right,
    as_labels,
    as_numbers,
    as_probabilities,
    as_weight,
    class_numbers,
    share_of,
    sums_at,
)
from jaxnn.typing import Array
from jaxnn.validation import described, is_count


def accuracy(predicted: Array, y: Array, weight: Array | None = None) -> Array:
    """The share of examples whose label is right.

    Args:
      predicted: labels, (m,), or (m, k) for k independent labels.
      y: true labels, in the same shape, or (m, 1) against (m,). Labels of the host's may be whole numbers of any size.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in [0, 1], or NaN if all weights are 0.

    Raises:
      ValueError: shapes that do not fit, what is no array of numbers or, outside a compiled program, fractions in the
        place of labels, such as probabilities, or weights that are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(accuracy(jnp.array([0, 1, 1, 1]), jnp.array([0, 1, 0, 1])))
      0.75
    """
    return share_of(*are_right(predicted, y, weight))


def error_rate(predicted: Array, y: Array, weight: Array | None = None) -> Array:
    """1 - accuracy: the share of examples whose label is wrong, a scalar. Arguments as for `accuracy`."""
    right, weight = are_right(predicted, y, weight)
    return share_of(~right, weight)


def log_loss(probabilities: Array, y: Array, weight: Array | None = None) -> Array:
    """The mean of -log p(y): how surprised a model is by the truth, in nats.

    Args:
      probabilities: of class 1, (m,) or (m, 1); or of each class, (m, k), rows summing to 1.
      y: labels, (m,): 0/1, or class numbers.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar of at least 0; inf where a label had probability 0, NaN where a label is no class, or if all weights are
      0.

    Raises:
      ValueError: shapes that do not fit, what is no array of numbers or, outside a compiled program, logits: numbers
        outside 0 to 1, or weights that are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(log_loss(jnp.array([0.5, 0.5]), jnp.array([0, 1])))
      0.6931472
    """
    weight = as_weight(weight, probabilities)
    p, y = as_probabilities(probabilities, weight), as_numbers("labels", y)
    if not y.ndim or p.shape[:1] != y.shape[:1] or y.size != y.shape[0] or p.ndim > 2:
        raise ValueError(f"probabilities {p.shape} and labels {y.shape} do not fit: expected (m,) or (m, k), and (m,)")
    if p.size == p.shape[0]:
        p, column = p.reshape(-1), class_numbers(y.reshape(-1), 2)
        # Of a label that is no class, the logarithm of a negative number, which is NaN.
        of_label = jnp.where(column == 1, p, jnp.where(column == 0, 1 - p, -1))
    else:
        # Past the end, it is NaN.
        column = class_numbers(y.reshape(-1), p.shape[1])
        of_label = jnp.take_along_axis(p, column[:, None], axis=1, mode="fill")[:, 0]
    return -jnp.log(of_label).mean() if weight is None else weighted_mean(-jnp.log(of_label), weight)


def confusion_matrix(predicted: Array, y: Array, classes: int, weight: Array | None = None) -> Array:
    """How often each true class was predicted as each class.

    Args:
      predicted: labels, (m,), 0 to classes-1.
      y: true labels, (m,), 0 to classes-1.
      classes: how many classes.
      weight: example weights (m,), which are added up; each example counts once by default.

    Returns:
      Counts (classes, classes), int32: row = true class, column = predicted class. Labels outside the classes
      are not counted. With weights, their sums, in JAX's default float dtype: inf where it cannot hold them.

    Raises:
      ValueError: shapes that differ, what is no array of numbers, classes that are no number of them or, outside a
        compiled program, fractions in the place of labels, or weights that are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(confusion_matrix(jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), 2))
      [[1 1]
       [0 1]]
    """
    weight = as_weight(weight, predicted)
    predicted, y = as_labels(predicted, weight), as_numbers("labels", y)
    if not is_count(classes):
        raise ValueError(f"classes is how many there are, a whole number of at least 1, got {described(classes)}")
    if predicted.shape != y.shape or y.ndim != 1:
        raise ValueError(f"predicted labels {predicted.shape} and labels {y.shape} do not fit: expected (m,) both")
    place = class_numbers(y, classes), class_numbers(predicted, classes)
    return sums_at((classes, classes), place, weight)
