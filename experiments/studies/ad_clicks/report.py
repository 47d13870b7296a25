"""Report ad_clicks: a table, curves, calibration, errors by frequency, and what the embedding of sites has learned."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from experiments.reports import plots, tables, terminal
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.ad_clicks.data import CATEGORIES, SITE, AdClicks, divergence, entropy

COLUMNS = (
    *("network", "params", "test\nlog loss", "above\nbest", "area under\nROC curve", "best\nepoch"),
    *("bytes\nof a row", "MB of\na step", "gradient\ndiff."),
)
_EDGES = (0, 30, 100, 300, 1000, 3000)
"""Bins of the number of training rows that have the site of a test row."""
_FREQUENT = 100
"""Sites with at least as many training rows are compared with the truth."""


class Result(NamedTuple):
    """A trained network.

    Attributes:
      name: of its inputs and its layers.
      params: their number.
      row_bytes: of a row in memory.
      step_bytes: of the temporary memory of a training step.
      step_seconds: of a training step.
      best_epoch: the epoch of its params.
      history: of `jaxnn.fit`.
      probabilities: of a click, for each test row, (m,).
      difference: of the two gradients; see `proof.DEFINITION`.
      trained: its params.
    """

    name: str
    params: int
    row_bytes: int
    step_bytes: int
    step_seconds: float
    best_epoch: int | None
    history: list[dict[str, Any]]
    probabilities: np.ndarray
    difference: float
    trained: Any


def write_report(results: Sequence[Result], data: AdClicks, folder: RunFolder) -> None:
    """Print the table and the notes, and write them with pictures and all numbers to the folder."""
    y, p = data.test.batch.y, data.test.probabilities
    best, share = entropy(p), float(data.train.batch.y.mean())
    table = tables.table(
        "Clicks on ads, trained with hand-derived gradients", COLUMNS, [_cells(result, y, p) for result in results], 1
    )
    constant = np.full(len(y), share)
    notes = [
        f"rows: {len(data.train.batch.y)} to train, {len(data.dev.batch.y)} dev, {len(y)} test; clicks: "
        f"{100 * share:.2f} % of the training rows. Levels: "
        + ", ".join(f"{category.name} {category.levels}" for category in CATEGORIES),
        f"best possible, by the probabilities that made the clicks: log loss {best:.4f} expected and "
        f"{_log_loss(y, p):.4f} on these clicks, area under the ROC curve {area_under_roc(y, p):.4f}",
        f"the training share of clicks for every row: log loss {_log_loss(y, constant):.4f}, "
        f"{divergence(p, constant).mean():.4f} above the best",
        "above best: the expected log loss minus the best possible, a mean Kullback-Leibler divergence from the truth",
        "bytes of a row: with one-hot inputs, 4 for each level and number; with embeddings, 4 for each column. "
        f"{_rows_in_memory(results, len(data.train.batch.y))}",
        "MB of a step: temporary memory of a training step's program, as XLA plans it",
        f"gradient diff.: {proof.DEFINITION}, on some of them, in float64; more than {proof.BOUND:g} fails the run",
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    timings = ", ".join(f"{result.name} {1000 * result.step_seconds:.2f}" for result in results)
    timings = f"milliseconds of a training step: {timings}"
    print(terminal.wrap(timings))
    folder.add_timings(timings)
    folder.write_json("results.json", _numbers(results, data))
    _pictures(results, data, folder)


def _cells(result: Result, y: np.ndarray, p: np.ndarray) -> list[str]:
    return [
        result.name,
        f"{result.params:,}",
        f"{_log_loss(y, result.probabilities):.4f}",
        f"{divergence(p, result.probabilities).mean():.4f}",
        f"{area_under_roc(y, result.probabilities):.4f}",
        str(result.best_epoch),
        f"{result.row_bytes:,}",
        f"{result.step_bytes / 1e6:.1f}",
        f"{result.difference:.1e}",
    ]


def _numbers(results: Sequence[Result], data: AdClicks) -> dict[str, Any]:
    y, p = data.test.batch.y, data.test.probabilities
    truth = {"expected": entropy(p), "log_loss": _log_loss(y, p), "area_under_roc": area_under_roc(y, p)}
    networks = [
        {
            "network": result.name,
            "params": result.params,
            "log_loss": _log_loss(y, result.probabilities),
            "above_best": float(divergence(p, result.probabilities).mean()),
            "area_under_roc": area_under_roc(y, result.probabilities),
            "row_bytes": result.row_bytes,
            "step_bytes": result.step_bytes,
            "gradient_difference": result.difference,
        }
        for result in results
    ]
    return {"best_possible": truth, "networks": networks}


def _log_loss(y: np.ndarray, p: np.ndarray) -> float:
    return float(jaxnn.metrics.log_loss(p.astype(np.float32), y))


def area_under_roc(y: np.ndarray, p: np.ndarray) -> float:
    """Return the probability that a row with a click has a larger p than one without; 1/2 for equal ones.

    NaN if all rows have a click or none has one.
    """
    from sklearn.metrics import roc_auc_score  # slow to import, so not for --help

    return float(roc_auc_score(y, p)) if 0 < y.mean() < 1 else float("nan")


def _rows_in_memory(results: Sequence[Result], m: int) -> str:
    sizes = sorted({result.row_bytes for result in results}, reverse=True)
    return f"The training rows take {sizes[-1] * m / 1e6:.1f} MB; one-hot they would take {sizes[0] * m / 1e6:,.1f} MB"


def _pictures(results: Sequence[Result], data: AdClicks, folder: RunFolder) -> None:
    figure, (panels,) = plots.grid(1, 3)
    curves = {
        result.name: ([entry["epoch"] for entry in result.history], [entry["dev_loss"] for entry in result.history])
        for result in results
    }
    plots.draw_curves(panels[0], curves, title="dev", x="epoch", y="log loss", best="min")
    panels[0].axhline(entropy(data.dev.probabilities), color="black", linewidth=0.8, linestyle=":")
    reliability = {}
    for result in results:
        curve = jaxnn.metrics.reliability_curve(result.probabilities.astype(np.float32), data.test.batch.y, bins=10)
        reliability[result.name] = (np.asarray(curve.confidence), np.asarray(curve.accuracy))
    plots.draw_curves(panels[1], reliability, title="test", x="predicted probability", y="share of clicks")
    panels[1].plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    _draw_by_frequency(panels[2], results, data)
    caption = (
        "Log loss on dev by epoch, and the best possible (dotted); predicted probabilities against shares of clicks on "
        "the test rows; and the expected log loss above the best, by how many training rows have the site."
    )
    folder.add_picture("comparison.png", plots.png(figure), caption)
    _add_sites(results[-1], data, folder)


def _draw_by_frequency(panel: Any, results: Sequence[Result], data: AdClicks) -> None:
    counts = _counts(data, SITE)[data.test.batch.x[1 + SITE]]
    bins = np.searchsorted(_EDGES, counts, side="right") - 1
    found = [i for i in range(len(_EDGES)) if (bins == i).any()]
    for result in results:
        above = divergence(data.test.probabilities, result.probabilities)
        panel.plot(range(len(found)), [above[bins == i].mean() for i in found], marker=".", label=result.name)
    names = [*(f"{low}-{high - 1}" for low, high in pairwise(_EDGES)), f"{_EDGES[-1]} or more"]
    panel.set_xticks(range(len(found)), [names[i] for i in found], fontsize=8)
    panel.set(title="test", xlabel="training rows of the site", ylabel="log loss above the best", ylim=(0, None))
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)


def _counts(data: AdClicks, i: int) -> np.ndarray:
    """Return the number of training rows of each level of a category."""
    return np.bincount(data.train.batch.x[1 + i], minlength=CATEGORIES[i].levels)


def _add_sites(result: Result, data: AdClicks, folder: RunFolder) -> None:
    """Draw how well a linear function of a site's embedding gives the numbers that the truth has for it."""
    frequent = np.flatnonzero(_counts(data, SITE) >= _FREQUENT)
    fitted, shown = frequent[::2], frequent[1::2]
    E = np.asarray(result.trained[0][1 + SITE]["E"], np.float64)
    if len(fitted) <= E.shape[1]:
        return
    figure, (panels,) = plots.grid(1, 3)
    truth = {"effect": data.truth.effects[SITE], "first taste": data.truth.sites[:, 0]}
    truth["second taste"] = data.truth.sites[:, 1]
    design = np.concatenate([E, np.ones((len(E), 1))], axis=1)
    for panel, (name, true) in zip(panels, truth.items(), strict=True):
        weights = np.linalg.lstsq(design[fitted], true[fitted])[0]
        got = design[shown] @ weights
        correlation = np.corrcoef(got, true[shown])[0, 1]
        panel.scatter(true[shown], got, s=6, alpha=0.6)
        panel.set(title=f"{name}: correlation {correlation:.2f}", xlabel="truth", ylabel="linear in the embedding")
        panel.grid(alpha=0.3)
    caption = (
        f"Sites of at least {_FREQUENT} training rows: the three numbers that decide a site's clicks, and the best "
        "linear function of its embedding, fitted on every second site and drawn for the others."
    )
    folder.add_picture("sites.png", plots.png(figure), caption)
