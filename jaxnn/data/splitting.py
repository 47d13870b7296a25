"""Random parts of the data: train, dev and test, and folds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnn.data.batches import Batch
from jaxnn.data.examples import columns_as_rows, on_host
from jaxnn.validation import check_flag, check_seed, described, is_count


def split(x: Any, y: Any, fractions: Sequence[float], *, seed: int, stratify: bool = False) -> tuple[Batch, ...]:
    """Disjoint random parts of the data, such as train, dev and test.

    Args:
      x: inputs, (m, ...).
      y: targets, (m,) or (m, k).
      fractions: the share of each part, positive, summing to 1: (0.8, 0.1, 0.1). The parts' sizes are the rounded
        cumulative shares, so every example is in exactly one part.
      seed: of the shuffle; the same seed gives the same parts.
      stratify: keep each class's share in every part: a class of n out of m examples has in each part what its share
        makes, give or take 1 + k n/m examples where there are k classes; y must be labels (m,).

    Returns:
      One `Batch` of NumPy arrays per fraction.

    Raises:
      ValueError: fractions that are not positive or do not sum to 1, a part that would be empty, lengths that
        differ, a seed that is no whole number, or `stratify` on targets that are not labels.

    Example:
      >>> import numpy as np
      >>> train, dev = split(np.arange(10.0)[:, None], np.arange(10) % 2, (0.8, 0.2), seed=0, stratify=True)
      >>> train.x.shape, sorted(dev.y.tolist())
      ((8, 1), [0, 1])
    """
    x, y = on_host("x", x), on_host("y", y)
    x, y = np.asarray(x), np.asarray(y)
    if isinstance(fractions, str) or not np.iterable(fractions):
        raise ValueError(f"fractions is {described(fractions)}, expected one for each part, such as (0.8, 0.2)")
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be positive and sum to 1, got {tuple(fractions)} with sum {shares.sum():g}")
    if x.ndim < 1 or x.shape[:1] != y.shape[:1]:
        fix = columns_as_rows(x.shape, y.shape)
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: expected a target for each example{fix}")
    order = random_order(y, seed, stratify)
    cuts = np.rint(np.cumsum(shares)[:-1] * len(x)).astype(int)
    parts = np.split(order, cuts)
    if min(len(part) for part in parts) == 0:
        raise ValueError(f"{len(x)} examples split by {tuple(fractions)} leave a part empty: give it a larger share")
    return tuple(Batch(x[part], y[part]) for part in parts)


def k_folds(y: Any, k: int, *, seed: int, stratify: bool = False) -> np.ndarray:
    """Random parts of the data, each held out once: k folds whose sizes differ by one example at most.

    Args:
      y: targets, (m,) or (m, ...): how many there are, and, where stratified, of which classes.
      k: how many folds, from 2 to m.
      seed: of the shuffle; the same seed gives the same folds.
      stratify: keep each class's share in every fold; y must be labels (m,).

    Returns:
      (k, m), floats: 1 where a fold holds the example out, 0 where it is trained on. Each column has a single 1.

    Raises:
      ValueError: k outside 2..m, a seed that is no whole number, or `stratify` on targets that are not labels.

    Example:
      >>> import numpy as np
      >>> k_folds(np.zeros(5), 2, seed=0).sum(axis=1).tolist()
      [3.0, 2.0]
    """
    y = np.asarray(on_host("y", y))
    m = len(y) if y.ndim else 0
    if not is_count(k) or not 2 <= k <= m:
        raise ValueError(f"k_folds takes from 2 folds to as many as there are examples, {m}, got {described(k)}")
    order = random_order(y, seed, stratify)
    folds = np.zeros((k, m), np.float32)
    folds[np.arange(m) * k // m, order] = 1
    return folds


def random_order(y: np.ndarray, seed: int, stratify: bool) -> np.ndarray:
    """The examples in random order, any stretch of which holds, if stratified, each class in its share."""
    check_seed(seed)
    check_flag("stratify", stratify)
    if stratify and y.ndim != 1:
        raise ValueError(f"stratify takes labels (m,), got y of shape {y.shape}: pass the class numbers")
    order = np.random.default_rng(seed).permutation(len(y))
    return _interleave_classes(order, y) if stratify else order


def _interleave_classes(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The shuffled order, rearranged so that any stretch holds each class in its share of the whole.

    The j-th of a class's n examples is put at the fraction (j + 1/2)/n of the way. A cut at the fraction t of the way
    then takes n t of every class, up to half an example; t is the part's share up to k/2m, for k classes.
    """
    place = np.empty(len(order))
    for label in np.unique(y):
        of_class = np.flatnonzero(y[order] == label)
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return order[np.argsort(place, kind="stable")]
