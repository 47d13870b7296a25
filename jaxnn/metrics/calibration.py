"""Calibration: whether predictions of probability 80 % are right 80 % of the time.

The functions are pure and work inside compiled programs.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Count, checked
from jaxnn.metrics.inputs import (
    as_numbers,
    as_probabilities,
    as_weight,
    class_numbers,
    computed_whole,
    ratios_of,
    sums_at,
)
from jaxnn.typing import Array, ArrayLike


class Reliability(NamedTuple):
    """Predicted and observed frequencies in bins of equal width: bin b is ((b - 1)/bins, b/bins], the first with 0.

    Attributes:
      confidence: the mean probability of each bin's predictions, (bins,), NaN for an empty bin.
      accuracy: the fraction of them that are right, (bins,), NaN for an empty bin.
      count: their number, (bins,), int32; with weights, the sum of these, in JAX's default float dtype.
    """

    confidence: Array
    accuracy: Array
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] (a method of tuple)


@checked(bins=Count())
def reliability_curve(
    probabilities: ArrayLike, y: ArrayLike, bins: int = 10, weight: ArrayLike | None = None
) -> Reliability:
    """Compare predicted probabilities, in bins, with observed frequencies; on the diagonal they are calibrated.

    For two classes, the probability of class 1 is compared with the fraction of examples in class 1. For more, that of
    the most probable class is compared with the fraction of examples for which that class is right.

    Args:
      probabilities: as a model's `predict_proba` returns them: of class 1, (m,) or (m, 1); or of each class, (m, k).
      y: labels, (m,): 0/1, or class numbers.
      bins: number of bins from 0 to 1, at least 1.
      weight: example weights (m,); all 1 by default. A bin without weight is empty.

    Returns:
      A `Reliability`, in float32 or wider. A probability of NaN, or a label that is not a class, makes its bin NaN.

    Raises:
      ValueError: if shapes do not fit, an argument is not an array of numbers, or there are no examples or no bins;
        outside a compiled program, if probabilities are not in 0 to 1 (such as logits), or weights are negative or not
        finite.

    Example:
      >>> import jax.numpy as jnp
      >>> curve = reliability_curve(jnp.array([0.1, 0.3, 0.8, 0.8]), jnp.array([0, 1, 1, 0]), bins=2)
      >>> print(curve.confidence, curve.accuracy, curve.count)
      [0.2 0.8] [0.5 0.5] [2 2]

    Source: Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", 2005; for several
    classes, Guo et al., "On calibration of modern neural networks", 2017.
    """
    weight = as_weight(weight, probabilities)
    mass, confidences, rights, bin_of = _binned(probabilities, y, bins, weight)
    with jax.debug_nans(False):  # the NaN of an empty bin is intended
        return Reliability(confidences / mass, rights / mass, sums_at((bins,), (bin_of,), weight))


@checked(bins=Count())
def expected_calibration_error(
    probabilities: ArrayLike, y: ArrayLike, bins: int = 10, weight: ArrayLike | None = None
) -> Array:
    """Compute ECE = Σ_b n_b/m |accuracy_b - confidence_b|, the mean deviation of confidence from accuracy.

    It depends on the bins: errors cancel in a few wide ones, and many narrow ones have few examples each, whose chance
    makes the ECE of a calibrated model larger than 0 too.

    Args:
      probabilities: of class 1, (m,) or (m, 1); or of each class, (m, k). As in `reliability_curve`.
      y: labels, (m,): 0/1, or class numbers.
      bins: number of bins from 0 to 1, at least 1.
      weight: example weights (m,); all 1 by default. With them, n_b/m is the bin's fraction of the total weight.

    Returns:
      A scalar in [0, 1], or NaN if a probability is NaN, a label is not a class, or all weights are 0.

    Raises:
      ValueError: under the conditions of `reliability_curve`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(expected_calibration_error(jnp.array([0.1, 0.3, 0.8, 0.8]), jnp.array([0, 1, 1, 0]), bins=2))
      0.3

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015; Guo
    et al., 2017, equation 3.
    """
    mass, confidences, rights, _ = _binned(probabilities, y, bins, as_weight(weight, probabilities))
    return _mean_gap(mass, confidences, rights)


@jax.jit
def _mean_gap(mass: Array, confidences: Array, rights: Array) -> Array:
    return jnp.abs(rights - confidences).sum() / mass.sum()


def _binned(probabilities: Any, y: Any, bins: int, weight: Any) -> tuple[Array, Array, Array, Array]:
    """Sum weights, probabilities and right predictions by bin, (bins,) each; return them and each bin index, (m,)."""
    return computed_whole(partial(_sums_by_bin, bins))(*_predictions(probabilities, y, weight), ratios_of(weight))


@partial(jax.jit, static_argnums=0)
def _sums_by_bin(bins: int, p: Array, number: Array, ratios: Any) -> tuple[Array, Array, Array, Array]:
    if p.size == p.shape[0]:
        confidence, right, classes = p.reshape(-1), number == 1, 2
    else:
        confidence, right, classes = p.max(axis=1), number == p.argmax(axis=1).astype(jnp.int32), p.shape[1]
    # 0/0 if a label is not a class.
    right = right.astype(p.dtype) / (number < classes).astype(p.dtype)
    edges = jnp.asarray(np.linspace(0, 1, bins + 1)[1:-1], confidence.dtype)
    bin_of = jnp.searchsorted(edges, confidence, side="left")
    ratios = jnp.ones_like(confidence) if ratios is None else ratios.astype(confidence.dtype)
    mass, confidences, rights = (
        # `where`, not a product: an example of weight 0 may be NaN.
        jnp.zeros(bins, confidence.dtype).at[bin_of].add(jnp.where(ratios == 0, 0, each * ratios))
        for each in (jnp.ones_like(confidence), confidence, right)
    )
    return mass, confidences, rights, bin_of


def _predictions(probabilities: Any, y: Any, weight: Any) -> tuple[Array, Array]:
    """Return the probabilities, (m,) or (m, k), in float32 or wider, and the class numbers, (m,)."""
    p, y = as_probabilities(probabilities, weight), as_numbers("y", y)
    if p.ndim not in (1, 2) or p.size == 0 or y.shape not in {p.shape[:1], (*p.shape[:1], 1)}:
        raise ValueError(f"probabilities and y must be (m,) or (m, k), and (m,), got {p.shape} and {y.shape}")
    # In half precision, sums over many examples would lose the small terms.
    p = p.astype(jnp.promote_types(p.dtype, jnp.float32))
    return p, class_numbers(y.reshape(-1), 2 if p.size == p.shape[0] else p.shape[1])
