"""Encode columns of words as the numbers that a network takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from experiments.datasets.columns import (
    DEFAULT_MEANING,
    Category,
    Column,
    Meaning,
    Number,
    check_size,
    filled,
    how_written,
    numbers_of,
    width,
)
from experiments.readers import numerals
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError


def check_numbers(path: Path, columns: Sequence[Column], table: Table, meaning: Meaning = DEFAULT_MEANING) -> None:
    """Raise unless new rows have numbers in the columns of numbers, written as in training; words are not checked.

    Raises:
      InvalidFileError: if a field is not such a number, or beyond `LARGEST`; with its column and line.
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
                raise InvalidFileError(
                    f"{path}: column {column.name!r} holds {fields[i]!r} in line {table.lines[i]}, expected a number, "
                    f"as the training's rows have there{as_there} "
                    f"({how_written(fields[i], column.notation, meaning)})"
                )
            check_size(
                path, column.name, fields, table.lines, numbers_of(fields, column.notation, there, found - there)
            )


def encode_columns(
    columns: Sequence[Column],
    table: Table,
    meaning: Meaning = DEFAULT_MEANING,
    numbers: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> np.ndarray:
    """Return the inputs of every row, (m, n) float64: one for each number, one for each level of a category.

    The columns in `numbers`, as `fit_columns` returns them, are not read again.
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
                values = numbers_of(fields, column.notation, found - missing, missing)
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


def account_of_new(columns: Sequence[Column], table: Table, meaning: Meaning = DEFAULT_MEANING) -> list[str]:
    """Return a line for each column with missing values, or with words that training never saw."""
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
        found = [filled(column, n)] if n else []
        if unseen:
            i = next(i for i, field in enumerate(fields) if field in unseen)
            first = f"{fields[i]!r} in line {table.lines[i]}"
            n = sum(counts[field] for field in unseen)
            found.append(f"{n} not seen in training, first {first}, encoded as no level")
        if found:
            notes.append(f"{column.name}: {'; '.join(found)}")
    return notes
