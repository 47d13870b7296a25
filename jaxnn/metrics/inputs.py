"""Validate and convert the predictions, labels and weights of metrics.

What is computed from them is compiled as a whole: outside a compiled program, JAX would compile each operation alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import as_array, check_real, floats, promote_large_integers
from jaxnn.data.weights import check_weight, relative
from jaxnn.explicit_axes import on_any_axes, whole
from jaxnn.typing import Array

T = TypeVar("T")


def as_numbers(name: str, a: Any) -> Any:
    """Convert an array-like to a NumPy or JAX array of real numbers or booleans."""
    a = as_array(name, a)
    check_real(name, a, a, "" if name == "probabilities" else f"np.unique({name}, return_inverse=True)[1] numbers them")
    return a


def as_weight(weight: Any, examples: Any) -> Any:
    """Return weights (m,) of the examples (m, ...), or `None`; outside a compiled program, validate them."""
    if weight is None:
        return None
    return check_weight(weight, (*np.shape(examples), 0)[0])


def ratios_of(weight: Any) -> Any:
    """Return validated weights (m,) relative to the largest, or `None` if all examples count the same."""
    return None if weight is None else relative(weight)


def as_probabilities(p: Any, weight: Any = None) -> Array:
    """Convert probabilities (m, ...) to an array; outside a compiled program, raise ValueError if not in 0 to 1."""
    p = as_numbers("probabilities", p)
    numbers = _counted_on_host(p, weight)
    if ((numbers < 0) | (numbers > 1)).any():
        raise ValueError(
            f"probabilities must be from 0 to 1, got {numbers.min()} to {numbers.max()}: "
            "model.predict_proba(params, x) returns them"
        )
    return floats(p, "probabilities")


def class_numbers(labels: Any, classes: int) -> Array:
    """Convert labels (m,) to int32; any other than 0 to classes-1, such as 0.5 or 2**32, becomes `classes`."""
    if isinstance(labels, jax.Array):
        return _numbers_on_device(labels, classes)
    return jnp.asarray(_numbers(np, labels, classes))


def _numbers(xp: Any, labels: Any, classes: int) -> Any:
    if labels.dtype.itemsize < 4 and not jnp.issubdtype(labels.dtype, jnp.floating):
        labels = labels.astype(xp.int32)  # bytes cannot be compared with 256
    is_class = (labels >= 0) & (labels < classes)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        is_class &= labels == xp.floor(labels)
    number = xp.where(is_class, labels, xp.zeros_like(labels)).astype(xp.int32)
    return xp.where(is_class, number, xp.full_like(number, classes))


_numbers_on_device = jax.jit(partial(_numbers, jnp), static_argnums=1)


def computed_whole(function: Callable[..., T]) -> Callable[..., T]:
    """Return the function of rows, whose result is whole on each device also where rows are split on explicit axes."""
    return on_any_axes(function, lambda result, *_: whole(result))


def sums_at(shape: tuple[int, ...], index: tuple[Array, ...], weight: Any) -> Array:
    """Sum the weights (m,) of the examples at each index of `shape`, or count if `None`; skip indices outside."""
    return computed_whole(partial(_counts_at if weight is None else _sums_at, shape))(index, weight)


@partial(jax.jit, static_argnums=0)
def _counts_at(shape: tuple[int, ...], index: tuple[Array, ...], _: None) -> Array:
    return jnp.zeros(shape, jnp.int32).at[index].add(1, mode="drop")


def _sums_at(shape: tuple[int, ...], index: tuple[Array, ...], weight: Any) -> Array:
    ratios, dtype = relative(weight), jnp.result_type(float)
    sums = jnp.zeros(shape, ratios.dtype).at[index].add(ratios, mode="drop").astype(dtype)
    with np.errstate(over="ignore"):
        largest = weight.max() if isinstance(weight, jax.Array) else np.asarray(weight.max(), np.float64)
        largest = jnp.asarray(largest).astype(dtype)
    return jnp.where(sums == 0, 0, sums * largest)


def _counted_on_host(a: Any, weight: Any) -> np.ndarray:
    """Return the rows of a (m, ...) that have positive weight; no rows if an argument is traced."""
    if isinstance(a, Tracer) or isinstance(weight, Tracer):
        return np.zeros(0)
    numbers = np.asarray(a)  # NumPy compiles nothing
    return numbers if weight is None else numbers[np.asarray(weight) > 0]


def as_labels(predicted: Any, weight: Any) -> Any:
    """Convert labels to an array (m, ...); outside a compiled program, raise ValueError for fractions."""
    labels = as_numbers("predicted", predicted)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        numbers = _counted_on_host(labels, weight)
        fractions = numbers[(numbers != np.floor(numbers)) & np.isfinite(numbers)]
        if fractions.size:
            raise ValueError(f"predicted must be labels, got {fractions[0]}: model.predict(params, x) returns labels")
    return labels


def are_right(predicted: Any, y: Any, weight: Any) -> tuple[Array, Any]:
    """Return whether each label of each example is right, (m, k), and the weights."""
    weight = as_weight(weight, predicted)
    predicted, y = as_labels(predicted, weight), as_numbers("y", y)
    if y.shape == (*predicted.shape, 1):
        y = y[..., 0]
    if predicted.shape != y.shape or predicted.ndim < 1 or predicted.size == 0:
        raise ValueError(
            f"predicted and y must be labels of one shape, (m,) or (m, k), got {predicted.shape} and {y.shape}: "
            "model.predict(params, x) returns labels"
        )
    return jnp.asarray(_equal(predicted, y).reshape(predicted.shape[0], -1)), weight


def _equal(a: Any, b: Any) -> Any:
    """Compare labels elementwise, also whole numbers beyond the 32 bits of a compiled program."""
    floating = [jnp.issubdtype(labels.dtype, jnp.floating) for labels in (a, b)]
    if not any(isinstance(labels, Tracer) for labels in (a, b)):
        a, b = (np.asarray(labels).astype(np.float64 if any(floating) else labels.dtype) for labels in (a, b))
        return a == b
    if any(floating) or a.dtype == b.dtype:
        dtype = jnp.promote_types(jnp.float32, jnp.result_type(float)) if any(floating) else a.dtype
        return jnp.asarray(promote_large_integers(a)).astype(dtype) == jnp.asarray(promote_large_integers(b)).astype(
            dtype
        )
    # Only one of the two can have numbers that int32 cannot hold.
    (a, a_fits), (b, b_fits) = (_in_int32(labels) for labels in (a, b))
    return (a == b) & a_fits & b_fits


def _in_int32(labels: Any) -> tuple[Array, Array]:
    """Convert whole numbers to int32, and return whether each fits."""
    bounds, xp = jnp.iinfo(jnp.int32), jnp if isinstance(labels, jax.Array) else np
    fits = xp.ones(labels.shape, bool)
    if labels.dtype.itemsize >= 4 and labels.dtype != jnp.int32:
        fits = (labels >= (0 if jnp.issubdtype(labels.dtype, jnp.unsignedinteger) else bounds.min)) & (
            labels <= bounds.max
        )
    return jnp.asarray(xp.where(fits, labels, xp.zeros_like(labels)).astype(xp.int32)), jnp.asarray(fits)


def share_of(hits: Array, weight: Any) -> Array:
    """Compute the weighted fraction of hits (m, k)."""
    return _share(hits, ratios_of(weight))


@jax.jit
def _share(hits: Array, ratios: Any) -> Array:
    dtype = jnp.result_type(float)
    weight = jnp.ones(hits.shape[0], dtype) if ratios is None else ratios.astype(dtype)
    hit, total = (hits.sum(axis=1).astype(dtype) * weight).sum(), weight.sum() * hits.shape[1]
    # XLA may divide by multiplying with a rounded reciprocal, and 41 of 41 would be 0.99999994.
    return jnp.where((hit == total) & (total > 0), 1, hit / total)
