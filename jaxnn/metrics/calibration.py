"""Calibration: whether what a model is 80 % sure of is right 80 % of the time. Pure, also inside compiled programs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.data.weights import relative
from jaxnn.metrics.inputs import as_numbers, as_probabilities, as_weight, class_numbers, sums_at
from jaxnn.typing import Array
from jaxnn.validation import described, is_count


class Reliability(NamedTuple):
    """What was predicted beside what happened, in bins of equal width: bin b holds ((b - 1)/bins, b/bins], and 0.

    Attributes:
      confidence: the mean probability of each bin's predictions, (bins,), NaN where a bin is empty.
      accuracy: the share of them that came true, (bins,), NaN where a bin is empty.
      count: how many they are, (bins,), int32; with weights, the sum of these, in JAX's default float dtype.
    """

    confidence: Array
    accuracy: Array
    count: Array


def reliability_curve(probabilities: Array, y: Array, bins: int = 10, weight: Array | None = None) -> Reliability:
    """Predicted probabilities, sorted into bins, against how often they came true: the diagonal is calibrated.

    Of two classes, it is the probability of class 1 that is held against the share of examples in class 1. Of more, it
    is that of the likeliest class, against the share of examples in which that class is right.

    Args:
      probabilities: as a model's `predict` gives them: of class 1, (m,) or (m, 1); or of each class, (m, k).
      y: labels, (m,): 0/1, or class numbers.
      bins: how many bins from 0 to 1, at least 1.
      weight: example weights (m,); all 1 by default. A bin without weight is empty.

    Returns:
      A `Reliability`, in float32 or wider. A probability of NaN, or a label that is no class, makes its bin NaN.

    Raises:
      ValueError: shapes that do not fit, what is no array of numbers, no examples, no bins, or, outside a compiled
        program, logits: numbers outside 0 to 1, or weights that are negative or not finite.

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
    with jax.debug_nans(False):  # an empty bin's NaN is no mistake
        return Reliability(confidences / mass, rights / mass, sums_at((bins,), (bin_of,), weight))


def expected_calibration_error(probabilities: Array, y: Array, bins: int = 10, weight: Array | None = None) -> Array:
    """ECE = Σ_b n_b/m |accuracy_b - confidence_b|: by how much confidence misses, on average over the examples.

    It depends on the bins: few hide errors that cancel, many leave each to the chance of few examples, which makes also
    a calibrated model's ECE larger than 0.

    Args:
      probabilities: of class 1, (m,) or (m, 1); or of each class, (m, k). As in `reliability_curve`.
      y: labels, (m,): 0/1, or class numbers.
      bins: how many bins from 0 to 1, at least 1.
      weight: example weights (m,); all 1 by default. With them, n_b/m is the bin's share of the weight.

    Returns:
      A scalar in [0, 1], or NaN where a probability is NaN or a label no class, or if all weights are 0.

    Raises:
      ValueError: what `reliability_curve` refuses.

    Example:
      >>> import jax.numpy as jnp
      >>> print(expected_calibration_error(jnp.array([0.1, 0.3, 0.8, 0.8]), jnp.array([0, 1, 1, 0]), bins=2))
      0.3

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015; Guo
    et al., 2017, equation 3.
    """
    mass, confidences, rights, _ = _binned(probabilities, y, bins, as_weight(weight, probabilities))
    return jnp.abs(rights - confidences).sum() / mass.sum()


def _binned(probabilities: Any, y: Any, bins: int, weight: Any) -> tuple[Array, Array, Array, Array]:
    """Sum by bin the weights, the probabilities and the hits, (bins,) each; and give each example's bin, (m,)."""
    if not is_count(bins):
        raise ValueError(f"bins is a whole number of at least 1, got {described(bins)}")
    confidence, right = _predictions(probabilities, y, weight)
    edges = jnp.asarray(np.linspace(0, 1, bins + 1)[1:-1], confidence.dtype)
    bin_of = jnp.searchsorted(edges, confidence, side="left")
    ratios = jnp.ones_like(confidence) if weight is None else relative(weight).astype(confidence.dtype)
    mass, confidences, rights = (
        # `where`, not a product: what does not count may be NaN.
        jnp.zeros(bins, confidence.dtype).at[bin_of].add(jnp.where(ratios == 0, 0, each * ratios))
        for each in (jnp.ones_like(confidence), confidence, right)
    )
    return mass, confidences, rights, bin_of


def _predictions(probabilities: Any, y: Any, weight: Any) -> tuple[Array, Array]:
    """The probability of what each example is predicted to be, (m,), and 1 where it came true, 0 where not, (m,)."""
    p, y = as_probabilities(probabilities, weight), as_numbers("labels", y)
    if p.ndim not in (1, 2) or p.size == 0 or y.shape not in {p.shape[:1], (*p.shape[:1], 1)}:
        raise ValueError(f"probabilities {p.shape} and labels {y.shape} do not fit: expected (m,) or (m, k), and (m,)")
    # In half precision, sums over many examples would lose the small ones.
    p = p.astype(jnp.promote_types(p.dtype, jnp.float32))
    classes = 2 if p.size == p.shape[0] else p.shape[1]
    number = class_numbers(y.reshape(-1), classes)
    if p.size == p.shape[0]:
        confidence, right = p.reshape(-1), number == 1
    else:
        confidence, right = p.max(axis=1), number == p.argmax(axis=1).astype(jnp.int32)
    # 0/0 where a label is no class.
    return confidence, right.astype(p.dtype) / (number < classes).astype(p.dtype)
