"""The report of a check: the verdict, what was assumed, what is wrong and where; and a row per leaf and test point."""

import html
import math
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxnn.gradcheck.comparison import Row


class Diagnosis(NamedTuple):
    """A known mistake that explains the failures.

    Attributes:
      kind: one of the names in `jaxnn.gradcheck.KINDS`.
      leaf: the argument leaf that it concerns, or "" if it concerns all.
      text: the evidence, and what to change.
    """

    kind: str
    leaf: str
    text: str


class WrongGradientError(AssertionError):
    """Raised by `Report.raise_if_failed`, with the whole report as its message."""


@dataclass(frozen=True)
class Report:
    """The result of one check; true if the gradient is right.

    Attributes:
      title: what was checked.
      rows: a `Row` per argument leaf and test point.
      diagnoses: known mistakes that explain the failures; empty if none does.
      observations: sentences on the largest failure, such as what finite differences give there.
      assumed: what was assumed, in sentences.
      line: the line of code that likely computes the worst gradient, or "".
      tried: the precisions, sizes and transformations that the gradient was compared in.
      counts: the number of rows with each status.
    """

    title: str
    rows: tuple[Row, ...]
    diagnoses: tuple[Diagnosis, ...] = ()
    observations: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    line: str = ""
    tried: str = ""
    counts: dict[str, int] = field(init=False)

    def __post_init__(self):
        counts: dict[str, int] = dict.fromkeys(("pass", "inexact", "fail", "undecided", "skip", "note"), 0)
        for row in self.rows:
            counts[row.status] += 1
        object.__setattr__(self, "counts", counts)

    @property
    def passed(self) -> bool:
        """Return True if no row failed or is undecided, and at least one passed."""
        return (
            not self.counts["fail"]
            and not self.counts["undecided"]
            and self.counts["pass"] + self.counts["inexact"] > 0
        )

    def __bool__(self) -> bool:
        return self.passed

    def raise_if_failed(self) -> "Report":
        """Return the report itself, if the gradient is right.

        Raises:
          WrongGradientError: if it is not; the message is the report.
        """
        __tracebackhide__ = True  # pytest shows the caller
        if not self.passed:
            raise WrongGradientError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dictionaries and lists for JSON, with strings for numbers that are not finite."""
        return {
            "title": self.title,
            "passed": self.passed,
            "counts": self.counts,
            "assumed": list(self.assumed),
            "diagnoses": [d._asdict() for d in self.diagnoses],
            "observations": list(self.observations),
            "line": self.line,
            "tried": self.tried,
            "rows": [{k: _json_value(v) for k, v in row._asdict().items()} for row in self.rows],
        }

    def verdict(self) -> str:
        """Return the verdict and the counts, in one line."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        if self.passed:
            word = f"right to {_digits(self.rows)}" if self.counts["inexact"] else "right"
        elif self.counts["undecided"]:
            word = "UNDECIDED: autodiff and finite differences disagree"
        else:
            word = "WRONG" if self.counts["fail"] else "UNDECIDED: no test point could be checked"
        return f"{self.title}: gradient {word} ({counts or 'no rows'})"

    def table(self) -> str:
        """Return the report as text with every row, including those that passed or were skipped."""
        lines = [self.verdict()]
        for section in self._sections(_in_one_line):
            lines += section.lines()
        return "\n".join([*lines, *_table(self.rows)])

    def __str__(self) -> str:
        verdict = textwrap.wrap(self.verdict(), _WIDTH, subsequent_indent="    ")
        return "\n".join([*verdict, *_fitted(self._sections(_brief), _HEIGHT - len(verdict))])

    __repr__ = __str__

    def _sections(self, shown: Callable[[str], str]) -> list["_Section"]:
        """Return the lines below the verdict, in the order in which it helps; `shown` shortens what is quoted there."""
        quoting = ("note", "skip")
        rows = [row._replace(text=shown(row.text)) if row.status in quoting else row for row in self.rows]
        undecided = [f"{_place(row)}: {row.text}" for row in rows if row.status == "undecided"]
        worst = worst_row(rows)
        sections = [
            _Section("assumed", [*map(shown, self.assumed)], 3),
            _Section("note", _merged_notes(rows), 3),
            _Section("undecided", undecided, 3),
            _Section("to decide", [] if self.passed or self.counts["fail"] and not undecided else [_missing(self)], 2),
            _Section("diagnosis", [_named(d) for d in self.diagnoses], 4),
            _Section("worst", [] if worst is None else [_described(worst)], 2),
            _Section("likely line", [self.line] if self.line else [], 1),
            _Section("observed", list(self.observations), 3),
            _Section("", _failing(rows), 3),
            _Section("skipped", _skipped(rows), 2),
            _Section("tried", [self.tried] if self.tried else [], 1),
        ]
        return [section for section in sections if section.items]

    def _repr_html_(self) -> str:
        sections = "".join(
            "<li style='overflow-wrap:anywhere'>"
            + (f"<b>{section.label}:</b> " if section.label else "")
            + f"{html.escape(item)}</li>"
            for section in self._sections(_brief)
            for item in section.items
        )
        head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in _HEAD)
        rows = "".join(f"<tr>{_html_cells(row)}</tr>" for row in self.rows)
        return (
            f"<p><b>{html.escape(self.verdict())}</b></p><ul>{sections}</ul>"
            f"<details><summary>{len(self.rows)} rows</summary><div style='overflow-x:auto'>"
            f"<table style='white-space:nowrap'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            "</div></details>"
        )


def _in_one_line(text: str) -> str:
    """Return a text with all of its lines as one."""
    return " ".join(text.split())


