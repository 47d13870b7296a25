"""From the pattern of the errors to a known slip. No diagnosis is better than a wrong one.

Each explanation is tested to many digits in float64, and, where it could be chance, in several situations.
"""

import math
from collections.abc import Iterator

import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Evidence, Examiner
from jaxnn.gradcheck.finite_differences import Line
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.mutations import mutants
from jaxnn.gradcheck.points import resized
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.gradcheck.scale_factors import factor

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


def diagnose(examiner: Examiner, evidence: list[Evidence], rows: list[Row], seed: int) -> list[Diagnosis]:
    """The slips that explain the failing rows, for leaves of any shapes; an empty list where none is sure."""
    runner = examiner.runner
    if any(row.status == "undecided" for row in rows) or not any(row.status == "fail" for row in rows):
        return []
    wide = [e for e in evidence if e.dtype == "float64" and e.kind in ("smooth", "kink", "saturated")]
    smooth = [e for e in wide if e.kind == "smooth"]
    wrong = [e for e in smooth if _clearly_wrong(e)]
    failed = next((e for e in wrong if not examiner.at_kinks_alone(e)), None)
    if failed is None and wrong:
        return _at_the_given_kinks(examiner, evidence)
    if failed is None:
        return _by_situation(runner, evidence, rows)
    found = _cotangent_ignored(smooth)
    if found:
        return found
    wrong = [k for k, row in enumerate(failed.rows) if row.status == "fail"]
    explained: dict[int, Diagnosis] = {}
    for k in wrong:
        for explain in (_shape, _zero, factor, _transpose, _swapped, _value_for_slope, _by_sign, _one_example):
            diagnosis = explain(runner, smooth, failed, k, evidence)
            if diagnosis is not None:
                explained[k] = diagnosis
                break
    if len(explained) < len(wrong):
        for k, diagnosis in _by_experiment(runner, failed, [k for k in wrong if k not in explained]):
            explained.setdefault(k, diagnosis)
    return _merged([explained[k] for k in wrong if k in explained], complete=len(explained) == len(wrong))


def close(a: np.ndarray, b: np.ndarray, digits: float = 1e-6) -> bool:
    """Whether two arrays of one shape are equal but for rounding, on the scale of the largest element."""
    if a.shape != b.shape:
        return False
    scale = max(np.abs(b).max(initial=0.0), np.abs(a).max(initial=0.0))
    return bool(scale > 0 and np.isfinite(a).all() and np.abs(a - b).max(initial=0.0) <= digits * scale)


def _clearly_wrong(evidence: Evidence) -> bool:
    """Whether it failed by more than rounding: a long sum may lose its last digits in float64 too."""
    return evidence.failed and not all(
        h.dtype == r.dtype and close(h, r, 1e-9) or row.status == "pass"
        for h, r, row in zip(evidence.hand, evidence.reference, evidence.rows, strict=True)
    )


def _name(evidence: Evidence, k: int) -> str:
    return evidence.rows[k].leaf


def _wide(evidence: Evidence, k: int) -> np.ndarray:
    return evidence.hand[k].astype(np.float64)


