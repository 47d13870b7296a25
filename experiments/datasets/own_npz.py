"""Read a user's npz file as a problem of classification or regression."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.datasets.columns import LARGEST, Meaning
from experiments.datasets.dataset import Dataset
from experiments.datasets.labels import NO_LABELS, classes_of, count_classes, labels_of_npz, unify_numbers
from experiments.datasets.partition import ROWS_AT_ONCE, check_count, check_rows, plural, problem_of, split_rows
from experiments.datasets.reading import DEFAULT_READING, Reading
from experiments.datasets.targets import describe_target, fit_target
from experiments.datasets.tasks import Task, is_regression
from experiments.readers.errors import InvalidFileError
from experiments.readers.npz import read_npz


def read_own_npz(
    path: Path, label: str | None, drop: str, fractions: Sequence[float], seed: int, reading: Reading, task: Task
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
    classes, target = (), None
    if _is_regression(path, label, arrays[label], declared, task):
        y = numbers_of_npz(path, label, arrays[label], len(x))
        if task.nonnegative and y.min() < 0:
            raise InvalidFileError(f"{path}: {label}[{y.argmin()}] is {y.min():g}, expected numbers of at least 0")
        parts = split_rows(y, fractions, seed)
        target = fit_target(path, label, y, parts[0].x, nonnegative=task.nonnegative)
        note = describe_target(target, y)
    else:
        words = _words(path, label, arrays[label], len(x), declared)
        classes, y = classes_of(path, label, words, declared=declared or task.name is not None)
        parts, note = split_rows(y, fractions, seed), f"the label, {count_classes(classes, y)}"
    of = f", {len(classes)} classes" if classes else ""
    notes = [f"{path.name}: {len(y)} rows of {plural(x.shape[1], 'input')}{of}", f"{label}: {note}"]
    return problem_of(x, parts, classes, None, notes, target=target)


def _is_regression(path: Path, label: str, y: np.ndarray, declared: bool, task: Task) -> bool:
    """Return whether the labels are numbers to predict, as `is_regression` decides it."""
    if task.name is None and not declared and y.dtype.kind == "f":
        known = y[np.isfinite(y)]
        if (known != np.round(known)).any():
            return True
    fields = [f"{value:.0f}" for value in y.ravel()] if y.dtype.kind in "fiu" else []
    return is_regression(path, label, fields, Meaning(words=frozenset([label] if declared else [])), task)


def _words(path: Path, label: str, y: np.ndarray, m: int, declared: bool) -> list[str]:
    labels = labels_of_npz(path, label, y, m)
    missing = next((i for i, word in enumerate(labels) if word in NO_LABELS), None)
    if missing is not None:
        missing_label = f"{label}[{missing}] is {labels[missing]!r}, expected a class for each row"
        raise InvalidFileError(f"{path}: {missing_label}: leave out rows without a class, or rename that class")
    return labels if declared else unify_numbers(labels)


def numbers_of_npz(path: Path, label: str, y: np.ndarray, m: int) -> np.ndarray:
    """Return the numbers that a user's npz file has for each of its m rows, (m,) float64, checked."""
    if y.shape not in ((m,), (m, 1), (1, m)) or y.dtype.kind not in "fiu":
        raise InvalidFileError(f"{path}: {label} is {y.dtype} {y.shape}, expected a number for each row of x, ({m},)")
    y = y.ravel().astype(np.float64)
    bad = ~(np.abs(y) <= LARGEST)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidFileError(f"{path}: {label}[{i}] is {y[i]}, expected numbers up to {LARGEST:g}: leave out the row")
    return y


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
