"""Check the gradients of each baseline of the ladder, train it, time its steps, and write the report."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import optax

import jaxnn
from experiments.datasets import encoder
from experiments.datasets.dataset import Dataset
from experiments.datasets.options import own_data_flags
from experiments.networks.files import file_specs
from experiments.networks.prediction_plots import draw_classes, draw_residuals, plain
from experiments.networks.scores import baseline_scores, parts_of
from experiments.networks.spec import Spec
from experiments.networks.tables import table_spec
from experiments.reports import plots
from experiments.runs.divergence import skipped_lines
from experiments.runs.folder import RunFolder, StartRun
from experiments.runs.options import batch_size_of, check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.ladder import Options
from experiments.studies.ladder.data import load_datasets, load_own
from experiments.studies.ladder.pictures import Trained, add_pictures
from experiments.studies.ladder.report import write_report
from experiments.studies.ladder.results import best_of, file_stem
from experiments.studies.ladder.training import Baseline, Outcome, proved_rows, train


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
    outcomes = []
    with show_progress("ladder", len(baselines) * options.epochs) as show:
        for i, baseline in enumerate(baselines):
            show_epoch = partial(_show, show, i * options.epochs, str(baseline))
            outcomes.append(train(baseline, options, optimizers[baseline.data.name], folder, show_epoch))
    skipped = {str(outcome.baseline): outcome.fit.skipped for outcome in outcomes}
    notes = [note for data in datasets for note in data.notes] + skipped_lines(options.on_nan, skipped)
    for baseline in baselines:
        n, m = proved_rows(baseline), len(baseline.data.train.y)
        notes += [f"gradient diff. of {baseline}: on the first {n:,} of {m:,} training rows"] if n < m else []
    untrained = {data.name: baseline_scores(parts_of(data), data.classes, data.target) for data in datasets}
    histories = {(outcome.baseline.data.name, outcome.baseline.network): outcome.fit.history for outcome in outcomes}
    own = {data.name: _best(data, outcomes) for data in datasets if data.files and data.target is None}
    of_classes = {f"{best.baseline}, test set": best.results for best in own.values()}
    write_report([outcome.row for outcome in outcomes], untrained, histories, folder, notes, of_classes)
    for data in datasets:
        _add_pictures(data, [outcome for outcome in outcomes if outcome.baseline.data is data], folder)
    for name, best in own.items():
        classes = draw_classes(str(best.baseline), best.results, best.baseline.data.test.y, best.probabilities)
        folder.add_picture(file_stem(name, "classes.png"), *classes)


def _best(data: Dataset, outcomes: Sequence[Outcome]) -> Outcome:
    """Return the best network on dev."""
    own = [outcome for outcome in outcomes if outcome.baseline.data is data]
    return own[best_of([outcome.row.ranked for outcome in own])]


def _add_pictures(data: Dataset, outcomes: Sequence[Outcome], folder: RunFolder) -> None:
    if data.example_shape is not None and len(data.example_shape) == 3:
        _add_mistakes(data, outcomes, folder)
    if data.image_shape is not None:
        networks = [Trained(one.baseline.network, one.baseline.spec, one.fit.params) for one in outcomes]
        add_pictures(data, networks, folder)
    if data.target is not None:
        test = {outcome.baseline.network: outcome.predicted["test"] for outcome in outcomes}
        folder.add_picture(
            file_stem(data.name, "residuals.png"), *draw_residuals(data.name, data.target, data.test.y, test)
        )


def _add_mistakes(data: Dataset, outcomes: Sequence[Outcome], folder: RunFolder) -> None:
    """Add the photos of the test set that the best network on dev is most wrong about."""
    best, stats = _best(data, outcomes), data.standardizer
    photos = np.clip(data.test.x * stats.std + stats.mean, 0, 1)
    photos = photos[..., 0] if photos.shape[-1] == 1 else photos
    names = [plain(name) for name in data.classes]
    figure = plots.draw_mistakes(photos, data.test.y, best.predicted["test"], best.probabilities, classes=names)
    caption = f"{data.name}, test set: the worst mistakes of {best.baseline.network}, with predicted probabilities."
    folder.add_picture(file_stem(data.name, "mistakes.png"), plots.png(figure), caption)


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
    if data.example_shape is not None:
        return file_specs(data.example_shape, data.n_outputs, data.output)
    row, k, output = (data.numbers, data.embedded), data.n_outputs, data.output
    return {
        "logistic" if data.target is None else "linear": table_spec(*row, (k,), output=output, init="zeros"),
        "one-hidden": table_spec(*row, (32, k), output=output, init="he"),
        "four-layers": table_spec(*row, (64, 32, 16, k), output=output, init="he"),
    }
