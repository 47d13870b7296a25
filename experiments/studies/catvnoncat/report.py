"""Report catvnoncat: a table, the costs of logistic regression, plots, and every seed's numbers as JSON."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.networks.signal_plots import draw_signals
from experiments.networks.signals import layer_signals
from experiments.networks.spec import NetworkSpec, class_probabilities
from experiments.reports import plots, tables, terminal
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.catvnoncat.data import IMAGE_SHAPE, Photos

PUBLISHED_COSTS = {0: 0.693147, 100: 0.584508}
"""Published costs of logistic regression, from zeros, by iteration."""


class Row(NamedTuple):
    """A network, trained from the course's initial weights (first in each array), and from each seed.

    Attributes:
      network: its name.
      spec: its layers.
      published: the course's accuracies, train/test, in percent.
      train, test: accuracies, (1 + seeds,).
      costs: before each update, (steps, 1 + seeds).
      params: of the first training.
      difference: of the two gradients of the first training, "initial" and "trained"; see `proof.DEFINITION`.
      seconds: of all of this.
      skipped: the number of skipped updates of all trainings.
    """

    network: str
    spec: NetworkSpec
    published: str
    train: np.ndarray
    test: np.ndarray
    costs: np.ndarray
    params: Any
    difference: dict[str, float]
    seconds: float
    skipped: int


COLUMNS = (
    *("network", "layers", "published\ntrain/test %", "same init\ntrain/test %", "final\ncost"),
    *("other\nseeds", "train %\nmedian (range)", "test %\nmedian (range)", "gradient\ndiff."),
)


def spread(costs: np.ndarray) -> dict[str, float]:
    """Return one step's costs as a line of metrics: from the course's initial weights, and the range over seeds."""
    first, seeds = float(costs[0]), costs[1:]
    if len(seeds) == 0:
        return {"cost": first}
    return {
        "cost": first,
        "cost_seeds_median": float(np.median(seeds)),
        "cost_seeds_lowest": float(seeds.min()),
        "cost_seeds_highest": float(seeds.max()),
    }


def write_report(rows: Sequence[Row], photos: Photos, folder: RunFolder, more: Sequence[str] = ()) -> None:
    """Print the table, with `more` lines, and write it with the plots and all numbers to the folder."""
    title = "Cat or non-cat, trained with hand-derived gradients"
    table = tables.table(title, COLUMNS, [_cells(row) for row in rows], 2)
    logistic = next(row for row in rows if row.network == "logistic")
    notes = [
        "Logistic regression, cost by iteration (published):",
        *_cost_lines(logistic.costs[:, 0]),
        "",
        f"gradient diff.: {proof.DEFINITION}, in float64, before and after training; "
        f"more than {proof.BOUND:g} fails the run",
        "same init: the course's initial weights. These networks are stored, for predict.",
        "other seeds: other random initial weights, all trained in one program with the course's.",
        *(["", *more] if more else []),
    ]
    tables.show(table)
    timings = f"seconds of training: {', '.join(f'{row.network} {row.seconds:.0f}' for row in rows)}"
    print(*map(terminal.wrap, [*notes, "", timings]), sep="\n")
    folder.add_timings(timings)
    folder.write_text("report.txt", tables.as_text(table) + "\n".join(notes) + "\n")
    folder.write_json("seeds.json", {row.network: _numbers(row) for row in rows})
    caption = "Cost by iteration: from the course's initial weights in color, from other seeds in gray."
    folder.add_picture("costs.png", _draw_costs(rows), caption)
    _add_pictures(rows, photos, folder)


def _cells(row: Row) -> list[str]:
    return [
        row.network,
        str(row.spec),
        row.published,
        f"{100 * row.train[0]:.2f}/{100 * row.test[0]:.2f}",
        f"{row.costs[-1, 0]:.4f}",
        str(len(row.train) - 1),
        *(tables.median_and_range(100 * accuracy[1:]) for accuracy in (row.train, row.test)),
        f"{max(row.difference.values()):.1e}",
    ]


def _cost_lines(costs: np.ndarray) -> list[str]:
    """Return every hundredth cost, five on a line."""
    entries = []
    for i in range(0, len(costs), 100):
        published = f" ({PUBLISHED_COSTS[i]:.6f})" if i in PUBLISHED_COSTS else ""
        entries.append(f"{i:6} {costs[i]:.6f}{published}")
    return ["".join(f"{entry:28}" for entry in entries[i : i + 5]).rstrip() for i in range(0, len(entries), 5)]


def _numbers(row: Row) -> dict[str, object]:
    """Return all numbers of a row; lists are by seed."""
    measured = {"train_accuracy": row.train, "test_accuracy": row.test, "final_cost": row.costs[-1]}
    return {
        "layers": str(row.spec),
        "published": row.published,
        "same_start": {name: values[0].item() for name, values in measured.items()},
        "seeds": {name: values[1:].tolist() for name, values in measured.items()},
        "gradient_difference": row.difference,
    }


def _add_pictures(rows: Sequence[Row], photos: Photos, folder: RunFolder) -> None:
    """Add the first weights of all networks; of the deepest, its mistakes and its signals."""
    for row in rows:
        weights = plots.draw_weight_images(row.params[0]["W"].reshape(-1, *IMAGE_SHAPE))
        caption = f"First-layer weights of {row.network}, one image per unit, in color: gray is 0."
        folder.add_picture(f"weights-{row.network}.png", plots.png(weights), caption)
    deepest, test = rows[-1], photos.test
    predicted = class_probabilities(deepest.spec.model(), deepest.params, test.x)
    images = test.x.reshape(-1, *IMAGE_SHAPE)
    mistakes = plots.draw_mistakes(images, test.y, predicted.argmax(axis=1), predicted, classes=photos.classes)
    caption = f"The worst mistakes of {deepest.network} on the test photos, with predicted probabilities."
    folder.add_picture("mistakes.png", plots.png(mistakes), caption)
    for row in rows[1:]:
        caption = (
            f"Activations of {row.network} by layer, on the training photos, and the sizes of the cost's gradients "
            "with respect to them."
        )
        drawn = draw_signals(layer_signals(row.spec, row.params, photos.train))
        folder.add_picture(f"signals-{row.network}.png", plots.png(drawn), caption)


def _draw_costs(rows: Sequence[Row]) -> bytes:
    """Draw a panel per network: from the course's initial weights in color, from each seed in gray."""
    figure, axes = plots.grid(1, len(rows))
    for panel, row in zip(axes[0], rows, strict=True):
        steps = np.arange(len(row.costs))
        panel.plot(steps, row.costs[:, 1:], color="gray", linewidth=0.5, alpha=0.5)
        if len(row.train) > 1:
            panel.plot([], [], color="gray", linewidth=0.5, label=f"{len(row.train) - 1} other seeds")
        curve = {"the course's initial weights": (steps, row.costs[:, 0])}
        plots.draw_curves(panel, curve, title=row.network, x="iteration", y="cost", log=True)
    return plots.png(figure)
