"""The report of a check: the verdict, what was assumed, what is wrong and where; and a row per leaf and test point."""

import html
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.row_texts import (
    HEAD,
    aligned,
    described,
    failing,
    html_cells,
    merged_notes,
    place,
    precision,
    skipped,
    worst_row,
)
from jaxnn.gradcheck.sections import HEIGHT, WIDTH, Section, brief, fitted, in_one_line


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
            word = f"right to {precision(self.rows)}" if self.counts["inexact"] else "right"
        elif self.counts["undecided"]:
            word = "UNDECIDED: autodiff and finite differences disagree"
        else:
            word = "WRONG" if self.counts["fail"] else "UNDECIDED: no test point could be checked"
        return f"{self.title}: gradient {word} ({counts or 'no rows'})"

    def table(self) -> str:
        """Return the report as text with every row, including those that passed or were skipped."""
        lines = [self.verdict()]
        for section in self._sections(in_one_line):
            lines += section.lines()
        return "\n".join([*lines, *aligned(self.rows)])

    def __str__(self) -> str:
        verdict = textwrap.wrap(self.verdict(), WIDTH, subsequent_indent="    ")
        return "\n".join([*verdict, *fitted(self._sections(brief), HEIGHT - len(verdict))])

    __repr__ = __str__

    def _sections(self, shown: Callable[[str], str]) -> list[Section]:
        """Return the lines below the verdict, in the order in which it helps; `shown` shortens what is quoted there."""
        quoting = ("note", "skip")
        rows = [row._replace(text=shown(row.text)) if row.status in quoting else row for row in self.rows]
        undecided = [f"{place(row)}: {row.text}" for row in rows if row.status == "undecided"]
        worst = worst_row(rows)
        sections = [
            Section("assumed", [*map(shown, self.assumed)], 3),
            Section("note", merged_notes(rows), 3),
            Section("undecided", undecided, 3),
            Section("to decide", [] if self.passed or self.counts["fail"] and not undecided else [_missing(self)], 2),
            Section("diagnosis", [_named(d) for d in self.diagnoses], 4),
            Section("worst", [] if worst is None else [described(worst)], 2),
            Section("likely line", [self.line] if self.line else [], 1),
            Section("observed", list(self.observations), 3),
            Section("", failing(rows), 3),
            Section("skipped", skipped(rows), 2),
            Section("tried", [self.tried] if self.tried else [], 1),
        ]
        return [section for section in sections if section.items]

    def _repr_html_(self) -> str:
        sections = "".join(
            "<li style='overflow-wrap:anywhere'>"
            + (f"<b>{section.label}:</b> " if section.label else "")
            + f"{html.escape(item)}</li>"
            for section in self._sections(brief)
            for item in section.items
        )
        head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in HEAD)
        rows = "".join(f"<tr>{html_cells(row)}</tr>" for row in self.rows)
        return (
            f"<p><b>{html.escape(self.verdict())}</b></p><ul>{sections}</ul>"
            f"<details><summary>{len(self.rows)} rows</summary><div style='overflow-x:auto'>"
            f"<table style='white-space:nowrap'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            "</div></details>"
        )


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


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
