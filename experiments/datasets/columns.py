"""The kinds of columns: numbers and categories, with their missing values. All fields can be stored as JSON."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.readers import numerals
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER, PLAIN, Notation

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "<na>", "#n/a", "#na", "-nan"})
"""Words for missing values in any column, in upper or lower case."""
MISSING_NUMBER = MISSING | {
    *("-", "--", "---", "\u2013", "\u2014", "\u2212", ".", "..", "...", "*", "??", "none", "nil", "n.a.", "n.a", "nd"),
    *("n/d", "nat", "(null)", "\\n", "missing", "unknown", "not available", "#null!", "#div/0!", "#value!", "#ref!"),
    *("#name?", "#num!", "#n/a n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
}
"""Words for missing values in a column whose other fields are all numbers."""
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?$", re.ASCII)
LARGEST = 1e30
"""The maximum of a number: the square of a larger one is beyond float32."""
MOST_LISTED = 12
"""The maximum number of similar columns that are listed by name."""


class Number(NamedTuple):
    """A column of numbers; a missing value is replaced by the median of the training rows."""

    name: str
    median: float
    notation: Notation = PLAIN


class Category(NamedTuple):
    """A column of words, one-hot encoded: one input per level of the training rows.

    A missing value is replaced by the most frequent level; for a word that is not a level, all inputs are 0.
    """

    name: str
    levels: tuple[str, ...]
    most_frequent: str


class Embedded(NamedTuple):
    """A column of many words, as whole numbers that a network embeds: i + 1 for level i, and 0 for every other word.

    Levels are the words of at least `FEWEST_OF_A_LEVEL` training rows, so that 0 is also trained, by rarer words. A
    missing value is replaced by the most frequent level.
    """

    name: str
    levels: tuple[str, ...]
    most_frequent: str

    @property
    def size(self) -> int:
        """Return how many whole numbers there are."""
        return 1 + len(self.levels)


FEWEST_OF_A_LEVEL = 2
Column = Number | Category | Embedded


class Meaning(NamedTuple):
    """The meaning of fields, as far as the user gives it; None means inferred from the columns.

    Attributes:
      missing: the fields that are missing values, besides the empty one; case-sensitive.
      decimal, thousands: the marks in numbers.
      words, numbers: the names of columns that are declared as words or numbers.
    """

    missing: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()

    def missing_values(self, fields: Iterable[str], *, of_numbers: bool = False) -> set[str]:
        """Return the fields that are missing values, among words or among numbers."""
        if self.missing is not None:
            return {field for field in fields if field == "" or field in self.missing}
        known = MISSING_NUMBER if of_numbers else MISSING
        return {field for field in fields if field.lower() in known}

    def missing_words(self, name: str, fields: Iterable[str]) -> set[str]:
        """Return the fields that are missing values in a column of words; if it is declared, only the empty field."""
        return {""} & set(fields) if name in self.words else self.missing_values(fields)


DEFAULT_MEANING = Meaning()


def check_size(path: Path, name: str, fields: Sequence[str], lines: Sequence[int], values: np.ndarray) -> None:
    """Raise an InvalidFileError if a value is beyond `LARGEST`."""
    bad = np.abs(values) > LARGEST
    if bad.any():
        i = int(bad.argmax())
        where = f"{path}: column {name!r} holds {fields[i]} in line {lines[i]}"
        raise InvalidFileError(f"{where}, expected numbers up to {LARGEST:g}")


def check_present(
    path: Path, name: str, fields: Sequence[str], lines: Sequence[int], missing: Collection[str], what: str
) -> None:
    """Raise an InvalidFileError if a field is missing; `what` names what the column has."""
    if missing:
        i = next(i for i, field in enumerate(fields) if field in missing)
        raise InvalidFileError(
            f"{path}: line {lines[i]} has no {what} in column {name!r}: fill it in, or delete the line"
        )


def notation_hint(field: str, notation: Notation, meaning: Meaning) -> str:
    """Return a hint on how to write the field, if it is a date or a number, or else a missing value."""
    if DATE.match(field):
        return "write dates as numbers, with columns for year, month and day"
    decimal = notation == PLAIN and NUMBER.fullmatch(field.replace(",", "."))
    missing = " or ".join(["an empty field", *(["NA"] if meaning.missing is None else filter(None, meaning.missing))])
    return f"a missing value is {missing}{', and numbers have a point, not a comma' if decimal else ''}"


def numbers_of(
    fields: Sequence[str], notation: Notation, present: Collection[str], missing: Collection[str]
) -> np.ndarray:
    """Return the values of the fields in this notation, NaN for `missing` fields; `present` are all other fields."""
    try:
        # float is fast, and accepts numbers in Python's notation.
        values = [float(field) for field in present] if notation == PLAIN else None
    except ValueError:
        values = None
    if values is None:
        values = [numerals.number(field, notation) for field in present]
    numbers = dict(zip(present, values, strict=True)) | dict.fromkeys(missing, np.nan)
    return np.fromiter(map(numbers.__getitem__, fields), np.float64, len(fields))


def count_fields(fields: Sequence[str], wanted: Collection[str]) -> dict[str, int]:
    """Return the number of occurrences of each wanted field."""
    if not wanted:
        return {}
    counts = Counter(fields)
    return {field: counts[field] for field in wanted}


def width(columns: Sequence[Column]) -> int:
    """Return the number of inputs of the columns."""
    return sum(len(column.levels) if isinstance(column, Category) else 1 for column in columns)


def in_order_of_inputs(columns: Sequence[Column]) -> list[Column]:
    """Return the columns in the order of their inputs: those that are embedded come last."""
    return sorted(columns, key=lambda column: isinstance(column, Embedded))


def sizes_of_embedded(columns: Sequence[Column]) -> tuple[int, ...]:
    """Return the number of whole numbers of each embedded column, in the order of inputs."""
    return tuple(column.size for column in columns if isinstance(column, Embedded))


def imputation_note(column: Column, n: int) -> str:
    """Return a note on the replacement of n missing values."""
    if not isinstance(column, Number):
        return f"{n} missing, taken as {column.most_frequent}"
    return f"{n} missing, taken as the median, {column.median:g}"


def count_levels(column: Category | Embedded) -> str:
    """Return the number of levels as text."""
    return "1 level" if len(column.levels) == 1 else f"{len(column.levels)} levels"


def listed(kind: str, names: Sequence[str]) -> list[str]:
    """Return a line with the names of columns of one kind, or none."""
    if not names:
        return []
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return [f"{kind}: {', '.join(names[:MOST_LISTED])}{more}"]


def option(name: str, *items: str) -> str:
    """Return the option with a list of these items, quoted for a shell."""
    listed = ",".join(f'"{item}"' if "," in item else item for item in items)
    return f"{name}{'=' if listed.startswith('-') else ' '}{shlex.quote(listed)}"
