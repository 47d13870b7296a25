"""What to measure: accuracy, error rate, log loss, confusion matrix. Pure functions, also inside compiled programs.

All of them take example weights, of which only the ratios matter to a mean. An example of weight 0 changes nothing,
whatever its label or prediction. If all weights are 0, there is nothing to take a mean of, and it is NaN.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.checks import as_array, described, floats, held, is_count, is_real
from jaxnn.typing import Array
from jaxnn.weights import check_weight, relative, weighted_mean


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
    return _share(*_right(predicted, y, weight))


def error_rate(predicted: Array, y: Array, weight: Array | None = None) -> Array:
    """1 - accuracy: the share of examples whose label is wrong, a scalar. Arguments as for `accuracy`."""
    right, weight = _right(predicted, y, weight)
    return _share(~right, weight)


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
    predicted, y = _labels(predicted, weight), as_numbers("labels", y)
    if not is_count(classes):
        raise ValueError(f"classes is how many there are, a whole number of at least 1, got {described(classes)}")
    if predicted.shape != y.shape or y.ndim != 1:
        raise ValueError(f"predicted labels {predicted.shape} and labels {y.shape} do not fit: expected (m,) both")
    place = class_numbers(y, classes), class_numbers(predicted, classes)
    return sums_at((classes, classes), place, weight)


def as_numbers(name: str, a: Any) -> Any:
    """What came, such as a list, as an array (...) of real numbers or of truth values, the host's or JAX's."""
    a = as_array(name, a)
    if not is_real(a.dtype) and a.dtype != bool:
        fix = ": np.unique(labels, return_inverse=True)[1] numbers them" if name == "labels" else ""
        raise ValueError(f"{name} are {described(a)}, expected numbers{fix}")
    return a


def as_weight(weight: Any, examples: Any) -> Any:
    """Weights (m,) of the examples (m, ...), `None` as it is; outside a compiled program, after the checks."""
    if weight is None:
        return None
    m = np.shape(examples)[:1]
    if np.shape(weight) != m or m == ():
        raise ValueError(f"weight has shape {np.shape(weight)}, expected {m}: one number per example")
    return weight if isinstance(weight, jax.core.Tracer) else check_weight(weight, *m)


def as_probabilities(p: Any, weight: Any = None) -> Array:
    """What came as an array (m, ...) of numbers from 0 to 1, as far as can be told outside a compiled program."""
    p = as_numbers("probabilities", p)
    numbers = _counted_on_host(p, weight)
    if ((numbers < 0) | (numbers > 1)).any():
        raise ValueError(
            f"probabilities run from {numbers.min()} to {numbers.max()}, expected 0 to 1: a model's predict() makes "
            "them of logits"
        )
    return jnp.asarray(floats(p))


def class_numbers(labels: Any, classes: int) -> Array:
    """Labels (m,) as int32, and what is none of 0 to classes-1, such as 0.5 or 2**32, as the number of classes."""
    xp = jnp if isinstance(labels, jax.Array) else np
    if labels.dtype.itemsize < 4 and not jnp.issubdtype(labels.dtype, jnp.floating):
        labels = labels.astype(xp.int32)  # in bytes, there is no 256 to compare with
    is_class = (labels >= 0) & (labels < classes)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        is_class &= labels == xp.floor(labels)
    number = xp.where(is_class, labels, xp.zeros_like(labels)).astype(xp.int32)
    return jnp.asarray(xp.where(is_class, number, xp.full_like(number, classes)))


def sums_at(shape: tuple[int, ...], place: tuple[Array, ...], weight: Any) -> Array:
    """The weights (m,) of the examples at each place of the shape, int32 counts for `None`; places outside are left."""
    if weight is None:
        return jnp.zeros(shape, jnp.int32).at[place].add(1, mode="drop")
    ratios, dtype = relative(weight), jnp.result_type(float)
    sums = jnp.zeros(shape, ratios.dtype).at[place].add(ratios, mode="drop").astype(dtype)
    with np.errstate(over="ignore"):
        largest = weight.max() if isinstance(weight, jax.Array) else np.asarray(weight.max(), np.float64)
        largest = jnp.asarray(largest).astype(dtype)
    return jnp.where(sums == 0, 0, sums * largest)


def _counted_on_host(a: Any, weight: Any) -> np.ndarray:
    """The rows of a (m, ...) that count, none of which can be seen inside a compiled program."""
    if isinstance(a, jax.core.Tracer) or isinstance(weight, jax.core.Tracer):
        return np.zeros(0)
    numbers = np.asarray(a)  # on the host nothing is compiled for it
    return numbers if weight is None else numbers[np.asarray(weight) > 0]


def _labels(predicted: Any, weight: Any) -> Any:
    """What came as an array (m, ...) of labels; floats that are none are found outside a compiled program."""
    labels = as_numbers("labels", predicted)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        numbers = _counted_on_host(labels, weight)
        fractions = numbers[(numbers != np.floor(numbers)) & np.isfinite(numbers)]
        if fractions.size:
            raise ValueError(f"predicted holds {fractions[0]}, which is no label: a model's classify() makes labels")
    return labels


def _right(predicted: Any, y: Any, weight: Any) -> tuple[Array, Any]:
    """Whether each label of each example is right, (m, k), and the weights."""
    weight = as_weight(weight, predicted)
    predicted, y = _labels(predicted, weight), as_numbers("labels", y)
    if y.shape == (*predicted.shape, 1):
        y = y[..., 0]
    if predicted.shape != y.shape or predicted.ndim < 1 or predicted.size == 0:
        raise ValueError(
            f"predicted labels {predicted.shape} and labels {y.shape} do not fit: expected (m,) both; "
            "a model's classify() makes labels of outputs"
        )
    return jnp.asarray(_equal(predicted, y)).reshape(predicted.shape[0], -1), weight


def _equal(a: Any, b: Any) -> Any:
    """Whether labels (...) are the same numbers, also beyond the 32 bits that a program has."""
    floating = [jnp.issubdtype(labels.dtype, jnp.floating) for labels in (a, b)]
    if not any(isinstance(labels, jax.core.Tracer) for labels in (a, b)):
        a, b = (np.asarray(labels).astype(np.float64 if any(floating) else labels.dtype) for labels in (a, b))
        return a == b
    if any(floating) or a.dtype == b.dtype:
        dtype = jnp.promote_types(jnp.float32, jnp.result_type(float)) if any(floating) else a.dtype
        return jnp.asarray(held(a)).astype(dtype) == jnp.asarray(held(b)).astype(dtype)
    # What int32 cannot hold, only one of the two has.
    (a, a_fits), (b, b_fits) = (_in_int32(labels) for labels in (a, b))
    return (a == b) & a_fits & b_fits


def _in_int32(labels: Any) -> tuple[Array, Array]:
    """Whole numbers (...) in int32, and whether they fit into it."""
    bounds, xp = jnp.iinfo(jnp.int32), jnp if isinstance(labels, jax.Array) else np
    fits = xp.ones(labels.shape, bool)
    if labels.dtype.itemsize >= 4 and labels.dtype != jnp.int32:
        fits = (labels >= (0 if jnp.issubdtype(labels.dtype, jnp.unsignedinteger) else bounds.min)) & (
            labels <= bounds.max
        )
    return jnp.asarray(xp.where(fits, labels, xp.zeros_like(labels)).astype(xp.int32)), jnp.asarray(fits)


def _share(hits: Array, weight: Any) -> Array:
    """The weighted share of the hits (m, k)."""
    dtype = jnp.result_type(float)
    weight = jnp.ones(hits.shape[0], dtype) if weight is None else relative(weight).astype(dtype)
    hit, total = (hits.sum(axis=1).astype(dtype) * weight).sum(), weight.sum() * hits.shape[1]
    # Where XLA divides by multiplying with a rounded reciprocal, 41 of 41 would be 0.99999994.
    return jnp.where((hit == total) & (total > 0), 1, hit / total)
