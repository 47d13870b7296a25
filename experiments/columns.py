"""Columns of words as numbers a network takes, by what the training rows alone say. All of it can be kept as JSON."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.csv_file import NUMBER, Table
from experiments.refusal import Refused

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})
"""What stands for no value, in large letters or small."""
MOST_LEVELS = 100
"""Of a categorical column: names, dates and numbers of tickets have more."""
MOST_NUMBERS = 2**24
LARGEST = 1e30
"""The square of a larger number is beyond float32."""


class Number(NamedTuple):
    """A column in which every value is a number; where one is missing, the training rows' median is taken."""

    name: str
    median: float


class Category(NamedTuple):
    """A column of words: an input for each level of the training rows, 1 there and 0 elsewhere.

    A missing word is taken as the most frequent level, and a word that is no level makes all inputs 0.
    """

    name: str
    levels: tuple[str, ...]
    most_frequent: str


Column = Number | Category


def missing(field: str) -> bool:
    """Whether the field says that there is no value."""
    return field.lower() in MISSING


def fit_columns(path: Path, table: Table, names: Sequence[str], train: np.ndarray) -> list[Column]:
    """What is to be made of each column: its kind by all rows, its numbers and levels by the rows `train`.

    Raises:
      Refused: a column without a value, one of too many words, or a number beyond `LARGEST`.
    """
    return [_fit(path, name, table.columns[name], table.lines, train) for name in names]


def _fit(path: Path, name: str, fields: list[str], lines: list[int], train: np.ndarray) -> Column:
    there = [i for i, field in enumerate(fields) if not missing(field)]
    if not there:
        raise Refused(f"{path}: column {name!r} holds no value in any row: leave it out by --drop")
    words = [i for i in there if not NUMBER.fullmatch(fields[i])]
    if not words:
        _check_size(path, name, fields, lines)
        values = [float(fields[i]) for i in train if not missing(fields[i])]
        return Number(name, float(np.median(values)) if values else 0.0)
    levels = {fields[i] for i in there}
    if len(levels) > MOST_LEVELS:
        first = fields[words[0]]
        told = f"{first!r} in line {lines[words[0]]} is no number, and there are {len(levels)} different words"
        raise Refused(
            f"{path}: column {name!r}: {told}, expected numbers or at most {MOST_LEVELS} words: mend it, or leave "
            f"the column out by --drop ({_how_written(first)})"
        )
    counts = Counter(fields[i] for i in train if not missing(fields[i]))
    return Category(name, tuple(sorted(counts)), min(counts, key=lambda word: (-counts[word], word), default=""))


def check_numbers(path: Path, columns: Sequence[Column], table: Table) -> None:
    """That new rows have numbers where the training's had them; words may be any.

    Raises:
      Refused: column and line of a field that is none, or of a number beyond `LARGEST`.
    """
    for column in columns:
        if isinstance(column, Number):
            fields = table.columns[column.name]
            for field, line in zip(fields, table.lines, strict=True):
                if not missing(field) and not NUMBER.fullmatch(field):
                    raise Refused(
                        f"{path}: column {column.name!r} holds {field!r} in line {line}, expected a number, as the "
                        f"training's rows have there ({_how_written(field)})"
                    )
            _check_size(path, column.name, fields, table.lines)


def _check_size(path: Path, name: str, fields: list[str], lines: list[int]) -> None:
    for field, line in zip(fields, lines, strict=True):
        if not missing(field) and abs(float(field)) > LARGEST:
            raise Refused(f"{path}: column {name!r} holds {field} in line {line}, expected numbers up to {LARGEST:g}")


def _how_written(field: str) -> str:
    decimal = ", and numbers have a point, not a comma" if NUMBER.fullmatch(field.replace(",", ".")) else ""
    return f"no value is an empty field or NA{decimal}"


def encode_columns(columns: Sequence[Column], table: Table) -> np.ndarray:
    """The inputs of every row, (m, n) float64: one for each number, one for each level of a category."""
    return np.column_stack([_encode(column, table.columns[column.name]) for column in columns])


def _encode(column: Column, fields: list[str]) -> np.ndarray:
    if isinstance(column, Number):
        return np.array([column.median if missing(field) else float(field) for field in fields])
    number = {level: i for i, level in enumerate(column.levels)}
    levels = np.array([number.get(column.most_frequent if missing(field) else field, -1) for field in fields])
    return (levels[:, None] == np.arange(len(number))).astype(float)


def width(columns: Sequence[Column]) -> int:
    """How many inputs they make."""
    return sum(1 if isinstance(column, Number) else len(column.levels) for column in columns)


def account(columns: Sequence[Column], table: Table) -> list[str]:
    """A line for each column of which values are missing, or which is one of words: what was made of it."""
    told = []
    for column in columns:
        filled = _filled(column, table)
        if isinstance(column, Category):
            told.append("; ".join([f"{column.name}: one-hot, {len(column.levels)} levels", *filled]))
        elif filled:
            told.append(f"{column.name}: {filled[0]}")
    return told


def account_of_new(columns: Sequence[Column], table: Table) -> list[str]:
    """A line for each column of which values are missing, or are words that training never saw."""
    told = []
    for column in columns:
        said = [*_filled(column, table), *_unseen(column, table)]
        if said:
            told.append(f"{column.name}: {'; '.join(said)}")
    return told


def _filled(column: Column, table: Table) -> list[str]:
    n = sum(map(missing, table.columns[column.name]))
    if isinstance(column, Category):
        return [f"{n} missing, taken as {column.most_frequent}"] if n else []
    return [f"{n} missing, taken as the median, {column.median:g}"] if n else []


def _unseen(column: Column, table: Table) -> list[str]:
    if isinstance(column, Number):
        return []
    known, fields = set(column.levels), table.columns[column.name]
    unseen = [i for i, field in enumerate(fields) if not missing(field) and field not in known]
    if not unseen:
        return []
    first = f"{fields[unseen[0]]!r} in line {table.lines[unseen[0]]}"
    return [f"{len(unseen)} not seen in training, first {first}, taken as none of its levels"]
