"""Read a user's CSV or npz file as a classification problem: split in three, imputed and standardized.

Medians, levels, means and deviations are fitted on the training part only.
"""

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.column_encoding import encode_columns
from experiments.datasets.column_kinds import MOST_NUMBERS, fit_columns
from experiments.datasets.column_notes import case_note
from experiments.datasets.columns import LARGEST, Meaning, sizes_of_embedded, width
from experiments.datasets.dataset import Dataset
from experiments.datasets.encoder import as_json
from experiments.datasets.labels import NO_LABELS, check_labels, classes_of, count_classes, labels_of_npz, unify_numbers
from experiments.datasets.options import OWN_SUFFIXES, OwnDataOptions
from experiments.readers.csv_file import DEFAULT_LAYOUT, Layout, read_table
from experiments.readers.errors import InvalidFileError
from experiments.readers.npz import read_npz
from experiments.readers.numerals import NUMBER

FEWEST_ROWS = 10
_ROWS_AT_ONCE = 2**12


class Reading(NamedTuple):
    """The options for reading a CSV file, as far as the user gives them.

    Attributes:
      layout: the layout of its text.
      missing: the fields that are missing values, separated by commas.
      decimal, thousands: the marks in numbers.
      words, numbers: the names of columns that are declared as words or numbers, separated by commas.
    """

    layout: Layout = DEFAULT_LAYOUT
    missing: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    words: str = ""
    numbers: str = ""

    def meaning(self, path: Path, columns: Sequence[str]) -> Meaning:
        """Return the meaning of the fields of a file with these columns."""
        words, numbers = (frozenset(_select(path, text, columns)) for text in (self.words, self.numbers))
        if words & numbers:
            raise InvalidFileError(f"{path}: --words and --numbers both name {', '.join(sorted(words & numbers))}")
        missing = None if self.missing is None else tuple(_items(self.missing))
        return Meaning(missing, self.decimal, self.thousands, words, numbers)


DEFAULT_READING = Reading()


def reading_of(options: OwnDataOptions) -> Reading:
    """Return the reading of a CSV file with these options.

    Raises:
      ValueError: if a mark is not one character, or two marks are the same.
    """
    delimiter = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(f"--delimiter must be one character, such as ; or tab, got {options.delimiter!r}")
    if options.decimal not in (None, ".", ","):
        raise ValueError(f"--decimal must be . or , got {options.decimal!r}")
    if options.thousands not in (None, ".", ",", " ", "'"):
        raise ValueError(f"--thousands must be one of . , ' and a blank, got {options.thousands!r}")
    if options.decimal is not None and options.decimal == options.thousands:
        raise ValueError(f"--decimal and --thousands must be different marks, got {options.decimal!r} for both")
    layout = Layout(delimiter, _canonical(options.encoding), options.header)
    return Reading(layout, options.missing, options.decimal, options.thousands, options.words, options.numbers)


def _canonical(encoding: str | None) -> str | None:
    """Return the canonical name of an encoding; an unknown one stays, and is an error when the file is read."""
    try:
        return encoding and codecs.lookup(encoding).name
    except LookupError:
        return encoding


def read_own_data(
    path: Path,
    label: str | None,
    drop: str,
    fractions: Sequence[float],
    seed: int,
    reading: Reading = DEFAULT_READING,
) -> Dataset:
    """Read a file, by its suffix as CSV or npz, and split it, stratified by class.

    Args:
      path: a CSV file, or an npz file with arrays x (m, ...) and y (m,).
      label: the column with the classes; for an npz file the array, by default y.
      drop: the names of columns to leave out, separated by commas.
      fractions: the shares of train, dev and test.
      seed: the seed of the split.
      reading: the options for reading a CSV file.

    Raises:
      InvalidFileError: if the file is invalid.
      OSError: if it cannot be opened.
    """
    if is_npz(path):
        data = _read_npz(path, label, drop, fractions, seed, reading)
    else:
        data = _read_csv(path, label, drop, fractions, seed, reading)
    # A file name on Linux need not be UTF-8, but this one goes into texts and file names.
    name = re.sub(r"[^\w.-]+", " ", path.stem).strip(" .")[:50] or "data"
    return data._replace(files=(path,), name=name)


