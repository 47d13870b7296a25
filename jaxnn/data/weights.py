"""Validate and scale example weights, of which only the ratios matter.

Sums of weights therefore never overflow, vanish or wrap, at any scale. A weight whose ratio to the largest underflows
counts as 0.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import as_array, check_finite, check_real, promote_large_integers
from jaxnn.typing import Array

# Between 2**-31 and 2**31, sums over any number of examples are normal in float32, and whole numbers fit into int32.
_EXPONENTS = 31


def check_weight(weight: Any, m: int, some: bool = False) -> Any:
    """Validate the weights of m examples and return them as an array (m,).

    Args:
      weight: numbers or booleans. Of traced ones, the dtype and the shape are checked.
      m: number of examples.
      some: whether one of them must be above 0. In a batch of a larger data set all may be 0.

    Raises:
      ValueError: if they are not real numbers (m,), not finite, below 0, or all 0 although `some` is True.
    """
    weight = as_array("weight", weight)
    check_real("weight", weight, weight)
    if weight.shape != (m,):
        raise ValueError(f"weight must have shape ({m},), one number per example, got {weight.shape}")
    if isinstance(weight, Tracer):
        return weight
    numbers = _wide(weight)
    check_finite("weight", numbers, ~np.isfinite(numbers))
    if numbers.min(initial=0) < 0 or (some and numbers.max(initial=0) == 0):
        raise ValueError(f"weight must be at least 0, and one above 0, got {weight.min()} to {weight.max()}")
    return weight


def simplified(weight: Any) -> Any:
    """Scale validated weights (m,) on the host by a common factor, so that their sum is finite in any float dtype.

    Weights that are all equal, except for zeros, become 1. If the largest is huge or tiny, all are multiplied by a
    power of two, which keeps their digits. Otherwise the weights are returned unchanged.

    Example:
      >>> simplified(np.array([500_000, 0, 500_000])).tolist(), simplified(np.array([1, 2])).tolist()
      ([1.0, 0.0, 1.0], [1, 2])
      >>> simplified(np.array([1e300, 2e300])).tolist() == np.ldexp([1e300, 2e300], -998).tolist()
      True
    """
    numbers = _wide(weight)
    largest = numbers.max(initial=0)
    equal = ((numbers == 0) | (numbers == largest)).all()
    ratios = (numbers > 0).astype(float) if equal else _times_power(numbers, largest)[0]
    return weight if np.array_equal(ratios, numbers) and weight.dtype != bool else ratios


def beside_normalizer(weight: Any, normalizer: Any) -> tuple[np.ndarray, ...]:
    """Scale weights (m,) and the normalizer on the host by one power of two, as `simplified` does."""
    return _times_power(_wide(weight), normalizer, np.asarray(normalizer, np.float64))


def in_range(weight: Any, normalizer: Any = None, dtype: Any = jnp.float32) -> tuple[Array, Any]:
    """Return weights (m,) and the normalizer as floats of this dtype or wider, with finite sums.

    Both are multiplied by one power of two if the normalizer, or without one the largest weight, is huge or tiny. For
    traced weights this is computed in the program; for weights on the host, as `simplified` does.
    """
    if not isinstance(weight, jax.Array):
        weight = as_array("weight", weight)
        if normalizer is None:
            weight = simplified(weight)
        elif not isinstance(normalizer, jax.Array):
            weight, normalizer = beside_normalizer(weight, normalizer)
    weight = jnp.asarray(weight)
    # Floats of 8 bits or fewer do not promote to other dtypes.
    wide = jnp.issubdtype(weight.dtype, jnp.floating) and weight.dtype.itemsize > 1
    own = weight.dtype if wide else jnp.result_type(float)
    dtype = jnp.promote_types(own, dtype)
    if normalizer is not None:
        normalizer = jnp.asarray(promote_large_integers(as_array("normalizer", normalizer)))
    return _in_range(weight, normalizer, dtype)


# Compiled as one program where it is called outside of one; inside of one nothing changes.
@partial(jax.jit, static_argnums=2, inline=True)
def _in_range(weight: Array, normalizer: Any, dtype: Any) -> tuple[Array, Any]:
    weight = weight.astype(dtype)
    normalizer = None if normalizer is None else normalizer.astype(dtype)
    largest = jax.lax.stop_gradient(weight.max() if normalizer is None else normalizer)
    huge = 2.0 ** (jnp.finfo(dtype).maxexp // 2)
    power = jnp.where(largest > huge, 1 / huge, jnp.where(largest < 1 / huge, huge, 1)).astype(dtype)
    return weight * power, None if normalizer is None else normalizer * power


def relative(weight: Any, dtype: Any = jnp.float32) -> Array:
    """Return w_i / max w, (m,), or zeros if all weights are 0: equal weights become 1 and sum to their number."""
    return _relative(in_range(weight, dtype=dtype)[0])


@partial(jax.jit, inline=True)
def _relative(weight: Array) -> Array:
    largest = jax.lax.stop_gradient(weight.max(initial=0))
    return weight / jnp.where(largest == 0, 1, largest)


def weighted_mean(values: Array, weight: Any) -> Array:
    """Return Σ w_i v_i / Σ w_i for values (m,); NaN if all weights are 0. Values of weight 0 may be NaN."""
    weight = relative(weight, jnp.promote_types(values.dtype, jnp.float32))
    products = jnp.where(weight == 0, 0, values.astype(weight.dtype) * weight)
    return (products.sum() / weight.sum()).astype(values.dtype)


def mean_weight(weight: Array) -> Array:
    """Return Σ w_i / m for weights (m,) from `in_range`, computed from the sum of `relative` weights."""
    return jax.lax.stop_gradient(weight.max()) * (relative(weight).sum() / weight.shape[0])


def counted(a: Any, weight: Any, rows: Any = True) -> Any:
    """Replace rows of weight 0 in a (m, ...) by a row of positive weight, or by 0 without such a row.

    An example of weight 0 may hold any value, such as a label of -100 or NaN, without an effect; but 0 · NaN is NaN.

    Args:
      a: an array on the host.
      weight: weights (m,), or `None` if all are positive.
      rows: which of the rows of weight 0 to replace, (m,) booleans, or all.

    Example:
      >>> counted(np.array([-100, 7, 8]), np.array([0.0, 1.0, 2.0])).tolist()
      [7, 7, 8]
    """
    if weight is None:
        return a
    counts = np.asarray(weight) > 0
    replaced = ~counts & rows
    if not replaced.any():
        return a
    xp = jnp if isinstance(a, jax.Array) else np
    good = xp.broadcast_to(xp.asarray(a[int(counts.argmax())] if counts.any() else 0, a.dtype), a.shape)
    return xp.where(replaced.reshape(-1, *[1] * (a.ndim - 1)), good, a)


def _wide(weight: Any) -> np.ndarray:
    return np.asarray(weight).astype(np.float64)


def _times_power(numbers: np.ndarray, largest: float, *more: np.ndarray) -> tuple[np.ndarray, ...]:
    """Multiply by the power of two that brings the largest below 1, if the largest is out of range."""
    exponent = int(np.frexp(largest)[1])
    power = -exponent if abs(exponent) > _EXPONENTS else 0
    with np.errstate(over="ignore", under="ignore"):
        return tuple(np.ldexp(a, power) for a in (numbers, *more))
