"""Check the gradients of each baseline of the ladder, train it, time its steps, and write the report."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

import jaxnn
from experiments.datasets import encoder
from experiments.datasets.dataset import Dataset
from experiments.datasets.options import own_data_flags
from experiments.networks import storage
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
    early_stopping = None
    if options.patience is not None:
        early_stopping = jaxnn.EarlyStopping("dev_accuracy", options.patience, mode="max")
    datasets = [load_own(options, options.seed)] if own_data_flags(options) else load_datasets(options.seed)
    batch_size = batch_size_of(options.batch_size, min(len(data.train.y) for data in datasets))
    options = replace(options, batch_size=batch_size)
    optimizers = {data.name: _optimizer(options, len(data.train.y)) for data in datasets}

    folder = start([path for data in datasets for path in data.files])
    for data in datasets:
        if data.encoder is not None:
            folder.write_json(encoder.FILE, data.encoder)
    baselines = [Baseline(data, name, spec) for data in datasets for name, spec in baseline_specs(data).items()]
    rows, fits = [], {}
    with show_progress("ladder", len(baselines) * options.epochs) as show:
        for i, baseline in enumerate(baselines):
            show_epoch = partial(_show, show, i * options.epochs, str(baseline))
            row, fits[baseline.data.name, baseline.network] = _train_one(
                baseline, options, optimizers[baseline.data.name], early_stopping, folder, show_epoch
            )
            rows.append(row)
    notes = [note for data in datasets for note in data.notes]
    notes += skipped_lines(options.on_nan, {", ".join(names): fit.skipped for names, fit in fits.items()})
    write_report(rows, {names: fit.history for names, fit in fits.items()}, folder, notes)
    for data in datasets:
        if data.image_shape is not None:
            own = [baseline for baseline in baselines if baseline.data is data]
            networks = [
                Trained(baseline.network, baseline.spec, fits[data.name, baseline.network].params) for baseline in own
            ]
            add_pictures(data, networks, folder)


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
    row, k = (data.numbers, data.embedded), len(data.classes)
    k, output = (1, "binary") if k == 2 else (k, "softmax")
    return {
        "logistic": table_spec(*row, (k,), output=output, init="zeros"),
        "one-hidden": table_spec(*row, (32, k), output=output, init="he"),
        "four-layers": table_spec(*row, (64, 32, 16, k), output=output, init="he"),
    }


def _train_one(
    baseline: Baseline,
    options: Options,
    optimizer: optax.GradientTransformation,
    early_stopping: jaxnn.EarlyStopping | None,
    folder: RunFolder,
    show: Callable[[int], None],
) -> tuple[Row, jaxnn.Fit]:
    """Check the gradients, train, check again and time a baseline; return its row of the table, and the fit."""
    model = baseline.spec.model()
    objective = jaxnn.objective(model.network, model.loss)
    parts = {"train": baseline.data.train, "dev": baseline.data.dev, "test": baseline.data.test}
    on_device = jax.device_put(parts)
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = model.init(init_key)
    accuracies = _accuracies(model)
    loss_of = jax.jit(lambda params, part: objective.evaluate(params, (), part))
    prove = proof.make_proof(str(baseline), objective)
    initial_difference = prove(params, parts["train"])

    def log(entry):
        folder.log(data=baseline.data.name, network=baseline.network, **entry)
        show(entry["epoch"])

    fit = jaxnn.fit(
        objective,
        optimizer,
        params,
        parts["train"].x,
        parts["train"].y,
        key=fit_key,
        epochs=options.epochs,
        batch_size=options.batch_size,
        report_every=max(1, options.epochs // POINTS),
        evaluate=lambda params: {
            **{f"{part}_accuracy": accuracies(params, on_device)[part] for part in ("train", "dev")},
            "dev_loss": loss_of(params, on_device["dev"]),
        },
        callback=log,
        early_stopping=early_stopping,
        on_nan=options.on_nan,
        checkpoints=folder.checkpoints(baseline.file.removesuffix(storage.SUFFIX)),
    )
    _store(baseline, fit, folder)
    one_batch = jax.tree.map(lambda a: a[: options.batch_size], parts["train"])
    row = Row(
        data=baseline.data.name,
        network=baseline.network,
        sizes=str(baseline.spec),
        params=baseline.spec.n_params,
        accuracy={part: float(value) for part, value in accuracies(fit.params, on_device).items()},
        difference={"initial": initial_difference, "trained": prove(fit.params, parts["train"])},
        speed=time_steps(objective, optimizer, params, one_batch) if options.time_steps else {},
    )
    return row, fit


def _accuracies(model: jaxnn.Model) -> Callable[[Any, dict[str, jaxnn.Batch]], dict[str, jax.Array]]:
    """Return a compiled `measure(params, parts) -> {part: accuracy}`."""
    return jax.jit(
        lambda params, parts: {
            part: jaxnn.accuracy(model.predict(params, batch.x), batch.y) for part, batch in parts.items()
        }
    )


def _store(baseline: Baseline, fit: jaxnn.Fit, folder: RunFolder) -> None:
    """Write the params, those before the divergence if there was one; raise a RunError then."""
    trained = storage.StoredNetwork(
        baseline.spec, fit.params, baseline.data.classes, standardizer=baseline.data.standardizer
    )
    folder.write_bytes(baseline.file, storage.encode(trained))
    if fit.diverged_at is not None:
        raise RunError(
            f"{baseline} diverged at {fit.divergence}; the params before it are in {folder.path / baseline.file}; "
            "try a smaller --learning-rate"
        )
