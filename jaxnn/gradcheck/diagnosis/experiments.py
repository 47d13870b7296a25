"""Diagnosis by experiment: which mistake, put into the function's own derivative, gives the manual gradient?"""

from collections.abc import Iterator

import numpy as np

from jaxnn.gradcheck.diagnosis.mutations import Mutant, mutants
from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Arrays


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
        gradients = mutant.gradients(failed.leaves, failed.cotangents)
        keeps = all(
            close(gradients[k], failed.reference[k]) or not failed.reference[k].any()
            for k, row in enumerate(failed.rows)
            if row.status != "fail"
        )
        if keeps and all(close(leaf.manual, gradients[leaf.k]) for leaf in leaves) and _everywhere(mutant, leaves):
            return {leaf.k: Diagnosis(mutant.kind, leaf.name, mutant.text) for leaf in leaves}
    return dict(_truncated(leaves))


def _everywhere(mutant: Mutant, leaves: list[WrongLeaf]) -> bool:
    """Return True if a mutant gives the manual gradients of these leaves at every smooth point."""
    known: dict[int, Arrays] = {}

    def at(e: Examination) -> Arrays:
        if id(e) not in known:
            known[id(e)] = mutant.gradients(e.leaves, e.cotangents)
        return known[id(e)]

    return all(leaf.explained_by(lambda e, k=leaf.k: at(e)[k]) for leaf in leaves)


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
            kept = (np.arange(steps) >= first).reshape([-1 if a == axis else 1 for a in range(manual.ndim)])

            def truncated(e: Examination, k=leaf.k, kept=kept) -> np.ndarray:
                return e.reference[k] * kept

            if len(nonzero) == steps - first and leaf.explained_by(truncated) and _over_time(leaf, axis):
                text = f"the gradient reaches back {steps - first} of {steps} steps"
                yield leaf.k, Diagnosis("truncated recurrence", leaf.name, text)
                break


def _over_time(leaf: WrongLeaf, axis: int) -> bool:
    """Return True if the gradient at the first index of an axis depends on what is at the last one, as in a recurrence.

    Examples do not depend on one another.
    """
    e, i = leaf.failed, leaf.runner.flat.wrt[leaf.k]

    def last_changed(a: np.ndarray) -> np.ndarray:
        changed = np.moveaxis(a.copy(), axis, 0)
        changed[-1] = 0.5 * changed[-1]
        return np.moveaxis(changed, 0, axis)

    leaves = [last_changed(a) if j == i else a for j, a in enumerate(e.leaves)]
    steps = e.leaves[i].shape[axis]
    cotangents = [last_changed(dy) if dy.ndim > axis and dy.shape[axis] == steps else dy for dy in e.cotangents]
    before = np.take(leaf.reference, 0, axis)
    for at, dy in ((leaves, e.cotangents), (e.leaves, cotangents)):
        after = np.take(leaf.runner.reference(at, dy)[1][leaf.k], 0, axis)
        if np.abs(after - before).max(initial=0.0) > 1e-9 * np.abs(before).max(initial=0.0):
            return True
    return False
