"""A gradient that is NaN or infinite where the right one is finite, and f has no kink."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import manual_gradient
from jaxnn.gradcheck.examination import Examination, Examiner
from jaxnn.gradcheck.kinks import is_smooth
from jaxnn.gradcheck.report import Diagnosis


def nan_where_smooth(examiner: Examiner, wrong: list[Examination]) -> list[Diagnosis]:
    """Explain gradients of which no element is wrong but by not being finite, at points where f is smooth.

    If `wrong` holds points beyond the ordinary sizes alone, or those and larger given arguments, the mistake is rather
    one of saturation.
    """
    kinds = {e.kind for e in wrong}
    if not kinds & {"smooth", "kink"} or not all(_not_finite_alone(e) for e in wrong):
        return []
    ordinary = [e for e in wrong if e.kind in ("smooth", "kink")]
    if not all(_is_smooth(examiner, e) for e in ordinary):
        return []
    leaves = list(dict.fromkeys(row.leaf for e in ordinary for row in e.rows if row.status == "fail"))
    if "saturated" in kinds and not any(e.name in ("all zeros", "scaled by 1e-3", "scaled by 0.1") for e in wrong):
        text = f"right at small arguments, NaN at {ordinary[0].name!r}: look for an exp or a quotient that overflows"
        return [Diagnosis("only when saturated", leaf, text) for leaf in leaves]
    text = f"NaN at {ordinary[0].name!r}, where f is smooth: look for a division by zero, 0 * inf or a power of 0"
    return [Diagnosis("nan where smooth", leaf, text) for leaf in leaves]


def _broken(e: Examination, k: int) -> np.ndarray:
    return ~np.isfinite(manual_gradient(e, k))


def _not_finite_alone(e: Examination) -> bool:
    """Return True if every wrong element is not finite."""
    for k, row in enumerate(e.rows):
        h, r = manual_gradient(e, k), e.reference[k]
        if h.shape != r.shape:
            return False
        off = ~(np.abs(h - r) <= 1e-6 * np.abs(r).max(initial=1e-300))
        if row.status == "fail" and not (off.any() and _broken(e, k)[off].all()):
            return False
    return True


def _is_smooth(examiner: Examiner, e: Examination) -> bool:
    """Return True if the gradients nearby agree with the reference where the manual gradient is not finite."""
    runner = examiner.runner
    masks = [_broken(e, k) for k in range(len(e.manual))]
    sizes = [np.abs(r).max(initial=0.0) or 1.0 for r in e.reference]
    return not runner.quotients and is_smooth(
        runner, e.leaves, e.cotangents, e.reference, masks, sizes, examiner.seed, 1e-3
    )
