"""Read a user's npz file as a classification problem."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.datasets.columns import LARGEST
from experiments.datasets.dataset import Dataset
from experiments.datasets.labels import NO_LABELS, classes_of, count_classes, labels_of_npz, unify_numbers
from experiments.datasets.partition import ROWS_AT_ONCE, check_count, check_rows, plural, problem_of, split_rows
from experiments.datasets.reading import DEFAULT_READING, Reading
from experiments.readers.errors import InvalidFileError
from experiments.readers.npz import read_npz


def read_own_npz(
    path: Path, label: str | None, drop: str, fractions: Sequence[float], seed: int, reading: Reading
) -> Dataset:
    label = label or "y"
    if drop.strip():
        raise InvalidFileError(f"{path}: --drop must be used with a CSV file, got npz: leave the columns out of x")
    declared = reading.words == label
    if reading != DEFAULT_READING._replace(words=label if declared else ""):
        raise InvalidFileError(f"{path}: --delimiter, --missing and the like must be used with a CSV file, got npz")
    arrays = read_npz(path, ["x", label])
    x = inputs_of_npz(path, arrays["x"])
    check_rows(path, len(x))
    labels = labels_of_npz(path, label, arrays[label], len(x))
    missing = next((i for i, word in enumerate(labels) if word in NO_LABELS), None)
    if missing is not None:
        missing_label = f"{label}[{missing}] is {labels[missing]!r}, expected a class for each row"
        raise InvalidFileError(f"{path}: {missing_label}: leave out rows without a class, or rename that class")
    classes, y = classes_of(path, label, labels if declared else unify_numbers(labels), declared=declared)
    notes = [
        f"{path.name}: {len(y)} rows of {plural(x.shape[1], 'input')}, {len(classes)} classes",
        f"{label}: the label, {count_classes(classes, y)}",
    ]
    return problem_of(x, split_rows(y, fractions, seed), classes, None, notes)


def inputs_of_npz(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the array x of a user's npz file as inputs (m, n), checked."""
    if x.ndim < 2 or x.dtype.kind in "US" or x.size == 0:
        raise InvalidFileError(f"{path}: x is {x.dtype} {x.shape}, expected numbers (m, n), one example per row")
    x = x.reshape(len(x), -1)
    check_count(path, *x.shape)
    for at in range(0, len(x) if x.dtype.kind == "f" else 0, ROWS_AT_ONCE):
        bad = ~(np.abs(x[at : at + ROWS_AT_ONCE]) <= LARGEST)
        if bad.any():
            row, column = np.argwhere(bad)[0] + (at, 0)
            raise InvalidFileError(
                f"{path}: x[{row}, {column}] is {x[row, column]}, expected numbers up to {LARGEST:g}"
            )
    return x
