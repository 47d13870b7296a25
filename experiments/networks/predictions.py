"""Predict the classes of new rows: classes and probabilities as CSV, and the accuracy."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.datasets.labels import LONGEST_CLASS, MOST_CLASSES
from experiments.datasets.new_rows import Rows
from experiments.datasets.partition import check_count, prepared
from experiments.networks.spec import class_probabilities
from experiments.networks.storage import StoredNetwork
from experiments.networks.tables import shape_of_row
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER, exact

NUMBERS_AT_A_TIME = 2**24
"""The maximum number of activations of a layer in memory, which limits the number of rows per batch."""


class Predictions(NamedTuple):
    """The class indices (m,) and the probabilities of each class (m, k), float32, of m rows."""

    classes: np.ndarray
    probabilities: np.ndarray


def classify(file: Path, rows: Rows, network: StoredNetwork) -> Predictions:
    """Return the network's predictions for the rows, whose numbers are standardized as in training.

    Raises:
      InvalidFileError: if the number of inputs differs, or they are so large that the network overflows.
    """
    (m, n), k, longest = rows.x.shape, len(network.classes), max(map(len, network.classes))
    if k > MOST_CLASSES or longest > LONGEST_CLASS:
        got = f"the network names {k} classes in up to {longest} characters"
        raise InvalidFileError(f"{file}: {got}, expected at most {MOST_CLASSES} and {LONGEST_CLASS}")
    shape = shape_of_row(network.spec.in_shape)
    if shape is None or n != sum(shape) or network.standardizer is None:
        n_in = " x ".join(map(str, network.spec.in_shape)) if shape is None else sum(shape)
        raise InvalidFileError(f"{file}: its rows have {n} inputs, but the network takes {n_in}, standardized")
    check_count(file, m, k)
    with np.errstate(over="ignore"):
        x = prepared(network.standardizer, rows.x, shape.categories)
    model, step = network.spec.model(), max(1, NUMBERS_AT_A_TIME // network.spec.width)
    parts = [jax.tree.map(lambda column, i=i: column[i : i + step], x) for i in range(0, m, step)]
    decide = jax.jit(model.predict)
    predictions = Predictions(
        np.concatenate([decide(network.params, part, network.stats) for part in parts]),
        np.concatenate([class_probabilities(model, network.params, part, network.stats) for part in parts]),
    )
    numbers = x[0] if shape.categories else x
    bad = ~(np.isfinite(numbers).all(axis=1) & np.isfinite(predictions.probabilities).all(axis=1))
    if bad.any():
        i = int(bad.argmax())
        place = rows.place(i, int(np.abs(numbers[i]).argmax()) if shape.numbers else 0)
        raise InvalidFileError(
            f"{file}: {place} is so far from the training rows that the network overflows: is it in the same unit?"
        )
    return predictions


def accuracy(predictions: Predictions, labels: Sequence[str | None], classes: Sequence[str]) -> str:
    """Return a text with the accuracy on the labeled rows."""
    known = _as_classes([label for label in labels if label is not None], classes)
    predicted = [classes[i] for i, label in zip(predictions.classes, labels, strict=True) if label is not None]
    pairs = list(zip(predicted, known, strict=True))
    if not pairs:
        return "no accuracy: the column of the labels is empty"
    right = sum(predicted == label for predicted, label in pairs)
    of = f"{len(pairs)} rows" if len(pairs) == len(labels) else f"{len(pairs)} rows that have a label"
    unknown = [label for _, label in pairs if label not in classes]
    wrong = f"; {len(unknown)} of a class that training did not have, for example {unknown[0]!r}" if unknown else ""
    return f"accuracy {100 * right / len(pairs):.2f} %: {right} of {of}{wrong}"


def _as_classes(labels: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return the labels; a number that equals a class is replaced by the spelling of the class."""
    if not all(map(NUMBER.fullmatch, classes)):
        return list(labels)
    named = {exact(name): name for name in classes} if len(set(map(exact, classes))) == len(classes) else {}
    return [named.get(exact(label), label) if NUMBER.fullmatch(label) else label for label in labels]


def to_csv(predictions: Predictions, classes: Sequence[str]) -> str:
    """Return one line per row, counted from 1: its class, and the probabilities with all digits of float32."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", "class", *(f"P({name})" for name in classes)])
    lines = zip(predictions.classes, predictions.probabilities, strict=True)
    writer.writerows([i, classes[label], *map(str, each)] for i, (label, each) in enumerate(lines, 1))
    return file.getvalue()
