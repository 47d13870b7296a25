"""Arrays in a few numbers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Summary(NamedTuple):
    """An array in five numbers.

    Attributes:
      minimum, mean, maximum: of its finite elements; NaN if it has no finite element.
      zeros: the fraction of its elements that are zero.
      not_finite: the number of its elements that are NaN or infinite.
    """

    minimum: float
    mean: float
    maximum: float
    zeros: float
    not_finite: int


def to_numpy(value: Any) -> np.ndarray | None:
    """Convert an array of any shape to NumPy, half precision to float32; `None` for random keys."""
    dtype = jnp.result_type(value)
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return None
    array = np.asarray(value)
    return array.astype(np.float32) if dtype == jnp.bfloat16 or array.dtype.kind == "V" else array


def summarize(value: Any) -> Summary | None:
    """Summarize an array of any shape in five numbers; `None` for empty or complex arrays and random keys.

    Example:
      >>> print(summarize(np.array([0.0, 1.0, np.inf, 3.0])))
      Summary(minimum=0.0, mean=1.3333333333333333, maximum=3.0, zeros=0.25, not_finite=1)
    """
    array = to_numpy(value)
    if array is None or array.size == 0 or array.dtype.kind == "c":
        return None
    finite = array[np.isfinite(array)].astype(np.float64)
    low, mean, high = (finite.min(), finite.mean(), finite.max()) if finite.size else (np.nan, np.nan, np.nan)
    share = float((array == 0).mean())
    return Summary(float(low), float(mean), float(high), share, array.size - finite.size)


def root_mean_square(value: Any) -> float:
    """Compute sqrt(mean(|x|²)) over the elements of an array of any shape; 0 for an empty one."""
    array = np.abs(np.asarray(to_numpy(value))).astype(np.float64)
    return float(np.sqrt(np.mean(array**2))) if array.size else 0.0
