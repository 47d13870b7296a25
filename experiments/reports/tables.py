"""Make tables of results, for stdout and as plain text for the run's folder."""

import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.reports import terminal
from experiments.reports.plain_tables import Column, find_rule, paragraphs, read_columns

_WIDEST = 100_000
"""Lines are never broken at this width: `_narrowed` adapts tables to a narrow terminal."""
_GAP = "   "


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> Table:
    """Return a table whose first `text_columns` columns are text, and whose others are numbers."""
    result = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        result.add_column(column, justify="left" if i < text_columns else "right", no_wrap=True)
    for row in rows:
        result.add_row(*row)
    return result


def show(content: Table) -> None:
    """Print to stdout; a table that is wider than the terminal becomes several, one below the other."""
    width = terminal.width()
    if width is None or max(map(len, as_text(content).splitlines())) <= width:
        Console(width=_WIDEST, highlight=False, markup=False, emoji=False).print(content)
        return
    columns = [
        Column(str(column.header).split("\n"), list(map(str, column.cells)), column.justify == "right")
        for column in content.columns
    ]
    print(terminal.break_line(str(content.title), width), _narrowed(columns, width), sep="\n\n", end="\n\n")


def show_with_notes(contents: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Print tables, and below them notes; return the same as report.txt has it."""
    for content in contents:
        show(content)
    if notes:
        print(*map(terminal.wrap, notes), sep="\n")
    return "".join(map(as_text, contents)) + "".join(f"{note}\n" for note in notes)


def as_text(content: Table) -> str:
    """Return the table as plain text."""
    file = io.StringIO()
    console = Console(file=file, width=_WIDEST, color_system=None, force_terminal=False, markup=False, emoji=False)
    console.print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def fitted(text: str, width: int | None) -> str:
    """Return the text with its tables, from `as_text`, fitted to a width as by `show`."""
    if width is None:
        return text
    return "\n\n".join(_fitted(paragraph.split("\n"), width) for paragraph in paragraphs(text))


def refitted(text: str, n_heads: int) -> str:
    """Return a plain-text table, whose first `n_heads` lines are its head, fitted to the terminal."""
    width, lines = terminal.width(), text.split("\n")
    if width is None or max(map(len, lines)) <= width:
        return text
    return _narrowed(read_columns(lines[:n_heads], lines[n_heads:]), width)


def median_and_range(values: np.ndarray, digits: int = 1) -> str:
    """Return the median of values (n,) and, in parentheses, their range; empty if there are no values."""
    if len(values) == 0:
        return ""
    return f"{np.median(values):.{digits}f} ({values.min():.{digits}f}-{values.max():.{digits}f})"


def _narrowed(columns: list[Column], width: int) -> str:
    """Return several tables, each with the columns that name the rows; if these leave no room, a list of all cells."""
    rows = list(zip(*(column.cells for column in columns), strict=True))
    n_keys = next((k for k in range(1, len(columns)) if len({row[:k] for row in rows}) == len(rows)), 1)
    keys, others = columns[:n_keys], columns[n_keys:]
    # A column that shares the first line of its name with the one before repeats it if it comes first.
    first = [
        column._replace(head=[before.head[0], *column.head[1:]]) if not column.head[0] else column
        for before, column in pairwise(columns)
    ][n_keys - 1 :]
    room = width - sum(column.width + len(_GAP) for column in keys)
    if max((column.width for column in first), default=0) > room:
        return _listed(keys, first, width)
    blocks: list[list[Column]] = []
    left = 0
    for column, as_first in zip(others, first, strict=True):
        if column.width > left:
            blocks.append([*keys, as_first])
            left = room - as_first.width - len(_GAP)
        else:
            blocks[-1].append(column)
            left -= column.width + len(_GAP)
    return "\n\n".join(map(_block, blocks))


def _block(columns: list[Column]) -> str:
    n_head = max(len(column.head) for column in columns)
    lines = [_GAP.join(texts) for texts in zip(*(column.lines(n_head) for column in columns), strict=True)]
    lines.insert(n_head, "─" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)


def _listed(keys: list[Column], others: list[Column], width: int) -> str:
    lines = []
    for n in range(len(keys[0].cells)):
        lines.append(terminal.break_line(", ".join(column.cells[n] for column in keys), width))
        for column in others:
            if column.cells[n]:
                lines.append(terminal.break_line(f"  {' '.join(filter(None, column.head))}: {column.cells[n]}", width))
    return "\n".join(lines)


def _fitted(lines: list[str], width: int) -> str:
    if max(map(len, lines)) <= width:
        return "\n".join(lines)
    rule = find_rule(lines)
    if rule is None:
        return "\n".join(terminal.break_line(line, width) for line in lines)
    return _narrowed(read_columns(lines[:rule], lines[rule + 1 :]), width)
