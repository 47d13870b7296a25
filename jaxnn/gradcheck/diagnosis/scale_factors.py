"""A gradient that is a constant times the right one: which constant, and where it comes from."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, manual_gradient
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.resizing import resized
from jaxnn.gradcheck.runner import Arrays


def zero(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is zero at every test point, although the reference is not."""
    if leaf.manual.any() or not leaf.reference.any():
        return None
    if any(manual_gradient(e, leaf.k).any() for e in leaf.smooth):
        return None
    return Diagnosis("zero", leaf.name, "the gradient is zero everywhere, and should not be")


def scale_factor(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is c times the right one at every smooth test point."""
    # Where the gradient nearly vanishes, as in a saturated softmax, the ratio is noise.
    size = np.abs(leaf.reference).max(initial=0.0)
    usable = [e for e in leaf.smooth if np.abs(e.reference[leaf.k]).max(initial=0.0) > 1e-5 * size]
    ratios = [r for e in usable if (r := _ratio(manual_gradient(e, leaf.k), e.reference[leaf.k])) is not None]
    if len(ratios) < max(2, len(usable)):
        return None
    c = float(np.median(ratios))
    if c == 0 or abs(c - 1) < 1e-6 or max(abs(r - c) for r in ratios) > 1e-6 * abs(c):
        return None
    if abs(c + 1) < 1e-6:
        return Diagnosis("sign", leaf.name, "the gradient has the opposite sign")
    m = _batch_size_behind(leaf, c)
    if m is not None:
        if c > 1:
            return Diagnosis("missing 1/m", leaf.name, f"it is {m} times the gradient, and m = {m}: divide by m")
        return Diagnosis("1/m twice", leaf.name, f"it is 1/{m} of the gradient, and m = {m}: divide by m only once")
    n = _averaged_terms_behind(leaf, c)
    if n is not None:
        text = f"it is {n:g} times the gradient, and a mean over {n:g} terms is taken: divide by {n:g}"
        return Diagnosis("sum for mean", leaf.name, text)
    return Diagnosis("constant factor", leaf.name, f"it is {c:.6g} times the gradient everywhere")


def _ratio(manual: np.ndarray, reference: np.ndarray) -> float | None:
    if manual.shape != reference.shape or not np.isfinite(manual).all():
        return None
    square = float((reference * reference).sum())
    c = float((manual * reference).sum()) / square if square > 0 else 0.0
    return c if np.abs(manual - c * reference).max() <= 1e-7 * max(abs(c), 1e-30) * np.abs(reference).max() else None


def _batch_size_behind(leaf: WrongLeaf, c: float) -> int | None:
    """Return the batch size m, if c is m or 1/m and changes with the batch size."""
    m = c if c > 1 else 1 / c
    if abs(m - round(m)) > 1e-5 * m or round(m) < 2:
        return None
    m = round(m)
    if m not in {a.shape[0] for a in (*leaf.failed.leaves, *leaf.failed.cotangents) if a.ndim}:
        return None
    others = [(e, e.size[1]) for e in leaf.examinations if e.size is not None and e.size[0] == m]
    ratios = [(new, _ratio(manual_gradient(e, leaf.k), e.reference[leaf.k])) for e, new in others]
    if any(r is None or abs((r if c > 1 else 1 / r) - new) > 1e-5 * new for new, r in ratios if r != 0):
        return None
    return m


def _averaged_terms_behind(leaf: WrongLeaf, c: float) -> float | None:
    """Return c if it is the number of averaged terms: an axis's size, verified by resizing it, or inputs per output."""
    if c < 2 - 1e-6 or abs(c - round(c)) > 1e-5 * c:
        return None
    n, failed = round(c), leaf.failed
    if n in {size for a in failed.leaves for size in a.shape}:
        for new in (n - 1, n + 1):
            other = resized(leaf.runner, failed.leaves, n, new, leading=False) if new > 0 else None
            if other is None:
                continue
            ratio = _ratio_at(leaf, other.leaves)
            if ratio is not None:
                return n if abs(ratio - new) <= 1e-5 * new else None
    # Windows: n inputs per output, in a function that takes means (a product with 1/n would look the same).
    outputs = sum(dy.size for dy in failed.cotangents)
    inputs = failed.leaves[leaf.runner.flat.wrt[leaf.k]].size
    return n if n > 2 and outputs and inputs == n * outputs else None


def _ratio_at(leaf: WrongLeaf, leaves: Arrays) -> float | None:
    cotangents = make_cotangents("random", leaf.runner, leaves, 0)
    try:
        manual = leaf.runner.manual(leaves, cotangents)[leaf.k].astype(np.float64)
    except ValueError:
        return None
    return _ratio(manual, leaf.runner.reference(leaves, cotangents)[1][leaf.k])
