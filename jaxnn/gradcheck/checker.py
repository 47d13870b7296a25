"""The check itself: all situations, all witnesses, one report."""

from collections.abc import Iterator

import jax
import numpy as np

from jaxnn.gradcheck.adjudication import numerically
from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.diagnosis import diagnose
from jaxnn.gradcheck.examination import Evidence, Examiner, OutsideDomainError
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.points import Situation, in_float64, is_label, make_cotangents, one_at_a_time, resized, situations
from jaxnn.gradcheck.preconditions import refuse_impure, refuse_indifferentiable, refuse_vacuous
from jaxnn.gradcheck.problem import Flat, GradcheckError, Problem, as_gradcheck_error, is_floating
from jaxnn.gradcheck.report import Report
from jaxnn.gradcheck.runner import Arrays, BackwardRaisedError, Runner
from jaxnn.gradcheck.transforms import transformed
from jaxnn.validation import check_flag, check_seed, described, is_count


@np.errstate(all="ignore")  # values that are not finite are examined and reported
def check(problem: Problem, *, fast: bool, seed: int, batch: int | None = None) -> Report:
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
    check_options(fast, seed, batch)
    # Test points are made on the host and move to the device one after another; that is intended.
    with jax.debug_nans(False), jax.debug_infs(False), jax.transfer_guard("allow"):
        return _check(problem, fast, seed, batch)


def check_options(fast: bool, seed: int, batch: int | None = None) -> None:
    """Raise GradcheckError unless fast is a bool, seed a valid seed, and batch `None` or an int >= 1."""
    with as_gradcheck_error():
        check_flag("fast", fast)
        check_seed(seed)
    if batch is not None and not is_count(batch):
        raise GradcheckError(f"batch must be an int >= 1, got {described(batch)}")


def _check(problem: Problem, fast: bool, seed: int, batch: int | None) -> Report:
    flat = Flat(problem)
    runner = Runner(flat)
    given = in_float64(flat)
    refuse_vacuous(flat, given)
    refuse_indifferentiable(runner, given, seed)
    examiner = Examiner(runner, seed)
    refuse_impure(runner, given, seed)

    points = [s for s in situations(flat, seed) if not fast or s.name.startswith("given")]
    evidence: list[Evidence] = []
    rows: list[Row] = []
    for found in _gather(examiner, points, fast, seed, batch):
        if isinstance(found, Evidence):
            evidence.append(found)
            rows += found.rows
        else:
            rows.append(found)
    rows += _types(runner, seed)
    if problem.value is not None:
        rows += _values(runner, given)
    observations: list[str] = []
    rows += numerically(runner, evidence, seed, observations)
    rows += [Row("at a kink", leaf, "note", text=text) for leaf, text in examiner.at_kinks.items()]
    diagnoses = diagnose(examiner, evidence, rows, seed)
    return Report(problem.title, tuple(rows), tuple(diagnoses), tuple(observations))


def _gather(
    examiner: Examiner, points: list[Situation], fast: bool, seed: int, batch: int | None
) -> Iterator[Evidence | Row]:
    runner = examiner.runner
    for point in points:
        yield from _at(examiner, point, "float64", seed)
    for dtype in _precisions(runner.flat, fast):
        for point in points:
            if point.name == "given" or (not fast and point.name in _LOW_PRECISION):
                yield from _at(examiner, point, dtype, seed)
    if not fast:
        yield from _other_sizes(examiner, points[0], seed, batch)
        yield from transformed(examiner, points[0], seed)


_MOST_SIZES = 3
_REFUSED = "f takes this size, but"
_LOW_PRECISION = ("scaled by 0.1", "scaled by 10", "some exact zeros", "at ±10", "at ±1e4")
_LOW_PRECISION += ("given, large cotangent", "given, negative cotangent")


def _precisions(flat: Flat, fast: bool) -> list[str]:
    own = sorted({str(flat.leaves[i].dtype) for i in flat.floating} - {"float64"})
    return own if fast else list(dict.fromkeys([*own, "float32", "bfloat16", "float16"]))


def _at(examiner: Examiner, point: Situation, dtype: str, seed: int) -> Iterator[Evidence | Row]:
    """Evidence at a point; where it is outside the domain, at points that move one leaf alone, or a row that skips."""
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
            continue  # it was inside the domain with its signs as they came
        try:
            cotangents = make_cotangents(alone.cotangents, examiner.runner, alone.leaves, seed)
            yield examiner.examine(alone.name, kind, alone.leaves, cotangents, dtype)
            tried.add(leaf)
        except OutsideDomainError:
            continue