def _shape(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    hand, reference = _wide(failed, k), failed.reference[k]
    if hand.shape == reference.shape:
        return None
    name = _name(failed, k)
    if close(hand.T, reference):
        return Diagnosis(
            "transpose", name, f"what came, {hand.shape}, is the transpose of the gradient {reference.shape}"
        )
    axes = [(a,) for a in range(hand.ndim)] + [tuple(range(n)) for n in range(2, hand.ndim + 1)]
    for axis in axes:
        terms = math.prod(hand.shape[a] for a in axis)
        if terms > 1 and (close(hand.sum(axis), reference) or close(hand.sum(axis, keepdims=True), reference)):
            where = f"axis {axis[0]}" if len(axis) == 1 else f"axes {axis}"
            return Diagnosis(
                "missing sum", name, f"what came, {hand.shape}, is one term for each of {terms}: sum over {where}"
            )
    return _swapped(runner, smooth, failed, k, evidence)


def _zero(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    if _wide(failed, k).any() or not failed.reference[k].any():
        return None
    if any(_wide(e, k).any() for e in smooth):
        return None
    return Diagnosis("zero", _name(failed, k), "the gradient is zero everywhere, and should not be")


def _transpose(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    hand, reference = _wide(failed, k), failed.reference[k]
    if hand.ndim < 2:
        return None
    if close(np.swapaxes(hand, -1, -2), reference) and not close(hand, reference):
        return Diagnosis("transpose", _name(failed, k), "the gradient is transposed")
    return None


def _swapped(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    for j in range(len(failed.hand)):
        if j != k and close(_wide(failed, k), failed.reference[j]) and close(_wide(failed, j), failed.reference[k]):
            names = sorted((_name(failed, k), _name(failed, j)))
            return Diagnosis("swapped", " and ".join(names), "each of the two has the gradient of the other")
    return None


def _one_example(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    """Whether the gradient is what one example alone would give."""
    sizes = {dy.shape[0] for dy in failed.cotangents if dy.ndim}
    if runner.flat.problem.scalar:
        sizes = {leaf.shape[0] for leaf in failed.leaves if leaf.ndim}
    for m in sizes - {1}:
        for i in (0, m - 1):
            found = _without_the_others(runner, failed, m, i)
            if found is None or not _independent(runner, failed, found, m, i):
                continue
            for scale, mean in ((1.0, ""), (1 / m, " over m"), (float(m), "")):
                if close(_wide(failed, k), scale * found[k]) and not close(failed.reference[k], scale * found[k]):
                    which = "first" if i == 0 else "last"
                    text = f"it is the {which} example's part alone{mean}: sum over the batch of {m}"
                    return Diagnosis("missing sum", _name(failed, k), text)
    return None


def _without_the_others(runner: Runner, failed: Evidence, m: int, i: int) -> Arrays | None:
    if not runner.flat.problem.scalar:
        kept = []
        for dy in failed.cotangents:
            mask = np.zeros(dy.shape)
            mask[i if dy.ndim and dy.shape[0] == m else ...] = 1
            kept.append((dy * mask).astype(dy.dtype))
        return runner.reference(failed.leaves, kept)[1]
    rolled = [np.roll(leaf, -i, 0) if leaf.ndim and leaf.shape[0] == m else leaf for leaf in failed.leaves]
    one = resized(runner, rolled, m, 1, leading=True, noise=0.0)
    if one is None:
        return None
    gradients = runner.reference(one.leaves, failed.cotangents)[1]
    # Mean losses: alone, an example weighs m times what it does in company; `scale` above undoes that.
    return gradients if [g.shape for g in gradients] == [r.shape for r in failed.reference] else None


def _independent(runner: Runner, failed: Evidence, found: Arrays, m: int, i: int) -> bool:
    """Whether output i of m depends on row i alone of a leaf with m rows: an example, and no step in time."""
    if runner.flat.problem.scalar:
        return True
    rows = [g for g, leaf in zip(found, failed.reference, strict=True) if leaf.ndim and leaf.shape[0] == m]
    return any(g[i].any() and not np.delete(g, i, 0).any() for g in rows)


def _cotangent_ignored(smooth: list[Evidence]) -> list[Diagnosis]:
    at_given = [e for e in smooth if e.name.startswith("given") and "zero" not in e.name]
    if len(at_given) < 3 or not all(e.failed for e in at_given):
        return []
    found = []
    for k in range(len(at_given[0].hand)):
        first = _wide(at_given[0], k)
        unmoved = first.any() and all(np.array_equal(first, _wide(e, k)) for e in at_given[1:])
        if unmoved and not close(at_given[0].reference[k], at_given[1].reference[k]):
            text = "the gradient is the same for every cotangent: multiply by dy"
            found.append(Diagnosis("cotangent ignored", _name(at_given[0], k), text))
    return _merged(found, complete=len(found) == len(at_given[0].hand))


def _by_experiment(runner: Runner, failed: Evidence, unexplained: list[int]) -> Iterator[tuple[int, Diagnosis]]:
    """Slips inside the function, tried out one by one: they must explain all the leaves left, and change something."""
    if len(failed.leaves) == len(failed.hand) == 1 and not runner.flat.problem.scalar:
        y, _ = runner.reference(failed.leaves, failed.cotangents)
        if (
            len(y) == 1
            and y[0].shape == failed.leaves[0].shape
            and close(_wide(failed, 0), failed.cotangents[0] * y[0])
        ):
            yield (
                0,
                Diagnosis("g for g'", _name(failed, 0), "it is dy g(z), the value where the slope was meant: dy g'(z)"),
            )
            return
    try:
        tried = mutants(runner, failed.leaves, failed.cotangents)
    except Exception:  # a function that this small interpreter cannot run gets no diagnosis of this kind
        return
    for mutant in tried:
        explains = all(_explains(mutant.gradients[k], failed, k) for k in unexplained)
        keeps = all(
            close(mutant.gradients[k], failed.reference[k]) or not failed.reference[k].any()
            for k, row in enumerate(failed.rows)
            if row.status != "fail"
        )
        if explains and keeps:
            for k in unexplained:
                yield k, Diagnosis(mutant.kind, _name(failed, k), mutant.text)
            return
    yield from _reaches_back(failed, unexplained)


def _explains(gradient: np.ndarray, failed: Evidence, k: int) -> bool:
    """Whether the hand's gradient is this one, and is so by much more than it is the right one."""
    hand, reference = _wide(failed, k), failed.reference[k]
    if not close(hand, gradient):
        return False
    return bool(np.abs(hand - gradient).max(initial=0.0) <= 1e-2 * np.abs(hand - reference).max(initial=0.0))


def _reaches_back(failed: Evidence, unexplained: list[int]) -> Iterator[tuple[int, Diagnosis]]:
    """A leaf with an axis of time whose gradient is right for the last steps and zero before them."""
    for k in unexplained:
        hand, reference = _wide(failed, k), failed.reference[k]
        for axis in range(min(hand.ndim, 2) if hand.shape == reference.shape else 0):
            steps = hand.shape[axis]
            by_step = np.moveaxis(hand, axis, 0).reshape(steps, -1)
            right = np.moveaxis(reference, axis, 0).reshape(steps, -1)
            alive = np.flatnonzero(by_step.any(1))
            if steps < 3 or len(alive) in (0, steps) or not right.any(1).all():
                continue
            first = alive[0]
            if len(alive) == steps - first and close(by_step[first:], right[first:]):
                text = f"the gradient reaches back {steps - first} of {steps} steps"
                yield k, Diagnosis("truncated recurrence", _name(failed, k), text)
                break


def _value_for_slope(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    if runner.flat.problem.scalar or len(failed.cotangents) != 1:
        return None
    y, _ = runner.reference(failed.leaves, failed.cotangents)
    if y[0].shape == failed.reference[k].shape and close(_wide(failed, k), failed.cotangents[0] * y[0]):
        text = "it is dy g(z): the value stands where the slope was meant, dy g'(z)"
        return Diagnosis("g for g'", _name(failed, k), text)
    return None


def _by_sign(runner, smooth, failed, k, evidence) -> Diagnosis | None:
    """Whether all wrong elements sit at arguments of one sign, or at exact zeros, in every situation."""
    wrong, values = [], []
    # At the size given: scaled, elements come near to 0, where a slip may have a border of its own.
    for e in (e for e in smooth if "scaled" not in e.name):
        leaf, hand, reference = e.leaves[runner.flat.asked[k]], _wide(e, k), e.reference[k]
        if hand.shape != reference.shape:
            return None
        off = ~(np.abs(hand - reference) <= 1e-6 * max(np.abs(reference).max(initial=0.0), 1e-30))
        told = off | (reference != 0) | (hand != 0)
        wrong.append(off[told])
        values.append(leaf[told])
    off, z = np.concatenate(wrong), np.concatenate(values)
    if off.sum() < 2:
        return None
    name = _name(failed, k)
    for kind, there, elsewhere, words in (
        ("only at the kink", z == 0, z != 0, "at exact zeros"),
        ("only for z < 0", z < 0, z > 0, "where the argument is negative"),
        ("only for z > 0", z > 0, z < 0, "where the argument is positive"),
    ):
        if off[there].any() and not off[elsewhere].any() and elsewhere.sum() >= 3 and off[there].mean() > 0.9:
            text = f"every wrong element sits {words}; none of the {int(elsewhere.sum())} others is wrong"
            return Diagnosis(kind, name, text)
    return None


def _has_kink(runner: Runner, evidence: Evidence) -> bool:
    """Whether f has a kink where the hand is not finite; taken for granted where it is."""
    broken = [~np.isfinite(_wide(evidence, k)) for k in range(len(evidence.hand))]
    if not any(b.any() for b in broken):
        return True
    direction = [b.astype(np.float64) for b in broken]
    line = Line(runner, evidence.leaves, evidence.cotangents, direction, compute_eps(runner.flat, evidence.leaves))
    return line.slope().at_kink()


def _by_situation(runner: Runner, evidence: list[Evidence], rows: list[Row]) -> list[Diagnosis]:
    """Right at ordinary points in float64: what do the situations that fail have in common?"""
    rounding = {e.name for e in evidence if e.dtype == "float64" and not _clearly_wrong(e)}
    failing = {row.situation for row in rows if row.status == "fail"} - rounding
    kinds = {e.name: e.kind for e in evidence}
    of = {kinds.get(name, "other") for name in failing}
    if of == {"transform"}:
        if all(name.startswith("vmap") for name in failing):
            text = (
                f"right one by one, wrong in {', '.join(sorted(failing))}: look for shapes, axes and sums of the batch"
            )
            return [Diagnosis("only under vmap", "", text)]
        return []
    if "size" in of or "other" in of or "smooth" in of or "transform" in of:
        return []
    if "kink" in of and of <= {"kink", "precision"}:
        if not all(_has_kink(runner, e) for e in evidence if e.kind == "kink" and e.name in failing):
            return []  # the hand divides by zero, say, where the function is smooth
        return [Diagnosis("only at the kink", "", _ANOTHER_SLOPE)]
    if "saturated" in of and of <= {"saturated", "precision"}:
        where = ", ".join(sorted(failing)[:4])
        text = f"right at ordinary sizes, wrong {where}: look for an exp, a log or a quotient that overflows"
        return [Diagnosis("only when saturated", "", text)]
    if of == {"precision"}:
        dtypes = sorted({e.dtype for e in evidence if e.name in failing})
        texts = {row.text for row in rows if row.status == "fail" and row.situation in failing}
        if all(text.startswith("dtype") for text in texts):
            text = (
                f"right in value, but not in the dtype of {', '.join(dtypes)}: a NumPy number or a wider array promotes"
            )
            return [Diagnosis("only in low precision", "", text)]
        text = f"right in float64, wrong in {', '.join(dtypes)}: look for small constants, overflow, long sums"
        if rounding & {row.situation for row in rows if row.status == "fail"}:
            text = f"it loses digits in float64 already, and too many in {', '.join(dtypes)}: look for a cancellation"
        return [Diagnosis("only in low precision", "", text)]
    return []


def _at_the_given_kinks(examiner: Examiner, evidence: list[Evidence]) -> list[Diagnosis]:
    """The given arguments lie at a kink, so what is made of them does too: nothing else is said where more is wrong."""
    made = [e for e in evidence if e.dtype == "float64" and e.kind != "transform" and _clearly_wrong(e)]
    if not all(examiner.at_kinks_alone(e) for e in made):
        return []
    return [Diagnosis("only at the kink", "", _ANOTHER_SLOPE)]


_ANOTHER_SLOPE = "right wherever the derivative exists; at the kink another slope is taken than JAX's"


def _merged(found: list[Diagnosis], complete: bool) -> list[Diagnosis]:
    """One diagnosis where all leaves tell the same story."""
    unique = list(dict.fromkeys(found))
    if len(unique) > 1 and complete and len({(d.kind, d.text) for d in unique}) == 1:
        return [unique[0]._replace(leaf="")]
    return unique
