"""Read tables back from plain text, which reports.tables has made: their columns, and the paragraphs around them."""

import re
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table, whose name has one or more lines."""

    head: list[str]
    cells: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(map(len, self.head + self.cells))

    def lines(self, n_head: int) -> list[str]:
        texts = [""] * (n_head - len(self.head)) + self.head + self.cells
        return [text.rjust(self.width) if self.is_number else text.ljust(self.width) for text in texts]


def paragraphs(text: str) -> list[str]:
    """Return the parts of a text between its empty lines."""
    return re.split(r"\n(?:[ \t]*\n)+", text)


def find_rule(lines: list[str]) -> int | None:
    """Return the index of the line below the head of a table; `None` if the lines are not a table."""
    return next((i for i, line in enumerate(lines) if re.fullmatch(r" *─+ *", line)), None)


def read_columns(heads: list[str], rows: list[str]) -> list[Column]:
    """Return the columns of a plain-text table, which are separated by at least two blanks in every line."""
    longest = max(map(len, heads + rows))
    lines = [line.ljust(longest) for line in heads + rows]
    filled = "".join("x" if any(line[i] != " " for line in lines) else " " for i in range(longest))
    columns = []
    for match in re.finditer(r"x+(?: x+)*", filled):
        texts = [line[slice(*match.span())] for line in lines]
        right = all(text[-1] != " " for text in texts if text.strip())
        left = all(text[0] != " " for text in texts if text.strip())
        texts = [text.strip() for text in texts]
        is_number = right and not (left and not re.match(r"[-+.\d]", texts[-1]))
        columns.append(Column(texts[: len(heads)], texts[len(heads) :], is_number))
    # A name of one line is in the last line of the head; the lines above it belong to columns that share them.
    shared = False
    for i, column in enumerate(columns):
        shared = bool(column.head and column.head[0]) or (shared and len(column.head) > 1)
        if not shared:
            columns[i] = column._replace(head=column.head[-1:])
    return columns
