"""Encode columns as the inputs of a network."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from experiments.datasets.columns import (
    DEFAULT_MEANING,
    Category,
    Column,
    Embedded,
    Meaning,
    Number,
    check_size,
    imputation_note,
    in_order_of_inputs,
    notation_hint,
    numbers_of,
    width,
)
from experiments.readers import numerals
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError


def check_numbers(path: Path, columns: Sequence[Column], table: Table, meaning: Meaning = DEFAULT_MEANING) -> None:
    """Raise unless new rows have numbers in the columns of numbers, in the notation of training; words are not checked.

    Raises:
      InvalidFileError: if a field is not such a number, or is beyond `LARGEST`.
    """
    for column in columns:
        if isinstance(column, Number):
            fields = table.columns[column.name]
            distinct = set(fields)
            present = distinct - meaning.missing_values(distinct, of_numbers=True)
            bad = {field for field in present if numerals.number(field, column.notation) is None}
            if bad:
                i = next(i for i, field in enumerate(fields) if field in bad)
                as_there = f" ({column.notation})" if str(column.notation) else ""
                raise InvalidFileError(
                    f"{path}: column {column.name!r} holds {fields[i]!r} in line {table.lines[i]}, expected a number, "
                    f"as the training's rows have there{as_there} "
                    f"({notation_hint(fields[i], column.notation, meaning)})"
                )
            check_size(
                path, column.name, fields, table.lines, numbers_of(fields, column.notation, present, distinct - present)
            )


def encode_columns(
    columns: Sequence[Column],
    table: Table,
    meaning: Meaning = DEFAULT_MEANING,
    numbers: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> np.ndarray:
    """Return the inputs of every row, (m, n) float64, in the order of `in_order_of_inputs`.

    A column of numbers has one, a category one for each level, and an embedded column one, a whole number. The columns
    in `numbers`, from `fit_columns`, are not parsed again.
    """
    x, at = np.empty((len(table.lines), width(columns)), order="F"), 0
    for column in in_order_of_inputs(columns):
        n = width([column])
        if isinstance(column, Category):
            levels = _level_numbers(column, table.columns[column.name], meaning)
            x[:, at : at + n] = levels[:, None] == np.arange(n)
        elif isinstance(column, Embedded):
            x[:, at] = 1 + _level_numbers(column, table.columns[column.name], meaning)
        else:
            values = numbers.get(column.name)
            if values is None:
                fields = table.columns[column.name]
                distinct = set(fields)
                missing = meaning.missing_values(distinct, of_numbers=True)
                values = numbers_of(fields, column.notation, distinct - missing, missing)
            x[:, at] = np.where(np.isnan(values), column.median, values)
        at += n
    return x


def _level_numbers(column: Category | Embedded, fields: list[str], meaning: Meaning) -> np.ndarray:
    """Return the index of each row's level, and -1 for other words."""
    distinct = set(fields)
    levels = {level: i for i, level in enumerate(column.levels)}
    missing = meaning.missing_words(column.name, distinct - set(levels))
    numbers = {field: levels.get(column.most_frequent if field in missing else field, -1) for field in distinct}
    return np.fromiter(map(numbers.__getitem__, fields), np.int64, len(fields))


def describe_new_rows(columns: Sequence[Column], table: Table, meaning: Meaning = DEFAULT_MEANING) -> list[str]:
    """Return a line for each column with missing values, or with words that are not in the training rows."""
    notes = []
    for column in columns:
        fields = table.columns[column.name]
        counts = Counter(fields)
        if isinstance(column, Number):
            missing, unseen = meaning.missing_values(counts, of_numbers=True), set()
        else:
            others = counts.keys() - set(column.levels)
            missing = meaning.missing_words(column.name, others)
            unseen = others - missing
        n = sum(counts[field] for field in missing)
        remarks = [imputation_note(column, n)] if n else []
        if unseen:
            i = next(i for i, field in enumerate(fields) if field in unseen)
            first = f"{fields[i]!r} in line {table.lines[i]}"
            n = sum(counts[field] for field in unseen)
            if isinstance(column, Embedded):
                remarks.append(f"{n} not among the levels of training, first {first}, taken as one of the other words")
            else:
                remarks.append(f"{n} not seen in training, first {first}, encoded as no level")
        if remarks:
            notes.append(f"{column.name}: {'; '.join(remarks)}")
    return notes
