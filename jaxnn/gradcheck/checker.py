"""Run a check: every test point and precision, other sizes, transformations; then diagnose and report."""

from collections.abc import Iterator

import jax
import numpy as np

from jaxnn.gradcheck.adjudication import WrongAutodiffError, adjudicate
from jaxnn.gradcheck.assumptions import assume_symmetry, left_domain
from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.deadlines import OverdueError, is_limited
from jaxnn.gradcheck.diagnosis import diagnose, hint
from jaxnn.gradcheck.examination import NO_DIGITS, NOT_FINITE, Examination, Examiner
from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.inspection import compute_eps, has_rule
from jaxnn.gradcheck.options import Options
from jaxnn.gradcheck.orders import SECOND_ORDER, forward_mode, second_order
from jaxnn.gradcheck.points import TestPoint, in_float64, make_cotangents, make_test_points, one_at_a_time
from jaxnn.gradcheck.preconditions import (
    Setting,
    check_no_custom_rules,
    check_pure,
    find_setting,
    leave_out_constants,
)
from jaxnn.gradcheck.problem import GradcheckError, Problem
from jaxnn.gradcheck.references import OutsideDomainError, cast
from jaxnn.gradcheck.report import Report
from jaxnn.gradcheck.row_texts import worst_row
from jaxnn.gradcheck.runner import Arrays, BackwardRaisedError, Runner, raised
from jaxnn.gradcheck.sizes import ONE_EXAMPLE, at_other_batch_sizes, at_other_trailing_sizes, with_leading_axis
from jaxnn.gradcheck.source_lines import likely_line
from jaxnn.gradcheck.tracebacks import shortened, silenced
from jaxnn.gradcheck.transforms import transformed
from jaxnn.gradcheck.varied_points import far_points, whole_number_points


def report_on(problem: Problem, options: Options, default_order: int = 1) -> Report:
    """Check a manual gradient.

    Args:
      problem: the functions and the arguments.
      options: as the caller stated them.
      default_order: 2 to check the derivative of the backward too, unless `options` has another order.

    Returns:
      A `Report`.

    Raises:
      GradcheckError: if a function is not pure, if f has no finite value at the arguments, if the backward raises
        there, or if the structure of what it returns does not match.
    """
    __tracebackhide__ = True  # pytest shows the caller
    try:
        # Test points are made on the host and move to the device one after another; that is intended.
        # Values that are not finite are examined and reported.
        with (
            silenced("jax._src.callback"),
            np.errstate(all="ignore"),
            jax.debug_nans(False),
            jax.debug_infs(False),
            jax.transfer_guard("allow"),
        ):
            return _report_on(problem, options, options.order or default_order)
    except GradcheckError as error:
        raise shortened(error) from error.__cause__
    except (OverdueError, ValueError) as error:
        raise GradcheckError(f"{problem.title}: {error}") from error


