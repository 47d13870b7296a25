"""Columns of words as numbers a network takes: kinds by all rows, values by the training rows. All of it is JSON."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from experiments import numerals
from experiments.csv_file import Table
from experiments.numerals import NUMBER, PLAIN, Notation
from experiments.refusal import Refused

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "<na>", "#n/a", "#na", "-nan"})
"""What stands for no value in any column, in large letters or small."""
MISSING_NUMBER = MISSING | {
    *("-", "--", "---", "\u2013", "\u2014", "\u2212", ".", "..", "...", "*", "??", "none", "nil", "n.a.", "n.a", "nd"),
    *("n/d", "nat", "(null)", "\\n", "missing", "unknown", "not available", "#null!", "#div/0!", "#value!", "#ref!"),
    *("#name?", "#num!", "#n/a n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
}
"""And in a column whose other fields are all numbers."""
MOST_LEVELS = 100
"""Of a categorical column: names, dates and numbers of tickets have more."""
MOST_NUMBERS = 2**26
LARGEST = 1e30
"""The square of a larger number is beyond float32."""
_INDEX_NAME = re.compile(r"(?i:unnamed: \d+|(.*[\W_])?(id|idx|index))|\w*[a-z]I[dD]", re.ASCII)
_FEWEST_IN_ORDER = 3
"""Rows that count themselves by chance are fewer."""
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?$", re.ASCII)
_MOST_LISTED = 12
"""Columns that are as most are: this many are listed by name."""


class Number(NamedTuple):
    """A column in which every value is a number; where one is missing, the training rows' median is taken."""

    name: str
    median: float
    notation: Notation = PLAIN


class Category(NamedTuple):
    """A column of words: an input for each level of the training rows, 1 there and 0 elsewhere.

    A missing word is taken as the most frequent level, and a word that is no level makes all inputs 0.
    """

    name: str
    levels: tuple[str, ...]
    most_frequent: str


Column = Number | Category


class Meaning(NamedTuple):
    """What fields stand for, as far as the user says so; None is what the columns themselves show.

    Attributes:
      missing: the fields that stand for no value, beside the empty one; letters as they are written.
      decimal, thousands: the marks in numbers.
      words, numbers: the names of columns that are declared to be so.
    """

    missing: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()

    def no_values(self, fields: Iterable[str], *, of_numbers: bool = False) -> set[str]:
        """Return those of the fields that stand for no value; among words, or among numbers."""
        if self.missing is not None:
            return {field for field in fields if field == "" or field in self.missing}
        known = MISSING_NUMBER if of_numbers else MISSING
        return {field for field in fields if field.lower() in known}

    def no_words(self, name: str, fields: Iterable[str]) -> set[str]:
        """Return those that stand for no value in a column of words: in one that is declared, the empty field alone."""
        return {""} & set(fields) if name in self.words else self.no_values(fields)


DEFAULT_MEANING = Meaning()


class Fitted(NamedTuple):
    """What is to be made of a table's columns.

    Attributes:
      columns: those that make inputs.
      notes: what each column is taken for, for people.
      numbers: the values of each column of numbers, (m,) float64, NaN where one is missing.
    """

    columns: list[Column]
    notes: list[str]
    numbers: dict[str, np.ndarray]