def is_npz(path: Path) -> bool:
    """Return whether the file is npz or CSV, by its suffix; raise if it is neither."""
    if path.suffix.lower() not in OWN_SUFFIXES:
        raise InvalidFileError(f"{path} must end in one of {', '.join(OWN_SUFFIXES)}")
    return path.suffix.lower() == ".npz"


def _read_csv(
    path: Path, label: str | None, drop: str, fractions: Sequence[float], seed: int, reading: Reading
) -> Dataset:
    table = read_table(path, reading.layout)
    available = _available(table.columns)
    if label is None:
        raise InvalidFileError(f"{path}: --label must be given, the column of the classes: {available}")
    if label not in table.columns:
        raise InvalidFileError(f"{path} has no column {label!r}: {available}")
    left_out, meaning = _select(path, drop, [*table.columns]), reading.meaning(path, [*table.columns])
    if label in left_out:
        raise InvalidFileError(f"{path}: --drop and --label both name {label}")
    names = [name for name in table.columns if name != label and name not in left_out]
    if not names:
        raise InvalidFileError(f"{path} must have another column than {label!r}, as input: {available}")
    declared = label in meaning.words
    labels = table.columns[label]
    _check_rows(path, len(labels))
    check_labels(path, label, labels, table.lines, meaning)
    words = labels if declared else unify_numbers(labels)
    merged = next((f"; {old} is taken as {new}" for old, new in zip(labels, words, strict=True) if old != new), "")
    alike = case_note(set(words))
    classes, y = classes_of(path, label, words, declared=declared)
    parts = _split(y, fractions, seed)
    fitted = fit_columns(path, table, names, parts[0].x, meaning)
    n = width(fitted.columns)
    check_count(path, len(y), n)
    notes = [
        f"{path.name}: {len(y)} rows, {_of(len(fitted.columns), 'column')} as {_of(n, 'input')}, "
        f"{len(classes)} classes",
        f"read as {'; '.join(table.notes)}",
        f"{label}: the label, {count_classes(classes, y)}{merged}{alike and f'; {alike}'}",
        *fitted.notes,
        *([f"left out by --drop: {', '.join(left_out)}"] if left_out else []),
    ]
    encoder = as_json(label, fitted.columns, reading.layout, meaning)
    x = encode_columns(fitted.columns, table, meaning, fitted.numbers)
    embedded = sizes_of_embedded(fitted.columns)
    del fitted, table  # before the inputs are copied
    return _problem(x, parts, classes, encoder, notes, embedded)


