"""The report of a check: a table with a row per argument leaf and test point, and diagnoses."""

import html
import math
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
      counts: the number of rows with each status.
    """

    title: str
    rows: tuple[Row, ...]
    diagnoses: tuple[Diagnosis, ...] = ()
    observations: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
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
        if not self.passed:
            raise WrongGradientError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dictionaries and lists for JSON, with strings for numbers that are not finite."""
        return {
            "title": self.title,
            "passed": self.passed,
            "counts": self.counts,
            "diagnoses": [d._asdict() for d in self.diagnoses],
            "observations": list(self.observations),
            "rows": [{k: _json_value(v) for k, v in row._asdict().items()} for row in self.rows],
        }

    def verdict(self) -> str:
        """Return the verdict and the counts, in one line."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        if self.passed:
            word = "right"
        elif self.counts["undecided"]:
            word = "UNDECIDED: autodiff and finite differences disagree"
        else:
            word = "WRONG" if self.counts["fail"] else "UNDECIDED: no test point could be checked"
        return f"{self.title}: gradient {word} ({counts})"

    def lines(self, every_row: bool = False) -> list[str]:
        """Return the lines of the report, with every row of the table or only those that did not pass."""
        lines = [self.verdict()]
        for diagnosis in self.diagnoses:
            where = f" [{diagnosis.leaf}]" if diagnosis.leaf else ""
            lines.append(f"  diagnosis: {diagnosis.kind}{where}: {diagnosis.text}")
        lines += [f"  {observation}" for observation in self.observations]
        shown = [row for row in self.rows if every_row or row.status in ("fail", "undecided", "note")]
        shown.sort(key=lambda row: not every_row and row.status != "undecided")
        lines += _table(shown[:_MOST_ROWS] if not every_row else shown)
        if not every_row and len(shown) > _MOST_ROWS:
            lines.append(f"  ... and {len(shown) - _MOST_ROWS} more rows: print(report.table()) shows all")
        skipped = sorted({f"{row.test_point} ({row.text})" for row in self.rows if row.status == "skip"})
        if skipped and not every_row:
            lines.append(f"  skipped: {'; '.join(skipped)}")
        return lines

    def table(self) -> str:
        """Return the report as text with every row, including those that passed or were skipped."""
        return "\n".join(self.lines(every_row=True))

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr style='color:{_COLORS.get(row.status, 'inherit')}'>"
            + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in _cells(row))
            + "</tr>"
            for row in self.rows
        )
        head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in _HEAD)
        sentences = [f"{d.kind}{f' [{d.leaf}]' if d.leaf else ''}: {d.text}" for d in self.diagnoses]
        sentences += self.observations
        notes = "".join(f"<li>{html.escape(text)}</li>" for text in sentences)
        return (
            f"<p><b>{html.escape(self.verdict())}</b></p><ul>{notes}</ul>"
            f"<details {'' if self.passed else 'open'}><summary>{len(self.rows)} rows</summary>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
        )


_MOST_ROWS = 20
_COLORS = {"fail": "#c62828", "undecided": "#c62828", "skip": "#777", "note": "#b26a00"}
_HEAD = ("", "test point", "leaf", "abs error", "rel error", "ulps", "cosine", "worst at", "manual", "reference", "")


def _cells(row: Row) -> tuple[str, ...]:
    if row.status in ("skip", "note", "undecided") or not math.isfinite(row.max_abs) and row.text:
        return (row.status, row.test_point, row.leaf, "", "", "", "", "", "", "", row.text)
    numbers = (f"{row.max_abs:.1e}", f"{row.max_rel:.1e}", f"{row.ulps:.3g}", f"{row.cosine:.6f}")
    at = str(list(row.index)) if row.index else ""
    return (row.status, row.test_point, row.leaf, *numbers, at, f"{row.manual:.6g}", f"{row.reference:.6g}", row.text)


def _table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
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
