"""How a user reads a CSV file: the options of its layout, and lists of its columns."""

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.datasets.columns import Meaning
from experiments.datasets.options import OwnDataOptions
from experiments.readers.csv_file import DEFAULT_LAYOUT, Layout
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER


class Reading(NamedTuple):
    """The options for reading a CSV file, as far as the user gives them.

    Attributes:
      layout: the layout of its text.
      missing: the fields that are missing values, separated by commas.
      decimal, thousands: the marks in numbers.
      words, numbers: the names of columns that are declared as words or numbers, separated by commas.
    """

    layout: Layout = DEFAULT_LAYOUT
    missing: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    words: str = ""
    numbers: str = ""

    def meaning(self, path: Path, columns: Sequence[str]) -> Meaning:
        """Return the meaning of the fields of a file with these columns."""
        words, numbers = (frozenset(select(path, text, columns)) for text in (self.words, self.numbers))
        if words & numbers:
            raise InvalidFileError(f"{path}: --words and --numbers both name {', '.join(sorted(words & numbers))}")
        missing = None if self.missing is None else tuple(_items(self.missing))
        return Meaning(missing, self.decimal, self.thousands, words, numbers)


DEFAULT_READING = Reading()


def reading_of(options: OwnDataOptions) -> Reading:
    """Return the reading of a CSV file with these options.

    Raises:
      ValueError: if a mark is not one character, or two marks are the same.
    """
    delimiter = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(f"--delimiter must be one character, such as ; or tab, got {options.delimiter!r}")
    if options.decimal not in (None, ".", ","):
        raise ValueError(f"--decimal must be . or , got {options.decimal!r}")
    if options.thousands not in (None, ".", ",", " ", "'"):
        raise ValueError(f"--thousands must be one of . , ' and a blank, got {options.thousands!r}")
    if options.decimal is not None and options.decimal == options.thousands:
        raise ValueError(f"--decimal and --thousands must be different marks, got {options.decimal!r} for both")
    layout = Layout(delimiter, _canonical(options.encoding), options.header)
    return Reading(layout, options.missing, options.decimal, options.thousands, options.words, options.numbers)


def _canonical(encoding: str | None) -> str | None:
    """Return the canonical name of an encoding; an unknown one stays, and is an error when the file is read."""
    try:
        return encoding and codecs.lookup(encoding).name
    except LookupError:
        return encoding


def available(columns: Sequence[str]) -> str:
    """Return the names of the columns for an error, with the likely fix if they look misread."""
    names = ", ".join(columns)
    hint = "; is line 1 data? Then use --no-header" if any(map(NUMBER.fullmatch, columns)) else ""
    if len(columns) == 1:
        hint = "; is another delimiter between the fields? Then use --delimiter"
    return f"there are {names if len(names) <= 1000 else names[:1000] + '...'}{hint}"


def select(path: Path, text: str, columns: Sequence[str]) -> list[str]:
    """Return the columns in a list of names; a name with commas is in double quotes.

    Raises:
      InvalidFileError: if a name is not a column's.
    """
    known = set(columns)
    names = [name for name in _items(text) if name]
    if known.issuperset(names):
        return names
    selected, parts = [], text.split(",")
    while parts:
        # The longest name first: if there are columns b and "b, in cm", that is the second.
        for end in range(len(parts), 0, -1):
            if (name := ",".join(parts[:end]).strip()) in known:
                selected.append(name)
                break
        else:
            end, name = 1, parts[0].strip()
            if name:
                raise InvalidFileError(f"{path} has no column {name!r}: {available(columns)}")
        del parts[:end]
    return selected


def _items(text: str) -> list[str]:
    """Return the items of a list with commas; an item with commas is in double quotes."""
    return [item.strip() for item in next(csv.reader([text], skipinitialspace=True), [])]
