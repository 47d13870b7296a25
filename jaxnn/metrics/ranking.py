"""How well scores rank examples and classes: areas under curves, and top-k accuracy; also inside compiled programs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import floats
from jaxnn.constraints import Count, checked
from jaxnn.data.weights import weighted_mean
from jaxnn.metrics.inputs import as_numbers, as_weight, class_numbers, computed_whole, ratios_of
from jaxnn.typing import Array, ArrayLike


def roc_auc(scores: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute the area under the ROC curve: the probability that a positive example has a higher score than a negative.

        AUC = Σ_{i in +, j in -} w_i w_j ([s_i > s_j] + [s_i = s_j]/2) / Σ_{i in +, j in -} w_i w_j

    It is 1 if scores separate the classes, and 1/2 for scores without information. Of several classes it is the mean
    over the classes of each against all others.

    Args:
      scores: higher for class 1, such as logits or probabilities: (m,) or (m, 1); or of each class, (m, k), of which
        two are compared by their difference.
      y: labels, (m,): 0/1, or class numbers.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in [0, 1]; NaN if a score is NaN, a label is not a class, or a class has no weight.

    Raises:
      ValueError: if shapes do not fit or an argument is not an array of numbers; outside a compiled program, if weights
        are negative or not finite.

    Example:
      >>> print(roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))
      0.75

    Source: Fawcett, "An introduction to ROC analysis", 2006, section 7.
    """
    return _of_classes(_area_under_roc, scores, y, weight)


def roc_curve(
    scores: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the rates of false and of true positives at each threshold of the scores, on the host, for plots.

    Args:
      scores: higher for class 1, such as logits or probabilities: (m,) or (m, 1).
      y: labels 0/1, (m,).
      weight: example weights (m,); all 1 by default.

    Returns:
      (fpr, tpr, thresholds), NumPy arrays of one length: the rates of the examples with scores of at least each
      threshold, from infinity down. NaN where a class has no weight.

    Raises:
      ValueError: if shapes do not fit, an argument is not an array of numbers, a score is NaN, a label not 0 or 1, or
        weights are negative or not finite.

    Example:
      >>> fpr, tpr, thresholds = roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
      >>> fpr.tolist(), tpr.tolist()
      ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])

    Source: Fawcett, "An introduction to ROC analysis", 2006, algorithm 1.
    """
    weight = as_weight(weight, scores)
    _scores(scores, y)
    if np.ndim(scores) > 1 and np.shape(scores)[1] > 1:
        raise ValueError(f"scores must be of class 1, (m,) or (m, 1), got {np.shape(scores)}: pass a column of classes")
    s, y = (np.asarray(a, np.float64).reshape(-1) for a in (scores, y))
    counts = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    s, y, counts = (a[counts > 0] for a in (s, y, counts))
    if np.isnan(s).any() or not np.isin(y, (0, 1)).all():
        raise ValueError("scores must be numbers and y labels 0/1, got NaN or another label")
    thresholds, at = np.unique(s, return_inverse=True)
    rates = []
    for of_class in (y == 0, y == 1):
        sums = np.bincount(at, counts * of_class, len(thresholds))[::-1].cumsum()
        rates.append(np.append(0.0, sums) / (sums[-1] or np.nan))
    return rates[0], rates[1], np.append(np.inf, thresholds[::-1])


def average_precision(scores: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Compute Σ_n (R_n - R_{n-1}) P_n, the area under precision P over recall R, at each threshold n of the scores.

    It depends on the fraction of positive examples, which is what scores without information reach. Of several classes
    it is the mean over the classes of each against all others.

    Args:
      scores: as of `roc_auc`.
      y: labels, (m,): 0/1, or class numbers.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in [0, 1]; NaN if a score is NaN, a label is not a class, or a class has no weight.

    Raises:
      ValueError: as `roc_auc`.

    Example:
      >>> print(average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]))
      0.8333333

    Source: Zhu, "Recall, precision and average precision", 2004.
    """
    return _of_classes(_area_under_precision, scores, y, weight)


@checked(k=Count())
def top_k_accuracy(scores: ArrayLike, y: ArrayLike, k: int = 5, weight: ArrayLike | None = None) -> Array:
    """Compute the fraction of examples whose class has one of the k highest scores; of equal ones, the first count.

    Args:
      scores: of each class, (m, c), such as logits or probabilities.
      y: class numbers, (m,).
      k: how many classes are guessed.
      weight: example weights (m,); all 1 by default.

    Returns:
      A scalar in [0, 1]; NaN if a score is NaN, a label is not a class, or all weights are 0.

    Raises:
      ValueError: if shapes do not fit, an argument is not an array of numbers, or k is not a whole number of at least
        1; outside a compiled program, if weights are negative or not finite.

    Example:
      >>> print(top_k_accuracy([[0.5, 0.3, 0.2], [0.3, 0.4, 0.3]], [1, 2], k=2))
      0.5
    """
    weight = as_weight(weight, scores)
    scores, y = _scores(scores, y, classes=True)

    label = class_numbers(y, scores.shape[1])
    return computed_whole(partial(_share_in_top, k))(scores, label, ratios_of(weight))


