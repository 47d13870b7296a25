"""Hints for a gradient that is wrong at some points, or in its last digits: the option to state, if that is meant."""

import math
from collections.abc import Sequence

import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Runner
from jaxnn.gradcheck.structures import STRUCTURES, structures_of

_SMALL = 1e-3
_LEAVE_OPEN = ("only in low precision", "only when saturated")
"""Diagnoses of where a gradient is wrong, which may be where its arguments never are, or by as little as is meant."""


def hint(
    runner: Runner, examinations: list[Examination], rows: list[Row], diagnoses: Sequence[Diagnosis] = ()
) -> list[str]:
    """Return sentences on rows that are wrong or inexact: the option to state if what they show is meant.

    Args:
      runner: has the names of the arguments.
      examinations: those of the check.
      rows: of the report.
      diagnoses: the mistakes that explain the rows; most of them leave nothing to state.
    """
    off = [row for row in rows if row.status in ("fail", "inexact")]
    failing = [row for row in off if row.status == "fail"]
    by_name = {e.name: e for e in examinations}
    if any(row.test_point not in by_name for row in off) or any(d.kind not in _LEAVE_OPEN for d in diagnoses):
        return []  # for example, the value is wrong
    failed = list({row.test_point: by_name[row.test_point] for row in failing}.values())
    if found := _slightly_off(examinations, "fail" if failing else "inexact"):
        return found
    if not failing:
        return []
    found = _beyond_the_given_sizes(runner, examinations, failed)
    found += _slightly_off(examinations, "inexact") if found else []
    return found if diagnoses else [*found, *_outside_of_structure(runner, examinations, failed)]


def _slightly_off(examinations: list[Examination], status: str) -> list[str]:
    """Return a sentence if all gradients with this status are off by little.

    That is relative to their largest element, or to the largest of the leaf's gradient at the given arguments.
    """
    given = next((e for e in examinations if e.name == "given"), None)
    relative = absolute = absolute_to_given = 0.0
    for e in examinations:
        for k, (h, r, row) in enumerate(zip(e.manual, e.reference, e.rows, strict=True)):
            if row.status != status:
                continue
            off = np.abs(h.astype(np.float64) - r).max(initial=0.0) if h.shape == r.shape else math.inf
            relative = max(relative, _ratio(off, np.abs(r).max(initial=0.0)))
            absolute = max(absolute, _ratio(off, _largest(e.cotangents)))
            typical = 0.0 if given is None else _ratio(np.abs(given.reference[k]).max(), _largest(given.cotangents))
            absolute_to_given = max(absolute_to_given, _ratio(off, typical * _largest(e.cotangents)))
    where = "" if status == "fail" else " in float64, by more than rounding"
    if 0 < relative <= _SMALL:
        return [
            f"off by at most {_rounded_up(relative)} of the largest element everywhere{where}: if a solver or an "
            f"epsilon is meant, state atol={_power_above(absolute)}, or state rtol={_power_above(relative)}"
        ]
    if 0 < absolute_to_given <= _SMALL:
        return [
            f"off by at most {_rounded_up(absolute)} for a dy of 1{where}: if digits may be lost there, state "
            f"atol={_power_above(absolute)}"
        ]
    return []


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else math.inf


def _largest(cotangents: list[np.ndarray]) -> float:
    return max((float(np.abs(dy.astype(np.float64)).max(initial=0.0)) for dy in cotangents), default=0.0)


def _power_above(number: float) -> str:
    """Return a power of ten with some room above a number."""
    return _rounded_up(10.0 ** math.ceil(math.log10(1.5 * number)))


def _rounded_up(number: float) -> str:
    """Return a number rounded up to one digit, such as 4e-6."""
    exponent = math.floor(math.log10(number))
    digit = math.ceil(number / 10.0**exponent - 1e-6)
    return f"{digit}e{exponent}" if digit < 10 else f"1e{exponent + 1}"


def _beyond_the_given_sizes(runner: Runner, examinations: list[Examination], failed: list[Examination]) -> list[str]:
    """Return a sentence if the gradient is wrong only where arguments are larger than they were given."""
    flat = runner.flat
    sizes = {i: float(np.abs(flat.leaves[i].astype(np.float64)).max(initial=0.0)) for i in flat.floating}

    def larger(e: Examination) -> set[int]:
        return {i for i, size in sizes.items() if np.abs(e.leaves[i]).max(initial=0.0) > 2 * size}

    others = [e for e in examinations if not larger(e) and e.kind in ("smooth", "kink") and e.name[:5] != "given"]
    if not others or any(e.failed for e in others) or not all(e.kind != "size" and larger(e) for e in failed):
        return []
    bounds: dict[str, float] = {}
    for i in sorted(set.union(*map(larger, failed))):
        name = flat.problem.names[flat.argument[i]]
        bounds[name] = max(bounds.get(name, 0.0), sizes[i])
    domain = ", ".join(
        f"{name!r}: lambda a: jnp.clip(a, -{bound}, {bound})"
        for name, size in bounds.items()
        for bound in [f"{float(_rounded_up(1.5 * size or 1.0)):g}"]
    )
    return [
        f"right at arguments as large as the given ones, wrong at larger ones: if they never are, state "
        f"domain={{{domain}}}"
    ]


def _outside_of_structure(runner: Runner, examinations: list[Examination], failed: list[Examination]) -> list[str]:
    """Return a sentence if the gradient is wrong only where an argument lacks a structure that it has as given."""
    given = next((e for e in examinations if e.name == "given"), None)
    if given is None or given.failed:
        return []
    right = [e for e in examinations if not e.failed]
    best: tuple[int, str, str] | None = None
    for i in runner.flat.floating:
        if runner.flat.domain.structures[i] is not None:
            continue
        for structure in reversed(structures_of(given.leaves[i].astype(np.float64))):

            def holds(e: Examination, i=i, structure=structure) -> bool:
                return STRUCTURES[structure].holds(e.leaves[i].astype(np.float64))

            elsewhere = any(holds(e) and not np.array_equal(e.leaves[i], given.leaves[i]) for e in right)
            if not elsewhere or any(holds(e) for e in failed):
                continue
            exceptions = sum(not holds(e) for e in right)
            if best is None or exceptions < best[0]:
                best = exceptions, runner.flat.names[i], structure
    if best is None:
        return []
    _, name, structure = best
    return [
        f"right at the given arguments; wrong where {name} is not {structure}, as it was given: if it always is, state "
        f"domain={{{name!r}: {structure!r}}}"
    ]
