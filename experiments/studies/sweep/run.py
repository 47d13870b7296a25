"""Plan a sweep, train, rank on dev, test the best network, and report."""

from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.datasets import encoder
from experiments.networks import storage
from experiments.runs.divergence import first_divergence, skipped_lines
from experiments.runs.folder import RunError, StartRun
from experiments.runs.options import batch_size_of
from experiments.runs.progress import show_progress
from experiments.studies.sweep import Options
from experiments.studies.sweep.data import load
from experiments.studies.sweep.plan import make_plan
from experiments.studies.sweep.ranking import rank
from experiments.studies.sweep.report import to_csv, winner_lines, write_report
from experiments.studies.sweep.training import groups_of, network_of, train


def run_study(name: str, options: Options, start: StartRun) -> None:
    """Sweep on the data set of that name."""
    plan = make_plan(options)
    data = load(name, options)
    batch_size = batch_size_of(options.batch_size, len(data.train.y))
    folder = start(data.files)
    if data.encoder is not None:
        folder.write_json(encoder.FILE, data.encoder)
    groups, trainings = groups_of(plan), []
    with show_progress(f"sweep {name}", len(groups) * options.epochs) as show:
        for i, group in enumerate(groups):

            def log(entry: dict[str, Any], i=i, group=group) -> None:
                folder.log(population=str(group), **_spread(entry))
                show(i * options.epochs + entry["epoch"], str(group))

            trainings += train(
                group,
                data,
                optimizer=options.optimizer,
                epochs=options.epochs,
                batch_size=batch_size,
                callback=log,
                on_nan=options.on_nan,
                checkpoints=folder.checkpoints(f"{group.fixed['activation']}-{len(group.sizes)}"),
            )
    standings = rank(trainings, len(data.dev.y))
    best = standings[0]
    if not best.finished:
        folder.write_text("sweep.csv", to_csv(plan, standings))
        first = first_divergence([training.divergence for training in trainings])
        raise RunError(
            f"every training diverged (see {folder.path / 'sweep.csv'}), the first at {first}; "
            "try smaller values of --learning-rate"
        )
    network = network_of(best.trainings[0], plan.points[best.point], data)
    folder.write_bytes(f"best{storage.SUFFIX}", storage.encode(network))
    # The only use of the test set: a choice made with it could not be evaluated with it.
    test = data.test
    labels = network.spec.model().predict(network.params, jax.device_put(test.x))
    winner = winner_lines(plan, best, float(jaxnn.accuracy(labels, test.y)), len(test.y))
    programs = "one program" if len(groups) == 1 else f"{len(groups)} programs, one per activation and depth"
    counts = f"trainings: {len(trainings)} (points: {len(plan.points)}, seeds: {len(plan.seeds)}) in {programs}"
    skipped = {f"point {one.point}, seed {one.seed}": one.skipped for one in trainings}
    noise = f"one of {len(data.dev.y)} dev examples ({100 / len(data.dev.y):.2g} points) or one standard error"
    counts += f"\nranked by the mean dev accuracy; within its noise, {noise}, by the dev loss"
    counts = "\n".join([counts, *skipped_lines(options.on_nan, skipped)])
    write_report(plan, standings, counts, [*winner, *data.notes], folder)


def _spread(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a population's report as a line of metrics."""
    diverged = np.isnan(entry["loss"])
    line = {"epoch": entry["epoch"], "diverged": int(diverged.sum())}
    if diverged.all():
        return line
    accuracies = entry["dev_accuracy"][~diverged]
    return line | {"dev_accuracy_median": np.median(accuracies).item(), "dev_accuracy_highest": accuracies.max().item()}
