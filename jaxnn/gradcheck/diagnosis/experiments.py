"""Diagnosis by experiment: which mistake, put into the function's own derivative, gives the manual gradient?"""

from collections.abc import Iterator

import numpy as np

from jaxnn.gradcheck.diagnosis.mutations import mutants
from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close
from jaxnn.gradcheck.report import Diagnosis


def explain_by_mutants(leaves: list[WrongLeaf]) -> dict[int, Diagnosis]:
    """Return, by the position of the leaf, the mistake inside the function that explains all of these leaves.

    Other leaves must keep the right gradient. Without such a mistake, gradients that are right for the last steps in
    time only are explained one by one.
    """
    runner, failed = leaves[0].runner, leaves[0].failed
    try:
        tried = mutants(runner, failed.leaves, failed.cotangents)
    except Exception:  # the small interpreter cannot run this function
        return {}
    for mutant in tried:
        explains = all(_explains(mutant.gradients[leaf.k], leaf) for leaf in leaves)
        keeps = all(
            close(mutant.gradients[k], failed.reference[k]) or not failed.reference[k].any()
            for k, row in enumerate(failed.rows)
            if row.status != "fail"
        )
        if explains and keeps:
            return {leaf.k: Diagnosis(mutant.kind, leaf.name, mutant.text) for leaf in leaves}
    return dict(_truncated(leaves))


def _explains(gradient: np.ndarray, leaf: WrongLeaf) -> bool:
    """Return True if the manual gradient equals this one, and does so much better than it equals the reference."""
    if not close(leaf.manual, gradient):
        return False
    distance = np.abs(leaf.manual - gradient).max(initial=0.0)
    return bool(distance <= 1e-2 * np.abs(leaf.manual - leaf.reference).max(initial=0.0))


def _truncated(leaves: list[WrongLeaf]) -> Iterator[tuple[int, Diagnosis]]:
    """Explain leaves with an axis of time whose gradient is right for the last steps and zero before them."""
    for leaf in leaves:
        manual, reference = leaf.manual, leaf.reference
        for axis in range(min(manual.ndim, 2) if manual.shape == reference.shape else 0):
            steps = manual.shape[axis]
            by_step = np.moveaxis(manual, axis, 0).reshape(steps, -1)
            right = np.moveaxis(reference, axis, 0).reshape(steps, -1)
            nonzero = np.flatnonzero(by_step.any(1))
            if steps < 3 or len(nonzero) in (0, steps) or not right.any(1).all():
                continue
            first = nonzero[0]
            if len(nonzero) == steps - first and close(by_step[first:], right[first:]):
                text = f"the gradient reaches back {steps - first} of {steps} steps"
                yield leaf.k, Diagnosis("truncated recurrence", leaf.name, text)
                break
