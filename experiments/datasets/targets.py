"""Read the column of numbers that regression predicts, and scale it for training."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.columns import Meaning, check_size, notation_hint, numbers_of
from experiments.readers import numerals
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER, PLAIN, Notation

LEAST_SPREAD = 1e-5
"""The smallest deviation, relative to the mean, that float32 predicts with at least two digits."""
_SMALLEST = 1e-30


class Target(NamedTuple):
    """The numbers y that a network predicts, scaled in training to (y - shift) / scale.

    Attributes:
      name: of the column.
      mean: of the training rows, the prediction of a network that learned nothing.
      shift: the mean, or 0 if the target is not negative.
      scale: the standard deviation of the training rows.
      nonnegative: whether predictions must be at least 0.
    """

    name: str
    mean: float
    shift: float
    scale: float
    nonnegative: bool = False

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Return the numbers as the network is trained on them, float32."""
        return ((y - self.shift) / self.scale).astype(np.float32)

    def in_units(self, scaled: np.ndarray) -> np.ndarray:
        """Return scaled numbers in the units of the data, float64."""
        return np.asarray(scaled, np.float64) * self.scale + self.shift


def fit_target(path: Path, name: str, y: np.ndarray, train: np.ndarray, *, nonnegative: bool) -> Target:
    """Return the target with the mean and deviation of the rows `train` of y, (m,) float64.

    Raises:
      InvalidFileError: if the numbers do not differ, or are negative where they must not be.
    """
    known = y[train]
    mean, scale = float(known.mean()), float(known.std())
    if known.min() == known.max():
        rows = "every row" if y.min() == y.max() else "every training row"
        raise InvalidFileError(f"{path}: {name!r} is {known[0]:g} in {rows}, expected numbers that differ")
    if scale < LEAST_SPREAD * abs(mean) or scale < _SMALLEST:
        raise InvalidFileError(
            f"{path}: {name!r} differs by {scale:.2g} around {mean:.10g}, too little for float32: subtract "
            "a number from the column, or multiply it"
        )
    return Target(name, mean, 0.0 if nonnegative else mean, scale, nonnegative)


def describe_target(target: Target, y: np.ndarray) -> str:
    """Return a text with the range of the numbers."""
    bound = ", predictions at least 0" if target.nonnegative else ""
    return (
        f"the target of regression, {y.min():.6g} to {y.max():.6g}, mean {target.mean:.6g} and deviation "
        f"{target.scale:.4g} of the training rows{bound}"
    )


class Numbers(NamedTuple):
    """The numbers of a column, (m,) float64, their notation, and an example of one that Python reads differently."""

    values: np.ndarray
    notation: Notation
    note: str


def read_numbers(
    path: Path,
    label: str,
    fields: Sequence[str],
    lines: Sequence[int],
    meaning: Meaning,
    decimals: Collection[str],
    *,
    nonnegative: bool,
) -> Numbers:
    """Return the numbers of the label column, in the one notation in which all fields are numbers.

    Args:
      path: the file, for messages.
      label: the name of the column.
      fields: of the column.
      lines: the line of each.
      meaning: the marks and missing values that the user gives.
      decimals: the decimal marks of the other columns, which decide if the notation is ambiguous.
      nonnegative: whether a negative number is an error.

    Raises:
      InvalidFileError: if a field is missing, not a number, of an ambiguous notation, too large, or negative.
    """
    distinct = set(fields)
    missing = meaning.missing_values(distinct, of_numbers=True)
    if missing:
        i = next(i for i, field in enumerate(fields) if field in missing)
        n = sum(field in missing for field in fields)
        rest = f", nor have {n - 1} others" if n > 1 else ""
        value = f" but {fields[i]}" if fields[i] else ""
        raise InvalidFileError(
            f"{path}: line {lines[i]} has no number in column {label!r}{value}{rest}: fill it in, or delete the line"
        )
    notation = _notation(path, label, fields, lines, distinct, meaning, decimals)
    values = numbers_of(fields, notation, distinct, ())
    check_size(path, label, fields, lines, values)
    if nonnegative and values.min() < 0:
        i = int(values.argmin())
        raise InvalidFileError(
            f"{path}: column {label!r} holds {fields[i]} in line {lines[i]}, expected numbers of at least 0: correct "
            "it, or omit --nonnegative"
        )
    changed = (i for i, field in enumerate(fields) if not NUMBER.fullmatch(field) or float(field) != values[i])
    i = next(changed, None)
    example = "" if i is None else f"{fields[i]} in line {lines[i]} is {values[i]:.10g}"
    return Numbers(values, notation, ", ".join(filter(None, [str(notation), example])))


def _notation(
    path: Path,
    label: str,
    fields: Sequence[str],
    lines: Sequence[int],
    distinct: Collection[str],
    meaning: Meaning,
    decimals: Collection[str],
) -> Notation:
    candidates = numerals.notations(distinct, meaning.decimal, meaning.thousands)
    if not candidates:
        bad = [i for i, field in enumerate(fields) if not numerals.looks_like_number(field)]
        plain = [i for i, field in enumerate(fields) if not NUMBER.fullmatch(field)]
        i = (bad or plain or [0])[0]
        raise InvalidFileError(
            f"{path}: column {label!r} holds {fields[i]!r} in line {lines[i]}, expected numbers written alike "
            f"({notation_hint(fields[i], PLAIN, meaning)}); words are classes, with --task classification"
        )
    if len(decimals) == 1:
        candidates = [each for each in candidates if each.decimal in decimals] or candidates
    if numerals.agree(distinct, candidates) or (not decimals and candidates[0] == PLAIN):
        return candidates[0]
    i = next(i for i, field in enumerate(fields) if not numerals.agree([field], candidates))
    readings = " or ".join(dict.fromkeys(f"{numerals.number(fields[i], each):.10g}" for each in candidates))
    raise InvalidFileError(
        f"{path}: column {label!r} holds {fields[i]!r} in line {lines[i]}, which may be {readings}: use --decimal , or "
        "--decimal ."
    )
