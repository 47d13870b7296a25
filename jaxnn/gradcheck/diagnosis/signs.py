"""Mistakes for arguments of one sign only, as in one branch of a `where`."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, manual_gradient
from jaxnn.gradcheck.report import Diagnosis


def only_for_one_sign(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain wrong elements that are all at arguments of one sign, or all at exact zeros, at every test point."""
    wrong, values = [], []
    # Not at scaled arguments: they come near to 0, where another branch of the mistake may begin.
    for e in (e for e in leaf.smooth if "scaled" not in e.name):
        z, manual, reference = e.leaves[leaf.runner.flat.wrt[leaf.k]], manual_gradient(e, leaf.k), e.reference[leaf.k]
        if manual.shape != reference.shape:
            return None
        off = ~(np.abs(manual - reference) <= 1e-6 * max(np.abs(reference).max(initial=0.0), 1e-30))
        informative = off | (reference != 0) | (manual != 0)
        wrong.append(off[informative])
        values.append(z[informative])
    off, z = np.concatenate(wrong), np.concatenate(values)
    if off.sum() < 2:
        return None
    for kind, inside, outside, condition in (
        ("only at the kink", z == 0, z != 0, "is exactly zero"),
        ("only for z < 0", z < 0, z > 0, "is negative"),
        ("only for z > 0", z > 0, z < 0, "is positive"),
    ):
        if off[inside].any() and not off[outside].any() and outside.sum() >= 3 and off[inside].mean() > 0.9:
            text = f"wrong only where the argument {condition}; the other {int(outside.sum())} elements are right"
            return Diagnosis(kind, leaf.name, text)
    return None
