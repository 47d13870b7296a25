"""Infer which columns are numbers and which categories from all rows; fit medians and levels on the training rows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.column_notes import case_note, counting_note, index_note
from experiments.datasets.columns import (
    DATE,
    DEFAULT_MEANING,
    FEWEST_OF_A_LEVEL,
    Category,
    Column,
    Embedded,
    Meaning,
    Number,
    check_size,
    count_fields,
    count_levels,
    imputation_note,
    listed,
    notation_hint,
    numbers_of,
    option,
)
from experiments.readers import numerals
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER, PLAIN, Notation

MOST_LEVELS = 100
"""The maximum number of levels of a one-hot column: names, dates and ticket numbers have more."""
MOST_ONE_HOT = 50
"""A column of more different words is embedded, if each of them has `ROWS_OF_A_WORD` rows on average."""
MOST_EMBEDDED = 50_000
ROWS_OF_A_WORD = 2
MOST_NUMBERS = 2**26


class Fitted(NamedTuple):
    """The fitted columns of a table.

    Attributes:
      columns: the columns that become inputs.
      notes: texts on how each column is read.
      numbers: the values of each column of numbers, (m,) float64, NaN for missing ones.
    """

    columns: list[Column]
    notes: list[str]
    numbers: dict[str, np.ndarray]


class _Summary(NamedTuple):
    """The properties of a column over all rows.

    Attributes:
      name: the column's name.
      missing: the count of each field that stands for a missing value.
      notations: those in which all other fields are numbers; empty for words.
      counts: a note if the column only numbers the rows, as an index does.
      advice: a note on a possible problem.
      column: the fitted column, if its notation does not depend on the other columns; else None.
      constant: whether all training rows have the same value.
      empty: whether all values are missing.
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

    Columns without values are left out, as are columns that only number the rows, unless there are no others.

    Raises:
      InvalidFileError: if a column of numbers holds another field, an ambiguous notation, or a number beyond `LARGEST`;
        or if a column has too many words.
    """
    fitter = _ColumnFitter(path, table, train, meaning)
    summaries = [fitter.summarize(name) for name in names]
    decimals = {
        summary.notations[0].decimal for summary in summaries if len({each.decimal for each in summary.notations}) == 1
    }
    used = {
        summary.name
        for summary in summaries
        if not summary.empty and (not summary.counts or summary.name in meaning.numbers)
    }
    used = used or {summary.name for summary in summaries if not summary.empty}
    if not used:
        raise InvalidFileError(f"{path} has no values in the columns of inputs")
    columns, plain, constant, notes = [], [], [], []
    for summary in summaries:
        if summary.empty:
            notes.append(f"{summary.name}: left out, it has no value in any row")
        elif summary.name not in used:
            notes.append(f"{summary.name}: left out, {summary.counts} (keep it by {option('--numbers', summary.name)})")
        else:
            column, column_notes = fitter.column(summary, decimals)
            columns.append(column)
            if summary.counts and summary.name not in meaning.numbers:
                column_notes.append(f"{summary.counts}: leave it out by --drop")
            elif summary.advice and summary.name not in meaning.numbers:
                column_notes.append(summary.advice)
            if isinstance(column, Number) and not column_notes:
                (constant if summary.constant else plain).append(summary.name)
            else:
                kind = "number"
                if not isinstance(column, Number):
                    one_hot = isinstance(column, Category)
                    kind = f"words, {'one-hot' if one_hot else 'embedded'}, {count_levels(column)}"
                notes.append(f"{summary.name}: {'; '.join([kind, *column_notes])}")
    notes = [*listed("numbers", plain), *listed("numbers, all the same", constant), *notes]
    return Fitted(columns, notes, fitter.numbers)


class _ColumnFitter:
    """Fit each column from its summary and, if its notation is ambiguous, from the other columns' decimal mark."""

    def __init__(self, path: Path, table: Table, train: np.ndarray, meaning: Meaning) -> None:
        self.path, self.table, self.train, self.meaning = path, table, train, meaning
        self.numbers: dict[str, np.ndarray] = {}

    def summarize(self, name: str) -> _Summary:
        fields, meaning = self.table.columns[name], self.meaning
        distinct = set(fields)
        if name in meaning.words:
            missing = count_fields(fields, meaning.missing_words(name, distinct))
            return _Summary(name, missing, [], empty=len(missing) == len(distinct))
        missing = meaning.missing_values(distinct, of_numbers=True)
        present = distinct - missing
        if not present:  # words such as - are missing values only among numbers
            missing_fields = count_fields(fields, meaning.missing_values(distinct))
            return _Summary(name, missing_fields, [], empty=len(missing_fields) == len(distinct))
        notations = numerals.notations(present, meaning.decimal, meaning.thousands)
        if not notations:
            self._check_words(name, fields, present)
            return _Summary(name, count_fields(fields, meaning.missing_values(distinct)), [])
        counted = count_fields(fields, missing)
        plain = notations[0] == PLAIN and all(map(NUMBER.fullmatch, present))
        if not plain or (len(notations) > 1 and any("." in field for field in present)):
            return _Summary(name, counted, notations)
        column, values = self._number(name, fields, PLAIN, present, missing)
        known = values[self.train]
        constant = bool((known == known[0]).all())
        counts, advice = index_note(name, values, len(present)), counting_note(values)
        return _Summary(name, counted, notations, counts, advice, column, constant)

    def column(self, summary: _Summary, decimals: set[str]) -> tuple[Column, list[str]]:
        """Return the fitted column and notes on it."""
        if summary.column is not None:
            # Integers are the same in any notation, but new rows of the column may have fractions.
            column = summary.column._replace(notation=Notation(",")) if decimals == {","} else summary.column
            return column, self._missing_note(summary, column)
        fields = self.table.columns[summary.name]
        if not summary.notations:
            return self._category(summary, fields)
        notation = self._notation(summary, fields, decimals)
        column, values = self._number(
            summary.name, fields, notation, set(fields) - set(summary.missing), summary.missing
        )
        return column, [
            *self._notation_note(summary, notation, fields, values),
            *self._missing_note(summary, column),
        ]

    def _notation_note(self, summary: _Summary, notation: Notation, fields: list[str], values: np.ndarray) -> list[str]:
        """Return a note with an example, if Python would read some numbers differently or not at all."""
        present = set(fields) - set(summary.missing)
        marked = {
            field
            for field in present
            if not NUMBER.fullmatch(field) or float(field) != numerals.number(field, notation)
        }
        if not marked:
            return []
        i = next(i for i, field in enumerate(fields) if field in marked)
        example = f"{fields[i]} in line {self.table.lines[i]} is {values[i]:.10g}"
        return [", ".join(filter(None, [str(notation), example]))]

    def _number(
        self, name: str, fields: list[str], notation: Notation, present: Collection[str], missing: Collection[str]
    ) -> tuple[Number, np.ndarray]:
        """Return the fitted column and its values."""
        values = self.numbers[name] = numbers_of(fields, notation, present, missing)
        check_size(self.path, name, fields, self.table.lines, values)
        return Number(name, _median(values[self.train]), notation), values

    def _notation(self, summary: _Summary, fields: list[str], decimals: set[str]) -> Notation:
        present = set(fields) - set(summary.missing)
        candidates = summary.notations
        if len(decimals) == 1:
            candidates = [each for each in candidates if each.decimal in decimals] or candidates
        if numerals.agree(present, candidates):
            return candidates[0]
        if not decimals and candidates[0] == PLAIN:
            return PLAIN
        i = next(i for i, field in enumerate(fields) if field in present and not numerals.agree([field], candidates))
        readings = " or ".join(dict.fromkeys(f"{numerals.number(fields[i], each):.10g}" for each in candidates))
        raise InvalidFileError(
            f"{self.path}: column {summary.name!r} holds {fields[i]!r} in line {self.table.lines[i]}, which may be "
            f"{readings}: use --decimal , or --decimal . to give the decimal mark"
        )

    def _check_words(self, name: str, fields: list[str], present: set[str]) -> None:
        """Raise if most of the fields are numbers: the others are mistakes, or the column must be declared."""
        like = {field for field in present if numerals.looks_like_number(field)}
        counts = count_fields(fields, present)
        n, numbers = sum(counts.values()), sum(counts[field] for field in like)
        if name not in self.meaning.numbers and 2 * numbers <= n:
            return
        odd, usual = self._odd_and_typical(fields, present, counts, like)
        line = self.table.lines
        beside = f", and others as {fields[usual]!r} in line {line[usual]}" if usual is not None else ""
        missing, words = option("--missing", *self._missing(), fields[odd]), option("--words", name)
        alike = f"with {mark} as the decimal mark" if (mark := self.meaning.decimal) else "written alike"
        raise InvalidFileError(
            f"{self.path}: column {name!r} holds {fields[odd]!r} in line {line[odd]}{beside}: expected numbers "
            f"{alike}; fix it, or use {missing} if it is a missing value, or {words} if the column holds words"
        )

    def _missing(self) -> list[str]:
        """Return the words that --missing must list to keep the meaning of the fields that are now missing values."""
        if self.meaning.missing is not None:
            return list(self.meaning.missing)
        words: set[str] = set()
        for fields in map(set, self.table.columns.values()):
            missing = self.meaning.missing_values(fields, of_numbers=True)
            numbers = 2 * sum(map(numerals.looks_like_number, fields)) > len(fields) - len(missing)
            words |= missing if numbers else self.meaning.missing_values(fields)
        return sorted(words - {""})

    def _odd_and_typical(
        self, fields: list[str], present: set[str], counts: Mapping[str, int], like: set[str]
    ) -> tuple[int, int | None]:
        """Return the row of a field in another notation than most numbers, and the row of a typical one."""
        kept: set[str] = set()
        meaning = self.meaning
        for mark in (mark for mark in ".," if meaning.decimal in (None, mark) and meaning.thousands != mark):
            for unit in [{}, *({"suffix": c} for c in "%"), *({"prefix": c} for c in "$€£")]:
                notation = Notation(mark, "", **unit)
                good = {field for field in like if numerals.number(field, notation) is not None}
                if sum(counts[field] for field in good) > sum(counts[field] for field in kept):
                    kept = good
        odd = next(i for i, field in enumerate(fields) if field in present and field not in kept)
        return odd, next((i for i, field in enumerate(fields) if field in kept), None)

    def _category(self, summary: _Summary, fields: list[str]) -> tuple[Category | Embedded, list[str]]:
        name, lines = summary.name, self.table.lines
        words = set(fields) - set(summary.missing)
        embedded = self._is_embedded(name, words, len(fields) - sum(summary.missing.values()))
        if len(words) > MOST_LEVELS and not embedded:
            expected = f"expected numbers or at most {MOST_LEVELS} words, or {ROWS_OF_A_WORD} rows of each"
            if name in self.meaning.words:
                what = f"column {name!r} of --words has {len(words)} different words"
                raise InvalidFileError(f"{self.path}: {what}, {expected}: leave it out by {option('--drop', name)}")
            first = next(i for i, field in enumerate(fields) if field in words and not NUMBER.fullmatch(field))
            beside = f"and there are {len(words)} different words"
            what = f"{fields[first]!r} in line {lines[first]} is not a number, {beside}"
            raise InvalidFileError(
                f"{self.path}: column {name!r}: {what}, {expected}: fix it, or leave the column out by "
                f"{option('--drop', name)} ({notation_hint(fields[first], PLAIN, self.meaning)})"
            )
        counts = Counter(fields[i] for i in self.train.tolist() if fields[i] not in summary.missing)
        frequent = min(counts, key=lambda word: (-counts[word], word), default="")
        levels = tuple(sorted(word for word in counts if not embedded or counts[word] >= FEWEST_OF_A_LEVEL))
        column = (Embedded if embedded else Category)(name, levels, frequent if levels else "")
        notes = self._missing_note(summary, column)
        if embedded and len(levels) < len(words):
            rare = f"{len(words) - len(levels)} words of fewer than {FEWEST_OF_A_LEVEL} training rows"
            notes.append(f"{rare} share one vector, as new words do")
        numbers = [field for field in words if NUMBER.fullmatch(field)]
        if numbers and name not in self.meaning.words:
            notes.append(f"{len(numbers)} of its {len(words)} words are numbers")
        if alike := case_note(words):
            notes.append(alike)
        if len(words) == len(fields):
            notes.append("a different word in each row, from which nothing can be learned: leave it out by --drop")
        return column, notes

    def _is_embedded(self, name: str, words: set[str], rows: int) -> bool:
        """Return whether a column with these words is embedded: many, repeated, and not dates by mistake."""
        if not MOST_ONE_HOT < len(words) <= min(MOST_EMBEDDED, rows // ROWS_OF_A_WORD):
            return False
        return name in self.meaning.words or 2 * sum(map(bool, map(DATE.match, words))) <= len(words)

    def _missing_note(self, summary: _Summary, column: Column) -> list[str]:
        if not summary.missing:
            return []
        fields, lines = self.table.columns[summary.name], self.table.lines
        spelled = ", ".join(
            f"{field} in line {lines[fields.index(field)]}" if field else "empty" for field in sorted(summary.missing)
        )
        if not isinstance(column, Number) and any(summary.missing):
            spelled += f"; {option('--words', summary.name)} if that is a word"
        return [f"{imputation_note(column, sum(summary.missing.values()))} ({spelled})"]


def _median(values: np.ndarray) -> float:
    """Return the median of the values that are not NaN, or 0. np.median is ten times slower for few values."""
    known = np.sort(values[~np.isnan(values)])
    m = len(known)
    return float(0.5 * (known[(m - 1) // 2] + known[m // 2])) if m else 0.0
