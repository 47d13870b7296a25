"""Report the ladder: a table, learning curves, and the same numbers as JSON."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from experiments.networks.classification import ClassResults, class_table
from experiments.networks.scores import ACCURACY, ERRORS, R_SQUARED, Score, Scores, error_text
from experiments.reports import plots, tables, terminal
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.ladder.results import FILE, Row, alike_of, best_of

CURVES = "Training loss and dev {} by epoch; the best epoch is marked."

COLUMNS = ("data", "network", "layers", "params")
GRADIENTS = ("gradient diff.\ninitial", "\ntrained")
OF_CLASSES = ("train %", "dev %", "test %")
OF_NUMBERS = ("R²\ntrain", "\ndev", "\ntest", "test error\nmean abs.", "\nRMSE")
SPEEDS = ("data", "network", "compile s\nhand", "\nauto", "steps/s\nhand", "\nauto")


def write_report(
    rows: Sequence[Row],
    untrained: Mapping[str, tuple[str, Scores]],
    histories: Mapping[tuple[str, str], list[dict[str, float]]],
    folder: RunFolder,
    notes: Sequence[str] = (),
    of_classes: Mapping[str, ClassResults] = MappingProxyType({}),
) -> None:
    """Print the table and the notes on the data, and write them with the curves and the numbers to the folder.

    Args:
      rows: of all networks.
      untrained: the name and the scores of the best prediction without inputs, for each data set.
      histories: of each data set and network.
      folder: of the run.
      notes: texts on the data.
      of_classes: results of each class, by title.
    """
    columns = (*COLUMNS, *(OF_CLASSES if ACCURACY.key in rows[0].scores else OF_NUMBERS), *GRADIENTS)
    cells = [
        line
        for data, (name, scores) in untrained.items()
        for line in (
            [data, name, "no inputs", "", *_scores(scores), "", ""],
            *(_cells(row) for row in rows if row.data == data),
        )
    ]
    table = tables.table("Trained with hand-derived gradients", columns, cells, 3)
    gradients = f"gradient diff.: {proof.DEFINITION}, in float64; more than {proof.BOUND:g} fails the run"
    tables.show(table)
    ranked = [ranking_note([row for row in rows if row.data == data]) for data in untrained]
    text = "\n".join([gradients, *ranked, *notes])
    print(f"{terminal.wrap(text)}\n")
    details = [class_table(title, results) for title, results in of_classes.items()]
    for each in details:
        tables.show(each)
    folder.write_text(
        "report.txt", f"{tables.as_text(table)}{text}\n" + "".join(f"\n{tables.as_text(each)}" for each in details)
    )
    folder.write_json(FILE, [row.as_json() | {"baseline": _baseline(*untrained[row.data])} for row in rows])
    if rows[0].speed:
        _report_speeds(rows, folder)
    score = ACCURACY if ACCURACY.key in rows[0].scores else R_SQUARED
    folder.add_picture("curves.png", _curves(histories, score), CURVES.format(score.name), shows_metrics=True)


def _baseline(name: str, scores: Scores) -> dict[str, Any]:
    return {"name": name, **scores}


def ranking_note(rows: Sequence[Row]) -> str:
    """Return a line on the best network on dev, and on those that are as good within noise."""
    networks = [row.ranked for row in rows]
    best, alike = best_of(networks), alike_of(networks)
    others = [rows[i].network for i in alike if i != best]
    tie = ""
    if others:
        within = f"within one of {rows[best].dev_examples} dev examples, which is noise"
        alike_by = within if networks[best].noise else "with the same score"
        tie = f"; {' and '.join(others)} {alike_by}, so the dev loss decides"
    return f"{rows[best].data}, best on dev: {rows[best].network}{tie}"


def _report_speeds(rows: Sequence[Row], folder: RunFolder) -> None:
    table = tables.table("Speed of training steps", SPEEDS, [_speeds(row) for row in rows], 2)
    notes = ["compile s, steps/s: of the same training steps with hand-derived and with automatic gradients"]
    if any(speed.compile_seconds is None for row in rows for speed in row.speed.values()):
        notes.append("cached: loaded from the compilation cache; --no-compilation-cache compiles and times it")
    tables.show(table)
    print(*map(terminal.wrap, notes), sep="\n")
    folder.add_timings(tables.as_text(table) + "\n".join(notes))


def _cells(row: Row) -> list[str]:
    return [
        row.data,
        row.network,
        row.sizes,
        f"{row.params:,}",
        *_scores(row.scores),
        *(f"{row.difference[when]:.1e}" for when in ("initial", "trained")),
    ]


def _scores(scores: Scores) -> list[str]:
    if ACCURACY.key in scores:
        return [f"{100 * scores[ACCURACY.key][part]:.2f}" for part in ("train", "dev", "test")]
    errors = (scores[error]["test"] for error in ERRORS)
    return [
        *(f"{scores[R_SQUARED.key][part]:.3f}" for part in ("train", "dev", "test")),
        *map(error_text, errors),
    ]


def _speeds(row: Row) -> list[str]:
    return [
        row.data,
        row.network,
        *(_seconds(row.speed[by].compile_seconds) for by in ("hand", "auto")),
        *(f"{row.speed[by].steps_per_second:,.0f}" for by in ("hand", "auto")),
    ]


def _seconds(compiling: float | None) -> str:
    return "cached" if compiling is None else f"{compiling:.2f}"


def _curves(histories: Mapping[tuple[str, str], list[dict[str, float]]], score: Score) -> bytes:
    names = list(dict.fromkeys(data for data, _ in histories))
    figure, axes = plots.grid(2, len(names))
    for column, name in enumerate(names):
        own = {network: history for (data, network), history in histories.items() if data == name}
        for row, (measure, log) in enumerate({"loss": True, f"dev_{score.key}": False}.items()):
            curves = {
                network: ([entry["epoch"] for entry in history], [entry[measure] for entry in history])
                for network, history in own.items()
            }
            label = "training loss" if measure == "loss" else f"dev {score.name}"
            best = "" if measure == "loss" else "max"
            plots.draw_curves(axes[row, column], curves, title=name, x="epoch", y=label, log=log, best=best)
    return plots.png(figure)
