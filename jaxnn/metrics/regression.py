"""Mean absolute error and R² of predicted values: pure functions, also inside compiled programs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import floats
from jaxnn.data.weights import weighted_mean
from jaxnn.metrics.inputs import as_weight, computed_whole, ratios_of
from jaxnn.typing import Array, ArrayLike


def mean_absolute_error(predicted: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute the mean of |p - y| over examples, and over the outputs of each.

    Args:
      predicted: values, (m,) or (m, k).
      y: true values, in the same shape; (m,) and (m, 1) are the same.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in the unit of y, or NaN if all weights are 0.

    Raises:
      ValueError: if shapes do not fit or an argument is not an array of numbers; outside a compiled program, if weights
        are negative or not finite.

    Example:
      >>> print(mean_absolute_error([1.0, 2.0, 5.0], [1.0, 3.0, 3.0]))
      1.0
    """
    return computed_whole(_mean_absolute_error)(*_errors(predicted, y, weight))


def r_squared(predicted: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute R² = 1 - Σ w (y - p)² / Σ w (y - ȳ)², the fraction of the variance of y that is predicted.

    It is 1 for perfect predictions, 0 for the mean of y, and negative for worse ones. Of several outputs it is the
    mean. Where y is constant, it is 1 for perfect predictions, else 0.

    Args:
      predicted: values, (m,) or (m, k).
      y: true values, in the same shape; (m,) and (m, 1) are the same.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar of at most 1, or NaN if all weights are 0.

    Raises:
      ValueError: as `mean_absolute_error`.

    Example:
      >>> print(r_squared([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]))
      0.7857143
    """
    return computed_whole(_r_squared)(*_errors(predicted, y, weight))


@jax.jit
def _mean_absolute_error(error: Array, y: Array, ratios: Any) -> Array:
    errors = jnp.abs(error).mean(axis=1)
    return errors.mean() if ratios is None else weighted_mean(errors, ratios)


@jax.jit
def _r_squared(error: Array, y: Array, ratios: Any) -> Array:
    ratios = jnp.ones(y.shape[0], y.dtype) if ratios is None else ratios.astype(y.dtype)
    w = ratios[:, None]
    error, y = (jnp.where(w == 0, 0, values) for values in (error, y))
    # In units of the largest number, so that no square overflows or vanishes.
    largest = _or_one(jnp.maximum(jnp.abs(y).max(), jnp.abs(error).max()))
    error, y = error / largest, y / largest
    off = y - (w * y).sum(axis=0, keepdims=True) / w.sum()
    off = jnp.where(w == 0, 0, off - (w * off).sum(axis=0, keepdims=True) / w.sum())  # the mean was rounded
    left, there = (_or_one(jnp.abs(a).max(axis=0, keepdims=True)) for a in (error, off))
    squares, all_squares = ((w * (a / unit) ** 2).sum(axis=0) for a, unit in ((error, left), (off, there)))
    lowest, highest = (bound(y, axis=0, where=w > 0, initial=start) for bound, start in _BOUNDS)
    share = squares / _or_one(all_squares) * (left / there)[0] ** 2
    explained = jnp.where(lowest == highest, jnp.where(squares == 0, 1.0, 0.0), 1 - share)
    explained = jnp.where(jnp.isnan(squares), jnp.nan, explained)
    return jnp.where(w.sum() > 0, explained.mean(), jnp.nan).astype(y.dtype)


_BOUNDS = (jnp.min, jnp.inf), (jnp.max, -jnp.inf)


def _or_one(a: Array) -> Array:
    return jnp.where(a == 0, 1, a)


def _errors(predicted: Any, y: Any, weight: Any) -> tuple[Array, Array, Any]:
    """Return predicted - y and y as floats (m, k), and the weights relative to the largest.

    Of NumPy's arrays the difference, and that of y from one of its values, are computed in float64 first.
    """
    weight = as_weight(weight, predicted)
    ratios = ratios_of(weight)
    as_floats = floats(predicted, "predicted"), floats(y, "y")
    columns = [a[:, None] if a.ndim == 1 else a for a in as_floats]
    if columns[0].shape != columns[1].shape or columns[0].ndim != 2 or not np.size(columns[0]):
        shapes = " and ".join(str(a.shape) for a in as_floats)
        raise ValueError(f"predicted and y must be values of one shape, (m,) or (m, k), got {shapes}")
    dtype = jnp.promote_types(jnp.promote_types(*(a.dtype for a in as_floats)), jnp.float32)
    if any(isinstance(a, jax.Array) for a in (predicted, y)):
        predicted, y = (a.astype(dtype) for a in columns)
        return predicted - y, y, ratios
    predicted, y = (np.asarray(a, np.float64).reshape(columns[0].shape) for a in (predicted, y))
    counted = 0 if weight is None else int(np.argmax(np.asarray(weight) > 0))
    return jnp.asarray(predicted - y, dtype), jnp.asarray(y - y[counted], dtype), ratios
