"""Standardize inputs to mean 0 and standard deviation 1, with the statistics of the training data."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, check_real, promote_large_integers
from jaxnn.constraints import Flag, Instance, checked
from jaxnn.data.examples import checked_finite, on_host
from jaxnn.typing import AnyArray, ArrayLike


class Standardizer(NamedTuple):
    """The mean and the standard deviation of each feature of a training set, in the shape (...) of one example.

    If it was fitted per channel, those of each channel, (c,).
    """

    mean: AnyArray
    std: AnyArray


@checked(per_channel=Flag())
def fit_standardizer(x: ArrayLike, *, per_channel: bool = False) -> Standardizer:
    """Compute the mean and standard deviation of each feature. Use the training set only.

    Args:
      x: the training inputs, (m, ...).
      per_channel: whether to compute one mean and deviation for each entry of the last axis, over all other axes: c of
        each for images (m, h, w, c). The mean of each pixel would remove what the images have in common there.

    Returns:
      A `Standardizer`, in float32 or, for float64 inputs, float64. A constant feature gets the standard deviation 1,
      so that it becomes 0.

    Raises:
      ValueError: if there are no examples, values are not real or not finite, a deviation is too large to divide by or,
        per channel, the inputs have no axis of channels.

    Example:
      >>> import numpy as np
      >>> stats = fit_standardizer(np.array([[1.0, 5.0], [3.0, 5.0]]))
      >>> print(standardize(stats, np.array([[1.0, 5.0], [3.0, 5.0]])))
      [[-1.  0.]
       [ 1.  0.]]
      >>> fit_standardizer(np.zeros((10, 8, 8, 3)), per_channel=True).mean.shape
      (3,)

    Source: LeCun et al., "Efficient BackProp", 1998, section 4.3.
    """
    given, x = x, np.asarray(on_host("x", x))
    if x.ndim < 1 + per_channel or x.size == 0:
        axes = "(m, ..., c), with an axis of channels" if per_channel else "(m, ...)"
        raise ValueError(f"x must be training examples as rows, {axes}, got shape {x.shape}")
    check_real("x", x, given)
    checked_finite("x", x)
    # The statistics of half-precision numbers or bytes need more digits than these dtypes have.
    dtype = jnp.promote_types(x.dtype, jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else np.float32
    wide = (x.reshape(-1, x.shape[-1]) if per_channel else x).astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    # The computed deviation of a constant feature can be rounding noise; dividing by it would give a noisy feature.
    constant = (wide == wide[:1]).all(axis=0)
    mean, std = np.where(constant, wide[0], mean).astype(dtype), np.where(constant, 1, std).astype(dtype)
    if (std > 1 / jnp.finfo(dtype).tiny).any():
        # A compiled program may multiply by the reciprocal, which is subnormal and therefore 0 there.
        raise ValueError(
            f"x must have standard deviations of at most {1 / jnp.finfo(dtype).tiny:.3g} in {std.dtype}, "
            f"got {std.max():.3g}: scale the features first"
        )
    # A deviation too small for the dtype is 0 in it, and subnormal numbers are 0 in a compiled program.
    return Standardizer(mean, np.where(std < jnp.finfo(dtype).tiny, 1, std).astype(dtype))


@checked(stats=Instance(Standardizer, "the result of fit_standardizer", "x comes second"))
def standardize(stats: Standardizer, x: Any) -> Any:
    """Compute (x - mean)/std with the training set's statistics, for train, dev and test.

    Args:
      stats: the result of `fit_standardizer` for the training set.
      x: inputs, (m, ...), of examples of the same shape or, if fitted per channel, with the same channels.

    Returns:
      The standardized inputs, (m, ...).

    Raises:
      ValueError: if the statistics are of examples of another shape, inputs are not real numbers or, outside a
        compiled program, the result overflows.

    Example:
      >>> import numpy as np
      >>> print(standardize(Standardizer(np.array([1.0, 2.0]), np.array([1.0, 4.0])), np.array([[3.0, 4.0]])))
      [[2.  0.5]]
    """
    given, x = x, promote_large_integers(as_array("x", x))
    shape, fitted = x.shape, np.shape(stats.mean)
    per_channel = len(shape) > 2 and fitted == shape[-1:]
    if not shape or not (per_channel or fitted == shape[1:]):
        raise ValueError(
            f"x must be examples of the standardizer's shape {fitted}, got {shape}: "
            + ("pass one example as x[None]" if shape == fitted != () else "fit it on training data of the same shape")
        )
    check_real("x", x, given)
    mean, std = (np.reshape(a, (1,) * (len(shape) - len(fitted)) + fitted) for a in stats)
    with np.errstate(over="ignore"):
        standardized = (x - mean) / std
    if isinstance(standardized, np.ndarray) and (np.isinf(standardized) & np.isfinite(x)).any():
        raise ValueError(
            f"x must be near enough to the training set to be standardized in {standardized.dtype}, "
            f"got {np.min(x):g} to {np.max(x):g}: does it have the units of the training set?"
        )
    return standardized
