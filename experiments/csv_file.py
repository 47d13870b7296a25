"""Reads a CSV file as columns of words: a header, then rows of as many fields, by commas, semicolons or tabs.

Fields may be quoted, with commas, line ends and doubled quotes inside. A byte order mark, any line ends, blank lines
and spaces around fields are taken.

Source: RFC 4180, "Common format and MIME type for comma-separated values (CSV) files", 2005.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.refusal import Refused, check_file

MOST_BYTES = 2**26
MOST_FIELDS = 2**21
_LONGEST_LINE = 2**20
DELIMITERS = ",;\t"
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
"""All but tabs and line ends: what steers a terminal that shows it, and the zero bytes of UTF-16."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""One way only to match each digit: so a long field that is no number is found out in one pass."""


class Table(NamedTuple):
    """A CSV file's fields.

    Attributes:
      columns: each column's fields by its name, as they stand there, without the spaces around them.
      lines: of each row, the line of the file where it ends, counted from 1.
    """

    columns: dict[str, list[str]]
    lines: list[int]


def read_table(path: Path) -> Table:
    """Read the file. The delimiter is the one of `DELIMITERS` that makes the most of the header.

    Raises:
      Refused: what is wrong, and in which line: a header that names nothing, or a column twice, rows of another
        length, quotes that are not closed, no rows, bytes that are no UTF-8, or more than it takes.
      OSError: the file cannot be opened.
    """
    check_file(path, MOST_BYTES)
    data = path.read_bytes()
    control = _CONTROL.search(data)
    if control:
        told = f"{path} holds the control character {control[0].hex(' ')} in line {_line(data, control.start())}"
        raise Refused(f"{told}, so it is no text: save it as CSV in UTF-8")
    file = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    try:
        delimiter = _delimiter(file.readline(_LONGEST_LINE))
        file.seek(0)
        return _table(path, csv.reader(_lines(path, file), delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 in line {_undecodable(data)}: save it as CSV in UTF-8") from None


def _delimiter(header: str) -> str:
    def fields(delimiter: str) -> int:
        try:
            return len(next(csv.reader([header], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=fields)


def _lines(path: Path, file: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise Refused(f"{path}: line {number} has more than {_LONGEST_LINE:,} characters: is it a CSV file?")
        yield line


def _undecodable(data: bytes) -> int:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _line(data, error.start)
    return 1


def _line(data: bytes, at: int) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data[:at])) + 1


def _table(path: Path, rows: Iterator[list[str]]) -> Table:
    lines: list[int] = []
    try:
        header = next((row for row in rows if row), [])
        names = _names(path, [name.strip() for name in header])
        columns: list[list[str]] = [[] for _ in names]
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                raise Refused(
                    f"{path}: line {rows.line_num} has {len(row)} fields, the header {len(names)}: a field with a "
                    "delimiter inside must be quoted"
                )
            if len(names) * len(lines) >= MOST_FIELDS:
                raise Refused(f"{path} has more than {MOST_FIELDS:,} fields: train on a part of it, or as npz")
            lines.append(rows.line_num)
            for column, field in zip(columns, row, strict=True):
                column.append(field.strip())
    except csv.Error as error:
        raise Refused(f"{path}: line {rows.line_num}: {error}: is a quote not closed, or not doubled?") from None
    if not lines:
        raise Refused(f"{path} has a header and no rows")
    return Table(dict(zip(names, columns, strict=True)), lines)


def _names(path: Path, names: list[str]) -> list[str]:
    if not names:
        raise Refused(f"{path} is empty: expected a header with the names of the columns")
    if all(NUMBER.fullmatch(name) for name in names):
        raise Refused(f"{path} starts with numbers: expected a header with the names of the columns in line 1")
    if "" in names:
        raise Refused(
            f"{path}: column {names.index('') + 1} has no name in the header: give it one, or leave it out (a table of "
            "pandas is written without its index by to_csv(index=False))"
        )
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name in seen:
            raise Refused(f"{path}: columns {seen[name]} and {number} are both called {name!r}: rename one")
        seen[name] = number
    return names
