"""Infer which columns are numbers and which categories from all rows; fit medians and levels on the training rows."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.columns import (
    DEFAULT_MEANING,
    Category,
    Column,
    Meaning,
    Number,
    check_size,
    count_fields,
    filled,
    how_written,
    listed,
    listed_levels,
    numbers_of,
    option,
)
from experiments.readers import numerals
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER, PLAIN, Notation

MOST_LEVELS = 100
"""The most levels of a categorical column: names, dates and ticket numbers have more."""
MOST_NUMBERS = 2**26
_INDEX_NAME = re.compile(r"(?i:unnamed: \d+|(.*[\W_])?(id|idx|index))|\w*[a-z]I[dD]", re.ASCII)
_FEWEST_IN_ORDER = 3
"""With fewer rows, a column may count them by chance."""


class Fitted(NamedTuple):
    """The columns of a table, fitted.

    Attributes:
      columns: those that become inputs.
      notes: what each column is taken for, in words.
      numbers: the values of each column of numbers, (m,) float64, NaN if one is missing.
    """

    columns: list[Column]
    notes: list[str]
    numbers: dict[str, np.ndarray]


class _Look(NamedTuple):
    """What all rows show of a column.

    Attributes:
      name: the column's.
      missing: how often each field that stands for no value occurs.
      notations: those under which all other fields are numbers; none for words.
      counts: how it numbers the rows, if it does.
      advice: what may be wrong with it, if anything.
      column: its kind, if that is clear without the other columns; else it is inspected again.
      constant: whether all training rows have the same value.
    """

    name: str
    missing: dict[str, int]
    notations: list[Notation]
    counts: str = ""
    advice: str = ""
    column: Number | None = None
    constant: bool = False
    empty: bool = False


def fit_columns(
    path: Path, table: Table, names: Sequence[str], train: np.ndarray, meaning: Meaning = DEFAULT_MEANING
) -> Fitted:
    """Infer column kinds from all rows; fit medians and levels on the rows `train`.

    A column that only numbers the rows is left out, as is one without a value, unless there is no other.

    Raises:
      InvalidFileError: if a column of numbers holds another field, has marks that can be read in two ways, or a number
        beyond `LARGEST`; or if a column has too many words.
    """
    fit = _Fit(path, table, train, meaning)
    looks = [fit.look(name) for name in names]
    decimals = {look.notations[0].decimal for look in looks if len({each.decimal for each in look.notations}) == 1}
    used = {look.name for look in looks if not look.empty and (not look.counts or look.name in meaning.numbers)}
    used = used or {look.name for look in looks if not look.empty}
    if not used:
        raise InvalidFileError(f"{path} has no value in any column to learn from")
    columns, plain, constant, notes = [], [], [], []
    for look in looks:
        if look.empty:
            notes.append(f"{look.name}: left out, it has no value in any row")
        elif look.name not in used:
            notes.append(f"{look.name}: left out, {look.counts} (keep it by {option('--numbers', look.name)})")
        else:
            column, found = fit.column(look, decimals)
            columns.append(column)
            if look.counts and look.name not in meaning.numbers:
                found.append(f"{look.counts}: leave it out by --drop")
            elif look.advice and look.name not in meaning.numbers:
                found.append(look.advice)
            if isinstance(column, Number) and not found:
                (constant if look.constant else plain).append(look.name)
            else:
                kind = "number" if isinstance(column, Number) else f"words, one-hot, {listed_levels(column)}"
                notes.append(f"{look.name}: {'; '.join([kind, *found])}")
    notes = [*listed("numbers", plain), *listed("numbers, all the same", constant), *notes]
    return Fitted(columns, notes, fit.numbers)


class _Fit:
    """Inspect each column at most twice: alone, and, if its numbers are ambiguous, with what the others show."""

    def __init__(self, path: Path, table: Table, train: np.ndarray, meaning: Meaning) -> None:
        self.path, self.table, self.train, self.meaning = path, table, train, meaning
        self.numbers: dict[str, np.ndarray] = {}

    def look(self, name: str) -> _Look:
        fields, meaning = self.table.columns[name], self.meaning
        found = set(fields)
        if name in meaning.words:
            missing = count_fields(fields, meaning.no_words(name, found))
            return _Look(name, missing, [], empty=len(missing) == len(found))
        missing = meaning.no_values(found, of_numbers=True)
        there = found - missing
        if not there:  # words such as - may stand for no number
            few = count_fields(fields, meaning.no_values(found))
            return _Look(name, few, [], empty=len(few) == len(found))
        notations = numerals.notations(there, meaning.decimal, meaning.thousands)
        if not notations:
            self._check_words(name, fields, there)
            return _Look(name, count_fields(fields, meaning.no_values(found)), [])
        counted = count_fields(fields, missing)
        plain = notations[0] == PLAIN and all(map(NUMBER.fullmatch, there))
        if not plain or (len(notations) > 1 and any("." in field for field in there)):
            return _Look(name, counted, notations)
        column, values = self._number(name, fields, PLAIN, there, missing)
        known = values[self.train]
        constant = bool((known == known[0]).all())
        counts, advice = _counts(name, values, len(there)), _runs_on(values)
        return _Look(name, counted, notations, counts, advice, column, constant)

    def column(self, look: _Look, decimals: set[str]) -> tuple[Column, list[str]]:
        """Return the fitted column, and notes on it."""
        if look.column is not None:
            # Integers are the same in any notation, but new rows of the column may have fractions.
            column = look.column._replace(notation=Notation(",")) if decimals == {","} else look.column
            return column, self._of_missing(look, column)
        fields = self.table.columns[look.name]
        if not look.notations:
            return self._category(look, fields)
        notation = self._notation(look, fields, decimals)
        column, values = self._number(look.name, fields, notation, set(fields) - set(look.missing), look.missing)
        return column, [*self._of_notation(look, notation, fields, values), *self._of_missing(look, column)]

    def _of_notation(self, look: _Look, notation: Notation, fields: list[str], values: np.ndarray) -> list[str]:
        """Return a note on numbers that Python would not read in this way, with an example."""
        there = set(fields) - set(look.missing)
        marked = {
            field for field in there if not NUMBER.fullmatch(field) or float(field) != numerals.number(field, notation)
        }
        if not marked:
            return []
        i = next(i for i, field in enumerate(fields) if field in marked)
        example = f"{fields[i]} in line {self.table.lines[i]} is {values[i]:.10g}"
        return [", ".join(filter(None, [str(notation), example]))]

    def _number(
        self, name: str, fields: list[str], notation: Notation, there: Collection[str], missing: Collection[str]
    ) -> tuple[Number, np.ndarray]:
        """Return the column and its values."""
        values = self.numbers[name] = numbers_of(fields, notation, there, missing)
        check_size(self.path, name, fields, self.table.lines, values)
        return Number(name, _median(values[self.train]), notation), values

    def _notation(self, look: _Look, fields: list[str], decimals: set[str]) -> Notation:
        there = set(fields) - set(look.missing)
        found = look.notations
        if len(decimals) == 1:
            found = [each for each in found if each.decimal in decimals] or found
        if numerals.agree(there, found):
            return found[0]
        if not decimals and found[0] == PLAIN:
            return PLAIN
        i = next(i for i, field in enumerate(fields) if field in there and not numerals.agree([field], found))
        readings = " or ".join(dict.fromkeys(f"{numerals.number(fields[i], each):.10g}" for each in found))
        raise InvalidFileError(
            f"{self.path}: column {look.name!r} holds {fields[i]!r} in line {self.table.lines[i]}, which may be "
            f"{readings}: use --decimal , or --decimal . for the mark before fractions"
        )

    def _check_words(self, name: str, fields: list[str], there: set[str]) -> None:
        """Raise if most of the fields are numbers: then the others are a mistake, or the column must be declared."""
        like = {field for field in there if numerals.like_a_number(field)}
        counts = count_fields(fields, there)
        n, numbers = sum(counts.values()), sum(counts[field] for field in like)
        if name not in self.meaning.numbers and 2 * numbers <= n:
            return
        odd, usual = self._odd_and_usual(fields, there, counts, like)
        line = self.table.lines
        beside = f", and others as {fields[usual]!r} in line {line[usual]}" if usual is not None else ""
        missing, words = option("--missing", *self._missing(), fields[odd]), option("--words", name)
        alike = f"with {mark} as the decimal mark" if (mark := self.meaning.decimal) else "written alike"
        raise InvalidFileError(
            f"{self.path}: column {name!r} holds {fields[odd]!r} in line {line[odd]}{beside}: expected numbers "
            f"{alike}; fix it, or use {missing} if it is no value, or {words} if the column holds words"
        )

    def _missing(self) -> list[str]:
        """Return the words that --missing must list so that the fields that stand for no value still do."""
        if self.meaning.missing is not None:
            return list(self.meaning.missing)
        found: set[str] = set()
        for fields in map(set, self.table.columns.values()):
            missing = self.meaning.no_values(fields, of_numbers=True)
            numbers = 2 * sum(map(numerals.like_a_number, fields)) > len(fields) - len(missing)
            found |= missing if numbers else self.meaning.no_values(fields)
        return sorted(found - {""})

    def _odd_and_usual(
        self, fields: list[str], there: set[str], counts: Mapping[str, int], like: set[str]
    ) -> tuple[int, int | None]:
        """Return the row of a field that is written differently from most numbers, and of a typical one."""
        kept: set[str] = set()
        meaning = self.meaning
        for mark in (mark for mark in ".," if meaning.decimal in (None, mark) and meaning.thousands != mark):
            for unit in [{}, *({"suffix": c} for c in "%"), *({"prefix": c} for c in "$€£")]:
                notation = Notation(mark, "", **unit)
                good = {field for field in like if numerals.number(field, notation) is not None}
                if sum(counts[field] for field in good) > sum(counts[field] for field in kept):
                    kept = good
        odd = next(i for i, field in enumerate(fields) if field in there and field not in kept)
        return odd, next((i for i, field in enumerate(fields) if field in kept), None)

    def _category(self, look: _Look, fields: list[str]) -> tuple[Category, list[str]]:
        name, lines = look.name, self.table.lines
        found = set(fields) - set(look.missing)
        if len(found) > MOST_LEVELS:
            expected = f"expected numbers or at most {MOST_LEVELS} words"
            if name in self.meaning.words:
                what = f"column {name!r} of --words has {len(found)} different ones"
                raise InvalidFileError(f"{self.path}: {what}, {expected}: leave it out by {option('--drop', name)}")
            first = next(i for i, field in enumerate(fields) if field in found and not NUMBER.fullmatch(field))
            beside = f"and there are {len(found)} different words"
            what = f"{fields[first]!r} in line {lines[first]} is not a number, {beside}"
            raise InvalidFileError(
                f"{self.path}: column {name!r}: {what}, {expected}: fix it, or leave the column out by "
                f"{option('--drop', name)} ({how_written(fields[first], PLAIN, self.meaning)})"
            )
        counts = Counter(fields[i] for i in self.train.tolist() if fields[i] not in look.missing)
        frequent = min(counts, key=lambda word: (-counts[word], word), default="")
        column = Category(name, tuple(sorted(counts)), frequent)
        notes = self._of_missing(look, column)
        numbers = [field for field in found if NUMBER.fullmatch(field)]
        if numbers and name not in self.meaning.words:
            notes.append(f"{len(numbers)} of its {len(found)} words are numbers")
        if alike := by_case_alone(found):
            notes.append(alike)
        if len(found) == len(fields):
            notes.append("a different word in each row, from which nothing can be learned: leave it out by --drop")
        return column, notes

    def _of_missing(self, look: _Look, column: Column) -> list[str]:
        if not look.missing:
            return []
        fields, lines = self.table.columns[look.name], self.table.lines
        spelled = ", ".join(
            f"{field} in line {lines[fields.index(field)]}" if field else "empty" for field in sorted(look.missing)
        )
        if isinstance(column, Category) and any(look.missing):
            spelled += f"; {option('--words', look.name)} if that is a word"
        return [f"{filled(column, sum(look.missing.values()))} ({spelled})"]


def _median(values: np.ndarray) -> float:
    """Return the median of the values that are not NaN, else 0. np.median is ten times slower for a few values."""
    known = np.sort(values[~np.isnan(values)])
    m = len(known)
    return float(0.5 * (known[(m - 1) // 2] + known[m // 2])) if m else 0.0


def by_case_alone(words: Iterable[str]) -> str:
    """Return a note on words that differ only in case, if there are any."""
    seen: dict[str, str] = {}
    for word in sorted(words):
        if seen.setdefault(word.casefold(), word) != word:
            return f"{seen[word.casefold()]} and {word} are different words"
    return ""


def _counts(name: str, values: np.ndarray, different: int) -> str:
    """Return how a column numbers the rows: by 0, 1, 2, ...; or, named as an index, by other integers."""
    m = len(values)
    named, whole = _INDEX_NAME.fullmatch(name), (values == np.round(values)).all()
    if named and whole and m > 1 and ((np.diff(values) == 1) | (values[1:] == values[0])).all() and different > 1:
        return "it counts the rows, as an index does"
    if m < _FEWEST_IN_ORDER or different < m:
        return ""
    if any(np.array_equal(order, np.arange(m) + start) for order in (values, values[::-1]) for start in (0, 1)):
        return "it counts the rows"
    return "it has another integer in each row, as an index has" if named and whole else ""


def _runs_on(values: np.ndarray) -> str:
    """Return a note if a column counts by one from row to row, as the index of a part of a file, and as years may."""
    steps = np.diff(values)
    if len(values) < _FEWEST_IN_ORDER or not (np.abs(steps) == 1).all() or steps.min() != steps.max():
        return ""
    return f"it counts the rows from {values[0]:.0f}: leave it out by --drop if it is an index"
