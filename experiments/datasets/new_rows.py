"""Read new rows for a network trained on a user's CSV or npz file, checked and encoded as in training.

Columns may be in any order, and the labels may be missing. Further columns of a CSV file are ignored, with a note; a
missing column is an error. Missing values and words that are not in the training rows are encoded as in the dev and
test rows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets import encoder
from experiments.datasets.column_encoding import check_numbers, describe_new_rows, encode_columns
from experiments.datasets.columns import Meaning, Number, in_order_of_inputs, numbers_of, width
from experiments.datasets.labels import NO_LABELS, labels_of_npz
from experiments.datasets.options import OwnDataOptions, suffix_of
from experiments.datasets.own_data import is_npz, read_any_table
from experiments.datasets.own_npz import inputs_of_npz, numbers_of_npz
from experiments.datasets.partition import check_count
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError
from experiments.readers.npz import read_npz
from experiments.readers.numerals import Notation


class Rows(NamedTuple):
    """New rows as inputs.

    Attributes:
      x: the inputs (m, n), as `encode_columns` returns them, not standardized.
      labels: each row's class, or `None` if it is missing; `None` if the file has no labels.
      numbers: for regression, each row's number, (m,) float64, NaN if it is missing; `None` if the file has none.
      label: the name of the column of labels.
      place: `place(i, j)` returns the location of x[i, j] in the file.
      notes: texts on how the values were read.
    """

    x: np.ndarray
    labels: list[str | None] | None
    place: Callable[[int, int], str]
    notes: list[str]
    numbers: np.ndarray | None = None
    label: str = ""


def read_rows(path: Path, run: Path, options: OwnDataOptions, *, regression: bool = False) -> Rows:
    """Read a file of the same kind as the run's data file.

    Args:
      path: the file.
      run: the folder of the run.
      options: the options of the run.
      regression: whether the labels are numbers.

    Raises:
      InvalidFileError: if the file or the run's encoder is invalid.
      OSError: if a file cannot be opened.
    """
    npz = suffix_of(options.data) == ".npz"
    if is_npz(path) != npz:
        kinds = (
            ("an npz file, with rows as an array x" if npz else "a table, such as CSV"),
            ("a table" if npz else "npz"),
        )
        raise InvalidFileError(f"{path}: expected {kinds[0]}, like the data of {run}, got {kinds[1]}")
    return _read_npz(path, options.label or "y", regression) if npz else _read_csv(path, run, regression)


def _read_csv(path: Path, run: Path, regression: bool) -> Rows:
    label, columns, layout, meaning, notation = encoder.load(run)
    if (notation is not None) != regression:
        raise InvalidFileError(f"{run} has an encoder of another run: its network and its labels differ in kind")
    table = read_any_table(path, layout)
    names = [column.name for column in columns]
    absent = [name for name in names if name not in table.columns]
    if absent:
        available = f"there are {', '.join(table.columns)}"
        raise InvalidFileError(f"{path} has no column {', '.join(map(repr, absent))}, which {run} needs: {available}")
    check_count(path, len(table.lines), width(columns))
    check_numbers(path, columns, table, meaning)
    inputs = [column.name for column in in_order_of_inputs(columns) for _ in range(width([column]))]
    labels = table.columns.get(label)
    left_out = [name for name in table.columns if name not in {label, *names}]
    notes = [f"ignored, since training had no such column: {', '.join(left_out)}"] if left_out else []
    if regression:
        numbers = labels and _numbers(path, label, labels, table.lines, meaning, notation)
        labels = None
    else:
        numbers = None
    unlabelled = meaning.missing_words(label, labels or ())
    return Rows(
        encode_columns(columns, table, meaning),
        labels and [None if field in unlabelled else field for field in labels],
        lambda i, j: f"column {inputs[j]!r} in line {table.lines[i]}",
        notes + describe_new_rows(columns, table, meaning),
        numbers,
        label,
    )


def _numbers(
    path: Path, label: str, fields: list[str], lines: Sequence[int], meaning: Meaning, notation: Notation
) -> np.ndarray:
    """Return the numbers in the column of labels, NaN where they are missing, in the notation of training."""
    check_numbers(path, [Number(label, 0.0, notation)], Table({label: fields}, list(lines)), meaning)
    distinct = set(fields)
    missing = meaning.missing_values(distinct, of_numbers=True)
    return numbers_of(fields, notation, distinct - missing, missing)


def _read_npz(path: Path, label: str, regression: bool) -> Rows:
    arrays = read_npz(path, ["x"], optional=[label])
    x = inputs_of_npz(path, arrays["x"])
    if regression:
        numbers = numbers_of_npz(path, label, arrays[label], len(x)) if label in arrays else None
        return Rows(x, None, lambda i, j: f"x[{i}, {j}]", [], numbers, label)
    labels = labels_of_npz(path, label, arrays[label], len(x)) if label in arrays else None
    labels = labels and [None if word in NO_LABELS else word for word in labels]
    return Rows(x, labels, lambda i, j: f"x[{i}, {j}]", [])
