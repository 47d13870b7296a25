"""Split rows so that no group is on two sides, or so that train comes before dev, and dev before test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.columns import Meaning, check_present
from experiments.datasets.options import OwnDataOptions
from experiments.datasets.times import read_times
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError

PARTS = ("train", "dev", "test")


class Division(NamedTuple):
    """The column that decides the split, if there is one; at most one of both.

    Attributes:
      group: the column of groups, such as patients, each of which is in one part.
      time: the column of times, numbers or dates: the parts follow each other in time.
    """

    group: str | None = None
    time: str | None = None

    @property
    def column(self) -> str | None:
        """Return the column, which is not an input of the network."""
        return self.group or self.time


AT_RANDOM = Division()


def division_of(options: OwnDataOptions) -> Division:
    """Return the division that the options describe.

    Raises:
      ValueError: if there are two.
    """
    if options.group and options.time:
        raise ValueError(f"--group and --time must not be given both, got {options.group!r} and {options.time!r}")
    return Division(options.group, options.time)


def divide(
    path: Path,
    table: Table,
    y: np.ndarray,
    fractions: Sequence[float],
    seed: int,
    division: Division,
    meaning: Meaning,
) -> tuple[tuple[jaxnn.Batch, ...], list[str]]:
    """Return train, dev and test, the x of each being the indices of its rows, and a note on the split.

    Args:
      path: the file, for messages.
      table: its rows.
      y: their classes, or any floats, (m,).
      fractions: the shares of the parts.
      seed: of the random choices.
      division: by groups or by time.
      meaning: of the fields.

    Raises:
      InvalidFileError: if a group or a time is missing, or a part would be empty.
    """
    name = division.column or ""
    if division.group is not None:
        groups = table.columns[name]
        missing = meaning.missing_words(name, set(groups))
        check_present(path, name, groups, table.lines, missing, "group")
        rows = by_groups(path, name, groups, y, fractions, seed)
        counts = [len({groups[i] for i in part}) for part in rows]
        note = f"{sum(counts)} groups, none of them in two parts: " + _counted(counts)
    else:
        times = read_times(path, name, table, meaning)
        rows = by_time(path, name, times, fractions)
        firsts = [table.columns[name][part[0]] for part in rows[1:]]
        note = f"the order of the parts: dev begins at {firsts[0]}, test at {firsts[1]}"
    notes = [f"{name}: {note}; left out of the inputs"]
    return tuple(jaxnn.Batch(part, y[part]) for part in rows), notes


def check_classes(path: Path, classes: Sequence[str], parts: Sequence[jaxnn.Batch], names: Division) -> list[str]:
    """Return notes on classes without training rows; raise if there is only one class in training."""
    trained = set(parts[0].y.tolist())
    if len(trained) < 2:
        raise InvalidFileError(
            f"{path}: split by {names.column!r}, every training row is {classes[min(trained)]!r}, expected at least "
            "two classes"
        )
    absent = [name for i, name in enumerate(classes) if i not in trained]
    return [f"classes without a training row: {', '.join(absent[:20])}"] if absent else []


def by_groups(
    path: Path, name: str, groups: Sequence[str], y: np.ndarray, fractions: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Return the rows of each part: each group is in one, and parts have about their shares of rows and classes.

    Groups are assigned one by one, the largest first, each to the part in which the squared differences from the wanted
    counts, of all rows and of each class, become least; the last ones go to parts that are still empty.
    """
    names, of_row = np.unique(np.array(groups), return_inverse=True)
    if len(names) < len(fractions):
        raise InvalidFileError(
            f"{path}: column {name!r} has {len(names)} groups, expected at least {len(fractions)}: one for each of "
            f"{', '.join(PARTS)}"
        )
    classes = y if y.dtype.kind == "i" else np.zeros(len(y), int)
    counts = np.zeros((len(names), classes.max() + 1))
    np.add.at(counts, (of_row, classes), 1)
    counts = np.column_stack([counts.sum(axis=1), counts])
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order, 0], kind="stable")]
    wanted = np.outer(fractions, counts.sum(axis=0))
    unit = np.maximum(counts.sum(axis=0), 1)
    filled, part_of = np.zeros_like(wanted), np.zeros(len(names), int)
    sizes = np.zeros(len(fractions), int)
    for n_before, group in enumerate(order):
        worse = ((filled + counts[group] - wanted) / unit) ** 2 - ((filled - wanted) / unit) ** 2
        costs = worse.sum(axis=1)
        if len(order) - n_before <= (sizes == 0).sum():
            costs[sizes > 0] = np.inf
        part_of[group] = part = int(costs.argmin())
        filled[part] += counts[group]
        sizes[part] += 1
    return [np.flatnonzero(part_of[of_row] == part) for part in range(len(fractions))]


def by_time(path: Path, name: str, times: np.ndarray, fractions: Sequence[float]) -> list[np.ndarray]:
    """Return the rows of each part, in the order of time; rows of the same time are in one part."""
    order = np.argsort(times, kind="stable")
    changes = 1 + np.flatnonzero(np.diff(times[order]))
    if len(changes) < len(fractions) - 1:
        raise InvalidFileError(
            f"{path}: column {name!r} has {len(changes) + 1} different times, expected at least {len(fractions)}: one "
            f"for each of {', '.join(PARTS)}"
        )
    cuts: list[int] = []
    for left, share in enumerate(np.cumsum(fractions)[:-1], 2 - len(fractions)):
        after = changes[changes > (cuts[-1] if cuts else 0)]
        possible = after[: len(after) + left] if left else after  # one more change for each later cut
        cuts.append(int(possible[np.abs(possible - share * len(times)).argmin()]))
    return np.split(order, cuts)


def _counted(counts: Sequence[int]) -> str:
    named: Mapping[str, int] = dict(zip(PARTS, counts, strict=True))
    return ", ".join(f"{n} in {part}" for part, n in named.items())
