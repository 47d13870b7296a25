"""Mistakes with the factor dy g'(z): dy ignored or not linear in it, or the value g(z) in place of the slope."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close, manual_gradient
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Arrays

_ROUNDED = 2e-2
"""Relative error up to which a sum may differ where the backward rounds to half precision."""


def ignored_cotangents(smooth: list[Examination]) -> list[Diagnosis]:
    """Explain gradients that are the same for every cotangent."""
    at_given = [e for e in smooth if e.name.startswith("given") and "zero" not in e.name]
    if len(at_given) < 3 or not all(e.failed for e in at_given):
        return []
    diagnoses = []
    for k in range(len(at_given[0].manual)):
        first = manual_gradient(at_given[0], k)
        constant = first.any() and all(np.array_equal(first, manual_gradient(e, k)) for e in at_given[1:])
        if constant and not close(at_given[0].reference[k], at_given[1].reference[k]):
            text = "the gradient is the same for every cotangent: multiply by dy"
            diagnoses.append(Diagnosis("cotangent ignored", at_given[0].rows[k].leaf, text))
    return diagnoses


def value_for_slope(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient dy g(z) that should be dy g'(z)."""
    if not leaf.single_output:
        return None

    def of_value(e: Examination) -> np.ndarray:
        return e.cotangents[0] * leaf.runner.reference(e.leaves, e.cotangents)[0][0]

    if leaf.explained_by(of_value):
        text = "it is dy g(z): use the slope dy g'(z) instead of the value"
        return Diagnosis("g for g'", leaf.name, text)
    return None


def not_linear(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is not linear in dy, at two or more points."""
    if leaf.runner.flat.problem.scalar:
        return None
    # With the cotangents that failed too: the mistake may show for large ones alone.
    points = (leaf.failed, *leaf.smooth[:1], *leaf.smooth[-2:])
    tried = (_nonlinearity(leaf, e, leaf.failed.cotangents) or _nonlinearity(leaf, e, e.cotangents) for e in points)
    found = [text for text in tried if text]
    if len(found) < 2:
        return None
    return Diagnosis("not linear in dy", leaf.name, f"{found[0]}: a gradient is linear in dy")


def _nonlinearity(leaf: WrongLeaf, e: Examination, dy: Arrays) -> str:
    """Return how the manual gradient fails to be linear at dy and the arguments of an examination, or ""."""

    def manual(dy: Arrays) -> np.ndarray:
        cast = [np.asarray(c, like.dtype) for c, like in zip(dy, e.cotangents, strict=True)]
        return leaf.runner.manual(e.leaves, cast)[leaf.k].astype(np.float64)

    def differ(a: np.ndarray, b: np.ndarray, digits: float) -> bool:
        scale = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
        return bool(np.isfinite(scale) and np.abs(a - b).max(initial=0.0) > digits * scale > 0)

    others = make_cotangents("positive", leaf.runner, e.leaves, leaf.examiner.seed)
    try:
        once, twice = manual(dy), manual([2 * c for c in dy])
        opposite, other = manual([-c for c in dy]), manual(others)
        both = manual([a + b for a, b in zip(dy, others, strict=True)])
    except Exception:  # the examinations have rows for it
        return ""
    # Doubling and a change of sign are exact in every precision; the sum of two is not.
    if differ(twice, 2 * once, 1e-5):
        return "the gradient for 2 dy is not twice that for dy"
    if differ(opposite, -once, 1e-5):
        return "the gradient for -dy is not the negative of that for dy"
    if differ(both, once + other, _ROUNDED):
        return "the gradient for the sum of two dy is not the sum of those for each"
    return ""
