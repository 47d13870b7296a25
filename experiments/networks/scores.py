"""Score networks: accuracy for classes, R² and errors for numbers, and those of a prediction without inputs beside."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.datasets.dataset import Dataset
from experiments.datasets.targets import Target
from experiments.networks.spec import Spec, class_probabilities
from jaxnn.typing import ArrayLike


class Score(NamedTuple):
    """A score of which higher is better: its name in results, and in texts."""

    key: str
    name: str


ACCURACY, R_SQUARED = Score("accuracy", "accuracy"), Score("r_squared", "R²")
ERRORS = {"mean_absolute_error": "mean absolute error", "root_mean_squared_error": "RMSE"}
"""The errors of regression, in the units of the data, with their names in texts."""
Scores = dict[str, dict[str, float]]
"""The values of each score or error, on the parts of the data."""


def score_of(data: Dataset) -> Score:
    """Return the score by which networks on these data are compared."""
    return ACCURACY if data.target is None else R_SQUARED


def score_of_predictions(predicted: ArrayLike, y: ArrayLike, score: Score) -> jax.Array:
    """Return the score of predicted labels, or of numbers in the scale of y."""
    return (jaxnn.accuracy if score == ACCURACY else jaxnn.metrics.r_squared)(predicted, y)


def error_text(error: float) -> str:
    """Return an error with four digits, or all before the point: 1.234, or 12,345."""
    return f"{error:,.0f}" if 1000 <= abs(error) < 1e9 else f"{error:.4g}"


def on_test(scores: Scores) -> str:
    """Return a text with the scores on the test set."""
    if ACCURACY.key in scores:
        return f"test accuracy {100 * scores[ACCURACY.key]['test']:.2f} %"
    errors = (f"{name} {error_text(scores[key]['test'])}" for key, name in ERRORS.items())
    return f"test R² {100 * scores[R_SQUARED.key]['test']:.2f} %, {', '.join(errors)}"


NUMBERS_AT_A_TIME = 2**24
"""The maximum number of activations of a layer in memory, which limits the number of rows per batch."""
Parts = Mapping[str, jaxnn.Batch]
"""The parts of the data, by name."""


def parts_of(data: Dataset) -> Parts:
    """Return the parts train, dev and test."""
    return {"train": data.train, "dev": data.dev, "test": data.test}


def predictions(parts: Parts, spec: Spec, params: Any) -> dict[str, np.ndarray]:
    """Return the predicted labels, or numbers in the scale of the params, of each part, (m,)."""
    predict = compiled(spec, "predict")
    return {part: in_batches(lambda x: predict(params, x), spec, batch.x).reshape(-1) for part, batch in parts.items()}


def probabilities_of(spec: Spec, params: Any, x: Any) -> np.ndarray:
    """Return the probability of each class, (m, k), also for a network with one output."""
    model = spec.model()
    return in_batches(lambda x: class_probabilities(model, params, x), spec, x)


def mean_loss(spec: Spec, params: Any, batch: jaxnn.Batch) -> float:
    """Return the mean loss, without weights."""
    outputs = compiled(spec, "outputs")
    z = in_batches(lambda x: outputs(params, x), spec, batch.x)
    return float(np.mean(np.asarray(spec.model().loss.value(z, batch.y)), dtype=np.float64))


@lru_cache(maxsize=16)
def compiled(spec: Spec, method: str) -> Callable[..., jax.Array]:
    """Return a compiled method of the network's model; the same object for equal networks, which is traced once."""
    return jax.jit(getattr(spec.model(), method))


def in_batches(predict: Callable[[Any], Any], spec: Spec, x: Any) -> np.ndarray:
    """Return what `predict` returns for all rows, in batches whose activations fit in memory."""
    m, step = len(jax.tree.leaves(x)[0]), max(1, NUMBERS_AT_A_TIME // spec.width)
    parts = [jax.tree.map(lambda a, i=i: a[i : i + step], x) for i in range(0, m, step)]
    return np.concatenate([np.asarray(predict(part)) for part in parts])


def scores_of(parts: Parts, target: Target | None, predicted: Mapping[str, np.ndarray]) -> Scores:
    """Return the scores of the predictions of each part."""
    if target is None:
        return {ACCURACY.key: {part: float(jaxnn.accuracy(predicted[part], batch.y)) for part, batch in parts.items()}}
    measures = (R_SQUARED.key, jaxnn.metrics.r_squared), ("mean_absolute_error", jaxnn.metrics.mean_absolute_error)
    true = {part: target.in_units(batch.y) for part, batch in parts.items()}
    scores = {key: {part: float(of(predicted[part], y)) for part, y in true.items()} for key, of in measures}
    errors = {part: float(np.sqrt(np.square(predicted[part] - y).mean())) for part, y in true.items()}
    return scores | {"root_mean_squared_error": errors}


def baseline_scores(parts: Parts, classes: Sequence[str], target: Target | None) -> tuple[str, Scores]:
    """Return the name and the scores of the best prediction without inputs.

    For classes it is the most frequent one of the training rows, for numbers their mean.
    """
    if target is not None:
        predicted = {part: np.full(len(batch.y), target.mean) for part, batch in parts.items()}
        return "the mean", scores_of(parts, target, predicted)
    most = int(np.bincount(parts["train"].y, minlength=len(classes)).argmax())
    return f"always {classes[most]}", {ACCURACY.key: {part: float((b.y == most).mean()) for part, b in parts.items()}}
