"""Hints for a wrong gradient that no known mistake explains: how little it is off, or what its points lack."""

import math

import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.runner import Runner
from jaxnn.gradcheck.structures import STRUCTURES, structures_of

_SMALL = 1e-3


def hint(runner: Runner, examinations: list[Examination], rows: list[Row]) -> list[str]:
    """Return sentences on failing rows that have no diagnosis: the option to state if what they show is meant.

    Args:
      runner: has the names of the arguments.
      examinations: those of the check.
      rows: of the report.
    """
    failing = [row for row in rows if row.status == "fail"]
    by_name = {e.name: e for e in examinations}
    if not failing or any(row.test_point not in by_name for row in failing):
        return []  # for example, the value is wrong
    failed = list({row.test_point: by_name[row.test_point] for row in failing}.values())
    return [*_slightly_off(failed), *_outside_of_structure(runner, examinations, failed)]


def _slightly_off(failed: list[Examination]) -> list[str]:
    """Return a sentence if every failing gradient is off by little, relative to its largest element."""
    largest = 0.0
    for e in failed:
        for h, r, row in zip(e.manual, e.reference, e.rows, strict=True):
            if row.status != "fail":
                continue
            size = np.abs(r).max(initial=0.0)
            off = np.abs(h.astype(np.float64) - r).max(initial=0.0) if h.shape == r.shape else math.inf
            largest = max(largest, off / size if size > 0 else math.inf)
    if not 0 < largest <= _SMALL:
        return []
    off, rtol = _rounded_up(largest), _rounded_up(10.0 ** math.ceil(math.log10(1.5 * largest)))
    return [
        f"off by at most {off} of the largest element everywhere: if a solver or an epsilon is meant, state rtol={rtol}"
    ]


def _rounded_up(number: float) -> str:
    """Return a number rounded up to one digit, such as 4e-6."""
    exponent = math.floor(math.log10(number))
    digit = math.ceil(number / 10.0**exponent - 1e-6)
    return f"{digit}e{exponent}" if digit < 10 else f"1e{exponent + 1}"


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
