"""Mean absolute error and R² of predicted values: pure functions, also inside compiled programs."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import floats
from jaxnn.data.weights import relative, weighted_mean
from jaxnn.metrics.inputs import as_weight, computed_whole
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
    return computed_whole(_mean_absolute_error)(*_values(predicted, y, weight))


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
    return computed_whole(_r_squared)(*_values(predicted, y, weight))


def _mean_absolute_error(predicted: Array, y: Array, weight: Any) -> Array:
    errors = jnp.abs(predicted - y).mean(axis=1)
    return errors.mean() if weight is None else weighted_mean(errors, weight)


def _r_squared(predicted: Array, y: Array, weight: Any) -> Array:
    ratios = jnp.ones(y.shape[0], y.dtype) if weight is None else relative(weight).astype(y.dtype)
    w = ratios[:, None]
    predicted, y = (jnp.where(w == 0, 0, values) for values in (predicted, y))
    off = y - (w * y).sum(axis=0, keepdims=True) / w.sum()
    left = (w * (y - predicted) ** 2).sum(axis=0)
    there = (w * off**2).sum(axis=0) - (w * off).sum(axis=0) ** 2 / w.sum()  # the mean is rounded, off its place
    lowest, highest = (bound(y, axis=0, where=w > 0, initial=start) for bound, start in _BOUNDS)
    explained = jnp.where(lowest == highest, jnp.where(left == 0, 1.0, 0.0), 1 - left / jnp.where(there == 0, 1, there))
    explained = jnp.where(jnp.isnan(left), jnp.nan, explained)
    return jnp.where(w.sum() > 0, explained.mean(), jnp.nan).astype(y.dtype)


_BOUNDS = (jnp.min, jnp.inf), (jnp.max, -jnp.inf)


def _values(predicted: Any, y: Any, weight: Any) -> tuple[Array, Array, Any]:
    """Return predicted and true values as floats (m, k), and the weights."""
    weight = as_weight(weight, predicted)
    predicted, y = floats(predicted, "predicted"), floats(y, "y")
    columns = [a[:, None] if a.ndim == 1 else a for a in (predicted, y)]
    if columns[0].shape != columns[1].shape or columns[0].ndim != 2 or not np.size(columns[0]):
        raise ValueError(
            f"predicted and y must be values of one shape, (m,) or (m, k), got {predicted.shape} and {y.shape}"
        )
    dtype = jnp.promote_types(jnp.promote_types(predicted.dtype, y.dtype), jnp.float32)
    predicted, y = (a.astype(dtype) for a in columns)
    return predicted, y, weight