def _of(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _available(columns: Sequence[str]) -> str:
    names = ", ".join(columns)
    hint = "; is line 1 data? Then use --no-header" if any(map(NUMBER.fullmatch, columns)) else ""
    if len(columns) == 1:
        hint = "; is another delimiter between the fields? Then use --delimiter"
    return f"there are {names if len(names) <= 1000 else names[:1000] + '...'}{hint}"


def _select(path: Path, text: str, columns: Sequence[str]) -> list[str]:
    """Return the columns in a list of names; a name with commas is in double quotes.

    Raises:
      InvalidFileError: if a name is not a column's.
    """
    known = set(columns)
    names = [name for name in _items(text) if name]
    if known.issuperset(names):
        return names
    selected, parts = [], text.split(",")
    while parts:
        # The longest name first: if there are columns b and "b, in cm", that is the second.
        for end in range(len(parts), 0, -1):
            if (name := ",".join(parts[:end]).strip()) in known:
                selected.append(name)
                break
        else:
            end, name = 1, parts[0].strip()
            if name:
                raise InvalidFileError(f"{path} has no column {name!r}: {_available(columns)}")
        del parts[:end]
    return selected


def _items(text: str) -> list[str]:
    """Return the items of a list with commas; an item with commas is in double quotes."""
    return [item.strip() for item in next(csv.reader([text], skipinitialspace=True), [])]


def _read_npz(
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
    _check_rows(path, len(x))
    labels = labels_of_npz(path, label, arrays[label], len(x))
    missing = next((i for i, word in enumerate(labels) if word in NO_LABELS), None)
    if missing is not None:
        missing_label = f"{label}[{missing}] is {labels[missing]!r}, expected a class for each row"
        raise InvalidFileError(f"{path}: {missing_label}: leave out rows without a class, or rename that class")
    classes, y = classes_of(path, label, labels if declared else unify_numbers(labels), declared=declared)
    notes = [
        f"{path.name}: {len(y)} rows of {_of(x.shape[1], 'input')}, {len(classes)} classes",
        f"{label}: the label, {count_classes(classes, y)}",
    ]
    return _problem(x, _split(y, fractions, seed), classes, None, notes)


def inputs_of_npz(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the array x of a user's npz file as inputs (m, n), checked."""
    if x.ndim < 2 or x.dtype.kind in "US" or x.size == 0:
        raise InvalidFileError(f"{path}: x is {x.dtype} {x.shape}, expected numbers (m, n), one example per row")
    x = x.reshape(len(x), -1)
    check_count(path, *x.shape)
    for at in range(0, len(x) if x.dtype.kind == "f" else 0, _ROWS_AT_ONCE):
        bad = ~(np.abs(x[at : at + _ROWS_AT_ONCE]) <= LARGEST)
        if bad.any():
            row, column = np.argwhere(bad)[0] + (at, 0)
            raise InvalidFileError(
                f"{path}: x[{row}, {column}] is {x[row, column]}, expected numbers up to {LARGEST:g}"
            )
    return x


def _check_rows(path: Path, m: int) -> None:
    if m < FEWEST_ROWS:
        raise InvalidFileError(f"{path} has {m} row{'s' * (m != 1)}, too few to split: expected at least {FEWEST_ROWS}")


def _split(y: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[jaxnn.Batch, ...]:
    """Return train, dev and test; the x of each are the indices of its rows."""
    return jaxnn.split(np.arange(len(y)), y, fractions, seed=seed, stratify=True)


def check_count(path: Path, m: int, n: int) -> None:
    """Raise unless there is at least one input, and no more than fit in memory."""
    if n == 0:
        raise InvalidFileError(f"{path} has no values in the training rows")
    if m * n > MOST_NUMBERS:
        raise InvalidFileError(
            f"{path} gives {m:,} rows of {n:,} inputs, more than {MOST_NUMBERS:,} numbers: use a part of it"
        )


def _problem(
    x: np.ndarray,
    parts: Sequence[jaxnn.Batch],
    classes: tuple[str, ...],
    encoder: dict | None,
    notes: list[str],
    embedded: tuple[int, ...] = (),
) -> Dataset:
    numbers = x[:, : x.shape[1] - len(embedded)]
    stats = jaxnn.data.Standardizer(np.empty(0), np.empty(0))  # of a table without numbers
    if numbers.shape[1]:
        stats = jaxnn.data.fit_standardizer(numbers[parts[0].x].astype(np.float64, copy=False))
    ready = [part._replace(x=prepared(stats, x, len(embedded), part.x)) for part in parts]
    return Dataset(*ready, classes, stats, embedded=embedded, encoder=encoder, notes=tuple(notes))


def prepared(
    stats: jaxnn.data.Standardizer, x: np.ndarray, embedded: int, rows: np.ndarray | None = None
) -> np.ndarray | tuple[np.ndarray, ...]:
    """Return the inputs of a network for the given rows, or for all.

    Args:
      stats: of the numbers.
      x: encoded rows, (m, n): numbers, then a whole number for each embedded column.
      embedded: the number of embedded columns.
      rows: their indices.

    Returns:
      Standardized numbers (m, n) float32; if columns are embedded, a tuple of these and the whole numbers of each such
      column, (m,) int32, which take four bytes where one-hot inputs would take four for each level.
    """
    if not embedded:
        return standardized(stats, x, rows)
    at = x.shape[1] - embedded
    rows = np.arange(len(x)) if rows is None else rows
    return standardized(stats, x[:, :at], rows), *(x[rows, at + i].astype(np.int32) for i in range(embedded))


def standardized(stats: jaxnn.data.Standardizer, x: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return standardized inputs (m, n) float32, of the given rows or of all.

    They are standardized in float64, since float32 loses the differences of large numbers such as dates, and in blocks
    of rows, since float64 takes twice the memory.
    """
    rows = np.arange(len(x)) if rows is None else rows
    ready = np.empty((len(rows), x.shape[1]), np.float32)
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        some = x[rows[at : at + _ROWS_AT_ONCE]].astype(np.float64)
        ready[at : at + _ROWS_AT_ONCE] = jaxnn.standardize(stats, some)
    return ready
