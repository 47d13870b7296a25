"""What a report states of its rows: the worst one, where leaves fail, what was noted and skipped; and their table."""

import html
import math
import re
from collections.abc import Iterable

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.sections import in_one_line

_NAMES = 6
"""Number of test points that are named in one line."""


def worst_row(rows: Iterable[Row]) -> Row | None:
    """Return the failing row with the largest error in proportion to the gradient, the first of several such ones."""
    failing = [row for row in rows if row.status == "fail"]
    return max(failing, key=_size_of_error, default=None)


def _size_of_error(row: Row) -> float:
    """Return |manual - reference| / (|manual| + |reference|) at the worst element, rounded to a tenth."""
    error, size = abs(row.manual - row.reference), abs(row.manual) + abs(row.reference)
    return round(error / size, 1) if 0 < size < math.inf and row.max_abs < math.inf else 1.0


def precision(rows: Iterable[Row]) -> str:
    """Return the relative error at the worst element of the rows that are right to fewer digits than float64 has."""
    errors = [
        abs(row.manual - row.reference) / abs(row.reference) if row.reference else row.max_rel
        for row in rows
        if row.status == "inexact"
    ]
    return f"{max(errors):.0e}"


def place(row: Row) -> str:
    """Return the test point of a row, and its leaf if it is of one."""
    return row.test_point if row.leaf == "all" else f"{row.test_point}, {row.leaf}"


def described(row: Row) -> str:
    """Return the element of a row with the largest error, and the gradients there."""
    element = f"{row.leaf}{list(row.index) if row.index else ''} at {row.test_point!r}"
    if row.text:
        return f"{element}: {row.text}"
    digits = next((n for n in range(6, 17) if f"{row.manual:.{n}g}" != f"{row.reference:.{n}g}"), 6)
    relative = f" (relative {row.max_rel:.2g})" if row.max_rel else ""
    return (
        f"{element}: manual {row.manual:.{digits}g}, reference {row.reference:.{digits}g}; "
        f"largest error {row.max_abs:.2g}{relative}, cosine {row.cosine:.4g}"
    )


def merged_notes(rows: Iterable[Row]) -> list[str]:
    """Return the notes, each once, with the places where it was made; notes that differ in numbers only are one."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.status == "note":
            leaf = "" if row.test_point == _BY_DIRECTION else row.leaf
            groups.setdefault((leaf, _NUMBERS.sub("#", row.text)), []).append(row)
    notes = []
    for group in groups.values():
        first = group[0]
        places = list(dict.fromkeys(row.leaf if row.test_point == _BY_DIRECTION else row.test_point for row in group))
        leaf = "" if first.leaf == "all" or first.test_point == _BY_DIRECTION else f"{first.leaf}: "
        if len(group) > 1:
            where = f" ({len(group)} times: {_grouped(places)})"
        else:
            where = "" if first.test_point in _FINDINGS else f" (at {places[0]!r})"
        notes.append(f"{leaf}{first.text}{where}")
    return notes


_BY_DIRECTION = "numerical derivative"
"""The test point whose rows have directions for leaves."""
_FINDINGS = ("kink", "autodiff", "types", "jit")
"""Names of rows that are not test points, but kinds of notes."""
_NUMBERS = re.compile(r"\b(b?float|complex|u?int)\d+|[-+]?\d[\d.]*(e[-+]?\d+)?")


def failing(rows: list[Row]) -> list[str]:
    """Return at which test points each leaf fails, with leaves that fail at the same ones together."""
    checked = {row.test_point for row in rows if row.status in ("pass", "inexact", "fail", "undecided")}
    by_leaf: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.status == "fail":
            by_leaf.setdefault(row.leaf, {})[row.test_point] = None
    by_points: dict[tuple[str, ...], list[str]] = {}
    for leaf, points in by_leaf.items():
        by_points.setdefault(tuple(points), []).append(leaf)
    lines = []
    for points, leaves in by_points.items():
        who = "" if leaves == ["all"] else f"{_some(leaves)} "
        verb = "fail" if len(leaves) > 1 else "fails"
        lines.append(f"{who}{verb} at {len(points)} of {len(checked)} test points: {_grouped(points)}")
    return lines


def _grouped(points: Iterable[str]) -> str:
    """Return names of test points, with the number of those in each of the other precisions."""
    own, by_precision = [], {}
    for point in points:
        base, _, dtype = point.rpartition(", ")
        if base and re.fullmatch(r"b?float\d+", dtype):
            by_precision.setdefault(dtype, []).append(_without_commas(base))
        else:
            own.append(_without_commas(point))
    parts = [_some(own)] if own else []
    for dtype, names in by_precision.items():
        parts.append(f"{len(names)} in {dtype}" if own else f"in {dtype} {_some(names)}")
    return "; ".join(parts)


def _without_commas(point: str) -> str:
    """Return the name of a test point for a list of names: "negative cotangent" for "given, negative cotangent"."""
    return point.removeprefix("given, ").replace(", ", " ")


def skipped(rows: Iterable[Row]) -> list[str]:
    """Return why test points were skipped, each reason once, with their names."""
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.status == "skip":
            reasons.setdefault(row.text, {})[row.test_point] = None
    return [f"{_grouped(points)} ({reason})" for reason, points in reasons.items()]


def _some(names: list[str]) -> str:
    """Return the first few names, and the number of the others."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


_COLORS = {"fail": "#d9363e", "undecided": "#d9363e", "inexact": "#a8690f", "note": "#a8690f", "skip": "#808080"}
"""Of a status; each can be read on white and on black."""
HEAD = ("", "test point", "leaf", "abs error", "rel error", "ulps", "cosine", "worst at", "manual", "reference", "")


def _cells(row: Row) -> tuple[str, ...]:
    text = in_one_line(row.text)
    if row.status in ("skip", "note", "undecided") or not math.isfinite(row.max_abs) and row.text:
        return (row.status, row.test_point, row.leaf, "", "", "", "", "", "", "", text)
    numbers = (f"{row.max_abs:.1e}", f"{row.max_rel:.1e}", f"{row.ulps:.3g}", f"{row.cosine:.6f}")
    at = str(list(row.index)) if row.index else ""
    return (row.status, row.test_point, row.leaf, *numbers, at, f"{row.manual:.6g}", f"{row.reference:.6g}", text)


def html_cells(row: Row) -> str:
    """Return the cells of a row of the table in HTML."""
    status, *rest = _cells(row)
    color = f";font-weight:bold;color:{_COLORS[status]}" if status in _COLORS else ""
    first = f"<td style='text-align:left{color}'>{status}</td>"
    return first + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in rest)


def aligned(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table, its columns aligned."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD) - 1)]
    return [
        "  " + "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    ]