def _other_sizes(examiner: Examiner, given: Situation, seed: int, batch: int | None) -> Iterator[Evidence | Row]:
    runner, found = examiner.runner, False
    leads = any(y.shape for y in runner.output(given.leaves))
    sizes = [batch] if batch else sorted(batch_sizes(runner, given.leaves), key=lambda size: size == 1)
    for size in sizes[:_MOST_SIZES]:
        here = False
        # Grown first: where the backward does not take that, the axis is no batch, and a cut would prove nothing.
        for new in dict.fromkeys((2 * size + 1 if size <= 64 else 7, 1)):
            found_here = list(_at_size(examiner, given, size, new, seed, asked=batch is not None))
            here |= bool(found_here)
            yield from found_here
            if batch is None and any(isinstance(e, Row) and e.text.startswith(_REFUSED) for e in found_here):
                break
        found |= here
        if here and leads:
            break  # y's own leading axis; a number has none, and every leading axis may be the batch
    if not found:
        yield Row("other batch sizes", "all", "skip", text="f takes no other leading size")


def _at_size(
    examiner: Examiner, given: Situation, size: int, new: int, seed: int, asked: bool
) -> Iterator[Evidence | Row]:
    """Evidence with the batch of `size` brought to `new`: the rows as they are, and, for what is off there, turned."""
    if new == size:
        return
    for turned in (False, True):
        leaves = [-leaf if turned and is_floating(leaf) and not is_label(leaf) else leaf for leaf in given.leaves]
        other = resized(examiner.runner, leaves, size, new, leading=True, together=asked, seed=seed)
        if other is None:
            return
        name = f"batch {size} -> {new}{', sign turned' if turned else ''}"
        try:
            cotangents = make_cotangents("random", examiner.runner, other.leaves, seed)
            evidence = examiner.examine(name, "size", other.leaves, cotangents)._replace(size=(size, new))
            if size == 1 and any(row.text.startswith("shape") for row in evidence.rows):
                # What stretches along an axis of 1, such as a row of biases, is no batch.
                yield Row(name, "all", "skip", text="an axis of 1 that the backward does not take for a batch")
                return
            yield evidence
        except OutsideDomainError as reason:
            yield Row(name, "all", "skip", text=str(reason))
        except BackwardRaisedError as error:
            # Perhaps it is no batch; only the caller can know, and says so by `batch`.
            yield Row(name, "all", "fail" if asked else "skip", text=f"{_REFUSED} {error}")
            return


def batch_sizes(runner: Runner, leaves: Arrays) -> list[int]:
    """Candidates for the batch size (scalars), likely ones first: y's leading axes, then the arguments'."""
    shapes = [y.shape for y in runner.output(leaves)] + [leaf.shape for leaf in leaves]
    return list(dict.fromkeys(shape[0] for shape in shapes if len(shape) > 0 and shape[0] > 0))


def _types(runner: Runner, seed: int) -> list[Row]:
    """Whether gradients come back weakly typed at the given arguments, which makes programs compile twice."""
    flat = runner.flat
    try:
        cotangents = make_cotangents("random", runner, flat.leaves, seed)
        shapes = jax.eval_shape(flat.hand, flat.leaves, cotangents)
    except Exception:  # said elsewhere: it does not trace
        return []
    return [
        Row("types", flat.names[i], "note", text="weakly typed: a Python scalar decided its dtype")
        for i, shape in zip(flat.asked, shapes, strict=True)
        if getattr(shape, "weak_type", False)
    ]


def _values(runner: Runner, given: Arrays) -> list[Row]:
    """Whether the rule's own forward gives f's value."""
    y, _ = runner.reference(given, make_cotangents("ones", runner, given, 0))
    own = runner.value(given)
    if [a.shape for a in own] != [a.shape for a in y]:
        return [
            Row(
                "value of the rule",
                "y",
                "fail",
                text=f"shapes {[a.shape for a in own]}, f gives {[a.shape for a in y]}",
            )
        ]
    eps = compute_eps(runner.flat, given)
    for a, b in zip(own, y, strict=True):
        size = np.abs(b).max(initial=0.0)
        off = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
        if not off <= 1e3 * eps * max(size, 1e-300):
            text = "the rule's forward does not give f's value"
            return [Row("value of the rule", "y", "fail", off, off / (size or 1.0), text=text)]
    return [Row("value of the rule", "y", "pass")]
