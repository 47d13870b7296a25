"""Mistakes for arguments of one sign only, as in one branch of a `where`."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, examine, manual_gradient
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis

_DRAWS = 2
_MAGNITUDES = (0.05, 3.0)


def only_for_one_sign(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain wrong elements that are all at arguments of one sign, or all at exact zeros, at every test point.

    The wrong ones must have that sign at further arguments too, of many sizes: else they may be those beyond a number.
    """
    # Not at scaled arguments: they come near to 0, where another branch of the mistake may begin.
    given = [e for e in leaf.smooth if "scaled" not in e.name]
    counted = _wrong_elements(leaf, given)
    if counted is None:
        return None
    off, z = counted
    if off.sum() < 2:
        return None
    for kind, inside, outside, condition in (
        ("only at the kink", z == 0, z != 0, "is exactly zero"),
        ("only for z < 0", z < 0, z > 0, "is negative"),
        ("only for z > 0", z > 0, z < 0, "is positive"),
    ):
        if not (off[inside].any() and not off[outside].any() and outside.sum() >= 3 and off[inside].mean() > 0.9):
            continue
        if kind == "only at the kink":
            if not all(leaf.examiner.wrong_only_at_kinks(e) for e in given if e.rows[leaf.k].status == "fail"):
                return None
        elif not _at_other_sizes(leaf, kind):
            return None
        text = f"wrong only where the argument {condition}; the other {int(outside.sum())} elements are right"
        return Diagnosis(kind, leaf.name, text)
    return None


def _wrong_elements(leaf: WrongLeaf, examinations: list[Examination]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return which of the informative elements are wrong, and the arguments there."""
    wrong, values = [], []
    for e in examinations:
        z, manual, reference = e.leaves[leaf.runner.flat.wrt[leaf.k]], manual_gradient(e, leaf.k), e.reference[leaf.k]
        if manual.shape != reference.shape:
            return None
        off = ~(np.abs(manual - reference) <= 1e-6 * max(np.abs(reference).max(initial=0.0), 1e-30))
        informative = off | (reference != 0) | (manual != 0)
        wrong.append(off[informative])
        values.append(z[informative])
    return np.concatenate(wrong), np.concatenate(values)


def _at_other_sizes(leaf: WrongLeaf, kind: str) -> bool:
    """Return True if, at arguments of other sizes and of both signs, the wrong elements are those of one sign."""
    i, tried = leaf.runner.flat.wrt[leaf.k], []
    size = np.abs(leaf.failed.leaves[i]).max(initial=0.0)
    for draw in range(_DRAWS):
        rng = np.random.default_rng([leaf.examiner.seed, 606, draw])
        shape = leaf.failed.leaves[i].shape
        least, most = np.log(_MAGNITUDES)
        magnitudes = size * np.exp(rng.uniform(least, most, shape))
        leaves = list(leaf.failed.leaves)
        leaves[i] = rng.permuted(np.where(np.arange(magnitudes.size).reshape(shape) % 2, 1, -1)) * magnitudes
        tried.append(examine(leaf.examiner, "x" * draw, leaf.runner.flat.project(leaves)))
    counted = _wrong_elements(leaf, [e for e in tried if e is not None])
    if counted is None:
        return False
    off, z = counted
    wrong_side = z < 0 if kind == "only for z < 0" else z > 0
    both = wrong_side.any() and (~wrong_side).any()
    return bool(both and off[wrong_side].mean() > 0.9 and not off[~wrong_side].any())
