"""Example weights. Only their ratios mean anything, so sums of them need not overflow, vanish or wrap at any scale.

A weight that is so much smaller than the largest that their ratio underflows counts as 0.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, held
from jaxnn.typing import Array
from jaxnn.validation import is_real

# Within 2**±31, sums over any number of examples are normal numbers of float32, and whole numbers fit into int32.
_EXPONENTS = 31


def check_weight(weight: Any, m: int, some: bool = False) -> Any:
    """Return the weights of m examples as an array (m,), after the checks.

    Args:
      weight: what came, numbers or truth values; not traced.
      m: how many examples there are.
      some: whether one of them must be above 0. A batch's, of a larger whole, may all be 0.

    Raises:
      ValueError: if they are no real numbers, not (m,), not finite, below 0, or all 0 where some must not be.
    """
    weight = as_array("weight", weight)
    if not is_real(weight.dtype) and weight.dtype != bool:
        raise ValueError(f"weight is {weight.dtype}, expected real numbers")
    if weight.shape != (m,):
        raise ValueError(f"weight has shape {weight.shape}, expected ({m},): one number per example")
    numbers = _wide(weight)
    finite = np.isfinite(numbers)
    if not finite.all():
        raise ValueError(
            f"weight has {(~finite).sum()} values that are not finite, the first at ({finite.argmin()},): "
            f"{numbers[finite.argmin()]}; drop those examples or fill them in"
        )
    if numbers.min(initial=0) < 0 or (some and numbers.max(initial=0) == 0):
        raise ValueError(f"weights run from {weight.min()} to {weight.max()}, expected at least 0, and some above it")
    return weight


def simplified(weight: Any) -> Any:
    """Return the weights (m,) of the host, checked, up to a common factor: numbers that any float dtype can add up.

    Weights that are all equal become 1 (and those of 0 stay 0). If the largest is huge or tiny, all are multiplied by a
    power of two, which keeps their digits. Otherwise the weights are returned as they are.

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


def beside_normalizer(weight: Any, normalizer: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (m,) and normalizer (a scalar) of the host, both times one power of two: as `simplified`."""
    return _times_power(_wide(weight), normalizer, np.asarray(normalizer, np.float64))


def in_range(weight: Any, normalizer: Any = None, dtype: Any = jnp.float32) -> tuple[Array, Array | None]:
    """Return weights (m,) and normalizer (a scalar or `None`) as floats of this dtype or wider, with finite sums.

    Both are multiplied by one power of two if the normalizer, or else the largest weight, is huge or tiny. It is done
    in the program, where weights are traced: for those of the host, as `simplified` does it.
    """
    if not isinstance(weight, jax.Array):
        weight = as_array("weight", weight)
        if normalizer is None:
            weight = simplified(weight)
        elif not isinstance(normalizer, jax.Array):
            weight, normalizer = beside_normalizer(weight, normalizer)
    weight = jnp.asarray(weight)
    # Floats of 8 bits or fewer promote to no other.
    wide = jnp.issubdtype(weight.dtype, jnp.floating) and weight.dtype.itemsize > 1
    own = weight.dtype if wide else jnp.result_type(float)
    dtype = jnp.promote_types(own, dtype)
    weight = weight.astype(dtype)
    normalizer = None if normalizer is None else jnp.asarray(held(as_array("normalizer", normalizer))).astype(dtype)
    largest = jax.lax.stop_gradient(weight.max() if normalizer is None else normalizer)
    huge = 2.0 ** (jnp.finfo(dtype).maxexp // 2)
    power = jnp.where(largest > huge, 1 / huge, jnp.where(largest < 1 / huge, huge, 1)).astype(dtype)
    return weight * power, None if normalizer is None else normalizer * power


def relative(weight: Any, dtype: Any = jnp.float32) -> Array:
    """Return w_i / max w, (m,), all 0 if they are: then equal weights are 1, and add up to their number."""
    weight, _ = in_range(weight, dtype=dtype)
    largest = jax.lax.stop_gradient(weight.max(initial=0))
    return weight / jnp.where(largest == 0, 1, largest)


def weighted_mean(values: Array, weight: Any) -> Array:
    """Return Σ w_i v_i / Σ w_i, a scalar, of values (m,): NaN if all weights are 0. A v_i of weight 0 may be NaN."""
    weight = relative(weight, jnp.promote_types(values.dtype, jnp.float32))
    products = jnp.where(weight == 0, 0, values.astype(weight.dtype) * weight)
    return (products.sum() / weight.sum()).astype(values.dtype)


def mean_weight(weight: Array) -> Array:
    """Return Σ w_i / m, a scalar, of weights (m,) that are `in_range`, by the sum of those that are `relative`."""
    return jax.lax.stop_gradient(weight.max()) * (relative(weight).sum() / weight.shape[0])


def counted(a: Any, weight: Any, rows: Any = True) -> Any:
    """Return a (m, ...) with those of its rows that have weight 0 replaced by one that counts, or 0 if none does.

    An example of weight 0 may hold any value, such as a label of -100 or NaN, and changes nothing. But 0 · NaN is NaN.

    Args:
      a: an array of the host's.
      weight: weights (m,), or `None` if all count.
      rows: which of the rows of weight 0 are to be replaced, (m,) truth values, or all.

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
    """The numbers times the power of two that brings the largest below 1, if it is out of range."""
    exponent = int(np.frexp(largest)[1])
    power = -exponent if abs(exponent) > _EXPONENTS else 0
    with np.errstate(over="ignore", under="ignore"):
        return tuple(np.ldexp(a, power) for a in (numbers, *more))
