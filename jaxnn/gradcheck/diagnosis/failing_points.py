"""Mistakes that show at some test points only: at a kink, when saturated, under vmap, in low precision."""

import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.diagnosis.wrong_leaf import clearly_wrong, manual_gradient
from jaxnn.gradcheck.examination import Examination, Examiner
from jaxnn.gradcheck.finite_differences import Line
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Runner

_ANOTHER_SLOPE = "right where the derivative exists; at the kink it takes a slope that is not accepted"


def explain_by_failing_points(runner: Runner, examinations: list[Examination], rows: list[Row]) -> list[Diagnosis]:
    """Explain a gradient that is right at ordinary points in float64 by what the failing test points have in common."""
    rounding = {e.name for e in examinations if e.dtype == "float64" and not clearly_wrong(e)}
    failing = {row.test_point for row in rows if row.status == "fail"} - rounding
    by_name = {e.name: e.kind for e in examinations}
    kinds = {by_name.get(name, "other") for name in failing}
    if kinds == {"transform"}:
        if all(name.startswith("vmap") for name in failing):
            names = ", ".join(sorted(failing))
            text = f"right for single samples, wrong in {names}: look for shapes, axes and sums of the batch"
            return [Diagnosis("only under vmap", "", text)]
        return []
    if "size" in kinds or "other" in kinds or "smooth" in kinds or "transform" in kinds:
        return []
    if "kink" in kinds and kinds <= {"kink", "precision"}:
        if not all(_has_kink(runner, e) for e in examinations if e.kind == "kink" and e.name in failing):
            return []  # for example, the manual gradient divides by zero at a point where f is smooth
        return [Diagnosis("only at the kink", "", _ANOTHER_SLOPE)]
    of_dtypes = [row for row in rows if row.status == "fail" and row.text.startswith("dtype")]
    if "saturated" in kinds and kinds <= {"saturated", "precision"} and not of_dtypes:
        names = ", ".join(sorted(failing)[:4])
        text = f"right at ordinary sizes, wrong {names}: look for an exp, a log or a quotient that overflows"
        return [Diagnosis("only when saturated", "", text)]
    if kinds == {"precision"}:
        return [_low_precision(examinations, rows, failing, rounding)]
    return []


def explain_given_kinks(examiner: Examiner, examinations: list[Examination]) -> list[Diagnosis]:
    """Explain wrong slopes at a kink among the given arguments, if nothing else is wrong at the other test points."""
    wrong = [e for e in examinations if e.dtype == "float64" and e.kind != "transform" and clearly_wrong(e)]
    if not all(examiner.wrong_only_at_kinks(e) for e in wrong):
        return []
    return [Diagnosis("only at the kink", "", _ANOTHER_SLOPE)]


def _low_precision(
    examinations: list[Examination], rows: list[Row], failing: set[str], rounding: set[str]
) -> Diagnosis:
    dtypes = ", ".join(sorted({e.dtype for e in examinations if e.name in failing}))
    texts = {row.text for row in rows if row.status == "fail" and row.test_point in failing}
    if all(text.startswith("dtype") for text in texts):
        text = f"right in value, but not in the dtype of {dtypes}: a NumPy number or a wider array promotes"
    elif rounding & {row.test_point for row in rows if row.status == "fail"}:
        text = f"it loses digits in float64 already, and too many in {dtypes}: look for a cancellation"
    else:
        text = f"right in float64, wrong in {dtypes}: look for a cancellation, small constants, overflow, long sums"
    return Diagnosis("only in low precision", "", text)


def _has_kink(runner: Runner, examination: Examination) -> bool:
    """Return True if f has a kink where the manual gradient is not finite; also if it is finite everywhere."""
    broken = [~np.isfinite(manual_gradient(examination, k)) for k in range(len(examination.manual))]
    if not any(b.any() for b in broken):
        return True
    direction = [b.astype(np.float64) for b in broken]
    eps = compute_eps(runner, examination.leaves)
    return Line(runner, examination.leaves, examination.cotangents, direction, eps).slope().at_kink()
