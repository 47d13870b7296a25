"""Mistakes with the factor dy g'(z): dy ignored, or the value g(z) in place of the slope."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close, manual_gradient
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis


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
    failed = leaf.failed
    if leaf.runner.flat.problem.scalar or len(failed.cotangents) != 1:
        return None
    y, _ = leaf.runner.reference(failed.leaves, failed.cotangents)
    if y[0].shape == leaf.reference.shape and close(leaf.manual, failed.cotangents[0] * y[0]):
        text = "it is dy g(z): use the slope dy g'(z) instead of the value"
        return Diagnosis("g for g'", leaf.name, text)
    return None
