"""The kinds of columns: numbers and categories, with their missing values. All of it is JSON."""

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
"""Words that stand for no value in any column, in upper or lower case."""
MISSING_NUMBER = MISSING | {
    *("-", "--", "---", "\u2013", "\u2014", "\u2212", ".", "..", "...", "*", "??", "none", "nil", "n.a.", "n.a", "nd"),
    *("n/d", "nat", "(null)", "\\n", "missing", "unknown", "not available", "#null!", "#div/0!", "#value!", "#ref!"),
    *("#name?", "#num!", "#n/a n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
}
"""Words that stand for no value in a column whose other fields are all numbers."""
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?$", re.ASCII)
LARGEST = 1e30
"""The square of a larger number is beyond float32."""
MOST_LISTED = 12
"""How many similar columns are listed by name."""


class Number(NamedTuple):
    """A column in which every value is a number; a missing one is replaced by the training rows' median."""

    name: str
    median: float
    notation: Notation = PLAIN


class Category(NamedTuple):
    """A column of words: an input for each level of the training rows, 1 for that level and 0 for others.

    A missing word is replaced by the most frequent level; a word that is not a level makes all inputs 0.
    """

    name: str
    levels: tuple[str, ...]
    most_frequent: str


Column = Number | Category


class Meaning(NamedTuple):
    """What fields stand for, as far as the user states it; None means inferred from the columns.

    Attributes:
      missing: the fields that stand for no value, beside the empty one; case matters.
      decimal, thousands: the marks in numbers.
      words, numbers: the names of columns that are declared to be so.
    """

    missing: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()

    def no_values(self, fields: Iterable[str], *, of_numbers: bool = False) -> set[str]:
        """Return those of the fields that stand for no value, among words or among numbers."""
        if self.missing is not None:
            return {field for field in fields if field == "" or field in self.missing}
        known = MISSING_NUMBER if of_numbers else MISSING
        return {field for field in fields if field.lower() in known}

    def no_words(self, name: str, fields: Iterable[str]) -> set[str]:
        """Return the words that stand for no value in a column: in a declared column of words, only the empty field."""
        return {""} & set(fields) if name in self.words else self.no_values(fields)


DEFAULT_MEANING = Meaning()


def check_size(path: Path, name: str, fields: Sequence[str], lines: Sequence[int], values: np.ndarray) -> None:
    bad = np.abs(values) > LARGEST
    if bad.any():
        i = int(bad.argmax())
        found = f"{path}: column {name!r} holds {fields[i]} in line {lines[i]}"
        raise InvalidFileError(f"{found}, expected numbers up to {LARGEST:g}")


def how_written(field: str, notation: Notation, meaning: Meaning) -> str:
    if DATE.match(field):
        return "of dates, write year, month and day as numbers, each in a column"
    decimal = notation == PLAIN and NUMBER.fullmatch(field.replace(",", "."))
    missing = " or ".join(["an empty field", *(["NA"] if meaning.missing is None else filter(None, meaning.missing))])
    return f"no value is {missing}{', and numbers have a point, not a comma' if decimal else ''}"


def numbers_of(
    fields: Sequence[str], notation: Notation, there: Collection[str], missing: Collection[str]
) -> np.ndarray:
    """Return the numbers that fields are in this notation, NaN for missing ones; `there` are all others."""
    try:
        # Of numbers, float takes those that Python writes so, and is fast.
        values = [float(field) for field in there] if notation == PLAIN else None
    except ValueError:
        values = None
    if values is None:
        values = [numerals.number(field, notation) for field in there]
    numbers = dict(zip(there, values, strict=True)) | dict.fromkeys(missing, np.nan)
    return np.fromiter(map(numbers.__getitem__, fields), np.float64, len(fields))


def count_fields(fields: Sequence[str], wanted: Collection[str]) -> dict[str, int]:
    if not wanted:
        return {}
    counts = Counter(fields)
    return {field: counts[field] for field in wanted}


def width(columns: Sequence[Column]) -> int:
    """Return the number of inputs of the columns."""
    return sum(1 if isinstance(column, Number) else len(column.levels) for column in columns)


def filled(column: Column, n: int) -> str:
    if isinstance(column, Category):
        return f"{n} missing, taken as {column.most_frequent}"
    return f"{n} missing, taken as the median, {column.median:g}"


def listed_levels(column: Category) -> str:
    return "1 level" if len(column.levels) == 1 else f"{len(column.levels)} levels"


def listed(kind: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return [f"{kind}: {', '.join(names[:MOST_LISTED])}{more}"]


def option(name: str, *items: str) -> str:
    """Return the option with a list of these items, as it is typed in a shell."""
    listed = ",".join(f'"{item}"' if "," in item else item for item in items)
    return f"{name}{'=' if listed.startswith('-') else ' '}{shlex.quote(listed)}"
