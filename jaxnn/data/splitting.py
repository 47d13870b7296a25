"""Split the data at random: train, dev and test, and folds."""

from collections.abc import Sequence

import jax
import numpy as np

from jaxnn.arrays import is_tree, map_arrays
from jaxnn.constraints import Count, Flag, ListOf, Real, UpTo, checked
from jaxnn.data.batches import Batch, number_of_examples, take
from jaxnn.data.examples import check_rows, on_host
from jaxnn.typing import ArrayLike, PyTree

SEED = Count(0, fix="it seeds NumPy's shuffle")
"""The constraint of a seed of NumPy's random numbers."""


@checked(
    fractions=ListOf(Real(0, closed="right"), "one positive number per part, such as (0.8, 0.2)"),
    seed=SEED,
    stratify=Flag(),
)
def split(
    x: ArrayLike, y: ArrayLike, fractions: Sequence[float], *, seed: int, stratify: bool = False
) -> tuple[Batch, ...]:
    """Split the data into disjoint random parts, such as train, dev and test.

    Args:
      x: inputs, (m, ...).
      y: targets, (m,) or (m, k).
      fractions: the fraction of each part, positive, summing to 1: (0.8, 0.1, 0.1). The parts end at the rounded
        cumulative fractions of m, so every example is in exactly one part.
      seed: of the shuffle; the same seed gives the same parts.
      stratify: keep the proportions of the classes in every part: with k classes, the number of examples of a class of
        n out of m deviates from its proportion by at most 1 + k n/m; y must be labels (m,).

    Returns:
      One `Batch` of NumPy arrays per fraction.

    Raises:
      ValueError: if fractions are not positive or do not sum to 1, a part would be empty, lengths differ, the seed is
        not a whole number, or y is not labels and `stratify` is True.

    Example:
      >>> import numpy as np
      >>> train, dev = split(np.arange(10.0)[:, None], np.arange(10) % 2, (0.8, 0.2), seed=0, stratify=True)
      >>> train.x.shape, sorted(dev.y.tolist())
      ((8, 1), [0, 1])
    """
    x, y = (map_arrays(lambda name, a: np.asarray(on_host(name, a)), *one) for one in (("x", x), ("y", y)))
    shares = np.asarray(fractions, np.float64)
    if abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must sum to 1, got {tuple(fractions)} with sum {shares.sum():g}")
    check_rows(x, y)
    order = random_order(y, seed, stratify)
    cuts = np.rint(np.cumsum(shares)[:-1] * len(order)).astype(int)
    parts = np.split(order, cuts)
    if min(len(part) for part in parts) == 0:
        raise ValueError(
            f"fractions must give every part an example, got {tuple(fractions)} of {len(order)} examples: "
            "increase the smallest fraction"
        )
    return tuple(Batch(take(x, part), take(y, part)) for part in parts)


@checked(k=UpTo("y", "the number of examples", least=2), seed=SEED, stratify=Flag())
def k_folds(y: ArrayLike, k: int, *, seed: int, stratify: bool = False) -> np.ndarray:
    """Assign each example to one of k random folds, whose sizes differ by at most one example.

    Args:
      y: targets, (m,) or (m, ...); only their number and, if stratified, their classes are used.
      k: number of folds, from 2 to m.
      seed: of the shuffle; the same seed gives the same folds.
      stratify: keep the proportions of the classes in every fold; y must be labels (m,).

    Returns:
      (k, m), floats: 1 if a fold holds the example out, 0 if it is trained on. Each column has a single 1.

    Raises:
      ValueError: if k is outside 2..m, the seed is not a whole number, or y is not labels and `stratify` is True.

    Example:
      >>> import numpy as np
      >>> k_folds(np.zeros(5), 2, seed=0).sum(axis=1).tolist()
      [3.0, 2.0]
    """
    y = map_arrays(on_host, "y", y)
    m = number_of_examples(y)
    order = random_order(y, seed, stratify)
    folds = np.zeros((k, m), np.float32)
    folds[np.arange(m) * k // m, order] = 1
    return folds


@checked(seed=SEED, stratify=Flag())
def random_order(y: PyTree, seed: int, stratify: bool) -> np.ndarray:
    """Return the examples in random order; if stratified, any stretch of it has the proportions of the classes."""
    labels = np.asarray(jax.tree.leaves(y)[0])
    if stratify and (is_tree(y) or labels.ndim != 1):
        shapes = jax.tree.map(np.shape, y)
        raise ValueError(f"y must be labels (m,) to be stratified, got shape {shapes}: pass the class numbers")
    order = np.random.default_rng(seed).permutation(len(labels))
    return _interleave_classes(order, labels) if stratify else order


def _interleave_classes(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rearrange a shuffled order so that any stretch of it has the proportions of the classes.

    The j-th of a class's n examples goes to position (j + 1/2)/n, in fractions of the whole. A cut at the fraction t
    then takes n t examples of every class, up to half an example; t is the part's fraction up to k/2m, for k classes.
    """
    position = np.empty(len(order))
    for label in np.unique(y):
        of_class = np.flatnonzero(y[order] == label)
        position[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return order[np.argsort(position, kind="stable")]