class _Look(NamedTuple):
    """What all rows say of a column.

    Attributes:
      name: the column's.
      missing: how often each field that stands for no value is there.
      notations: under each of which all other fields are numbers; none for words.
      counts: how it numbers the rows, if it does.
      advice: what may be wrong with it as it is, if anything.
      column: what is made of it, where that is clear without the other columns; else it is looked at again.
      constant: whether one value is in all training rows.
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
    """Return what is to be made of each column: its kind by all rows, its numbers and levels by the rows `train`.

    A column that only numbers the rows is left out, as is one without a value, unless there is no other.

    Raises:
      Refused: if a column of numbers holds another field, or has marks that can be read in two ways; if a column has
        too many words, or a number is beyond `LARGEST`.
    """
    fit = _Fit(path, table, train, meaning)
    looks = [fit.look(name) for name in names]
    decimals = {look.notations[0].decimal for look in looks if len({each.decimal for each in look.notations}) == 1}
    used = {look.name for look in looks if not look.empty and (not look.counts or look.name in meaning.numbers)}
    used = used or {look.name for look in looks if not look.empty}
    if not used:
        raise Refused(f"{path} has no value in any column to learn from")
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
                kind = "number" if isinstance(column, Number) else f"words, one-hot, {_levels(column)}"
                notes.append(f"{look.name}: {'; '.join([kind, *found])}")
    notes = [*_listed("numbers", plain), *_listed("numbers, all the same", constant), *notes]
    return Fitted(columns, notes, fit.numbers)


class _Fit:
    """Looks at each column twice at most: alone, and where numbers are ambiguous then with what others show."""

    def __init__(self, path: Path, table: Table, train: np.ndarray, meaning: Meaning) -> None:
        self.path, self.table, self.train, self.meaning = path, table, train, meaning
        self.numbers: dict[str, np.ndarray] = {}

    def look(self, name: str) -> _Look:
        fields, meaning = self.table.columns[name], self.meaning
        found = set(fields)
        if name in meaning.words:
            missing = _counted(fields, meaning.no_words(name, found))
            return _Look(name, missing, [], empty=len(missing) == len(found))
        missing = meaning.no_values(found, of_numbers=True)
        there = found - missing
        if not there:  # of words such as - there may be some that stand for no number
            few = _counted(fields, meaning.no_values(found))
            return _Look(name, few, [], empty=len(few) == len(found))
        notations = numerals.notations(there, meaning.decimal, meaning.thousands)
        if not notations:
            self._check_words(name, fields, there)
            return _Look(name, _counted(fields, meaning.no_values(found)), [])
        counted = _counted(fields, missing)
        plain = notations[0] == PLAIN and all(map(NUMBER.fullmatch, there))
        if not plain or (len(notations) > 1 and any("." in field for field in there)):
            return _Look(name, counted, notations)
        column, values = self._number(name, fields, PLAIN, there, missing)
        known = values[self.train]
        constant = bool((known == known[0]).all())
        counts, advice = _counts(name, values, len(there)), _runs_on(values)
        return _Look(name, counted, notations, counts, advice, column, constant)

    def column(self, look: _Look, decimals: set[str]) -> tuple[Column, list[str]]:
        """Return what is made of the column, and notes on it."""
        if look.column is not None:
            # Whole numbers are so in any notation, but new rows of the column may have fractions.
            column = look.column._replace(notation=Notation(",")) if decimals == {","} else look.column
            return column, self._of_missing(look, column)
        fields = self.table.columns[look.name]
        if not look.notations:
            return self._category(look, fields)
        notation = self._notation(look, fields, decimals)
        column, values = self._number(look.name, fields, notation, set(fields) - set(look.missing), look.missing)
        return column, [*self._of_notation(look, notation, fields, values), *self._of_missing(look, column)]

    def _of_notation(self, look: _Look, notation: Notation, fields: list[str], values: np.ndarray) -> list[str]:
        """Say how numbers were read that Python would not read so, with an example."""
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
        values = self.numbers[name] = _values(fields, notation, there, missing)
        _check_size(self.path, name, fields, self.table.lines, values)
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
        raise Refused(
            f"{self.path}: column {look.name!r} holds {fields[i]!r} in line {self.table.lines[i]}, which may be "
            f"{readings}: say --decimal , or --decimal . for the mark before fractions"
        )

    def _check_words(self, name: str, fields: list[str], there: set[str]) -> None:
        """Raise if most of the fields are numbers: then the others are a mistake, or the column is to be declared."""
        like = {field for field in there if numerals.like_a_number(field)}
        counts = _counted(fields, there)
        n, numbers = sum(counts.values()), sum(counts[field] for field in like)
        if name not in self.meaning.numbers and 2 * numbers <= n:
            return
        odd, usual = self._odd_and_usual(fields, there, counts, like)
        line = self.table.lines
        beside = f", and others as {fields[usual]!r} in line {line[usual]}" if usual is not None else ""
        missing, words = option("--missing", *self._missing(), fields[odd]), option("--words", name)
        alike = f"with {said} as the decimal mark" if (said := self.meaning.decimal) else "written alike"
        raise Refused(
            f"{self.path}: column {name!r} holds {fields[odd]!r} in line {line[odd]}{beside}: expected numbers "
            f"{alike}; mend it, or say {missing} if it is no value, or {words} if the column holds words"
        )

    def _missing(self) -> list[str]:
        """Return what --missing must name for the fields that stand for no value to do so still."""
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
        """Return the row of a field that is written otherwise than most numbers, and of one that is as most are."""
        kept: set[str] = set()
        said = self.meaning
        for mark in (mark for mark in ".," if said.decimal in (None, mark) and said.thousands != mark):
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
                raise Refused(f"{self.path}: {what}, {expected}: leave it out by {option('--drop', name)}")
            first = next(i for i, field in enumerate(fields) if field in found and not NUMBER.fullmatch(field))
            what = f"{fields[first]!r} in line {lines[first]} is no number, and there are {len(found)} different words"
            raise Refused(
                f"{self.path}: column {name!r}: {what}, {expected}: mend it, or leave the column out by "
                f"{option('--drop', name)} ({_how_written(fields[first], PLAIN, self.meaning)})"
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
            notes.append("another word in each row, from which nothing can be learnt: leave it out by --drop")
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
        return [f"{_filled(column, sum(look.missing.values()))} ({spelled})"]


def _median(values: np.ndarray) -> float:
    """Return the median of those that are not NaN; 0 if there are none. np.median takes ten times as long for a few."""
    known = np.sort(values[~np.isnan(values)])
    m = len(known)
    return float(0.5 * (known[(m - 1) // 2] + known[m // 2])) if m else 0.0


def by_case_alone(words: Iterable[str]) -> str:
    """Say which words are the same but for large and small letters, if there are any."""
    seen: dict[str, str] = {}
    for word in sorted(words):
        if seen.setdefault(word.casefold(), word) != word:
            return f"{seen[word.casefold()]} and {word} are different words"
    return ""


def check_numbers(path: Path, columns: Sequence[Column], table: Table, meaning: Meaning = DEFAULT_MEANING) -> None:
    """Raise unless new rows have numbers where the training's had them, written alike; words may be any.

    Raises:
      Refused: with column and line, if a field is no such number, or one beyond `LARGEST`.
    """
    for column in columns:
        if isinstance(column, Number):
            fields = table.columns[column.name]
            found = set(fields)
            there = found - meaning.no_values(found, of_numbers=True)
            bad = {field for field in there if numerals.number(field, column.notation) is None}
            if bad:
                i = next(i for i, field in enumerate(fields) if field in bad)
                as_there = f" ({column.notation})" if str(column.notation) else ""
                raise Refused(
                    f"{path}: column {column.name!r} holds {fields[i]!r} in line {table.lines[i]}, expected a number, "
                    f"as the training's rows have there{as_there} "
                    f"({_how_written(fields[i], column.notation, meaning)})"
                )
            _check_size(path, column.name, fields, table.lines, _values(fields, column.notation, there, found - there))


def _check_size(path: Path, name: str, fields: Sequence[str], lines: Sequence[int], values: np.ndarray) -> None:
    bad = np.abs(values) > LARGEST
    if bad.any():
        i = int(bad.argmax())
        found = f"{path}: column {name!r} holds {fields[i]} in line {lines[i]}"
        raise Refused(f"{found}, expected numbers up to {LARGEST:g}")


def _how_written(field: str, notation: Notation, meaning: Meaning) -> str:
    if _DATE.match(field):
        return "of dates, write year, month and day as numbers, each in a column"
    decimal = notation == PLAIN and NUMBER.fullmatch(field.replace(",", "."))
    missing = " or ".join(["an empty field", *(["NA"] if meaning.missing is None else filter(None, meaning.missing))])
    return f"no value is {missing}{', and numbers have a point, not a comma' if decimal else ''}"


def encode_columns(
    columns: Sequence[Column],
    table: Table,
    meaning: Meaning = DEFAULT_MEANING,
    numbers: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> np.ndarray:
    """Return the inputs of every row, (m, n) float64: one for each number, one for each level of a category.

    Those of `numbers`, as `fit_columns` gives them, are not read again.
    """
    x, at = np.empty((len(table.lines), width(columns)), order="F"), 0
    for column in columns:
        n = width([column])
        if isinstance(column, Category):
            levels = _level_numbers(column, table.columns[column.name], meaning)
            x[:, at : at + n] = levels[:, None] == np.arange(n)
        else:
            values = numbers.get(column.name)
            if values is None:
                fields = table.columns[column.name]
                found = set(fields)
                missing = meaning.no_values(found, of_numbers=True)
                values = _values(fields, column.notation, found - missing, missing)
            x[:, at] = np.where(np.isnan(values), column.median, values)
        at += n
    return x


def _level_numbers(column: Category, fields: list[str], meaning: Meaning) -> np.ndarray:
    """Return the number of each row's level, and -1 for other words."""
    found = set(fields)
    levels = {level: i for i, level in enumerate(column.levels)}
    missing = meaning.no_words(column.name, found - set(levels))
    numbers = {field: levels.get(column.most_frequent if field in missing else field, -1) for field in found}
    return np.fromiter(map(numbers.__getitem__, fields), np.int64, len(fields))