def _report_on(problem: Problem, options: Options, order: int, quotients: bool = False) -> Report:
    flat = FlatProblem(problem, options.domain)
    runner = Runner(flat)
    runner.quotients = quotients
    given, seed = in_float64(flat), options.seed
    if not problem.meant:
        check_no_custom_rules(flat, given)
    constant = leave_out_constants(runner, given, seed)
    setting = find_setting(runner, given, seed)
    assumed = [*problem.assumed, *setting.assumed]
    assumed += constant
    if problem.ruled is not None and not has_rule(flat, problem.ruled, given):
        assumed.append("autodiff was compared with itself, since the function has no custom derivative rule")
    given = cast(given, setting.working)
    check_pure(runner, given, seed)
    assumed += assume_symmetry(runner, given, seed)
    examiner = Examiner(runner, options, setting.widest, setting.working)

    examinations: list[Examination] = []
    rows: list[Row] = []
    for result in _examine_all(examiner, setting, options):
        if isinstance(result, Examination):
            result = left_domain(flat, result, examinations, setting)
            examinations.append(result)
            rows += result.rows
        else:
            rows.append(result)
    if not any(e.name == "given" for e in examinations):
        raise GradcheckError(
            f"{problem.title}: the derivative of f must be finite at the given arguments: pass arguments inside its "
            "domain"
        )
    rows += _weak_types(runner, seed)
    rows += _compare_values(runner, given, setting, options)
    observations: list[str] = []
    try:
        rows += adjudicate(runner, examinations, seed, observations)
    except WrongAutodiffError:
        return _report_on(problem, options, order, quotients=True)
    if order > 1 and not any(row.status in ("fail", "undecided") for row in rows):
        rows += second_order(examiner, setting, given)
    rows += forward_mode(examiner, setting, given)
    rows += [Row(kind, leaf, "note", text=text) for (leaf, kind), text in examiner.references.notes.items()]
    if any(row.status == "fail" for row in rows):  # of a wrong gradient, the allowances mean nothing
        rows = [row._replace(status="skip") if row.text in _ALLOWANCES else row for row in rows]
    # Explanations are verified by autodiff.
    diagnoses = [] if runner.quotients else diagnose(examiner, examinations, rows)
    observations += hint(runner, examinations, rows, diagnoses)
    if runner.in_python and not is_limited():
        assumed.append("every function ends: what does not compile has a time limit in the main thread alone")
    line = _likely_line(runner, given, setting, seed, rows)
    tried = _tried(examinations)
    return Report(problem.title, tuple(rows), tuple(diagnoses), tuple(observations), tuple(assumed), line, tried)


_ALLOWANCES = (NO_DIGITS, NOT_FINITE, ONE_EXAMPLE)


def _likely_line(runner: Runner, given: Arrays, setting: Setting, seed: int, rows: list[Row]) -> str:
    """Return the line of code that likely computes the worst gradient, "" if nothing failed or it is not known."""
    flat, worst = runner.flat, worst_row(rows)
    wrt = [flat.names[i] for i in flat.wrt]
    if worst is None or worst.leaf not in wrt or worst.test_point == SECOND_ORDER:
        return ""
    leaves = cast(given, setting.working)
    cotangents = make_cotangents("random", runner, leaves, seed)
    return likely_line(flat, leaves, cotangents, wrt.index(worst.leaf)) or ""


def _tried(examinations: list[Examination]) -> str:
    """Return the precisions, sizes and transformations of the examinations, in a line."""
    sizes = dict.fromkeys(e.name.removesuffix(", negated") for e in examinations if e.kind == "size")
    transforms = dict.fromkeys(e.name.partition(" ")[0] for e in examinations if e.kind == "transform")
    parts = [dict.fromkeys(e.dtype for e in examinations), sizes or ["no other size"], transforms]
    return "; ".join(", ".join(part) for part in parts if part)


def _examine_all(examiner: Examiner, setting: Setting, options: Options) -> Iterator[Examination | Row]:
    flat, fast = examiner.runner.flat, options.fast
    points = [p for p in make_test_points(flat, options.seed) if not fast or p.name.startswith("given")]
    if examiner.runner.quotients:  # a step that is too long for a function far out
        points = [point for point in points if point.kind != "saturated"]
    precisions = _precisions(flat, setting, options)
    for point in points:
        yield from _examine_at(examiner, point, setting.working, setting)
    for dtype in precisions:
        for point in points:
            if point.name == "given" or (not fast and point.name in _LOW_PRECISION):
                yield from _examine_at(examiner, point, dtype, setting)
    if not fast:
        given = points[0]._replace(leaves=cast(points[0].leaves, setting.working))
        for point in whole_number_points(examiner.runner, given, options.seed):
            yield from _examine_at(examiner, point, setting.working, setting)
        if "float32" in (*precisions, setting.working):
            for point, size in far_points(examiner.runner, given):
                yield from _examine_at(examiner, point, "float32", setting, size)
        yield from at_other_batch_sizes(examiner, given, options.seed, options.batch)
        yield from at_other_trailing_sizes(examiner, given, options.seed)
        yield from with_leading_axis(examiner, given, options.seed)
        yield from transformed(examiner, given, options.seed)


