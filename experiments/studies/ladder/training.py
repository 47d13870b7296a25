"""Train a baseline of the ladder between two checks of its gradients, and predict."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.datasets.dataset import Dataset
from experiments.networks import storage
from experiments.networks.classification import ClassResults, class_results
from experiments.networks.scaled_outputs import in_units, start_at_mean
from experiments.networks.scores import (
    mean_loss,
    parts_of,
    predictions,
    probabilities_of,
    score_of,
    score_of_predictions,
    scores_of,
)
from experiments.networks.spec import Spec
from experiments.runs import proof
from experiments.runs.folder import RunError, RunFolder
from experiments.runs.timing import time_steps
from experiments.studies.ladder import Options
from experiments.studies.ladder.results import Row, file_stem

POINTS = 20
"""Approximate number of points of a learning curve."""

PROVED = 2**22
"""The maximum number of activations of a layer, over all rows, on which gradients are compared."""


class Baseline(NamedTuple):
    """A network on a data set."""

    data: Dataset
    network: str
    spec: Spec

    @property
    def file(self) -> str:
        """The name of the file with its params."""
        return file_stem(self.data.name, self.network) + storage.SUFFIX

    def __str__(self) -> str:
        return f"{self.data.name}, {self.network}"


class Outcome(NamedTuple):
    """A trained baseline.

    Attributes:
      baseline: what was trained.
      row: its row of the table.
      fit: the training.
      predicted: the labels or numbers of each part.
      probabilities: of each class on the test set, (m, k); `None` for regression.
      results: of each class on the test set; `None` for regression.
    """

    baseline: Baseline
    row: Row
    fit: jaxnn.Fit
    predicted: dict[str, np.ndarray]
    probabilities: np.ndarray | None
    results: ClassResults | None


def proved_rows(baseline: Baseline) -> int:
    """Return on how many training rows the gradients are compared, in float64: all, unless that takes much memory."""
    return min(len(baseline.data.train.y), max(1, PROVED // baseline.spec.width))


def train(
    baseline: Baseline,
    options: Options,
    optimizer: optax.GradientTransformation,
    folder: RunFolder,
    show: Callable[[int], None],
) -> Outcome:
    """Check the gradients, train, check again, time and store a baseline."""
    data, spec = baseline.data, baseline.spec
    model = spec.model()
    objective = jaxnn.objective(model.network, model.loss)
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = start_at_mean(model.init(init_key), data.target)
    of, watched = score_of(data), jax.device_put({"train": data.train, "dev": data.dev})
    prove = proof.make_proof(str(baseline), objective)
    proved = jax.tree.map(lambda a: a[: proved_rows(baseline)], data.train)
    initial_difference = prove(params, proved)

    def evaluate(params):
        predicted = predictions(watched, spec, params)
        scores = {f"{part}_{of.key}": score_of_predictions(predicted[part], watched[part].y, of) for part in watched}
        return scores | {"dev_loss": mean_loss(spec, params, watched["dev"])}

    def log(entry):
        folder.log(data=data.name, network=baseline.network, **entry)
        show(entry["epoch"])

    fit = jaxnn.fit(
        objective,
        optimizer,
        params,
        data.train.x,
        data.train.y,
        key=fit_key,
        epochs=options.epochs,
        batch_size=options.batch_size,
        weight=data.train.weight,
        report_every=max(1, options.epochs // POINTS),
        evaluate=evaluate,
        callback=log,
        early_stopping=options.patience and jaxnn.EarlyStopping(f"dev_{of.key}", options.patience, mode="max"),
        on_nan=options.on_nan,
        checkpoints=folder.checkpoints(baseline.file.removesuffix(storage.SUFFIX)),
    )
    stored, parts = in_units(fit.params, data.target), parts_of(data)
    _store(baseline, fit, stored, folder)
    predicted, probabilities, results = predictions(parts, spec, stored), None, None
    if data.target is None:
        probabilities = probabilities_of(spec, stored, data.test.x)
        results = class_results(data.classes, data.test.y, probabilities, predicted["test"])
    one_batch = jax.tree.map(lambda a: a[: options.batch_size], data.train)
    row = Row(
        data=data.name,
        network=baseline.network,
        sizes=str(spec),
        params=spec.n_params,
        scores=scores_of(parts, data.target, predicted),
        difference={"initial": initial_difference, "trained": prove(fit.params, proved)},
        speed=time_steps(objective, optimizer, params, one_batch) if options.time_steps else {},
        dev_loss=mean_loss(spec, fit.params, data.dev),
        dev_examples=len(data.dev.y),
        results=results,
    )
    return Outcome(baseline, row, fit, predicted, probabilities, results)


def _store(baseline: Baseline, fit: jaxnn.Fit, params: Any, folder: RunFolder) -> None:
    """Write the params, those before the divergence if there was one; raise a RunError then."""
    trained = storage.StoredNetwork(
        baseline.spec, params, baseline.data.classes, standardizer=baseline.data.standardizer
    )
    folder.write_bytes(baseline.file, storage.encode(trained))
    if fit.diverged_at is not None:
        raise RunError(
            f"{baseline} diverged at {fit.divergence}; the params before it are in {folder.path / baseline.file}; "
            "try a smaller --learning-rate"
        )