def _values(fields: Sequence[str], notation: Notation, there: Collection[str], missing: Collection[str]) -> np.ndarray:
    """Return the numbers that fields are in this notation, and NaN for missing ones; `there` are all others."""
    try:
        # Of numbers, float takes those that Python writes so, and is fast.
        values = [float(field) for field in there] if notation == PLAIN else None
    except ValueError:
        values = None
    if values is None:
        values = [numerals.number(field, notation) for field in there]
    numbers = dict(zip(there, values, strict=True)) | dict.fromkeys(missing, np.nan)
    return np.fromiter(map(numbers.__getitem__, fields), np.float64, len(fields))


def _counted(fields: Sequence[str], wanted: Collection[str]) -> dict[str, int]:
    if not wanted:
        return {}
    counts = Counter(fields)
    return {field: counts[field] for field in wanted}


def _counts(name: str, values: np.ndarray, different: int) -> str:
    """Say how a column numbers the rows: by 0, 1, 2, ...; or, named as an index, by other whole numbers."""
    m = len(values)
    named, whole = _INDEX_NAME.fullmatch(name), (values == np.round(values)).all()
    if named and whole and m > 1 and ((np.diff(values) == 1) | (values[1:] == values[0])).all() and different > 1:
        return "it counts the rows, as an index does"
    if m < _FEWEST_IN_ORDER or different < m:
        return ""
    if any(np.array_equal(order, np.arange(m) + start) for order in (values, values[::-1]) for start in (0, 1)):
        return "it counts the rows"
    return "it has another whole number in each row, as an index has" if named and whole else ""


