"""A user's own data, a CSV or npz file, as a classification problem: split in three, filled in and standardised.

What is fitted (medians, levels, means, deviations) is fitted on the training part alone.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments import numerals
from experiments.columns import (
    LARGEST,
    MOST_NUMBERS,
    Meaning,
    by_case_alone,
    encode_columns,
    fit_columns,
    option,
    width,
)
from experiments.csv_file import DEFAULT_LAYOUT, Layout, read_table
from experiments.dataset import Dataset
from experiments.encoder import as_json
from experiments.npz import read_npz
from experiments.numerals import NUMBER, Notation
from experiments.options import OWN_SUFFIXES, OwnDataOptions
from experiments.refusal import Refused

FEWEST_ROWS = 10
MOST_CLASSES = 100
LONGEST_CLASS = 100
_MOST_LISTED = 20
"""Classes of which the rows are listed."""
NO_LABELS = {"", "nan", "NaT", "<NA>"}
"""Of an npz file: what .astype(str) makes of values that are missing."""
_ROWS_AT_ONCE = 2**12


class Reading(NamedTuple):
    """How a CSV file is read, as far as its user says so.

    Attributes:
      layout: of its text.
      missing: the fields that stand for no value, with commas between them.
      decimal, thousands: the marks in numbers.
      words, numbers: the names of columns that are declared to be so, with commas between them.
    """

    layout: Layout = DEFAULT_LAYOUT
    missing: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    words: str = ""
    numbers: str = ""

    def meaning(self, path: Path, columns: Sequence[str]) -> Meaning:
        """Return what fields stand for in a file of these columns."""
        words, numbers = (frozenset(_named(path, text, columns)) for text in (self.words, self.numbers))
        if words & numbers:
            raise Refused(f"{path}: --words and --numbers both name {', '.join(sorted(words & numbers))}")
        missing = None if self.missing is None else tuple(_listed(self.missing))
        return Meaning(missing, self.decimal, self.thousands, words, numbers)


DEFAULT_READING = Reading()


def reading_of(options: OwnDataOptions) -> Reading:
    """Return how the options say that a CSV file is read.

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
    """Return the name by which the run keeps an encoding; of an unknown one, the reader of the file says so."""
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
    """Read the file by its suffix; its parts are of stratified shares.

    Args:
      path: a CSV file, or an npz file with arrays x (m, ...) and y (m,).
      label: the column that holds the classes; of an npz file, the array, by default y.
      drop: the names of columns to leave out, with commas between them.
      fractions: the shares of train, dev and test.
      seed: of the split.
      reading: how a CSV file is read.

    Raises:
      Refused: what is wrong with the file, and where.
      OSError: it cannot be opened.
    """
    if is_npz(path):
        data = _read_npz(path, label, drop, fractions, seed, reading)
    else:
        data = _read_csv(path, label, drop, fractions, seed, reading)
    # A name on a Linux disk need not be UTF-8, and this one goes into texts and the names of files.
    name = re.sub(r"[^\w.-]+", " ", path.stem).strip(" .")[:50] or "data"
    return data._replace(files=(path,), name=name)


def is_npz(path: Path) -> bool:
    """Whether it is npz or CSV by its suffix; one that is neither is refused."""
    if path.suffix.lower() not in OWN_SUFFIXES:
        raise Refused(f"{path} has none of the names that are read: expected {', '.join(OWN_SUFFIXES)}")
    return path.suffix.lower() == ".npz"


