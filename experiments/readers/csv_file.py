"""Read a CSV file as columns of words: a header, then rows with as many fields, with any delimiter.

Python's csv module splits the fields: it keeps the line of each row, and takes 5 s of processor time for 42 000 rows of
785 fields (118 MB); pandas takes 6 s, polars and pyarrow 2 s and 170 MB of disk. Fields may be quoted, with delimiters,
line ends and doubled quotes inside. A byte order mark, any line ends, blank lines, comments and spaces around fields
are accepted.

Source: RFC 4180, "Common format and MIME type for comma-separated values (CSV) files", 2005.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from experiments.readers.compression import unpacked
from experiments.readers.encodings import read_text
from experiments.readers.errors import InvalidFileError, check_file
from experiments.readers.numerals import NUMBER

MOST_BYTES = 2**28
MOST_FIELDS = 2**26
MOST_ROWS = 2**20
MOST_COLUMNS = 25_000
_LONGEST_LINE = 2**20
DELIMITERS = ",;\t|"
"""The delimiters that can be detected."""
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
_SEPARATOR = "\x1f"
"""The separator of a column's fields that are stored as one text; files that contain it are rejected."""
_BLANKS = re.compile(r'("(?:[^"]|"")*")|[ \t]+')
"""Blanks between fields; quoted fields are matched so that they stay unchanged."""
_FIELDS_AT_ONCE = 2**18
_MOST_COMMENTS_FIRST = 1000
_SAMPLE_RECORDS, _SAMPLE_FIELDS = 50, 5000
UNNAMED = "Unnamed: {}"
"""pandas' name for a column without one, counted from 0."""


class Layout(NamedTuple):
    """The layout of a file, as far as the user gives it; None means detected from the file.

    Attributes:
      delimiter: the character between fields.
      encoding: the name of an encoding of Python, such as "shift-jis".
      header: whether the first row has the names of the columns; else they are column_1, column_2, ...
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True


DEFAULT_LAYOUT = Layout()


class Table(NamedTuple):
    """The fields of a CSV file.

    Attributes:
      columns: each column's fields by its name, without surrounding spaces.
      lines: the line of the file, counted from 1, in which each row ends.
      notes: texts on how the file was read.
    """

    columns: Mapping[str, list[str]]
    lines: list[int]
    notes: tuple[str, ...] = ()


class Columns(Mapping):
    """Columns stored as one text each, in a tenth of the memory of a list of fields; a column is split on access."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def __getitem__(self, name: str) -> list[str]:
        text = self._texts[name]
        fields = text.split(_SEPARATOR)
        spaced = not text.isascii() or any(blank in text for blank in " \t\r\n")
        return [field.strip() for field in fields] if spaced else fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, name: object) -> bool:
        return name in self._texts


def join_fields(fields: Sequence[str]) -> str:
    """Return fields, none of which holds a control character, as one text of `Columns`."""
    return _SEPARATOR.join(fields)


def read_table(path: Path, layout: Layout = DEFAULT_LAYOUT) -> Table:
    """Read a CSV file.

    The delimiter is the one of `DELIMITERS` for which the first rows have as many fields as the header, at least two.

    Raises:
      InvalidFileError: if two columns have the same name, rows differ in length, quotes are not closed, there are no
        rows, the encoding is unknown, or a limit such as `MOST_BYTES` or `MOST_FIELDS` is exceeded.
      OSError: if the file cannot be opened.
    """
    check_file(path, MOST_BYTES)
    data, notes = read_text(path, unpacked(path, MOST_BYTES), layout.encoding)
    announced = re.match(rb"(?i)\"?sep=([\t !#-/:-@\[-^`{-~])\"?[ ,;\t]*(\r\n|\r|\n)", data)
    delimiter = layout.delimiter or (announced[1].decode("latin-1") if announced else _sniff(data))
    notes.append(f"fields separated by {_NAMES.get(delimiter, delimiter)}")
    file = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
    # The csv module does not accept a blank both as the delimiter and after one.
    lines = _lines(path, file) if delimiter != " " else map(_one_blank, _lines(path, file))
    rows = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
    return _Scan(path, layout, rows, notes).table(skip=bool(announced))


