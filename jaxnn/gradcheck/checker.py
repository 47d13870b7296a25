"""Run a check: every test point and precision, other batch sizes, transformations; then diagnose and report."""

from collections.abc import Iterator

import jax
import numpy as np

from jaxnn.constraints import checked
from jaxnn.gradcheck.adjudication import adjudicate
from jaxnn.gradcheck.batch_sizes import at_other_batch_sizes
from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.diagnosis import diagnose
from jaxnn.gradcheck.examination import Examination, Examiner, OutsideDomainError
from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.points import TestPoint, in_float64, make_cotangents, make_test_points, one_at_a_time
from jaxnn.gradcheck.preconditions import check_differentiable, check_no_custom_rules, check_pure
from jaxnn.gradcheck.problem import OPTIONS, Problem, as_gradcheck_error
from jaxnn.gradcheck.report import Report
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.gradcheck.transforms import transformed


@np.errstate(all="ignore")  # values that are not finite are examined and reported
@as_gradcheck_error()
@checked(**OPTIONS)
def report_on(problem: Problem, *, fast: bool, seed: int, batch: int | None = None) -> Report:
    """Check a manual gradient.

    Args:
      problem: the functions and the arguments.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.
      batch: size of the batch axis, if it cannot be found by trying which axes f lets grow.

    Returns:
      A `Report`.

    Raises:
      GradcheckError: if an option is invalid, if a function is not pure or not differentiable, if an argument is not
        finite, if the backward raises, or if the structure of what it returns does not match.
    """
    # Test points are made on the host and move to the device one after another; that is intended.
    with jax.debug_nans(False), jax.debug_infs(False), jax.transfer_guard("allow"):
        return _report_on(problem, fast, seed, batch)


def _report_on(problem: Problem, fast: bool, seed: int, batch: int | None) -> Report:
    flat = FlatProblem(problem)
    runner = Runner(flat)
    given = in_float64(flat)
    check_no_custom_rules(flat, given)
    check_differentiable(runner, given, seed)
    examiner = Examiner(runner, seed)
    check_pure(runner, given, seed)

    points = [p for p in make_test_points(flat, seed) if not fast or p.name.startswith("given")]
    examinations: list[Examination] = []
    rows: list[Row] = []
    for result in _examine_all(examiner, points, fast, seed, batch):
        if isinstance(result, Examination):
            examinations.append(result)
            rows += result.rows
        else:
            rows.append(result)
    rows += _weak_types(runner, seed)
    if problem.value is not None:
        rows += _compare_values(runner, given)
    observations: list[str] = []
    rows += adjudicate(runner, examinations, seed, observations)
    rows += [Row("at a kink", leaf, "note", text=text) for leaf, text in examiner.subgradient_notes.items()]
    diagnoses = diagnose(examiner, examinations, rows)
    return Report(problem.title, tuple(rows), tuple(diagnoses), tuple(observations))


def _examine_all(
    examiner: Examiner, points: list[TestPoint], fast: bool, seed: int, batch: int | None
) -> Iterator[Examination | Row]:
    runner = examiner.runner
    for point in points:
        yield from _examine_at(examiner, point, "float64", seed)
    for dtype in _precisions(runner.flat, fast):
        for point in points:
            if point.name == "given" or (not fast and point.name in _LOW_PRECISION):
                yield from _examine_at(examiner, point, dtype, seed)
    if not fast:
        yield from at_other_batch_sizes(examiner, points[0], seed, batch)
        yield from transformed(examiner, points[0], seed)


_LOW_PRECISION = ("scaled by 0.1", "scaled by 10", "some exact zeros", "at ±10", "at ±1e4")
_LOW_PRECISION += ("given, large cotangent", "given, negative cotangent")


def _precisions(flat: FlatProblem, fast: bool) -> list[str]:
    own = sorted({str(flat.leaves[i].dtype) for i in flat.floating} - {"float64"})
    return own if fast else list(dict.fromkeys([*own, "float32", "bfloat16", "float16"]))


def _examine_at(examiner: Examiner, point: TestPoint, dtype: str, seed: int) -> Iterator[Examination | Row]:
    """Examine a point; if it is outside the domain, yield a row that skips it, and examine changes of single leaves."""
    name = point.name if dtype == "float64" else f"{point.name}, {dtype}"
    kind = point.kind if dtype == "float64" else "precision"
    try:
        cotangents = make_cotangents(point.cotangents, examiner.runner, point.leaves, seed)
        yield examiner.examine(name, kind, point.leaves, cotangents, dtype)
        return
    except OutsideDomainError as reason:
        yield Row(name, "all", "skip", text=str(reason))
    if dtype != "float64" or point.name.startswith("given") or len(examiner.runner.flat.floating) < 2:
        return
    tried = set()
    for leaf, alone in one_at_a_time(examiner.runner.flat, point):
        if leaf.strip("|") in tried:
            continue  # with the signs as they are, it was inside the domain
        try:
            cotangents = make_cotangents(alone.cotangents, examiner.runner, alone.leaves, seed)
            yield examiner.examine(alone.name, kind, alone.leaves, cotangents, dtype)
            tried.add(leaf)
        except OutsideDomainError:
            continue


def _weak_types(runner: Runner, seed: int) -> list[Row]:
    """Return a note for each gradient that is weakly typed, which makes programs compile twice."""
    flat = runner.flat
    try:
        cotangents = make_cotangents("random", runner, flat.leaves, seed)
        shapes = jax.eval_shape(flat.manual, flat.leaves, cotangents)
    except Exception:  # it does not trace, which is reported as "jit"
        return []
    return [
        Row("types", flat.names[i], "note", text="weakly typed: its dtype follows from a Python scalar")
        for i, shape in zip(flat.wrt, shapes, strict=True)
        if getattr(shape, "weak_type", False)
    ]


def _compare_values(runner: Runner, given: Arrays) -> list[Row]:
    """Return the row that compares the value of the rule's forward with that of f."""
    y, _ = runner.reference(given, make_cotangents("ones", runner, given, 0))
    own = runner.value(given)
    if [a.shape for a in own] != [a.shape for a in y]:
        text = f"shapes must be {[a.shape for a in y]}, those of f, got {[a.shape for a in own]}"
        return [Row("value of the rule", "y", "fail", text=text)]
    eps = compute_eps(runner.flat, given)
    for a, b in zip(own, y, strict=True):
        size = np.abs(b).max(initial=0.0)
        off = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
        if not off <= 1e3 * eps * max(size, 1e-300):
            text = "the rule's forward differs from f"
            return [Row("value of the rule", "y", "fail", off, off / (size or 1.0), text=text)]
    return [Row("value of the rule", "y", "pass")]
