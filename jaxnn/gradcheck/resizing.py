"""Bring one axis of the arguments to another size, to check at other batch sizes and to find averaged axes."""

import itertools
from typing import NamedTuple

import numpy as np

from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.points import is_distribution, is_label
from jaxnn.gradcheck.runner import Arrays, Runner


class Resized(NamedTuple):
    """Leaves in which axes of size `old` were brought to size `new`."""

    old: int
    new: int
    leaves: Arrays


def resized(
    runner: Runner,
    leaves: Arrays,
    old: int,
    new: int,
    *,
    leading: bool,
    together: bool = False,
    seed: int = 0,
    noise: float = 0.1,
) -> Resized | None:
    """Return the leaves with axes of size `old` cut or grown to `new`, or `None` if f does not take them.

    Args:
      runner: runs f.
      leaves: the arguments.
      old: size of the axes to resize.
      new: the new size.
      leading: resize only leading axes.
      together: resize as many leaves as f takes, not as few as it needs.
      seed: seed of the noise.
      noise: relative size of the noise on leaves that are not labels; grown rows repeat the others.
    """
    chosen = _resizable(runner, leaves, old, leading, together)
    if chosen is None:
        return None
    if leading and any(_may_index(leaves[i], old, new) for i in range(len(leaves)) if i not in chosen):
        return None
    rng = np.random.default_rng([seed, new])
    changed = _with_size(leaves, chosen, old, new, leading)
    for i in chosen:
        if is_floating(leaves[i]) and not is_label(leaves[i]):
            changed[i] = (changed[i] * (1 + noise * rng.normal(size=changed[i].shape))).astype(leaves[i].dtype)
        elif is_distribution(leaves[i]) and not is_distribution(changed[i]):
            return None  # the axis of the classes: the rest is not a distribution
    try:
        runner.output(changed)
    except Exception:  # any error that f raises for this shape
        return None
    return Resized(old, new, changed)


def _may_index(leaf: np.ndarray, old: int, new: int) -> bool:
    """Return True if ints look like indices into an axis of size `old`, some of which exceed size `new`."""
    whole = np.issubdtype(leaf.dtype, np.integer) and leaf.size > 0
    return bool(whole and new <= leaf.max() < old)


def _resizable(runner: Runner, leaves: Arrays, old: int, leading: bool, together: bool) -> tuple[int, ...] | None:
    """Return the smallest set of leaves, or the largest, whose axes of this size f lets grow with y or without.

    They are tried at a size that no other axis has, since an axis of size 1 could be broadcast by mistake.
    """
    new = max(size for leaf in leaves for size in (*leaf.shape, 1)) + 1
    candidates = [i for i, leaf in enumerate(leaves) if _axes(leaf, old, leading)]
    before = [y.shape for y in runner.output(leaves)]
    sizes = range(1, len(candidates) + 1) if len(candidates) <= _MOST_LEAVES else (1, len(candidates))
    sizes = reversed(sizes) if together else sizes
    for subset in itertools.chain.from_iterable(itertools.combinations(candidates, n) for n in sizes):
        try:
            after = [y.shape for y in runner.output(_with_size(leaves, subset, old, new, leading))]
        except Exception:  # any error that f raises for this shape
            continue
        grown = [tuple(new if s == old and (a == 0 or not leading) else s for a, s in enumerate(y)) for y in before]
        if after in (before, grown) or not leading and (old == 1 or _grew(before, after, old, new)):
            return subset
    return None


_MOST_LEAVES = 6


def _grew(before: list[tuple[int, ...]], after: list[tuple[int, ...]], old: int, new: int) -> bool:
    return all(
        len(b) == len(a) and all(s == t or (s, t) == (old, new) for s, t in zip(b, a, strict=True))
        for b, a in zip(before, after, strict=True)
    )


def _axes(leaf: np.ndarray, size: int, leading: bool) -> list[int]:
    return [a for a in range(leaf.ndim) if leaf.shape[a] == size and (a == 0 or not leading)]


def _with_size(leaves: Arrays, chosen: tuple[int, ...], old: int, new: int, leading: bool) -> Arrays:
    changed = list(leaves)
    for i in chosen:
        for axis in _axes(leaves[i], old, leading):
            changed[i] = np.take(changed[i], np.arange(new) % old, axis)
    return changed