def _runs_on(values: np.ndarray) -> str:
    """Say if a column counts by one from row to row, as the index of a part of a file does, and years may do."""
    steps = np.diff(values)
    if len(values) < _FEWEST_IN_ORDER or not (np.abs(steps) == 1).all() or steps.min() != steps.max():
        return ""
    return f"it counts the rows from {values[0]:.0f}: leave it out by --drop if it is an index"


def width(columns: Sequence[Column]) -> int:
    """Return how many inputs they make."""
    return sum(1 if isinstance(column, Number) else len(column.levels) for column in columns)


def account_of_new(columns: Sequence[Column], table: Table, meaning: Meaning = DEFAULT_MEANING) -> list[str]:
    """Return a line for each column of which values are missing, or are words that training never saw."""
    notes = []
    for column in columns:
        fields = table.columns[column.name]
        counts = Counter(fields)
        if isinstance(column, Number):
            missing, unseen = meaning.no_values(counts, of_numbers=True), set()
        else:
            others = counts.keys() - set(column.levels)
            missing = meaning.no_words(column.name, others)
            unseen = others - missing
        n = sum(counts[field] for field in missing)
        found = [_filled(column, n)] if n else []
        if unseen:
            i = next(i for i, field in enumerate(fields) if field in unseen)
            first = f"{fields[i]!r} in line {table.lines[i]}"
            n = sum(counts[field] for field in unseen)
            found.append(f"{n} not seen in training, first {first}, taken as none of its levels")
        if found:
            notes.append(f"{column.name}: {'; '.join(found)}")
    return notes


def _filled(column: Column, n: int) -> str:
    if isinstance(column, Category):
        return f"{n} missing, taken as {column.most_frequent}"
    return f"{n} missing, taken as the median, {column.median:g}"


def _levels(column: Category) -> str:
    return "1 level" if len(column.levels) == 1 else f"{len(column.levels)} levels"


def _listed(kind: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return [f"{kind}: {', '.join(names[:_MOST_LISTED])}{more}"]


def option(name: str, *items: str) -> str:
    """Return the option with a list of these items, as it is typed in a shell."""
    listed = ",".join(f'"{item}"' if "," in item else item for item in items)
    return f"{name}{'=' if listed.startswith('-') else ' '}{shlex.quote(listed)}"