def _read_csv(
    path: Path, label: str | None, drop: str, fractions: Sequence[float], seed: int, reading: Reading
) -> Dataset:
    table = read_table(path, reading.layout)
    there = _there(table.columns)
    if label is None:
        raise Refused(f"{path}: which column holds the classes? Name it by --label: {there}")
    if label not in table.columns:
        raise Refused(f"{path} has no column {label!r}: {there}")
    left_out, meaning = _named(path, drop, [*table.columns]), reading.meaning(path, [*table.columns])
    if label in left_out:
        raise Refused(f"{path}: --drop and --label both name {label}")
    names = [name for name in table.columns if name != label and name not in left_out]
    if not names:
        raise Refused(f"{path} has no column beside {label!r} to learn from: {there}")
    declared = label in meaning.words
    labels = table.columns[label]
    _check_rows(path, len(labels))
    _check_labels(path, label, labels, table.lines, meaning)
    words = labels if declared else numbers_alike(labels)
    merged = next((f"; {old} is taken as {new}" for old, new in zip(labels, words, strict=True) if old != new), "")
    alike = by_case_alone(set(words))
    classes, y = _classes(path, label, words, declared=declared)
    parts = _split(y, fractions, seed)
    fitted = fit_columns(path, table, names, parts[0].x, meaning)
    n = width(fitted.columns)
    check_count(path, len(y), n)
    notes = [
        f"{path.name}: {len(y)} rows, {_of(len(fitted.columns), 'column')} as {_of(n, 'input')}, "
        f"{len(classes)} classes",
        f"read as {'; '.join(table.notes)}",
        f"{label}: the label, {_counted(classes, y)}{merged}{alike and f'; {alike}'}",
        *fitted.notes,
        *([f"left out by --drop: {', '.join(left_out)}"] if left_out else []),
    ]
    encoder = as_json(label, fitted.columns, reading.layout, meaning)
    x = encode_columns(fitted.columns, table, meaning, fitted.numbers)
    del fitted, table  # before there is another copy of the inputs
    return _problem(x, parts, classes, encoder, notes)


