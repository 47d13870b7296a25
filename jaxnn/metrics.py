"""What to measure: accuracy, error rate, log loss, confusion matrix. Pure functions, also inside compiled programs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.checks import as_array, described, is_count, is_real
from jaxnn.typing import Array


def accuracy(predicted: Array, y: Array, weight: Array | None = None) -> Array:
    """The share of examples whose label is right.

    Args:
      predicted: labels, (m,), or (m, k) for k independent labels.
      y: true labels, in the same shape, or (m, 1) against (m,).
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in [0, 1].

    Raises:
      ValueError: shapes that do not fit, what is no array of numbers or, outside a compiled program, fractions in the
        place of labels, such as probabilities.

    Example:
      >>> import jax.numpy as jnp
      >>> print(accuracy(jnp.array([0, 1, 1, 1]), jnp.array([0, 1, 0, 1])))
      0.75
    """
    return _share(_right(predicted, y, weight), weight)


def error_rate(predicted: Array, y: Array, weight: Array | None = None) -> Array:
    """1 - accuracy: the share of examples whose label is wrong, a scalar. Arguments as for `accuracy`."""
    return _share(~_right(predicted, y, weight), weight)


def log_loss(probabilities: Array, y: Array) -> Array:
    """The mean of -log p(y): how surprised a model is by the truth, in nats.

    Args:
      probabilities: of class 1, (m,) or (m, 1); or of each class, (m, k), rows summing to 1.
      y: labels, (m,): 0/1, or class numbers.

    Returns:
      A scalar of at least 0; inf where a label had probability 0, NaN where a label is no class.

    Raises:
      ValueError: shapes that do not fit, what is no array of numbers or, outside a compiled program, logits: numbers
        outside 0 to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> print(log_loss(jnp.array([0.5, 0.5]), jnp.array([0, 1])))
      0.6931472
    """
    p, y = as_probabilities(probabilities), as_numbers("labels", y)
    if not y.ndim or p.shape[:1] != y.shape[:1] or y.size != y.shape[0] or p.ndim > 2:
        raise ValueError(f"probabilities {p.shape} and labels {y.shape} do not fit: expected (m,) or (m, k), and (m,)")
    y = y.reshape(-1)
    if p.size == p.shape[0]:
        p = p.reshape(-1)
        return -jnp.log(jnp.where(y == 1, p, jnp.where(y == 0, 1 - p, jnp.nan))).mean()
    # A negative index would count from the end; past the end, it is NaN.
    column = jnp.where(_is_class(y, p.shape[1]), y, p.shape[1]).astype(jnp.int32)
    return -jnp.log(jnp.take_along_axis(p, column[:, None], axis=1, mode="fill")).mean()


def confusion_matrix(predicted: Array, y: Array, classes: int) -> Array:
    """How often each true class was predicted as each class.

    Args:
      predicted: labels, (m,), 0 to classes-1.
      y: true labels, (m,), 0 to classes-1.
      classes: how many classes.

    Returns:
      Counts (classes, classes), int32: row = true class, column = predicted class. Labels outside the classes
      are not counted.

    Raises:
      ValueError: shapes that differ, what is no array of numbers, classes that are no number of them or, outside a
        compiled program, fractions in the place of labels.

    Example:
      >>> import jax.numpy as jnp
      >>> print(confusion_matrix(jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), 2))
      [[1 1]
       [0 1]]
    """
    predicted, y = _labels(predicted), as_numbers("labels", y)
    if not is_count(classes):
        raise ValueError(f"classes is how many there are, a whole number of at least 1, got {described(classes)}")
    if predicted.shape != y.shape or y.ndim != 1:
        raise ValueError(f"predicted labels {predicted.shape} and labels {y.shape} do not fit: expected (m,) both")
    inside = _is_class(predicted, classes) & _is_class(y, classes)
    row, column = (jnp.where(inside, labels, 0).astype(jnp.int32) for labels in (y, predicted))
    counts = jnp.bincount(jnp.where(inside, row * classes + column, classes**2), length=classes**2 + 1)
    return counts[:-1].reshape(classes, classes).astype(jnp.int32)


def as_numbers(name: str, a: Any) -> Array:
    """What came, such as a list, as an array (...) of real numbers or of truth values."""
    a = as_array(name, a)
    if not is_real(a.dtype) and a.dtype != bool:
        fix = ": np.unique(labels, return_inverse=True)[1] numbers them" if name == "labels" else ""
        raise ValueError(f"{name} are {described(a)}, expected numbers{fix}")
    return jnp.asarray(a)


def as_probabilities(p: Any) -> Array:
    """What came as an array (...) of numbers from 0 to 1, as far as can be told outside a compiled program."""
    p = as_numbers("probabilities", p)
    if isinstance(p, jax.core.Tracer):
        return p
    numbers = np.asarray(p)  # on the host nothing is compiled for it
    if ((numbers < 0) | (numbers > 1)).any():
        raise ValueError(
            f"probabilities run from {numbers.min()} to {numbers.max()}, expected 0 to 1: a model's predict() makes "
            "them of logits"
        )
    return p


def _labels(predicted: Any) -> Array:
    """What came as an array (...) of labels; floats that are none are found outside a compiled program."""
    labels = as_numbers("labels", predicted)
    if isinstance(labels, jax.core.Tracer) or not jnp.issubdtype(labels.dtype, jnp.floating):
        return labels
    numbers = np.asarray(labels)  # on the host nothing is compiled for it
    fractions = numbers[(numbers != np.floor(numbers)) & np.isfinite(numbers)]
    if fractions.size:
        raise ValueError(f"predicted holds {fractions[0]}, which is no label: a model's classify() makes labels")
    return labels


def _is_class(y: Array, classes: int) -> Array:
    """Which labels are one of 0 to classes-1: a 0.5 is none."""
    return (y >= 0) & (y < classes) & (y == jnp.floor(y))


def _right(predicted: Array, y: Array, weight: Array | None) -> Array:
    """Whether each label of each example is right, (m, k)."""
    predicted, y = _labels(predicted), as_numbers("labels", y)
    if y.shape == (*predicted.shape, 1):
        y = y[..., 0]
    if predicted.shape != y.shape or predicted.ndim < 1 or predicted.size == 0:
        raise ValueError(
            f"predicted labels {predicted.shape} and labels {y.shape} do not fit: expected (m,) both; "
            "a model's classify() makes labels of outputs"
        )
    if weight is not None and np.shape(weight) != predicted.shape[:1]:
        raise ValueError(f"weight has shape {np.shape(weight)}, expected {predicted.shape[:1]}: one number per example")
    return (predicted == y).reshape(predicted.shape[0], -1)


def _share(hits: Array, weight: Array | None) -> Array:
    """The weighted share of the hits (m, k)."""
    # Of many weights in half precision, the sum would overflow.
    dtype = jnp.result_type(float)
    weight = jnp.ones(hits.shape[0], dtype) if weight is None else jnp.asarray(weight).astype(dtype)
    hit, total = (hits.sum(axis=1) * weight).sum(), weight.sum() * hits.shape[1]
    # Where XLA divides by multiplying with a rounded reciprocal, 41 of 41 would be 0.99999994.
    return jnp.where(hit == total, 1, hit / total)
