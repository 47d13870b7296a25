"""Inputs of mean 0 and standard deviation 1, by the statistics of the training data."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, held
from jaxnn.data.examples import check_dtype, checked_finite, on_host
from jaxnn.typing import Array
from jaxnn.validation import check_flag, described


class Standardizer(NamedTuple):
    """The mean and the standard deviation of each feature of a training set, shape (...) as one example.

    Where it was fitted by channel, of each channel instead, shape (c,).
    """

    mean: Array
    std: Array


def fit_standardizer(x: Any, *, per_channel: bool = False) -> Standardizer:
    """Each feature's mean and standard deviation over the examples. Fit it on the training set alone.

    Args:
      x: the training inputs, (m, ...).
      per_channel: one mean and deviation for each entry of the last axis, over all the others: of images (m, h, w, c),
        c of each. A pixel's own mean would take away what the images have in common at that place.

    Returns:
      A `Standardizer`, in float32 or, for float64 inputs, float64. A constant feature gets the standard deviation 1,
      and so becomes 0.

    Raises:
      ValueError: no examples, values that are no real numbers, or not finite, deviations so large that they cannot be
        divided by, or, by channel, inputs without an axis of channels.

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
    check_flag("per_channel", per_channel)
    given, x = x, np.asarray(on_host("x", x))
    if x.ndim < 1 or x.size == 0:
        raise ValueError(f"x has shape {x.shape}: expected training examples as rows")
    check_dtype("x", x, given)
    if per_channel and x.ndim < 2:
        raise ValueError(
            f"x has shape {x.shape}, expected (m, ..., c): by channel, the last axis is that of the channels"
        )
    checked_finite("x", x)
    # The statistics of half-precision numbers, or of bytes, have more digits than those.
    dtype = jnp.promote_types(x.dtype, jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else np.float32
    wide = (x.reshape(-1, x.shape[-1]) if per_channel else x).astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    # A constant feature's computed deviation can be rounding noise; dividing by that would make the feature noise too.
    constant = (wide == wide[:1]).all(axis=0)
    mean, std = np.where(constant, wide[0], mean).astype(dtype), np.where(constant, 1, std).astype(dtype)
    if (std > 1 / jnp.finfo(dtype).tiny).any():
        # A compiled program may divide by the reciprocal, which is subnormal, and so 0 to it.
        raise ValueError(
            f"x has a feature of standard deviation {std.max():.3g}, too large to divide by in {std.dtype}: "
            "scale it first"
        )
    # A deviation too small for the dtype is 0 there; subnormal numbers are 0 to a compiled program.
    return Standardizer(mean, np.where(std < jnp.finfo(dtype).tiny, 1, std).astype(dtype))


def standardize(stats: Standardizer, x: Any) -> Any:
    """(x - mean)/std with the training set's numbers, for train, dev and test alike.

    Args:
      stats: what `fit_standardizer` returned for the training set.
      x: inputs, (m, ...), of examples of the same shape; where it was fitted by channel, of as many channels.

    Returns:
      What x became, (m, ...).

    Raises:
      ValueError: statistics of examples of another shape, inputs that are no real numbers or, outside a compiled
        program, numbers so far from those of the training set that they overflow.

    Example:
      >>> import numpy as np
      >>> print(standardize(Standardizer(np.array([1.0, 2.0]), np.array([1.0, 4.0])), np.array([[3.0, 4.0]])))
      [[2.  0.5]]
    """
    if not isinstance(stats, Standardizer):
        raise ValueError(f"standardize takes what fit_standardizer returned, and then x, got {described(stats)} first")
    given, x = x, held(as_array("x", x))
    shape, own = x.shape, np.shape(stats.mean)
    per_channel = len(shape) > 2 and own == shape[-1:]
    if not shape or not (per_channel or own == shape[1:]):
        raise ValueError(
            f"the standardizer is of examples of shape {own}, x is {shape}: fit it on the training set, in x's shape"
        )
    check_dtype("x", x, given)
    mean, std = (np.reshape(a, (1,) * (len(shape) - len(own)) + own) for a in stats)
    with np.errstate(over="ignore"):
        standardized = (x - mean) / std
    if isinstance(standardized, np.ndarray) and (np.isinf(standardized) & np.isfinite(x)).any():
        raise ValueError(
            f"x runs from {np.min(x):g} to {np.max(x):g}, too far from the training set to be standardised in "
            f"{standardized.dtype}: are its units those of the training set?"
        )
    return standardized
