"""Calibration: whether what a model is 80 % sure of is right 80 % of the time. Pure, also inside compiled programs."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.checks import described, is_count
from jaxnn.metrics import as_numbers, as_probabilities
from jaxnn.typing import Array


class Reliability(NamedTuple):
    """What was predicted beside what happened, in bins of equal width: bin b holds ((b - 1)/bins, b/bins], and 0.

    Attributes:
      confidence: the mean probability of each bin's predictions, (bins,), NaN where a bin is empty.
      accuracy: the share of them that came true, (bins,), NaN where a bin is empty.
      count: how many they are, (bins,), int32.
    """

    confidence: Array
    accuracy: Array
    count: Array


def reliability_curve(probabilities: Array, y: Array, bins: int = 10) -> Reliability:
    """Predicted probabilities, sorted into bins, against how often they came true: the diagonal is calibrated.

    Of two classes, it is the probability of class 1 that is held against the share of examples in class 1. Of more, it
    is that of the likeliest class, against the share of examples in which that class is right.

    Args:
      probabilities: as a model's `predict` gives them: of class 1, (m,) or (m, 1); or of each class, (m, k).
      y: labels, (m,): 0/1, or class numbers.
      bins: how many bins from 0 to 1, at least 1.

    Returns:
      A `Reliability`, in float32 or wider. A probability of NaN, or a label that is no class, makes its bin NaN.

    Raises:
      ValueError: shapes that do not fit, what is no array of numbers, no examples, no bins, or, outside a compiled
        program, logits: numbers outside 0 to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> curve = reliability_curve(jnp.array([0.1, 0.3, 0.8, 0.8]), jnp.array([0, 1, 1, 0]), bins=2)
      >>> print(curve.confidence, curve.accuracy, curve.count)
      [0.2 0.8] [0.5 0.5] [2 2]

    Source: Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", 2005; for several
    classes, Guo et al., "On calibration of modern neural networks", 2017.
    """
    if not is_count(bins):
        raise ValueError(f"bins is a whole number of at least 1, got {described(bins)}")
    confidence, right = _predictions(probabilities, y)
    edges = jnp.asarray(np.linspace(0, 1, bins + 1)[1:-1], confidence.dtype)
    bin_of = jnp.searchsorted(edges, confidence, side="left")
    count, confidences, rights = (
        jnp.zeros(bins, confidence.dtype).at[bin_of].add(each)
        for each in (jnp.ones_like(confidence), confidence, right)
    )
    return Reliability(confidences / count, rights / count, count.astype(jnp.int32))


def expected_calibration_error(probabilities: Array, y: Array, bins: int = 10) -> Array:
    """ECE = Σ_b n_b/m |accuracy_b - confidence_b|: by how much confidence misses, on average over the examples.

    It depends on the bins: few hide errors that cancel, many leave each to the chance of few examples, which makes also
    a calibrated model's ECE larger than 0.

    Args:
      probabilities: of class 1, (m,) or (m, 1); or of each class, (m, k). As in `reliability_curve`.
      y: labels, (m,): 0/1, or class numbers.
      bins: how many bins from 0 to 1, at least 1.

    Returns:
      A scalar in [0, 1], or NaN where a probability is NaN or a label no class.

    Raises:
      ValueError: what `reliability_curve` refuses.

    Example:
      >>> import jax.numpy as jnp
      >>> print(expected_calibration_error(jnp.array([0.1, 0.3, 0.8, 0.8]), jnp.array([0, 1, 1, 0]), bins=2))
      0.3

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015; Guo
    et al., 2017, equation 3.
    """
    curve = reliability_curve(probabilities, y, bins)
    gaps = jnp.where(curve.count == 0, 0, jnp.abs(curve.accuracy - curve.confidence))
    return (gaps * curve.count).sum() / curve.count.sum()


def _predictions(probabilities: Any, y: Any) -> tuple[Array, Array]:
    """The probability of what each example is predicted to be, (m,), and 1 where it came true, 0 where not, (m,)."""
    p, y = as_probabilities(probabilities), as_numbers("labels", y)
    if p.ndim not in (1, 2) or p.size == 0 or y.shape not in {p.shape[:1], (*p.shape[:1], 1)}:
        raise ValueError(f"probabilities {p.shape} and labels {y.shape} do not fit: expected (m,) or (m, k), and (m,)")
    # In half precision, sums over many examples would lose the small ones.
    p, y = p.astype(jnp.promote_types(p.dtype, jnp.float32)), y.reshape(-1)
    classes = 2 if p.size == p.shape[0] else p.shape[1]
    if p.size == p.shape[0]:
        confidence, right = p.reshape(-1), y == 1
    else:
        confidence, right = p.max(axis=1), y == p.argmax(axis=1)
    is_class = (y >= 0) & (y < classes) & (y == jnp.floor(y))
    return confidence, jnp.where(is_class, right, jnp.nan).astype(p.dtype)
