"""Tables of results: on stdout, and as plain text for the run's folder."""

import io
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

# Wide enough for every table here. In a narrower terminal a line is broken, but no number is cut off.
_WIDTH = 160


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> Table:
    """A table whose first `text_columns` columns are words, and whose others are numbers."""
    result = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        result.add_column(column, justify="left" if i < text_columns else "right", no_wrap=i >= text_columns)
    for row in rows:
        result.add_row(*row)
    return result


def show(content: Table) -> None:
    """Print to stdout."""
    Console(width=_WIDTH, highlight=False).print(content)


def as_text(content: Table) -> str:
    """The table as plain text."""
    file = io.StringIO()
    Console(file=file, width=_WIDTH, color_system=None, force_terminal=False).print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def median_and_range(values: np.ndarray, digits: int = 1) -> str:
    """Of values (n,): their median, and in brackets the lowest and the highest; nothing where there is none."""
    if len(values) == 0:
        return ""
    return f"{np.median(values):.{digits}f} ({values.min():.{digits}f}-{values.max():.{digits}f})"