def _of(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _there(columns: Sequence[str]) -> str:
    names = ", ".join(columns)
    hint = "; is line 1 data? Then --no-header" if any(map(NUMBER.fullmatch, columns)) else ""
    if len(columns) == 1:
        hint = "; is something else between the fields? Then --delimiter names it"
    return f"there are {names if len(names) <= 1000 else names[:1000] + '...'}{hint}"


def _named(path: Path, text: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that a list names; a name may have commas in it, or stand in double quotes.

    Raises:
      Refused: a name is of no column.
    """
    there = set(columns)
    names = [name for name in _listed(text) if name]
    if there.issuperset(names):
        return names
    found, parts = [], text.split(",")
    while parts:
        # The longest name first: where there are columns b and "b, in cm", that is the second.
        for end in range(len(parts), 0, -1):
            if (name := ",".join(parts[:end]).strip()) in there:
                found.append(name)
                break
        else:
            end, name = 1, parts[0].strip()
            if name:
                raise Refused(f"{path} has no column {name!r}: {_there(columns)}")
        del parts[:end]
    return found


def _listed(text: str) -> list[str]:
    """Return the items of a list with commas, in which double quotes may stand around one."""
    return [item.strip() for item in next(csv.reader([text], skipinitialspace=True), [])]


def _counted(classes: Sequence[str], y: np.ndarray) -> str:
    """Return how many rows each class has, as words."""
    counts = Counter(y.tolist())
    each = [f"{name} ({counts[i]})" for i, name in enumerate(classes[:_MOST_LISTED])]
    more = [f"and {len(classes) - _MOST_LISTED} more"] if len(classes) > _MOST_LISTED else []
    return f"{len(classes)} classes and their rows: {', '.join(each + more)}"


def _read_npz(
    path: Path, label: str | None, drop: str, fractions: Sequence[float], seed: int, reading: Reading
) -> Dataset:
    label = label or "y"
    if drop.strip():
        raise Refused(f"{path}: --drop leaves columns out of a CSV file, and this is npz: leave them out of x")
    declared = reading.words == label
    if reading != DEFAULT_READING._replace(words=label if declared else ""):
        raise Refused(f"{path}: --delimiter, --missing and the like are of CSV files, and this is npz")
    arrays = read_npz(path, ["x", label])
    x = inputs_of_npz(path, arrays["x"])
    _check_rows(path, len(x))
    labels = labels_of_npz(path, label, arrays[label], len(x))
    missing = next((i for i, word in enumerate(labels) if word in NO_LABELS), None)
    if missing is not None:
        found = f"{label}[{missing}] is {labels[missing]!r}, expected a class for each row"
        raise Refused(f"{path}: {found}: leave out the rows without one, or write that class otherwise")
    classes, y = _classes(path, label, labels if declared else numbers_alike(labels), declared=declared)
    notes = [
        f"{path.name}: {len(y)} rows of {_of(x.shape[1], 'input')}, {len(classes)} classes",
        f"{label}: the label, {_counted(classes, y)}",
    ]
    return _problem(x, _split(y, fractions, seed), classes, None, notes)


def inputs_of_npz(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the array x of a user's npz file as inputs (m, n), checked."""
    if x.ndim < 2 or x.dtype.kind in "US" or x.size == 0:
        raise Refused(f"{path}: x is {x.dtype} {x.shape}, expected numbers (m, n), an example in each row")
    x = x.reshape(len(x), -1)
    check_count(path, *x.shape)
    for at in range(0, len(x) if x.dtype.kind == "f" else 0, _ROWS_AT_ONCE):
        bad = ~(np.abs(x[at : at + _ROWS_AT_ONCE]) <= LARGEST)
        if bad.any():
            row, column = np.argwhere(bad)[0] + (at, 0)
            raise Refused(f"{path}: x[{row}, {column}] is {x[row, column]}, expected numbers up to {LARGEST:g}")
    return x


def labels_of_npz(path: Path, label: str, y: np.ndarray, m: int) -> list[str]:
    """Return the array of labels of a user's npz file, a word for each of its m rows, checked.

    Whole numbers are labels in any dtype: 1.0 is the class 1.
    """
    if y.shape not in ((m,), (m, 1), (1, m)):
        one_hot = f"; of labels one-hot, {label}.argmax(axis=1)" if y.ndim == 2 and len(y) == m else ""
        raise Refused(f"{path}: {label} is {y.dtype} {y.shape}, expected a class for each row of x, ({m},){one_hot}")
    y = y.ravel()
    if y.dtype.kind == "f":
        bad = ~(np.isfinite(y) & (y == np.round(y)))
        if bad.any():
            found = f"{label} is {y.dtype} and {y[bad.argmax()]} in row {bad.argmax()}"
            raise Refused(f"{path}: {found}, expected classes, words or whole numbers: is it a measurement?")
        return [f"{value:.0f}" for value in (y + 0.0).tolist()]  # -0.0 is 0 then
    if y.dtype.kind == "S":
        return [word.decode("utf-8", "replace").strip() for word in y.tolist()]
    return [str(value).strip() for value in y.tolist()]


def _check_labels(path: Path, label: str, fields: list[str], lines: Sequence[int], meaning: Meaning) -> None:
    """Raise unless each row has a label, and all are numbers if most are."""
    counts = Counter(fields)
    missing = meaning.no_words(label, counts)
    if missing:
        i = next(i for i, field in enumerate(fields) if field in missing)
        n = sum(counts[field] for field in missing)
        rest = f", nor have {n - 1} others" if n > 1 else ""
        fix = "fill it in, or delete the line"
        if fields[i]:
            fix = f"--missing '' takes {fields[i]} as a class, and only an empty field as no value; else {fix}"
        found = f" but {fields[i]}" if fields[i] else ""
        raise Refused(f"{path}: line {lines[i]} has no label in column {label!r}{found}{rest}: {fix}")
    others = {field for field in counts if not numerals.like_a_number(field)}
    n = sum(counts[field] for field in others)
    if others and 2 * n < len(fields) and label not in meaning.words:
        i = next(i for i, field in enumerate(fields) if field in others)
        raise Refused(
            f"{path}: column {label!r} of the labels holds {fields[i]!r} in line {lines[i]}, and numbers in "
            f"{len(fields) - n} of {len(fields)} rows: mend it, or say {option('--words', label)} if it is a class"
        )


def numbers_alike(words: Sequence[str]) -> list[str]:
    """Return the words; where all are numbers, each as it is written most often: 1, 1.0 and 01 are one class."""
    counts = Counter(words)
    if not all(map(NUMBER.fullmatch, counts)):
        return list(words)
    numbers = {word: numerals.exact(word) for word in counts}
    usual: dict[Decimal, str] = {}
    for word in sorted(counts, key=lambda word: (-counts[word], len(word), word)):
        usual.setdefault(numbers[word], word)
    return [usual[numbers[word]] for word in words]


def _classes(path: Path, label: str, words: list[str], *, declared: bool = False) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes in order, numbers by size, and each row's class number."""
    found = set(words)
    odd = next((word for word in found if not word.isprintable() or len(word) > LONGEST_CLASS), None)
    if odd is not None:
        raise Refused(f"{path}: {label!r} holds {odd[:50]!r}, expected classes with names of a line")
    if len(found) < 2:
        raise Refused(f"{path}: {label!r} is {words[0]!r} in every row: there is nothing to tell apart")
    numbers = all(map(NUMBER.fullmatch, found))
    values = f"{path}: {label!r} has {len(found)} different values in {len(words)} rows, expected classes"
    if len(found) > MOST_CLASSES:
        raise Refused(f"{values}, at most {MOST_CLASSES}: is it a measurement?")
    written = numerals.notations(found)
    if not declared and (_measured(found, written[0], len(words)) if written else _named_each(len(found), len(words))):
        fix = "is it a measurement" if written else "does it name each row"
        raise Refused(f"{values} of several rows each: {fix}? If they are classes, say {option('--words', label)}")
    classes = sorted(found, key=(lambda word: (numerals.exact(word), word)) if numbers else None)
    number = {word: i for i, word in enumerate(classes)}
    return tuple(classes), np.array([number[word] for word in words], np.int32)


def _measured(found: Collection[str], written: Notation, m: int) -> bool:
    """Return whether numbers of m rows look like measurements: many different ones, of few rows each."""
    k, whole = len(found), all(numerals.number(word, written).is_integer() for word in found)
    return k == m or (m < 5 * k and k > (10 if whole else 5)) or (k > 20 and not whole)


def _named_each(k: int, m: int) -> bool:
    return k == m or (k > 10 and m < 2 * k)


def _check_rows(path: Path, m: int) -> None:
    if m < FEWEST_ROWS:
        raise Refused(f"{path} has {m} row{'s' * (m != 1)}, too few to split: expected at least {FEWEST_ROWS}")


def _split(y: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[jaxnn.Batch, ...]:
    """Train, dev and test; the x of each are the numbers of its rows."""
    return jaxnn.split(np.arange(len(y)), y, fractions, seed=seed, stratify=True)


def check_count(path: Path, m: int, n: int) -> None:
    """That m rows of n numbers are some, and not more than memory is for."""
    if n == 0:
        raise Refused(f"{path} has no value in the training rows to learn from")
    if m * n > MOST_NUMBERS:
        raise Refused(f"{path} makes {m:,} rows of {n:,} inputs, more than {MOST_NUMBERS:,} numbers: take a part of it")


def _problem(
    x: np.ndarray, parts: Sequence[jaxnn.Batch], classes: tuple[str, ...], encoder: dict | None, notes: list[str]
) -> Dataset:
    stats = jaxnn.fit_standardizer(x[parts[0].x].astype(np.float64, copy=False))
    ready = [part._replace(x=standardized(stats, x, part.x)) for part in parts]
    return Dataset(*ready, classes, stats, encoder=encoder, notes=tuple(notes))


def standardized(stats: jaxnn.Standardizer, x: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return inputs (m, n) as the networks take them, float32; of these rows, or of all.

    In float64 until then, since of large numbers that lie together, such as dates, little is left in float32; some rows
    at a time, since float64 takes twice the memory.
    """
    rows = np.arange(len(x)) if rows is None else rows
    ready = np.empty((len(rows), x.shape[1]), np.float32)
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        some = x[rows[at : at + _ROWS_AT_ONCE]].astype(np.float64)
        ready[at : at + _ROWS_AT_ONCE] = jaxnn.standardize(stats, some)
    return ready