def _sniff(data: bytes) -> str:
    """Return the delimiter for which the first records agree best in length."""
    head = data[:_LONGEST_LINE].decode(errors="ignore")
    whole = len(data) <= _LONGEST_LINE

    def rank(delimiter: str) -> tuple[float, float, int]:
        rows = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, skipinitialspace=True)
        records: list[list[str]] = []
        with contextlib.suppress(csv.Error):
            records += islice((row for row in rows if row), _SAMPLE_RECORDS)
        if len(records) < _SAMPLE_RECORDS and not whole:
            records = records[:-1] or records  # the last one is cut
        skipped = _comments_first(records)
        first, *rest = records[skipped:] or [[]]
        width = len(first)
        if width < 2:
            return (-1.0, 0.0, max(map(len, records), default=0))
        # An empty field after the last delimiter does not change a row's length.
        agreeing = sum(len(row) == width or (len(row) == width + 1 and not row[-1]) for row in rest)
        fields = [field for row in rest for field in row[: _SAMPLE_FIELDS // len(rest)]]
        numbers = sum(NUMBER.fullmatch(field.strip()) is not None for field in fields)
        return (agreeing / max(1, len(rest)), numbers / max(1, len(fields)), width)

    return max(DELIMITERS, key=rank)


def _comments_first(records: list[list[str]]) -> int:
    """Return the number of comments before the first record that does not start with #."""
    n = next((n for n, record in enumerate(records) if not record[0].startswith("#")), 0)
    return n - 1 if n and len(records[n - 1]) == len(records[n]) > 1 else n


def _lines(path: Path, file: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise InvalidFileError(
                f"{path}: line {number} has more than {_LONGEST_LINE:,} characters: is it a CSV file?"
            )
        yield line


def _one_blank(line: str) -> str:
    """Return the line stripped, with one blank for the blanks and tabs between fields."""
    text = line.rstrip("\r\n")
    return _BLANKS.sub(lambda match: match[1] or " ", text).strip(" ") + line[len(text) :]


class _Scan:
    """A single pass through the rows."""

    def __init__(self, path: Path, layout: Layout, rows: Iterator[list[str]], notes: list[str]) -> None:
        self.path, self.layout, self.rows, self.notes = path, layout, rows, notes
        self.lines: list[int] = []
        self.block: list[list[str]] = []
        self.comments: list[int] = []
        self.empty: list[int] = []
        self.ended: list[int] = []

    def table(self, *, skip: bool) -> Table:
        """Read all rows; with `skip` without the first line, which only declares the delimiter."""
        try:
            if skip:
                next(self.rows)
            start: list[tuple[int, list[str]]] = []
            for row in self.rows:  # up to the first that is not a comment
                if any(row) or len(row) > 1:
                    start.append((self.rows.line_num, row))
                    if not row[0].startswith("#") or len(start) == _MOST_COMMENTS_FIRST:
                        break
            n = _comments_first([row for _, row in start])
            self.comments += [line for line, _ in start[:n]]
            line, first = start[n] if start else (0, [])
            names = self._names(first, line)
            texts: list[list[str]] = [[] for _ in names]
            start = start[n + self.layout.header :]
            most = max(1, _FIELDS_AT_ONCE // len(names))
            for row in self._rows(start, names, [field.strip() for field in first]):
                self.block.append(row)
                if len(self.block) == most:
                    self._keep(texts)
        except csv.Error as error:
            what = f"{self.path}: line {self.rows.line_num}: {error}"
            raise InvalidFileError(f"{what}: is a quote not closed, or not doubled?") from None
        self._keep(texts)
        if not self.lines:
            raise InvalidFileError(f"{self.path} has a header and no rows")
        self._check_ends()
        columns = Columns({name: _SEPARATOR.join(text) for name, text in zip(names, texts, strict=True)})
        return Table(columns, self.lines, (*self.notes, *self._left_out()))

    def _rows(self, start: list[tuple[int, list[str]]], names: list[str], header: list[str]) -> Iterator[list[str]]:
        """Yield the rows with data, each with as many fields as there are names."""
        n, lines, has_header = len(names), self.lines, self.layout.header
        most = min(MOST_ROWS, -(-MOST_FIELDS // n))
        following = ((self.rows.line_num, row) for row in self.rows)
        for pairs in (start, following):
            for line, row in pairs:
                if len(row) != n:
                    if not row or (n > 1 and not row[0] and len(row) == 1):
                        continue
                    if row[0].startswith("#"):
                        self.comments.append(line)
                        continue
                    if len(row) != n + 1 or row[-1].strip():
                        raise InvalidFileError(f"{self.path}: {self._length(line, row, n)}")
                    self.ended.append(line)
                    del row[-1]
                if n > 1 and not any(row):
                    self.empty.append(line)
                    continue
                if has_header and row[0] == header[0] and [field.strip() for field in row] == header:
                    raise InvalidFileError(
                        f"{self.path}: line {line} repeats the header: delete it (were files joined?)"
                    )
                if len(lines) == most:
                    limit = f"{MOST_ROWS:,} rows" if most == MOST_ROWS else f"{MOST_FIELDS:,} fields"
                    raise InvalidFileError(f"{self.path} has more than {limit}: train on a part of it")
                lines.append(line)
                yield row

    def _length(self, line: int, row: list[str], n: int) -> str:
        """Return the message for a row whose length differs from the header's, with the likely cause."""
        fix = "a field with a delimiter inside must be quoted"
        if n == 1:
            return f"line {line} has {len(row)} fields, the header 1: expected the names of all columns in line 1"
        if len(row) < n:
            fix = "fill in what is missing, or add delimiters" if len(row) > 1 else "is it a comment, or a total?"
        elif not self.lines:
            fix += ", such as a decimal comma; or give the column of row names, which R leaves without one, a name"
        fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
        return f"line {line} has {fields}, the header {n}: {fix}"

    def _keep(self, texts: list[list[str]]) -> None:
        if self.block:
            for text, column in zip(texts, zip(*self.block, strict=True), strict=True):
                text.append(_SEPARATOR.join(column))
        self.block = []

    def _check_ends(self) -> None:
        """Raise unless all rows end with a delimiter, or none: otherwise a field may be missing."""
        if self.ended and len(self.ended) != len(self.lines) + len(self.empty):
            raise InvalidFileError(
                f"{self.path}: line {self.ended[0]} ends with a delimiter, so it has one field more than the header, "
                "and other lines do not: delete it"
            )

    def _left_out(self) -> list[str]:
        skipped = {
            "comment{s}": self.comments,
            "line{s} of empty fields": self.empty,
            "empty field{s} behind a delimiter at the end of lines": self.ended,
        }
        return [
            f"left out: {len(at)} {what.format(s='s' * (len(at) != 1))}, the first in line {at[0]}"
            for what, at in skipped.items()
            if at
        ]

    def _names(self, first: list[str], line: int) -> list[str]:
        if self.layout.header or not first:
            return names_of(self.path, first, line)
        _check_columns(self.path, len(first))
        return [f"column_{i}" for i in range(1, len(first) + 1)]


def names_of(path: Path, header: list[str], line: int) -> list[str]:
    """Return the names of the columns in a header, that of `UNNAMED` for an empty one.

    Raises:
      InvalidFileError: if the header is empty or too long, all are numbers, or two are the same.
    """
    names = [name.strip() for name in header]
    if not names:
        raise InvalidFileError(f"{path} is empty: expected a header with the names of the columns")
    _check_columns(path, len(names))
    if all(map(NUMBER.fullmatch, names)):
        raise InvalidFileError(
            f"{path} starts with numbers: expected a header with the names of the columns in line {line}; "
            "--no-header names them column_1, column_2, ..."
        )
    names = [name or UNNAMED.format(i) for i, name in enumerate(names)]
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if name in seen:
            data = any(map(NUMBER.fullmatch, names))
            fix = "is line 1 data? Then --no-header" if data else "rename one"
            raise InvalidFileError(f"{path}: columns {seen[name]} and {number} are both called {name!r}: {fix}")
        seen[name] = number
    return names


def _check_columns(path: Path, n: int) -> None:
    if n > MOST_COLUMNS:
        raise InvalidFileError(f"{path} has {n:,} columns, expected at most {MOST_COLUMNS:,}")
