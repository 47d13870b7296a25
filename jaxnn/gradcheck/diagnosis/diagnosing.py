"""Find the mistakes that explain the failures of a check."""

from collections.abc import Callable
from typing import Any

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.diagnosis.batches import one_example_only
from jaxnn.gradcheck.diagnosis.cotangents import ignored_cotangents, not_linear, value_for_slope
from jaxnn.gradcheck.diagnosis.epsilons import epsilon
from jaxnn.gradcheck.diagnosis.experiments import explain_by_mutants
from jaxnn.gradcheck.diagnosis.failing_points import explain_by_failing_points, explain_given_kinks
from jaxnn.gradcheck.diagnosis.jacobians import diagonal_alone, straight_through
from jaxnn.gradcheck.diagnosis.not_finite import nan_where_smooth
from jaxnn.gradcheck.diagnosis.row_factors import factor_of_an_argument, factor_per_row
from jaxnn.gradcheck.diagnosis.scale_factors import opposite_sign, scale_factor, zero
from jaxnn.gradcheck.diagnosis.shapes import permuted, summed_too_much, swapped, transposed, wrong_shape
from jaxnn.gradcheck.diagnosis.signs import only_for_one_sign
from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, clearly_wrong, further_points
from jaxnn.gradcheck.examination import Examination, Examiner
from jaxnn.gradcheck.report import Diagnosis

KINDS = (
    "constant factor",
    "missing 1/m",
    "1/m twice",
    "sign",
    "transpose",
    "swapped",
    "zero",
    "missing sum",
    "sum for mean",
    "cotangent ignored",
    "g for g'",
    "only for z < 0",
    "only for z > 0",
    "only at the kink",
    "only when saturated",
    "only under vmap",
    "only in low precision",
    "truncated recurrence",
    "epsilon",
    "not linear in dy",
    "permutation",
    "summed too much",
    "diagonal alone",
    "factor per row",
    "factor of an argument",
    "straight-through",
    "nan where smooth",
)
Explanation = Callable[[WrongLeaf], Diagnosis | None]

# The first that holds is given, so the more specific ones come first. Mutants are tried between the two lists.
_FIRST: tuple[Explanation, ...] = (
    wrong_shape,
    zero,
    opposite_sign,
    swapped,
    scale_factor,
    transposed,
    value_for_slope,
    not_linear,
    summed_too_much,
    permuted,
    factor_of_an_argument,
    only_for_one_sign,
    one_example_only,
)
_LAST: tuple[Explanation, ...] = (diagonal_alone, factor_per_row, straight_through, epsilon)


def diagnose(examiner: Examiner, examinations: list[Examination], rows: list[Row]) -> list[Diagnosis]:
    """Return the mistakes that explain the failing rows, or an empty list if none is certain."""
    runner = examiner.runner
    if any(row.status == "undecided" for row in rows) or not any(row.status == "fail" for row in rows):
        return []
    in_float64 = [e for e in examinations if e.dtype == "float64"]
    shapes = [a.shape for a in examinations[0].leaves]
    smooth = [e for e in in_float64 if e.kind == "smooth" and [a.shape for a in e.leaves] == shapes]
    wrong = [e for e in smooth if clearly_wrong(e)]
    not_finite = nan_where_smooth(
        examiner, [e for e in in_float64 if e.kind in ("smooth", "kink", "saturated") and clearly_wrong(e)]
    )
    if not_finite:
        return not_finite
    failed = next((e for e in wrong if not examiner.wrong_only_at_kinks(e)), None)
    if failed is None and wrong:
        return explain_given_kinks(examiner, examinations)
    if failed is None:
        return explain_by_failing_points(runner, examinations, rows)
    ignored = ignored_cotangents(smooth)
    if ignored:
        return _merged(ignored, complete=len(ignored) == len(failed.manual))
    points = list({e.name: e for e in (smooth[0], failed)}.values())
    smooth += further_points(examiner, points)
    computed: dict[Any, Any] = {}
    leaves = [
        WrongLeaf(examiner, k, failed, smooth, examinations, computed)
        for k, row in enumerate(failed.rows)
        if row.status == "fail"
    ]
    explained = _explained(leaves, _FIRST)
    if unexplained := [leaf for leaf in leaves if leaf.k not in explained]:
        explained |= explain_by_mutants(unexplained)
    explained |= _explained([leaf for leaf in leaves if leaf.k not in explained], _LAST)
    return _merged(
        [explained[leaf.k] for leaf in leaves if leaf.k in explained], complete=len(explained) == len(leaves)
    )


def _explained(leaves: list[WrongLeaf], explanations: tuple[Explanation, ...]) -> dict[int, Diagnosis]:
    """Return, by the position of the leaf, the first explanation that holds for it."""
    found = {leaf.k: next((d for e in explanations if (d := e(leaf)) is not None), None) for leaf in leaves}
    return {k: diagnosis for k, diagnosis in found.items() if diagnosis is not None}


def _merged(diagnoses: list[Diagnosis], complete: bool) -> list[Diagnosis]:
    """Return one diagnosis for all leaves, if `complete` and equal for all of them."""
    unique = list(dict.fromkeys(diagnoses))
    if len(unique) > 1 and complete and len({(d.kind, d.text) for d in unique}) == 1:
        return [unique[0]._replace(leaf="")]
    return unique
