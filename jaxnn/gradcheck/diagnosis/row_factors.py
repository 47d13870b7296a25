"""Factors that are not constants: an argument of the function, or a number for each row."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, manual_gradient, placements
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.report import Diagnosis

_POWERS = {1.0: "{}", -1.0: "1/{}", 2.0: "{}²", -2.0: "1/{}²", 0.5: "sqrt({})", -0.5: "1/sqrt({})"}


def factor_of_an_argument(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is off by a factor which is another argument, or a power of it."""
    own = leaf.runner.flat.wrt[leaf.k]
    shape = leaf.reference.shape
    if leaf.manual.shape != shape:
        return None
    for j in (j for j in range(len(leaf.failed.leaves)) if j != own):
        # Every point must not have the same values there, as labels have: the factor could be another number.
        if len({e.leaves[j].tobytes() for e in leaf.smooth}) < 2:
            continue
        for placed in placements(leaf.failed.leaves[j].shape, shape):
            for power, text in _POWERS.items():
                for sign in (1, -1):

                    def predict(e: Examination, j=j, placed=placed, power=power, sign=sign) -> np.ndarray:
                        factor = e.leaves[j].astype(np.float64) ** power
                        return sign * factor.reshape(placed) * e.reference[leaf.k]

                    if leaf.explained_by(predict):
                        name = leaf.runner.flat.names[j]
                        factor = f"{'-' if sign < 0 else ''}{text.format(name)}"
                        text = f"it is {factor} times the gradient, and {name} is an argument"
                        return Diagnosis("factor of an argument", leaf.name, text)
    return None


def factor_per_row(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is right but for a factor at each index of an axis, the same one at every point.

    It may depend on whole numbers among the arguments, such as the sizes of classes.
    """
    whole = [j for j, a in enumerate(leaf.failed.leaves) if not is_floating(a)]
    same = [e for e in leaf.smooth if all(np.array_equal(e.leaves[j], leaf.failed.leaves[j]) for j in whole)]
    comparable = leaf._replace(smooth=same)
    if leaf.manual.shape != leaf.reference.shape:
        return None
    for axis in range(leaf.manual.ndim):
        if leaf.reference.shape[axis] < 2:
            continue
        first = _row_factors(leaf.failed, leaf.k, axis)
        if not _is_a_row_factor(first):
            continue
        factors = first.reshape([-1 if a == axis else 1 for a in range(leaf.manual.ndim)])
        if comparable.explained_by(lambda e, factors=factors: e.reference[leaf.k] * factors):
            shown = ", ".join(f"{c:.4g}" for c in first[:4]) + (", ..." if len(first) > 4 else "")
            text = f"it is the gradient with a factor for each index of axis {axis}: {shown}"
            return Diagnosis("factor per row", leaf.name, text)
    return None


def _row_factors(e: Examination, k: int, axis: int) -> np.ndarray:
    """Return the best factor for each index of an axis, NaN for a row without a gradient."""
    h, r = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (manual_gradient(e, k), e.reference[k]))
    squares = (r * r).sum(1)
    return np.where(squares > 0, (h * r).sum(1) / np.where(squares > 0, squares, 1), np.nan)


def _is_a_row_factor(factors: np.ndarray) -> bool:
    """Return True if all are known and differ, at least two are not 1, and none is 0: that is another mistake."""
    if not np.isfinite(factors).all():
        return False
    off = np.abs(factors - 1) > 1e-5
    return bool(np.ptp(factors) > 1e-5 * np.abs(factors).max() and off.sum() >= 2 and (np.abs(factors) > 1e-6).all())