_LOW_PRECISION = ("scaled by 0.1", "scaled by 10", "some exact zeros", "at ±10", "at ±1e4")
_LOW_PRECISION += ("given, large cotangent", "given, negative cotangent")


def _precisions(flat: FlatProblem, setting: Setting, options: Options) -> list[str]:
    """Return the precisions to check in besides the working one."""
    own = sorted({str(flat.leaves[i].dtype) for i in flat.floating})
    half = [] if flat.has_complex else ["bfloat16", "float16"]
    every = own if options.fast else list(dict.fromkeys([*own, "float32", *half]))
    every = every if options.dtypes is None else [d for d in options.dtypes if d in (*own, "float64", "float32", *half)]
    return [dtype for dtype in every if dtype not in ("float64", setting.working)]


def _examine_at(
    examiner: Examiner, point: TestPoint, dtype: str, setting: Setting, typical_size: float | None = None
) -> Iterator[Examination | Row]:
    """Examine a point; if it is outside the domain, yield a row that skips it, and examine changes of single leaves."""
    working, seed = dtype == setting.working, examiner.seed
    name = point.name if working else f"{point.name}, {dtype}"
    kind = point.kind if working else "precision"
    given = point.name == "given" and dtype in _given_precisions(examiner.runner.flat, setting)
    try:
        cotangents = make_cotangents(point.cotangents, examiner.runner, cast(point.leaves, setting.widest), seed)
        yield examiner.examine(name, kind, point.leaves, cotangents, dtype, typical_size)
        return
    except OutsideDomainError as reason:
        yield Row(name, "all", "skip", text=str(reason))
    except GradcheckError as error:
        if not isinstance(error, BackwardRaisedError) or given and _runs(examiner.runner, point.leaves, dtype):
            raise
        yield Row(name, "all", "note", text=error.text)
        return
    except Exception as error:
        yield Row(name, "all", "skip", text=raised(error))
    if not working or point.name.startswith("given") or len(examiner.runner.flat.floating) < 2:
        return
    tried = set()
    for leaf, alone in one_at_a_time(examiner.runner.flat, point):
        if leaf.strip("|") in tried:
            continue  # with the signs as they are, it was inside the domain
        try:
            cotangents = make_cotangents(alone.cotangents, examiner.runner, cast(alone.leaves, setting.widest), seed)
            yield examiner.examine(alone.name, kind, alone.leaves, cotangents, dtype)
            tried.add(leaf)
        except Exception:  # outside of the domain, as in the row above
            continue


def _runs(runner: Runner, leaves: Arrays, dtype: str) -> bool:
    """Return whether f itself runs in a precision: where it does not, the backward need not."""
    try:
        runner.f(cast(leaves, dtype))
    except Exception:
        return False
    return True


def _given_precisions(flat: FlatProblem, setting: Setting) -> set[str]:
    return {setting.working, *(str(flat.leaves[i].dtype) for i in flat.wrt)}


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


def _compare_values(runner: Runner, given: Arrays, setting: Setting, options: Options) -> list[Row]:
    """Return rows that compare the value of the rule, and of its forward, with that of f."""
    if not runner.flat.problem.values:
        return []
    leaves = cast(given, setting.working)
    y = runner.plain(leaves)
    eps = compute_eps(runner, leaves)
    rows = []
    for name, own in runner.values(leaves).items():
        row = Row(f"value of {name}", "y", "pass")
        if [a.shape for a in own] != [a.shape for a in y]:
            text = f"shapes must be {[a.shape for a in y]}, those of f, got {[a.shape for a in own]}"
            row = row._replace(status="fail", text=text)
        else:
            for a, b in zip(own, y, strict=True):
                wide = np.complex128 if np.iscomplexobj(b) else np.float64
                a, b = a.astype(wide), b.astype(wide)
                size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
                off = float(np.abs(np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, a - b)).max(initial=0.0))
                if not off <= (1e3 * eps + options.rtol) * max(size, 1e-300) + options.atol:
                    text = f"{name} has another value than f"
                    row = row._replace(status="fail", max_abs=off, max_rel=off / (size or 1.0), text=text)
        rows.append(row)
    return rows
