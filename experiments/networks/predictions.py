"""Predict the classes or numbers of new rows as CSV, and the accuracy or the errors."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.datasets.labels import LONGEST_CLASS, MOST_CLASSES
from experiments.datasets.new_rows import Rows
from experiments.datasets.partition import check_count, plural, prepared
from experiments.networks.scores import error_text, in_batches
from experiments.networks.spec import class_probabilities
from experiments.networks.storage import StoredNetwork
from experiments.networks.tables import shape_of_row
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import NUMBER, exact
from jaxnn.metrics import mean_absolute_error, r_squared


class Predictions(NamedTuple):
    """The class indices (m,) and the probabilities of each class (m, k), float32, of m rows."""

    classes: np.ndarray
    probabilities: np.ndarray


def classify(file: Path, rows: Rows, network: StoredNetwork) -> Predictions:
    """Return the network's predictions for the rows, whose numbers are standardized as in training.

    Raises:
      InvalidFileError: if the number of inputs differs, or they are so large that the network overflows.
    """
    k, longest = len(network.classes), max(map(len, network.classes))
    if k > MOST_CLASSES or longest > LONGEST_CLASS:
        got = f"the network names {k} classes in up to {longest} characters"
        raise InvalidFileError(f"{file}: {got}, expected at most {MOST_CLASSES} and {LONGEST_CLASS}")
    ready, spec = _ready(file, rows, network, k), network.spec
    model = spec.model()
    decide = jax.jit(model.predict)
    predictions = Predictions(
        in_batches(lambda x: decide(network.params, x, network.stats), spec, ready.x),
        in_batches(lambda x: class_probabilities(model, network.params, x, network.stats), spec, ready.x),
    )
    ready.check(np.isfinite(predictions.probabilities).all(axis=1))
    return predictions


def predict_numbers(file: Path, rows: Rows, network: StoredNetwork) -> np.ndarray:
    """Return the numbers that a network of regression predicts for the rows, (m,) float32.

    Raises:
      InvalidFileError: as `classify`.
    """
    ready, predict = _ready(file, rows, network, 1), jax.jit(network.spec.model().predict)
    numbers = in_batches(lambda x: predict(network.params, x, network.stats), network.spec, ready.x).reshape(-1)
    ready.check(np.isfinite(numbers))
    return numbers


class _Ready(NamedTuple):
    """Standardized rows, and the numbers in them, (m, n)."""

    x: Any
    numbers: np.ndarray
    place: Callable[[int], str]

    def check(self, finite: np.ndarray) -> None:
        """Raise unless the outputs of all rows are finite, (m,)."""
        bad = ~(np.isfinite(self.numbers).all(axis=1) & finite)
        if bad.any():
            raise InvalidFileError(
                f"{self.place(int(bad.argmax()))} is so far from the training rows that the network overflows: is it "
                "in the same unit?"
            )


def _ready(file: Path, rows: Rows, network: StoredNetwork, k: int) -> _Ready:
    m, n = rows.x.shape
    shape = shape_of_row(network.spec.in_shape)
    if shape is None or n != sum(shape) or network.standardizer is None:
        n_in = " x ".join(map(str, network.spec.in_shape)) if shape is None else sum(shape)
        raise InvalidFileError(f"{file}: its rows have {n} inputs, but the network takes {n_in}, standardized")
    check_count(file, m, k)
    with np.errstate(over="ignore"):
        x = prepared(network.standardizer, rows.x, shape.categories)
    numbers = x[0] if shape.categories else x

    def place(i: int) -> str:
        return f"{file}: {rows.place(i, int(np.abs(numbers[i]).argmax()) if shape.numbers else 0)}"

    return _Ready(x, numbers, place)


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


def errors(predicted: np.ndarray, true: np.ndarray) -> str:
    """Return a text with R² and the errors on the rows whose number is known, not NaN."""
    known = np.isfinite(true)
    if not known.any():
        return "no R²: the column of the numbers is empty"
    got, true = predicted[known].astype(np.float64), true[known]
    squared = f"R² {float(r_squared(got, true)):.4f}, " if len(true) > 1 else ""
    mean, rmse = float(mean_absolute_error(got, true)), float(np.sqrt(np.square(got - true).mean()))
    of = plural(len(true), "row") + ("" if known.all() else " with a number")
    return f"{squared}mean absolute error {error_text(mean)}, RMSE {error_text(rmse)}: {of}"


def _as_classes(labels: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return the labels; a number that equals a class is replaced by the spelling of the class."""
    if not all(map(NUMBER.fullmatch, classes)):
        return list(labels)
    named = {exact(name): name for name in classes} if len(set(map(exact, classes))) == len(classes) else {}
    return [named.get(exact(label), label) if NUMBER.fullmatch(label) else label for label in labels]


def to_csv(predictions: Predictions, classes: Sequence[str]) -> str:
    """Return one line per row, counted from 1: its class, and the probabilities with all digits of float32."""
    lines = enumerate(zip(predictions.classes, predictions.probabilities, strict=True), 1)
    return class_csv("row", classes, ((i, label, each) for i, (label, each) in lines))


def numbers_to_csv(predicted: np.ndarray, name: str) -> str:
    """Return one line per row, counted from 1: the predicted number, with all digits of float32."""
    return _csv(["row", name], ([i, str(value)] for i, value in enumerate(predicted, 1)))


def class_csv(what: str, classes: Sequence[str], lines: Iterable[tuple[object, int, np.ndarray]]) -> str:
    """Return lines of what was predicted, its class by index, and the probabilities with all digits of float32."""
    head = [what, "class", *(f"P({name})" for name in classes)]
    return _csv(head, ([one, classes[label], *map(str, each)] for one, label, each in lines))


def _csv(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return file.getvalue()
