"""From the rows of a table to a problem: counted, split in three parts, standardized on the training part."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import jaxnn
from experiments.datasets.column_kinds import MOST_NUMBERS
from experiments.datasets.dataset import Dataset
from experiments.datasets.targets import Target
from experiments.readers.errors import InvalidFileError

FEWEST_ROWS = 10
ROWS_AT_ONCE = 2**12
"""Rows that are checked or standardized in float64 at once."""


def plural(n: int, what: str) -> str:
    """Return a number and what is counted, in its plural unless it is 1."""
    return f"{n} {what}{'s' * (n != 1)}"


def check_rows(path: Path, m: int) -> None:
    """Raise unless there are rows enough to split."""
    if m < FEWEST_ROWS:
        raise InvalidFileError(f"{path} has {plural(m, 'row')}, too few to split: expected at least {FEWEST_ROWS}")


def split_rows(y: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[jaxnn.Batch, ...]:
    """Return train, dev and test, stratified if y are classes; the x of each are the indices of its rows."""
    return jaxnn.split(np.arange(len(y)), y, fractions, seed=seed, stratify=y.dtype.kind == "i")


def check_count(path: Path, m: int, n: int) -> None:
    """Raise unless there is at least one input, and no more than fit in memory."""
    if n == 0:
        raise InvalidFileError(f"{path} has no values in the training rows")
    if m * n > MOST_NUMBERS:
        raise InvalidFileError(
            f"{path} gives {m:,} rows of {n:,} inputs, more than {MOST_NUMBERS:,} numbers: use a part of it"
        )


def problem_of(
    x: np.ndarray,
    parts: Sequence[jaxnn.Batch],
    classes: tuple[str, ...],
    encoder: dict | None,
    notes: list[str],
    embedded: tuple[int, ...] = (),
    target: Target | None = None,
) -> Dataset:
    """Return the problem of encoded rows x, the parts naming theirs, with how rows were encoded and read.

    Labels y of the parts are classes, or for regression numbers, which are scaled here.
    """
    numbers = x[:, : x.shape[1] - len(embedded)]
    stats = jaxnn.data.Standardizer(np.empty(0), np.empty(0))  # of a table without numbers
    if numbers.shape[1]:
        stats = jaxnn.data.fit_standardizer(numbers[parts[0].x].astype(np.float64, copy=False))
    ready = [part._replace(x=prepared(stats, x, len(embedded), part.x)) for part in parts]
    if target is not None:
        ready = [part._replace(y=target.scaled(part.y)) for part in ready]
    return Dataset(*ready, classes, stats, embedded=embedded, encoder=encoder, notes=tuple(notes), target=target)


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
    for at in range(0, len(rows), ROWS_AT_ONCE):
        some = x[rows[at : at + ROWS_AT_ONCE]].astype(np.float64)
        ready[at : at + ROWS_AT_ONCE] = jaxnn.standardize(stats, some)
    return ready
