"""Weights of classes, so that rare or important ones count more in training."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER

BALANCED = "balanced"


def weights_of(path: Path, text: str, classes: Sequence[str], y: np.ndarray) -> np.ndarray:
    """Return the weight of each class, (k,) float64.

    "balanced" gives each class the same sum over the training rows: m / (k m_c) for a class of m_c of m rows.

    Args:
      path: the file, for messages.
      text: "balanced", or CLASS=WEIGHT, separated by commas; a class that is not listed has the weight 1.
      classes: the names of the classes.
      y: the classes of the training rows, (m,).

    Raises:
      InvalidFileError: if a name is not a class, is there twice, or a weight is not a positive number.

    Source: King and Zeng, "Logistic regression in rare events data", 2001; scikit-learn's class_weight.
    """
    counts = np.bincount(y, minlength=len(classes))
    if text.strip() == BALANCED:
        return len(y) / (len(classes) * np.maximum(counts, 1))
    weights: dict[str, float] = {}
    for item in next(csv.reader([text], skipinitialspace=True), []):
        name, equals, value = (part.strip() for part in item.rpartition("="))
        if not equals or not NUMBER.fullmatch(value) or not 0 < float(value) <= 1e6:
            raise InvalidFileError(
                f"{path}: --class-weight must be balanced or CLASS=WEIGHT, weights above 0 and up to 1e6, got {item!r}"
            )
        if name not in classes:
            raise InvalidFileError(f"{path}: --class-weight has no class {name!r}: there are {', '.join(classes[:20])}")
        if name in weights:
            raise InvalidFileError(f"{path}: --class-weight has the class {name!r} twice, expected each once")
        weights[name] = float(value)
    return np.array([weights.get(name, 1.0) for name in classes])


def describe_weights(classes: Sequence[str], weights: np.ndarray) -> str:
    """Return a line with the weights."""
    some = [f"{name} {weight:.3g}" for name, weight in zip(classes[:20], weights, strict=False)]
    return f"weights of classes in training: {', '.join(some)}{' ...' if len(classes) > 20 else ''}"
