"""Read the column of classes in a user's data."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from experiments.datasets.columns import Meaning, option
from experiments.readers import numerals
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER

MOST_CLASSES = 100
LONGEST_CLASS = 100
MOST_CLASSES_LISTED = 20
"""The maximum number of classes whose counts are listed."""
NO_LABELS = {"", "nan", "NaT", "<NA>"}
"""Missing values of an npz file, as .astype(str) writes them."""


def count_classes(classes: Sequence[str], y: np.ndarray) -> str:
    """Return a text with the number of rows of each class."""
    counts = Counter(y.tolist())
    each = [f"{name} ({counts[i]})" for i, name in enumerate(classes[:MOST_CLASSES_LISTED])]
    more = [f"and {len(classes) - MOST_CLASSES_LISTED} more"] if len(classes) > MOST_CLASSES_LISTED else []
    return f"{len(classes)} classes and their rows: {', '.join(each + more)}"


def labels_of_npz(path: Path, label: str, y: np.ndarray, m: int) -> list[str]:
    """Return the labels of a user's npz file as words, one for each of its m rows, checked.

    Integers of any dtype are labels: 1.0 is the class 1.
    """
    if y.shape not in ((m,), (m, 1), (1, m)):
        one_hot = f"; for one-hot labels use {label}.argmax(axis=1)" if y.ndim == 2 and len(y) == m else ""
        raise InvalidFileError(
            f"{path}: {label} is {y.dtype} {y.shape}, expected a class for each row of x, ({m},){one_hot}"
        )
    y = y.ravel()
    if y.dtype.kind == "f":
        bad = ~(np.isfinite(y) & (y == np.round(y)))
        if bad.any():
            found = f"{label} is {y.dtype} and {y[bad.argmax()]} in row {bad.argmax()}"
            raise InvalidFileError(f"{path}: {found}, expected classes, words or integers: is it a measurement?")
        return [f"{value:.0f}" for value in (y + 0.0).tolist()]  # -0.0 is 0 then
    if y.dtype.kind == "S":
        return [word.decode("utf-8", "replace").strip() for word in y.tolist()]
    return [str(value).strip() for value in y.tolist()]


def check_labels(path: Path, label: str, fields: list[str], lines: Sequence[int], meaning: Meaning) -> None:
    """Raise unless each row has a label, and either all labels or at most half of them are numbers."""
    counts = Counter(fields)
    missing = meaning.missing_words(label, counts)
    if missing:
        i = next(i for i, field in enumerate(fields) if field in missing)
        n = sum(counts[field] for field in missing)
        rest = f", nor have {n - 1} others" if n > 1 else ""
        fix = "fill it in, or delete the line"
        if fields[i]:
            fix = f"--missing '' takes {fields[i]} as a class, and only an empty field as no value; else {fix}"
        value = f" but {fields[i]}" if fields[i] else ""
        raise InvalidFileError(f"{path}: line {lines[i]} has no label in column {label!r}{value}{rest}: {fix}")
    others = {field for field in counts if not numerals.looks_like_number(field)}
    n = sum(counts[field] for field in others)
    if others and 2 * n < len(fields) and label not in meaning.words:
        i = next(i for i, field in enumerate(fields) if field in others)
        raise InvalidFileError(
            f"{path}: column {label!r} of the labels holds {fields[i]!r} in line {lines[i]}, and numbers in "
            f"{len(fields) - n} of {len(fields)} rows: fix it, or use {option('--words', label)} if it is a class"
        )


def unify_numbers(words: Sequence[str]) -> list[str]:
    """Return the words; if all are numbers, each in its most frequent spelling: 1, 1.0 and 01 are one class."""
    counts = Counter(words)
    if not all(map(NUMBER.fullmatch, counts)):
        return list(words)
    numbers = {word: numerals.exact(word) for word in counts}
    usual: dict[Decimal, str] = {}
    for word in sorted(counts, key=lambda word: (-counts[word], len(word), word)):
        usual.setdefault(numbers[word], word)
    return [usual[numbers[word]] for word in words]


def classes_of(
    path: Path, label: str, words: list[str], *, declared: bool = False
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes in order, numbers in ascending order, and the class index of each row."""
    distinct = set(words)
    odd = next((word for word in distinct if not word.isprintable() or len(word) > LONGEST_CLASS), None)
    if odd is not None:
        raise InvalidFileError(f"{path}: {label!r} holds {odd[:50]!r}, expected names of classes without line breaks")
    if len(distinct) < 2:
        raise InvalidFileError(f"{path}: {label!r} is {words[0]!r} in every row, expected at least two classes")
    numbers = all(map(NUMBER.fullmatch, distinct))
    values = f"{path}: {label!r} has {len(distinct)} different values in {len(words)} rows, expected classes"
    written = numerals.notations(distinct)
    if len(distinct) > MOST_CLASSES:
        fix = "is it a measurement? Then use --task regression" if written else "does it name each row?"
        raise InvalidFileError(f"{values}, at most {MOST_CLASSES}: {fix}")
    if not declared and not written and _look_like_names(len(distinct), len(words)):
        raise InvalidFileError(
            f"{values} of several rows each: does it name each row? If they are classes, use {option('--words', label)}"
        )
    classes = sorted(distinct, key=(lambda word: (numerals.exact(word), word)) if numbers else None)
    number = {word: i for i, word in enumerate(classes)}
    return tuple(classes), np.array([number[word] for word in words], np.int32)


def looks_measured(k: int, m: int, *, whole: bool) -> bool:
    """Return whether k different numbers in m rows look like measurements: many, each in few rows."""
    return k == m or (m < 5 * k and k > (10 if whole else 5)) or (k > 20 and not whole)


def _look_like_names(k: int, m: int) -> bool:
    return k == m or (k > 10 and m < 2 * k)
