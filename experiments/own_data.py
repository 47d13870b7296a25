"""A user's own data, a CSV or npz file, as a classification problem: split in three, filled in and standardised.

What is fitted (medians, levels, means, deviations) is fitted on the training part alone.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import jaxnn
from experiments.columns import LARGEST, MOST_NUMBERS, account, encode_columns, fit_columns, missing, width
from experiments.csv_file import NUMBER, read_table
from experiments.dataset import Dataset
from experiments.encoder import as_json
from experiments.npz import read_npz
from experiments.options import OWN_SUFFIXES
from experiments.refusal import Refused

FEWEST_ROWS = 10
MOST_CLASSES = 100
LONGEST_CLASS = 100


def read_own_data(path: Path, label: str | None, drop: str, fractions: Sequence[float], seed: int) -> Dataset:
    """Read the file by its suffix; its parts are of stratified shares.

    Args:
      path: a CSV file with a header, or an npz file with arrays x (m, ...) and y (m,).
      label: the column that holds the classes; of an npz file, the array, by default y.
      drop: the names of columns to leave out, with commas between them.
      fractions: the shares of train, dev and test.
      seed: of the split.

    Raises:
      Refused: what is wrong with the file, and where.
      OSError: it cannot be opened.
    """
    read = _read_npz if is_npz(path) else _read_csv
    data = read(path, label, [name.strip() for name in drop.split(",") if name.strip()], fractions, seed)
    # A name on a Linux disk need not be UTF-8, and this one goes into texts and the names of files.
    name = re.sub(r"[^\w.-]+", " ", path.stem).strip(" .")[:50] or "data"
    return data._replace(files=(path,), name=name)


def is_npz(path: Path) -> bool:
    """Whether it is npz or CSV by its suffix; one that is neither is refused."""
    if path.suffix.lower() not in OWN_SUFFIXES:
        raise Refused(f"{path} has none of the names that are read: expected {', '.join(OWN_SUFFIXES)}")
    return path.suffix.lower() == ".npz"


def _read_csv(path: Path, label: str | None, drop: list[str], fractions: Sequence[float], seed: int) -> Dataset:
    table = read_table(path)
    there = f"there are {', '.join(table.columns)}"
    if label is None:
        raise Refused(f"{path}: which column holds the classes? Name it by --label: {there}")
    for name in (label, *drop):
        if name not in table.columns:
            raise Refused(f"{path} has no column {name!r}: {there}")
    names = [name for name in table.columns if name != label and name not in drop]
    if not names:
        raise Refused(f"{path} has no column beside {label!r} to learn from: {there}")
    labels = table.columns[label]
    unlabelled = next((i for i, field in enumerate(labels) if missing(field)), None)
    if unlabelled is not None:
        raise Refused(
            f"{path}: line {table.lines[unlabelled]} has no label in column {label!r}: fill it in, or delete the line"
        )
    classes, y = _classes(path, label, labels)
    parts = _split(path, y, fractions, seed)
    columns = fit_columns(path, table, names, parts[0].x)
    check_count(path, len(y), width(columns))
    told = f"{path.name}: {len(y)} rows, {len(names)} columns as {width(columns)} inputs, {len(classes)} classes"
    encoder = as_json(label, columns)
    return _problem(encode_columns(columns, table), parts, classes, encoder, [told, *account(columns, table)])


def _read_npz(path: Path, label: str | None, drop: list[str], fractions: Sequence[float], seed: int) -> Dataset:
    label = label or "y"
    if drop:
        raise Refused(f"{path}: --drop leaves columns out of a CSV file, and this is npz: leave them out of x")
    arrays = read_npz(path, ["x", label])
    x = inputs_of_npz(path, arrays["x"])
    classes, y = _classes(path, label, labels_of_npz(path, label, arrays[label], len(x)))
    told = f"{path.name}: {len(y)} rows of {x.shape[1]} inputs, {len(classes)} classes"
    return _problem(x, _split(path, y, fractions, seed), classes, None, [told])


def inputs_of_npz(path: Path, x: np.ndarray) -> np.ndarray:
    """The array x of a user's npz file as inputs (m, n) float64, checked."""
    if x.ndim < 2 or x.dtype.kind == "U" or x.size == 0:
        raise Refused(f"{path}: x is {x.dtype} {x.shape}, expected numbers (m, n), an example in each row")
    x = x.reshape(len(x), -1)
    check_count(path, *x.shape)
    x = x.astype(np.float64)
    bad = ~(np.abs(x) <= LARGEST)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise Refused(f"{path}: x[{row}, {column}] is {x[row, column]}, expected numbers up to {LARGEST:g}")
    return x


def labels_of_npz(path: Path, label: str, y: np.ndarray, m: int) -> list[str]:
    """The array of labels of a user's npz file, a word for each of its m rows, checked."""
    if y.shape not in ((m,), (m, 1)) or y.dtype.kind == "f":
        raise Refused(f"{path}: {label} is {y.dtype} {y.shape}, expected a class for each row of x, words or integers")
    return [str(value) for value in y.ravel().tolist()]


def _classes(path: Path, label: str, words: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the classes in order, numbers by size, and each row's class number."""
    found = set(words)
    odd = next((word for word in found if not word.isprintable() or len(word) > LONGEST_CLASS), None)
    if odd is not None:
        raise Refused(f"{path}: {label!r} holds {odd[:50]!r}, expected classes with names of a line")
    if len(found) < 2:
        raise Refused(f"{path}: {label!r} is {words[0]!r} in every row: there is nothing to tell apart")
    if len(found) > MOST_CLASSES:
        raise Refused(
            f"{path}: {label!r} has {len(found)} different values in {len(words)} rows, expected classes, at most "
            f"{MOST_CLASSES}: is it a measurement?"
        )
    classes = sorted(found, key=(lambda word: (float(word), word)) if all(map(NUMBER.fullmatch, found)) else None)
    number = {word: i for i, word in enumerate(classes)}
    return tuple(classes), np.array([number[word] for word in words], np.int32)


def _split(path: Path, y: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[jaxnn.Batch, ...]:
    """Train, dev and test; the x of each are the numbers of its rows."""
    if len(y) < FEWEST_ROWS:
        raise Refused(f"{path} has {len(y)} rows, too few to split: expected at least {FEWEST_ROWS}")
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
    stats = jaxnn.fit_standardizer(x[parts[0].x])
    ready = [part._replace(x=standardized(stats, x[part.x])) for part in parts]
    return Dataset(*ready, classes, stats, encoder=encoder, notes=tuple(notes))


def standardized(stats: jaxnn.Standardizer, x: np.ndarray) -> np.ndarray:
    """Inputs (m, n) float64 as the networks take them, float32.

    In float64 until then, since of large numbers that lie together, such as dates, little is left in float32.
    """
    return jaxnn.standardize(stats, x).astype(np.float32)
