"""Check the gradients of each baseline of the ladder, train it, time its steps, and write the report."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.datasets import encoder
from experiments.datasets.dataset import Dataset
from experiments.datasets.options import own_data_flags
from experiments.networks import storage
from experiments.networks.prediction_plots import draw_residuals
from experiments.networks.scaled_outputs import in_units, start_at_mean
from experiments.networks.scores import baseline_scores, parts_of, predictions, score, score_of, scores_of
from experiments.networks.spec import Spec
from experiments.networks.tables import table_spec
from experiments.runs import proof
from experiments.runs.divergence import skipped_lines
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import batch_size_of, check_at_least_one
from experiments.runs.progress import show_progress
from experiments.runs.timing import time_steps
from experiments.studies.ladder import Options
from experiments.studies.ladder.data import load_datasets, load_own
from experiments.studies.ladder.pictures import Trained, add_pictures
from experiments.studies.ladder.report import Row, write_report
from experiments.studies.ladder.results import file_stem

POINTS = 20
"""Approximate number of points of a learning curve."""


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


def run_study(options: Options, start: StartRun) -> None:
    """Train the baselines on both data sets, or on the user's own."""
    check_at_least_one("epochs", options.epochs)
    if not 0 <= options.seed < 2**32:
        raise ValueError(f"--seed must be from 0 to {2**32 - 1}, got {options.seed}")
    if options.patience is not None:
        jaxnn.EarlyStopping("dev_accuracy", options.patience)  # checks it before data are read
    datasets = [load_own(options, options.seed)] if own_data_flags(options) else load_datasets(options.seed)
    batch_size = batch_size_of(options.batch_size, min(len(data.train.y) for data in datasets))
    options = replace(options, batch_size=batch_size)
    optimizers = {data.name: _optimizer(options, len(data.train.y)) for data in datasets}

    folder = start([path for data in datasets for path in data.files])
    for data in datasets:
        if data.encoder is not None:
            folder.write_json(encoder.FILE, data.encoder)
    baselines = [Baseline(data, name, spec) for data in datasets for name, spec in baseline_specs(data).items()]
    rows, fits, outcomes = [], {}, {}
    with show_progress("ladder", len(baselines) * options.epochs) as show:
        for i, baseline in enumerate(baselines):
            show_epoch = partial(_show, show, i * options.epochs, str(baseline))
            names = baseline.data.name, baseline.network
            row, fits[names], outcomes[names] = _train_one(
                baseline, options, optimizers[baseline.data.name], folder, show_epoch
            )
            rows.append(row)
    notes = [note for data in datasets for note in data.notes]
    notes += skipped_lines(options.on_nan, {", ".join(names): fit.skipped for names, fit in fits.items()})
    untrained = {data.name: baseline_scores(parts_of(data), data.classes, data.target) for data in datasets}
    write_report(rows, untrained, {names: fit.history for names, fit in fits.items()}, folder, notes)
    for data in datasets:
        if data.image_shape is not None:
            own = [baseline for baseline in baselines if baseline.data is data]
            networks = [
                Trained(baseline.network, baseline.spec, fits[data.name, baseline.network].params) for baseline in own
            ]
            add_pictures(data, networks, folder)
        if data.target is not None:
            test = {each.network: outcomes[data.name, each.network]["test"] for each in baselines}
            folder.add_picture(f"{data.name}-residuals.png", *draw_residuals(data.name, data.target, data.test.y, test))


def _show(show: Callable[[int, str], None], before: int, note: str, done: int) -> None:
    show(before + done, note)


def _optimizer(options: Options, m: int) -> optax.GradientTransformation:
    """Return the optimizer that the options describe, for m examples."""
    rate = options.learning_rate
    if options.schedule != "constant" or options.warmup:
        steps = options.epochs * -(-m // options.batch_size)
        rate = jaxnn.optim.schedule(options.schedule, rate, steps, warmup=options.warmup)
    optimizer = jaxnn.optimizer(options.optimizer, rate, clip_norm=options.clip_norm)
    return optimizer if options.max_norm is None else optax.chain(optimizer, jaxnn.optim.max_norm(options.max_norm))


def baseline_specs(data: Dataset) -> dict[str, Spec]:
    """Return the networks for a data set, with zero, one and three hidden layers, behind embeddings if it has any."""
    row, k, output = (data.numbers, data.embedded), data.n_outputs, data.output
    return {
        "logistic" if data.target is None else "linear": table_spec(*row, (k,), output=output, init="zeros"),
        "one-hidden": table_spec(*row, (32, k), output=output, init="he"),
        "four-layers": table_spec(*row, (64, 32, 16, k), output=output, init="he"),
    }


def _train_one(
    baseline: Baseline,
    options: Options,
    optimizer: optax.GradientTransformation,
    folder: RunFolder,
    show: Callable[[int], None],
) -> tuple[Row, jaxnn.Fit, dict[str, np.ndarray]]:
    """Check the gradients, train, check again and time a baseline; return its row, the fit and the predictions."""
    data, model = baseline.data, baseline.spec.model()
    objective = jaxnn.objective(model.network, model.loss)
    on_device = jax.device_put({"train": data.train, "dev": data.dev})
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = start_at_mean(model.init(init_key), data.target)
    measure, key = _measure(model, data), score_of(data).key
    prove = proof.make_proof(str(baseline), objective)
    initial_difference = prove(params, data.train)

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
        report_every=max(1, options.epochs // POINTS),
        evaluate=lambda params: measure(params, on_device),
        callback=log,
        early_stopping=options.patience and jaxnn.EarlyStopping(f"dev_{key}", options.patience, mode="max"),
        on_nan=options.on_nan,
        checkpoints=folder.checkpoints(baseline.file.removesuffix(storage.SUFFIX)),
    )
    stored, parts = in_units(fit.params, data.target), parts_of(data)
    predicted = predictions(parts, baseline.spec, stored)
    _store(baseline, fit, stored, folder)
    one_batch = jax.tree.map(lambda a: a[: options.batch_size], data.train)
    row = Row(
        data=data.name,
        network=baseline.network,
        sizes=str(baseline.spec),
        params=baseline.spec.n_params,
        scores=scores_of(parts, data.target, predicted),
        difference={"initial": initial_difference, "trained": prove(fit.params, data.train)},
        speed=time_steps(objective, optimizer, params, one_batch) if options.time_steps else {},
    )
    return row, fit, predicted


def _measure(model: jaxnn.Model, data: Dataset) -> Callable[[Any, dict[str, jaxnn.Batch]], dict[str, jax.Array]]:
    """Return a compiled `measure(params, parts)`: the score on each part, under the name of a report."""
    key, regression = score_of(data).key, data.target is not None
    return jax.jit(
        lambda params, parts: {
            f"{part}_{key}": score(model, params, batch, regression=regression) for part, batch in parts.items()
        }
    )


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
