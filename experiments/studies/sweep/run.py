"""Plan a sweep, train, rank on dev, test the best network, and report."""

from typing import Any

import numpy as np

from experiments.datasets import encoder
from experiments.networks import storage
from experiments.networks.classification import class_results
from experiments.networks.prediction_plots import draw_classes, draw_residuals
from experiments.networks.scores import baseline_scores, parts_of, predictions, probabilities_of, score_of, scores_of
from experiments.runs.divergence import first_divergence, skipped_lines
from experiments.runs.folder import RunError, StartRun
from experiments.runs.options import batch_size_of
from experiments.runs.progress import show_progress
from experiments.studies.sweep import Options
from experiments.studies.sweep.data import load
from experiments.studies.sweep.plan import make_plan
from experiments.studies.sweep.ranking import rank, tied
from experiments.studies.sweep.report import to_csv, winner_lines, write_report
from experiments.studies.sweep.training import groups_of, network_of, train


def run_study(name: str, options: Options, start: StartRun) -> None:
    """Sweep on the data set of that name."""
    plan = make_plan(options)
    data = load(name, options)
    if data.target is not None and any(point["label_smoothing"] for point in plan.points):
        raise ValueError("--label-smoothing must be 0 for regression, which has no classes")
    batch_size = batch_size_of(options.batch_size, len(data.train.y))
    folder = start(data.files)
    if data.encoder is not None:
        folder.write_json(encoder.FILE, data.encoder)
    groups, trainings, of = groups_of(plan), [], score_of(data)
    with show_progress(f"sweep {name}", len(groups) * options.epochs) as show:
        for i, group in enumerate(groups):

            def log(entry: dict[str, Any], i=i, group=group) -> None:
                folder.log(population=str(group), **_spread(entry, of.key))
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
    m = len(data.dev.y) if data.target is None else None
    standings = rank(trainings, m)
    best = standings[0]
    if not best.finished:
        folder.write_text("sweep.csv", to_csv(plan, standings, of.key))
        first = first_divergence([training.divergence for training in trainings])
        raise RunError(
            f"every training diverged (see {folder.path / 'sweep.csv'}), the first at {first}; "
            "try smaller values of --learning-rate"
        )
    network = network_of(best.trainings[0], plan.points[best.point], data)
    folder.write_bytes(f"best{storage.SUFFIX}", storage.encode(network))
    # The only use of the test set: a choice made with it could not be evaluated with it.
    parts = parts_of(data)
    predicted = predictions(parts, network.spec, network.params)
    scores = scores_of(parts, data.target, predicted)
    baseline = baseline_scores(parts, data.classes, data.target)
    winner = winner_lines(plan, best, of, len(predicted["test"]), scores, baseline)
    programs = "one program" if len(groups) == 1 else f"{len(groups)} programs, one per activation and depth"
    counts = f"trainings: {len(trainings)} (points: {len(plan.points)}, seeds: {len(plan.seeds)}) in {programs}"
    skipped = {f"point {one.point}, seed {one.seed}": one.skipped for one in trainings}
    counts += f"\nranked by the mean dev {of.name}"
    if m is not None:
        noise = f"one of {m} dev examples ({100 / m:.2g} points) or one standard error"
        counts += f"; within its noise, {noise}, by the dev loss"
        alike = tied(standings, m)
        counts += f": {alike} points are within the noise of the highest accuracy" if alike > 1 else ""
    counts = "\n".join([counts, *skipped_lines(options.on_nan, skipped)])
    results = None
    if data.target is None:
        probabilities = probabilities_of(network.spec, network.params, parts["test"].x)
        results = class_results(data.classes, parts["test"].y, probabilities, predicted["test"])
    write_report(plan, standings, of, counts, [*winner, *data.notes], folder, results, details=bool(data.files))
    if results is not None and data.files:
        folder.add_picture("classes.png", *draw_classes("best", results, parts["test"].y, probabilities))
    if data.target is not None:
        folder.add_picture(
            "residuals.png", *draw_residuals(data.name, data.target, parts["test"].y, {"best": predicted["test"]})
        )


def _spread(entry: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a population's report as a line of metrics, of scores of that name."""
    diverged = np.isnan(entry["loss"])
    line = {"epoch": entry["epoch"], "diverged": int(diverged.sum())}
    if diverged.all():
        return line
    scores = entry["dev_score"][~diverged]
    return line | {f"dev_{key}_median": np.median(scores).item(), f"dev_{key}_highest": scores.max().item()}
