"""A gradient that is a constant times the right one: which constant, and whose."""

import numpy as np

from jaxnn.gradcheck.examination import Evidence
from jaxnn.gradcheck.points import make_cotangents, resized
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Arrays, Runner


def factor(
    runner: Runner, smooth: list[Evidence], failed: Evidence, k: int, evidence: list[Evidence]
) -> Diagnosis | None:
    """The diagnosis for leaf k (any shape), where its gradient is c times the right one in every smooth situation."""
    # Where the gradient all but vanishes, as in a softmax that is saturated, a ratio is noise.
    size = np.abs(failed.reference[k]).max(initial=0.0)
    heard = [e for e in smooth if np.abs(e.reference[k]).max(initial=0.0) > 1e-5 * size]
    ratios = [_ratio(e.hand[k].astype(np.float64), e.reference[k]) for e in heard]
    if len(ratios) < 2 or any(r is None for r in ratios):
        return None
    c = float(np.median(ratios))
    if c == 0 or abs(c - 1) < 1e-6 or max(abs(r - c) for r in ratios) > 1e-6 * abs(c):
        return None
    name = failed.rows[k].leaf
    if abs(c + 1) < 1e-6:
        return Diagnosis("sign", name, "the gradient has the opposite sign")
    m = _batch_behind(runner, failed, k, c, evidence)
    if m is not None:
        if c > 1:
            return Diagnosis("missing 1/m", name, f"it is {m} times the gradient, and m = {m}: a sum where the mean is")
        return Diagnosis("1/m twice", name, f"it is 1/{m} of the gradient, and m = {m}: divided by m once too often")
    n = _size_behind(runner, failed, k, c)
    if n is not None:
        text = f"it is {n:g} times the gradient, and {n:g} terms are averaged there: a sum where the mean was meant"
        return Diagnosis("sum for mean", name, text)
    return Diagnosis("constant factor", name, f"it is {c:.6g} times the gradient everywhere")


def _ratio(hand: np.ndarray, reference: np.ndarray) -> float | None:
    if hand.shape != reference.shape or not np.isfinite(hand).all():
        return None
    square = float((reference * reference).sum())
    c = float((hand * reference).sum()) / square if square > 0 else 0.0
    return c if np.abs(hand - c * reference).max() <= 1e-7 * max(abs(c), 1e-30) * np.abs(reference).max() else None


def _batch_behind(runner: Runner, failed: Evidence, k: int, c: float, evidence: list[Evidence]) -> int | None:
    """The batch size m, where c is m or 1/m, and follows it when the batch is cut or grown."""
    m = c if c > 1 else 1 / c
    if abs(m - round(m)) > 1e-5 * m or round(m) < 2:
        return None
    m = round(m)
    leading = {a.shape[0] for a in (*failed.leaves, *failed.cotangents) if a.ndim}
    if m not in leading:
        return None
    others = [e for e in evidence if e.size is not None and e.size[0] == m]
    ratios = [(e.size[1], _ratio(e.hand[k].astype(np.float64), e.reference[k])) for e in others]
    if any(r is None or abs((r if c > 1 else 1 / r) - new) > 1e-5 * new for new, r in ratios if r != 0):
        return None
    return m


def _size_behind(runner: Runner, failed: Evidence, k: int, c: float) -> float | None:
    """The number of averaged terms, where c is that: an axis's size, proved by resizing it, or inputs per output."""
    if c < 2 - 1e-6 or abs(c - round(c)) > 1e-5 * c:
        return None
    n = round(c)
    sizes = {size for leaf in failed.leaves for size in leaf.shape}
    if n in sizes:
        for new in (n - 1, n + 1):
            other = resized(runner, failed.leaves, n, new, leading=False) if new > 0 else None
            if other is None:
                continue
            ratio = _at(runner, other.leaves, k)
            if ratio is not None:
                return n if abs(ratio - new) <= 1e-5 * new else None
    # Windows: so many inputs per output, in a function that takes means (a product with 1/n would look the same).
    outputs = sum(dy.size for dy in failed.cotangents)
    inputs = failed.leaves[runner.flat.asked[k]].size
    return n if n > 2 and outputs and inputs == n * outputs else None


def _at(runner: Runner, leaves: Arrays, k: int) -> float | None:
    cotangents = make_cotangents("random", runner, leaves, 0)
    try:
        hand = runner.hand(leaves, cotangents)[k].astype(np.float64)
    except ValueError:
        return None
    return _ratio(hand, runner.reference(leaves, cotangents)[1][k])
