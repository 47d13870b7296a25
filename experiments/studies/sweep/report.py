"""Report a sweep: a table of the best points, every training as CSV, and a plot."""

import csv
import io
from collections.abc import Sequence

from experiments.networks import storage
from experiments.networks.classification import ClassResults, class_table
from experiments.networks.scores import ACCURACY, Score, Scores, on_test
from experiments.reports import tables
from experiments.runs.folder import RunFolder
from experiments.studies.sweep.pictures import draw
from experiments.studies.sweep.plan import KINDS, Plan, Point, format_value, label
from experiments.studies.sweep.ranking import Standing

ROWS = 20
"""The maximum number of rows of the table."""


def write_report(
    plan: Plan,
    standings: Sequence[Standing],
    score: Score,
    counts: str,
    winner: Sequence[str],
    folder: RunFolder,
    results: ClassResults | None = None,
    *,
    details: bool = False,
) -> None:
    """Print the table and the best point, and write them, the CSV and the plot to the folder.

    `results` are those of the classes with the best network on the test set; with `details` they are a table too.
    """
    written = to_csv(plan, standings, score.key)
    folder.write_text("sweep.csv", written)
    test = {} if results is None else {"test": results.as_json()}
    folder.write_json("results.json", {"trainings": [*csv.DictReader(io.StringIO(written))], "best": [*winner]} | test)
    picture = draw(plan, standings, score.name)
    if picture:
        folder.add_picture("sweep.png", *picture)
    seeds = "" if len(plan.seeds) == 1 else f": mean over {len(plan.seeds)} seeds (range)"
    columns = ["rank", *(label(name) for name in plan.swept), f"dev {score.name} %", "dev loss", "diverged"]
    rows = [_cells(i, standing, plan) for i, standing in enumerate(standings[:ROWS], 1)]
    if not any(standing.diverged for standing in standings):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    table = tables.table(f"Ranked on dev{seeds}", columns, rows, 0)
    of_classes = [class_table("The best network on the test set", results)] if results and details else []
    more = [f"and {len(standings) - ROWS} more, in sweep.csv"] if len(standings) > ROWS else []
    lines = [*more, *_fixed(plan), counts, "", *winner, *_at_an_end(plan, standings[0])]
    folder.write_text("report.txt", tables.show_with_notes([table, *of_classes], lines))


def to_csv(plan: Plan, standings: Sequence[Standing], score: str = ACCURACY.key) -> str:
    """Return one line per training, the best point's first; a diverged training has no measurements."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["rank", *plan.points[0], *("seed", f"dev_{score}", "dev_loss", "train_loss", "diverged_at")])
    for i, standing in enumerate(standings, 1):
        point = [
            format_value(value) if isinstance(value, tuple) else value for value in plan.points[standing.point].values()
        ]
        for training in standing.trainings:
            measured = [training.dev_score, training.dev_loss, training.train_loss, ""]
            end = measured if training.diverged_at is None else ["", "", "", training.diverged_at]
            writer.writerow([i, *point, training.seed, *end])
    return file.getvalue()


def winner_lines(
    plan: Plan, best: Standing, score: Score, m: int, scores: Scores, baseline: tuple[str, Scores]
) -> list[str]:
    """Return lines about the best point with its scores on m test rows, and about a prediction without inputs."""
    point, network = plan.points[best.point], best.trainings[0]
    seeds = f", the mean of {len(best.finished)} seeds" if len(best.finished) > 1 else ""
    name, note = score.name, f" (one of {m} examples is {100 / m:.2g} points)" if score == ACCURACY else ""
    return [
        f"best: {describe(point, plan.swept)}: dev {name} {percents(best)} %{seeds}",
        f"best{storage.SUFFIX}: its network with seed {network.seed}, dev {name} {100 * network.dev_score:.2f} %: "
        f"{on_test(scores)}{note}",
        f"{baseline[0]}, without inputs: {on_test(baseline[1])}",
    ]


def describe(point: Point, names: Sequence[str]) -> str:
    """Return a text with some of a point's hyperparameters."""
    return ", ".join(f"{label(name)} {format_value(point[name])}" for name in names) or "the only point"


def percents(standing: Standing) -> str:
    """Return the mean and range of the dev accuracy, or of R², in percent, of the trainings that did not diverge."""
    values = 100 * standing.dev_scores
    if len(values) == 0:
        return "diverged"
    return f"{values.mean():.2f}" + (f" ({values.min():.1f}-{values.max():.1f})" if len(values) > 1 else "")


def _cells(i: int, standing: Standing, plan: Plan) -> list[str]:
    point = plan.points[standing.point]
    return [
        str(i),
        *(format_value(point[name]) for name in plan.swept),
        percents(standing),
        f"{standing.dev_loss:.4f}" if standing.finished else "",
        f"{standing.diverged} of {len(standing.trainings)}" if standing.diverged else "",
    ]


def _fixed(plan: Plan) -> list[str]:
    """Return a line with the hyperparameters that all points share."""
    names = [name for name in plan.points[0] if name not in plan.swept]
    return [f"fixed: {describe(plan.points[0], names)}"]


def _at_an_end(plan: Plan, best: Standing) -> list[str]:
    """Return notes on best values at an end of their range: a better one may be outside."""
    notes = []
    for name, values in plan.swept.items():
        value = plan.points[best.point][name]
        if name in KINDS and not plan.drawn and value in (values[0], values[-1]) and value != KINDS[name].lowest:
            which = "smallest" if value == values[0] else "largest"
            notes.append(
                f"note: the best {label(name)} is the {which} value tried: a better one may be outside the range"
            )
    return notes
