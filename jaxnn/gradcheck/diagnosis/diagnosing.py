"""Find the mistakes that explain the failures of a check."""

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.diagnosis.batches import one_example_only
from jaxnn.gradcheck.diagnosis.cotangents import ignored_cotangents, value_for_slope
from jaxnn.gradcheck.diagnosis.experiments import explain_by_mutants
from jaxnn.gradcheck.diagnosis.failing_points import explain_by_failing_points, explain_given_kinks
from jaxnn.gradcheck.diagnosis.scale_factors import scale_factor, zero
from jaxnn.gradcheck.diagnosis.shapes import swapped, transposed, wrong_shape
from jaxnn.gradcheck.diagnosis.signs import only_for_one_sign
from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, clearly_wrong
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
)
_EXPLANATIONS = (
    wrong_shape,
    zero,
    scale_factor,
    transposed,
    swapped,
    value_for_slope,
    only_for_one_sign,
    one_example_only,
)


def diagnose(examiner: Examiner, examinations: list[Examination], rows: list[Row]) -> list[Diagnosis]:
    """Return the mistakes that explain the failing rows, or an empty list if none is certain."""
    runner = examiner.runner
    if any(row.status == "undecided" for row in rows) or not any(row.status == "fail" for row in rows):
        return []
    smooth = [e for e in examinations if e.dtype == "float64" and e.kind == "smooth"]
    wrong = [e for e in smooth if clearly_wrong(e)]
    failed = next((e for e in wrong if not examiner.wrong_only_at_kinks(e)), None)
    if failed is None and wrong:
        return explain_given_kinks(examiner, examinations)
    if failed is None:
        return explain_by_failing_points(runner, examinations, rows)
    ignored = ignored_cotangents(smooth)
    if ignored:
        return _merged(ignored, complete=len(ignored) == len(failed.manual))
    leaves = [k for k, row in enumerate(failed.rows) if row.status == "fail"]
    explained: dict[int, Diagnosis] = {}
    for k in leaves:
        leaf = WrongLeaf(runner, k, failed, smooth, examinations)
        diagnosis = next((d for d in (explain(leaf) for explain in _EXPLANATIONS) if d is not None), None)
        if diagnosis is not None:
            explained[k] = diagnosis
    unexplained = [WrongLeaf(runner, k, failed, smooth, examinations) for k in leaves if k not in explained]
    if unexplained:
        explained |= explain_by_mutants(unexplained)
    return _merged([explained[k] for k in leaves if k in explained], complete=len(explained) == len(leaves))


def _merged(diagnoses: list[Diagnosis], complete: bool) -> list[Diagnosis]:
    """Return one diagnosis for all leaves, if `complete` and equal for all of them."""
    unique = list(dict.fromkeys(diagnoses))
    if len(unique) > 1 and complete and len({(d.kind, d.text) for d in unique}) == 1:
        return [unique[0]._replace(leaf="")]
    return unique