def _brief(text: str) -> str:
    """Return the first line of a text; of one that is long, words in the middle are left out."""
    line = text.partition("\n")[0]
    if len(line) <= _HEAD_WIDTH + _TAIL_WIDTH:
        return line
    return f"{_up_to_a_word(line, _HEAD_WIDTH)} ... {line[-_TAIL_WIDTH:].partition(' ')[2]}".rstrip()


def _up_to_a_word(line: str, width: int) -> str:
    """Return the words of a line that fit."""
    return line if len(line) <= width else line[: width + 1].rpartition(" ")[0].rstrip() or line[:width]


_WIDTH, _HEIGHT = 120, 24
_HEAD_WIDTH, _TAIL_WIDTH = 180, 60
"""Of a text with a quoted line in it: that line fits if it is as wide as the screen, and so do the words after it."""
_NAMES = 6
"""Number of test points that are named in one line."""


class _Section(NamedTuple):
    """A part of the report: texts with a label, and the number of lines that it gets at least, if it needs them."""

    label: str
    items: list[str]
    least: int

    def lines(self, most: int | None = None) -> list[str]:
        """Return the lines, at most that many: whole items where they fit, and how many are left out."""
        wrapped = [self._wrapped(item) for item in self.items]
        if most is None or sum(map(len, wrapped)) <= most:
            return [line for lines in wrapped for line in lines]
        taken: list[str] = []
        left = len(wrapped)
        while len(taken) + len(wrapped[-left]) < most:
            taken += wrapped[-left]
            left -= 1
        if taken:
            return [*taken, f"  ... and {left} more: print(report.table()) shows all"]
        more = f" ... and {left - 1} more" if left > 1 else " ..."
        cut = wrapped[0][:most]
        return [*cut[:-1], _up_to_a_word(cut[-1], _WIDTH - len(more)) + more]

    def _wrapped(self, item: str) -> list[str]:
        label = f"{self.label}: " if self.label else ""
        return textwrap.wrap(
            label + item, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )


def _fitted(sections: list[_Section], height: int) -> list[str]:
    """Return the lines of the sections, at most `height`; each has its least number, and the first ones the rest."""
    wanted = [len(section.lines()) for section in sections]
    granted = [min(n, section.least) for n, section in zip(wanted, sections, strict=True)]
    for i, n in enumerate(wanted):
        granted[i] += min(n - granted[i], max(height - sum(granted), 0))
    return [line for section, n in zip(sections, granted, strict=True) for line in section.lines(n)]


def worst_row(rows: Iterable[Row]) -> Row | None:
    """Return the failing row with the largest error in proportion to the gradient, the first of several such ones."""
    failing = [row for row in rows if row.status == "fail"]
    return max(failing, key=_size_of_error, default=None)


def _size_of_error(row: Row) -> float:
    """Return |manual - reference| / (|manual| + |reference|) at the worst element, rounded to a tenth."""
    error, size = abs(row.manual - row.reference), abs(row.manual) + abs(row.reference)
    return round(error / size, 1) if 0 < size < math.inf and row.max_abs < math.inf else 1.0


def _digits(rows: Iterable[Row]) -> str:
    """Return the relative error at the worst element of the rows that are right to fewer digits than float64 has."""
    errors = [
        abs(row.manual - row.reference) / abs(row.reference) if row.reference else row.max_rel
        for row in rows
        if row.status == "inexact"
    ]
    return f"{max(errors):.0e}"


def _named(diagnosis: Diagnosis) -> str:
    where = f" [{diagnosis.leaf}]" if diagnosis.leaf else ""
    return f"{diagnosis.kind}{where}: {diagnosis.text}"


def _missing(report: Report) -> str:
    """Return what an undecided check depends on, and which option states it."""
    if report.counts["undecided"]:
        return (
            "state whose gradient is meant, if not the derivative of f: the option instead takes that function, such "
            "as lambda x: x for a straight-through gradient"
        )
    return "pass arguments where f and its derivative are finite; the option domain keeps the test points there"


def _place(row: Row) -> str:
    return row.test_point if row.leaf == "all" else f"{row.test_point}, {row.leaf}"


def _described(row: Row) -> str:
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


def _merged_notes(rows: Iterable[Row]) -> list[str]:
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


def _failing(rows: list[Row]) -> list[str]:
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


def _skipped(rows: Iterable[Row]) -> list[str]:
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
_HEAD = ("", "test point", "leaf", "abs error", "rel error", "ulps", "cosine", "worst at", "manual", "reference", "")


def _cells(row: Row) -> tuple[str, ...]:
    text = _in_one_line(row.text)
    if row.status in ("skip", "note", "undecided") or not math.isfinite(row.max_abs) and row.text:
        return (row.status, row.test_point, row.leaf, "", "", "", "", "", "", "", text)
    numbers = (f"{row.max_abs:.1e}", f"{row.max_rel:.1e}", f"{row.ulps:.3g}", f"{row.cosine:.6f}")
    at = str(list(row.index)) if row.index else ""
    return (row.status, row.test_point, row.leaf, *numbers, at, f"{row.manual:.6g}", f"{row.reference:.6g}", text)


def _html_cells(row: Row) -> str:
    status, *rest = _cells(row)
    color = f";font-weight:bold;color:{_COLORS[status]}" if status in _COLORS else ""
    first = f"<td style='text-align:left{color}'>{status}</td>"
    return first + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in rest)


def _table(rows: Iterable[Row]) -> list[str]:
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD) - 1)]
    return [
        "  " + "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    ]


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
