"""Read a user's table or npz file as a problem of classification or regression: split in three, imputed, standardized.

Medians, levels, means and deviations are fitted on the training part only.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.class_weights import describe_weights, weights_of
from experiments.datasets.column_encoding import encode_columns
from experiments.datasets.column_kinds import Fitted, fit_columns
from experiments.datasets.column_notes import case_note
from experiments.datasets.columns import Meaning, Number, sizes_of_embedded, width
from experiments.datasets.dataset import Dataset
from experiments.datasets.encoder import as_json
from experiments.datasets.labels import check_labels, classes_of, count_classes, unify_numbers
from experiments.datasets.options import OWN_SUFFIXES, suffix_of
from experiments.datasets.own_npz import read_own_npz
from experiments.datasets.partition import check_count, check_rows, plural, problem_of, split_rows
from experiments.datasets.reading import DEFAULT_READING, Reading, available, select
from experiments.datasets.splits import AT_RANDOM, Division, check_classes, divide
from experiments.datasets.targets import Target, describe_target, fit_target, read_numbers
from experiments.datasets.tasks import DEFAULT_TASK, Task, is_regression
from experiments.readers.csv_file import Layout, Table, read_table
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import PLAIN, Notation
from experiments.readers.typed_tables import EXCEL, PARQUET, read_typed_table


def read_own_data(
    path: Path,
    label: str | None,
    drop: str,
    fractions: Sequence[float],
    seed: int,
    reading: Reading = DEFAULT_READING,
    task: Task = DEFAULT_TASK,
    division: Division = AT_RANDOM,
) -> Dataset:
    """Read a file, by its suffix as a table or npz, and split it at random, stratified by class, or by a division.

    Args:
      path: a CSV, Parquet or Excel file, or an npz file with arrays x (m, ...) and y (m,).
      label: the column with the classes or numbers to predict; for an npz file the array, by default y.
      drop: the names of columns to leave out, separated by commas.
      fractions: the shares of train, dev and test.
      seed: the seed of the split.
      reading: the options for reading a CSV file.
      task: classification or regression; by default decided by the labels.
      division: the split by groups or by time.

    Raises:
      InvalidFileError: if the file is invalid.
      OSError: if it cannot be opened.
    """
    if is_npz(path):
        if division.column is not None:
            raise InvalidFileError(f"{path}: --group and --time must be used with a table, got npz")
        data = read_own_npz(path, label, drop, fractions, seed, reading, task)
    else:
        data = _read_csv(path, label, drop, fractions, seed, reading, task, division)
    if task.class_weight is not None:
        data = weighted(path, data, task.class_weight)
    # A file name on Linux need not be UTF-8, but this one goes into texts and file names.
    stem = path.name[: len(path.name) - len(suffix_of(path))]
    name = re.sub(r"[^\w.-]+", " ", stem).strip(" .")[:50] or "data"
    return data._replace(files=(path,), name=name)


def weighted(path: Path, data: Dataset, text: str) -> Dataset:
    """Return the data with weights of the training examples, those of their classes."""
    if data.target is not None:
        raise InvalidFileError(f"{path}: --class-weight must be used with classes, got numbers in {data.target.name!r}")
    weights = weights_of(path, text, data.classes, data.train.y)
    train = data.train._replace(weight=weights[data.train.y].astype(np.float32))
    return data._replace(train=train, notes=(*data.notes, describe_weights(data.classes, weights)))


def is_npz(path: Path) -> bool:
    """Return whether the file is npz or a table, by its suffix; raise if it is neither."""
    if suffix_of(path) not in OWN_SUFFIXES:
        raise InvalidFileError(f"{path} must end in one of {', '.join(OWN_SUFFIXES)}")
    return suffix_of(path) == ".npz"


def read_any_table(path: Path, layout: Layout) -> Table:
    """Read a table of any kind, by its suffix; only that of a CSV file has a delimiter and an encoding.

    Raises:
      InvalidFileError: if the file is invalid.
      OSError: if it cannot be opened.
    """
    return read_typed_table(path, layout) if suffix_of(path) in (PARQUET, EXCEL) else read_table(path, layout)


def _read_csv(
    path: Path,
    label: str | None,
    drop: str,
    fractions: Sequence[float],
    seed: int,
    reading: Reading,
    task: Task,
    division: Division,
) -> Dataset:
    if suffix_of(path) in (PARQUET, EXCEL) and (reading.layout.delimiter or reading.layout.encoding):
        raise InvalidFileError(f"{path}: --delimiter and --encoding must be used with a CSV file")
    table = read_any_table(path, reading.layout)
    columns = available(table.columns)
    if label is None:
        raise InvalidFileError(f"{path}: --label must be given, the column to predict: {columns}")
    if label not in table.columns:
        raise InvalidFileError(f"{path} has no column {label!r}: {columns}")
    left_out, meaning = select(path, drop, [*table.columns]), reading.meaning(path, [*table.columns])
    if label in left_out:
        raise InvalidFileError(f"{path}: --drop and --label both name {label}")
    for flag, name in (("--group", division.group), ("--time", division.time)):
        if name is not None and (name not in table.columns or name == label):
            what = "the column of the labels" if name == label else f"no column {name!r}: {columns}"
            raise InvalidFileError(f"{path}: {flag} must be another column, got {what}")
    names = [name for name in table.columns if name not in (label, division.column, *left_out)]
    if not names:
        raise InvalidFileError(f"{path} must have another column than {label!r}, as input: {columns}")
    labels = table.columns[label]
    check_rows(path, len(labels))
    regression = is_regression(path, label, labels, meaning, task)
    learned = None if regression else _classes(path, label, table, meaning, named=task.name is not None)
    y = np.zeros(len(labels)) if learned is None else learned.y
    split_notes: list[str] = []
    if division.column is None:
        parts = split_rows(y, fractions, seed)
    else:
        parts, split_notes = divide(path, table, y, fractions, seed, division, meaning)
        if learned is not None:
            split_notes += check_classes(path, learned.classes, parts, division)
    fitted = fit_columns(path, table, names, parts[0].x, meaning)
    if learned is None:
        learned = _numbers(path, label, table, fitted, parts[0].x, meaning, task)
    n = width(fitted.columns)
    check_count(path, len(labels), n)
    of = f", {len(learned.classes)} classes" if learned.classes else ""
    notes = [
        f"{path.name}: {len(labels)} rows, {plural(len(fitted.columns), 'column')} as {plural(n, 'input')}{of}",
        f"read as {'; '.join(table.notes)}",
        f"{label}: {learned.note}",
        *split_notes,
        *fitted.notes,
        *([f"left out by --drop: {', '.join(left_out)}"] if left_out else []),
    ]
    encoder = as_json(label, fitted.columns, reading.layout, meaning, learned.notation)
    x = encode_columns(fitted.columns, table, meaning, fitted.numbers)
    embedded = sizes_of_embedded(fitted.columns)
    del fitted, table  # before the inputs are copied
    parts = tuple(part._replace(y=learned.y[part.x]) for part in parts)
    return problem_of(x, parts, learned.classes, encoder, notes, embedded, learned.target)


class _Learned(NamedTuple):
    """What is learned: classes, or the numbers y of a target, (m,), with the notation of the column."""

    y: np.ndarray
    note: str
    classes: tuple[str, ...] = ()
    target: Target | None = None
    notation: Notation | None = None


def _classes(path: Path, label: str, table: Table, meaning: Meaning, *, named: bool) -> _Learned:
    """Return the classes of a column; `named` if the task is given, so that no number is taken for a measurement."""
    declared, labels = label in meaning.words, table.columns[label]
    check_labels(path, label, labels, table.lines, meaning)
    words = labels if declared else unify_numbers(labels)
    merged = next((f"; {old} is taken as {new}" for old, new in zip(labels, words, strict=True) if old != new), "")
    alike = case_note(set(words))
    classes, y = classes_of(path, label, words, declared=declared or named)
    return _Learned(y, f"the label, {count_classes(classes, y)}{merged}{alike and f'; {alike}'}", classes)


def _numbers(
    path: Path, label: str, table: Table, fitted: Fitted, train: np.ndarray, meaning: Meaning, task: Task
) -> _Learned:
    notations = [column.notation for column in fitted.columns if isinstance(column, Number)]
    decimals = {notation.decimal for notation in notations if notation != PLAIN}
    numbers = read_numbers(
        path, label, table.columns[label], table.lines, meaning, decimals, nonnegative=task.nonnegative
    )
    target = fit_target(path, label, numbers.values, train, nonnegative=task.nonnegative)
    note = "; ".join(filter(None, [describe_target(target, numbers.values), numbers.note]))
    return _Learned(numbers.values, note, target=target, notation=numbers.notation)
