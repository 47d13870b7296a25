"""Report the ladder: a table, learning curves, and the same numbers as JSON."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.reports import plots, tables, terminal
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.runs.timing import Speed
from experiments.studies.ladder.results import FILE


class Row(NamedTuple):
    """The results of one baseline.

    Attributes:
      data, network: their names.
      sizes: the network's layers.
      params: the number of weights and biases.
      accuracy: on "train", "dev" and "test".
      difference: of the two gradients, "initial" and "trained"; see `proof.DEFINITION`.
      speed: with "hand" and with "auto" gradients; empty if it was not measured.
    """

    data: str
    network: str
    sizes: str
    params: int
    accuracy: dict[str, float]
    difference: dict[str, float]
    speed: dict[str, Speed]


CURVES = "Training loss and dev accuracy by epoch; the best epoch is marked."

COLUMNS = ("data", "network", "layers", "params", "train %", "dev %", "test %", "gradient diff.\ninitial", "\ntrained")
SPEEDS = ("data", "network", "compile s\nhand", "\nauto", "steps/s\nhand", "\nauto")


def write_report(
    rows: Sequence[Row],
    histories: Mapping[tuple[str, str], list[dict[str, float]]],
    folder: RunFolder,
    notes: Sequence[str] = (),
) -> None:
    """Print the table and the notes on the data, and write them with the curves and the numbers to the folder."""
    table = tables.table("Trained with hand-derived gradients", COLUMNS, [_cells(row) for row in rows], 3)
    gradients = f"gradient diff.: {proof.DEFINITION}, in float64; more than {proof.BOUND:g} fails the run"
    tables.show(table)
    text = "\n".join([gradients, *notes])
    print(f"{terminal.wrap(text)}\n")
    folder.write_text("report.txt", f"{tables.as_text(table)}{text}\n")
    folder.write_json(FILE, [{k: v for k, v in row._asdict().items() if k != "speed"} for row in rows])
    if rows[0].speed:
        _report_speeds(rows, folder)
    folder.add_picture("curves.png", _curves(histories), CURVES, shows_metrics=True)


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
        *(f"{100 * row.accuracy[part]:.2f}" for part in ("train", "dev", "test")),
        *(f"{row.difference[when]:.1e}" for when in ("initial", "trained")),
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


def _curves(histories: Mapping[tuple[str, str], list[dict[str, float]]]) -> bytes:
    names = list(dict.fromkeys(data for data, _ in histories))
    figure, axes = plots.grid(2, len(names))
    for column, name in enumerate(names):
        own = {network: history for (data, network), history in histories.items() if data == name}
        for row, (measure, log) in enumerate({"loss": True, "dev_accuracy": False}.items()):
            curves = {
                network: ([entry["epoch"] for entry in history], [entry[measure] for entry in history])
                for network, history in own.items()
            }
            label = {"loss": "training loss", "dev_accuracy": "dev accuracy"}[measure]
            best = "" if measure == "loss" else "max"
            plots.draw_curves(axes[row, column], curves, title=name, x="epoch", y=label, log=log, best=best)
    return plots.png(figure)