@partial(jax.jit, static_argnums=0)
def _share_in_top(k: int, scores: Array, label: Array, ratios: Any) -> Array:
    own = jnp.take_along_axis(scores, label[:, None], axis=1, mode="fill")
    before = (scores > own) | (scores == own) & (jnp.arange(scores.shape[1])[None] < label[:, None])
    right = (before.sum(axis=1) < k).astype(scores.dtype)
    right = jnp.where(jnp.isnan(own[:, 0]) | jnp.isnan(scores).any(axis=1), jnp.nan, right)
    return right.mean() if ratios is None else weighted_mean(right, ratios)


def _of_classes(area: Callable[[Array, Array, Array], Array], scores: Any, y: Any, weight: Any) -> Array:
    """Return the area for class 1, or the mean over the classes, each against all others."""
    weight = as_weight(weight, scores)
    scores, y = _scores(scores, y)
    label = class_numbers(y, max(2, scores.shape[1]))
    return computed_whole(partial(_areas, area))(scores, label, ratios_of(weight))


@partial(jax.jit, static_argnums=0)
def _areas(area: Callable[[Array, Array, Array], Array], scores: Array, label: Array, ratios: Any) -> Array:
    """Return the mean of the areas of the classes; NaN if a score is, or a label is not a class."""
    ratios = jnp.ones(label.shape, scores.dtype) if ratios is None else ratios.astype(scores.dtype)
    classes = max(2, scores.shape[1])
    scores = jnp.where(ratios[:, None] == 0, 0, scores)
    if scores.shape[1] == 2:
        scores = _ranks_of_class_1(scores, ratios > 0)[:, None]
    of_class = jnp.arange(classes)[classes - scores.shape[1] :]
    areas = jax.vmap(lambda s, c: area(s, label == c, ratios), (1, 0))(scores, of_class)
    valid = ((label < classes) | (ratios == 0)).all() & ~jnp.isnan(scores).any()
    return jnp.where(valid, jnp.minimum(areas.mean(), 1), jnp.nan)


def _ranks_of_class_1(scores: Array, counted: Array) -> Array:
    """Return numbers in the order of the probability of class 1, equal where it is, for scores of two classes (m, 2).

    Logits are in the order of their difference. Of probabilities the difference is rounded near 0 and 1, where one of
    the two has more digits.
    """
    difference = scores[:, 1] / 2 - scores[:, 0] / 2  # halves, which do not overflow
    in_range = ((scores >= 0) & (scores <= 1)).all(axis=1) & (jnp.abs(scores.sum(axis=1) - 1) < 1e-2)
    are_probabilities = (in_range | ~counted).all()
    keys = [jnp.where(are_probabilities, -scores[:, 0], 0), jnp.where(are_probabilities, scores[:, 1], 0), difference]
    order = jnp.lexsort(keys)
    rises = sum(jnp.diff(key[order]) != 0 for key in keys) > 0
    ranks = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(rises)])
    ranked = jnp.zeros_like(difference).at[order].set(ranks.astype(difference.dtype))
    return jnp.where(jnp.isnan(difference), jnp.nan, ranked)


def _area_under_roc(s: Array, positive: Array, weight: Array) -> Array:
    order = jnp.sort(s), jnp.argsort(s)
    negative = jnp.where(positive, 0, weight)
    below = _weight_up_to(order, negative, s, "left")
    equal_or_below = _weight_up_to(order, negative, s, "right")
    pairs = jnp.where(positive, weight, 0) * (below + equal_or_below) / 2
    return pairs.sum() / (jnp.where(positive, weight, 0).sum() * negative.sum())


def _area_under_precision(s: Array, positive: Array, weight: Array) -> Array:
    order = jnp.sort(-s), jnp.argsort(-s)
    true = jnp.where(positive, weight, 0)
    found, right = (_weight_up_to(order, w, -s, "right") for w in (weight, true))
    return (true * right / jnp.where(found == 0, 1, found)).sum() / true.sum()


def _weight_up_to(order: tuple[Array, Array], weight: Array, s: Array, side: str) -> Array:
    """Return the weight of the examples with a lower score than each; with the side "right", also with an equal one."""
    ordered, by = order
    sums = jnp.concatenate([jnp.zeros(1, weight.dtype), jnp.cumsum(weight[by])])
    return sums[jnp.searchsorted(ordered, s, side=side)]


def _scores(scores: Any, y: Any, classes: bool = False) -> tuple[Array, Array]:
    """Return scores as floats (m, k), and labels (m,)."""
    scores, y = floats(scores, "scores"), as_numbers("y", y)
    wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    wide = wide[:, None] if wide.ndim == 1 and not classes else wide
    if wide.ndim != 2 or not wide.size or y.shape not in {wide.shape[:1], (*wide.shape[:1], 1)}:
        expected = "(m, c)" if classes else "(m,) or (m, k)"
        raise ValueError(f"scores and y must be {expected}, and (m,), got {scores.shape} and {y.shape}")
    return wide, y.reshape(-1)
