"""Mistakes in the arrangement of a gradient: not summed, transposed, permuted, swapped with that of another leaf."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close, manual_gradient, placements
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis


def wrong_shape(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient of the wrong shape: transposed, not summed over an axis, or swapped."""
    manual, reference = leaf.manual, leaf.reference
    if manual.shape == reference.shape:
        return None
    if manual.T.shape == reference.shape and leaf.explained_by(lambda e: e.reference[leaf.k].T):
        text = f"the gradient of shape {manual.shape} is transposed, expected shape {reference.shape}"
        return Diagnosis("transpose", leaf.name, text)
    for axes in _subsets(manual.ndim):
        terms = math.prod(manual.shape[a] for a in axes)
        if terms > 1 and any(_sums_to_reference(leaf, axes, keep) for keep in (False, True)):
            text = f"the gradient of shape {manual.shape} holds {terms} terms: sum over {_named(axes)}"
            return Diagnosis("missing sum", leaf.name, text)
    return swapped(leaf)


def _sums_to_reference(leaf: WrongLeaf, axes: tuple[int, ...], keepdims: bool) -> bool:
    sums = [(manual_gradient(e, leaf.k).sum(axes, keepdims=keepdims), e.reference[leaf.k]) for e in leaf.smooth]
    equal = [close(total, r) for total, r in sums]
    return sum(equal) >= 2 and all(
        same or total.shape == r.shape and not total.any() and not r.any()
        for same, (total, r) in zip(equal, sums, strict=True)
    )


def _subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    """Yield the sets of axes, smaller ones first."""
    for n in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), n)


def _named(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"


def summed_too_much(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient of which every element is the sum of the right one over an axis."""
    shape = leaf.reference.shape
    if leaf.manual.shape != shape or _is_cotangent(leaf):
        return None
    for axes in _subsets(len(shape)):
        terms = math.prod(shape[a] for a in axes)

        def total(e: Examination, axes=axes) -> np.ndarray:
            return np.broadcast_to(e.reference[leaf.k].sum(axes, keepdims=True), shape)

        if terms > 1 and leaf.explained_by(total):
            text = f"it is the sum of the gradient over {_named(axes)}, {terms} terms: do not sum over it"
            return Diagnosis("summed too much", leaf.name, text)
    return None


def _is_cotangent(leaf: WrongLeaf) -> bool:
    """Return True if the gradient is dy for every element, as if f were a sum: the right one may sum to dy too."""
    for dy in leaf.failed.cotangents:
        for placed in placements(dy.shape, leaf.manual.shape):
            if close(leaf.manual, np.broadcast_to(dy.reshape(placed), leaf.manual.shape)):
                return True
    return False


def transposed(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient with two axes of equal size transposed."""
    if leaf.manual.shape != leaf.reference.shape:
        return None
    for a, b in itertools.combinations(reversed(range(leaf.manual.ndim)), 2):
        if leaf.reference.shape[a] == leaf.reference.shape[b] > 1 and leaf.explained_by(
            lambda e, a=a, b=b: np.swapaxes(e.reference[leaf.k], a, b)
        ):
            axes = "" if leaf.manual.ndim == 2 else f" in axes {b} and {a}"
            return Diagnosis("transpose", leaf.name, f"the gradient is transposed{axes}")
    return None


def swapped(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain two gradients that were returned in each other's place."""
    k, failed = leaf.k, leaf.failed
    for j in range(len(failed.manual)):
        if j == k or failed.manual[j].shape != leaf.reference.shape:
            continue
        other = leaf._replace(k=j)
        apart = [not _same_values(e.reference[k], e.reference[j]) for e in leaf.smooth]
        if sum(apart) < 2:
            continue
        if leaf.explained_by(lambda e, j=j: e.reference[j]) and other.explained_by(lambda e: e.reference[k]):
            names = sorted((leaf.name, failed.rows[j].leaf))
            return Diagnosis("swapped", " and ".join(names), "each of the two has the gradient of the other")
    return None


def _same_values(a: np.ndarray, b: np.ndarray) -> bool:
    """Return True if two gradients are equal, or hold one and the same number in two shapes."""
    if a.shape == b.shape:
        return close(a, b) or not (a.any() or b.any())
    values = np.concatenate([a.ravel(), b.ravel()])
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max(initial=0.0))


def permuted(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient whose elements are in other places, in the same ones at points that differ in dy alone."""
    manual, reference = leaf.manual, leaf.reference
    if manual.shape != reference.shape or manual.size < 2 or not np.isfinite(manual).all():
        return None
    if not leaf.explained_by(lambda e: _rearranged(e.reference[leaf.k], manual_gradient(e, leaf.k))):
        return None
    scale = np.abs(reference).max(initial=0.0)
    by_manual, by_reference = np.argsort(manual, axis=None), np.argsort(reference, axis=None)
    source = np.empty(manual.size, int)
    source[by_manual] = by_reference
    values = manual.ravel()
    gaps = np.diff(values[by_manual], prepend=-np.inf, append=np.inf) > 1e-4 * scale
    unique = np.empty(manual.size, bool)
    unique[by_manual] = gaps[:-1] & gaps[1:]
    moved = unique & (source != np.arange(manual.size)) & (np.abs(values) > 1e-4 * scale)
    if moved.sum() < 2:
        return None
    near = [e for e in leaf.smooth if e is not leaf.failed and _near(e.leaves, leaf.failed.leaves)]
    near = [e for e in near if e.reference[leaf.k].any()]
    for e in near:
        h, r = manual_gradient(e, leaf.k).ravel(), e.reference[leaf.k].ravel()
        if not np.abs(h[moved] - r[source[moved]]).max() <= 1e-6 * np.abs(r).max():
            return None
    if not near:
        return None
    there, here = (np.array(np.unravel_index(i, manual.shape)) for i in (source[moved], np.flatnonzero(moved)))
    axes = tuple(np.flatnonzero((there != here).any(1)).tolist())
    along = f" along {_named(axes)}" if manual.ndim > 1 else ""
    at, right = here[:, 0].tolist(), there[:, 0].tolist()
    text = f"it holds the right elements in other places{along}: that of {right} is at {at}; invert the permutation"
    return Diagnosis("permutation", leaf.name, text)


def _rearranged(reference: np.ndarray, manual: np.ndarray) -> np.ndarray | None:
    """Return the elements of the reference in the order of those of the manual gradient."""
    if manual.shape != reference.shape:
        return None
    found = np.empty(reference.size)
    found[np.argsort(manual, axis=None)] = np.sort(reference, axis=None)
    return found.reshape(reference.shape)


def _near(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Return True if arguments differ by so little that the order of their elements is likely the same."""
    return all(
        x.shape == y.shape
        and (np.array_equal(x, y) or np.abs(x - y).max(initial=0.0) <= 2e-3 * np.abs(y).max(initial=0.0))
        for x, y in zip(a, b, strict=True)
        if x.dtype == np.float64
    )
