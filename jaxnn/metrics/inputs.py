"""Predictions, labels and weights as the metrics take them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, floats, held
from jaxnn.data.weights import check_weight, relative
from jaxnn.typing import Array
from jaxnn.validation import described, is_real


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


def as_labels(predicted: Any, weight: Any) -> Any:
    """What came as an array (m, ...) of labels; floats that are none are found outside a compiled program."""
    labels = as_numbers("labels", predicted)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        numbers = _counted_on_host(labels, weight)
        fractions = numbers[(numbers != np.floor(numbers)) & np.isfinite(numbers)]
        if fractions.size:
            raise ValueError(f"predicted holds {fractions[0]}, which is no label: a model's classify() makes labels")
    return labels


def are_right(predicted: Any, y: Any, weight: Any) -> tuple[Array, Any]:
    """Whether each label of each example is right, (m, k), and the weights."""
    weight = as_weight(weight, predicted)
    predicted, y = as_labels(predicted, weight), as_numbers("labels", y)
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


def share_of(hits: Array, weight: Any) -> Array:
    """The weighted share of the hits (m, k)."""
    dtype = jnp.result_type(float)
    weight = jnp.ones(hits.shape[0], dtype) if weight is None else relative(weight).astype(dtype)
    hit, total = (hits.sum(axis=1).astype(dtype) * weight).sum(), weight.sum() * hits.shape[1]
    # Where XLA divides by multiplying with a rounded reciprocal, 41 of 41 would be 0.99999994.
    return jnp.where((hit == total) & (total > 0), 1, hit / total)
