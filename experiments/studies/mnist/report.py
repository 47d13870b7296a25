"""Report mnist: published and measured test error, learning curves, mistakes, weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from experiments.networks.signal_plots import draw_signals
from experiments.networks.signals import Signal
from experiments.networks.spec import LayersSpec
from experiments.reports import plots, tables
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.mnist import convolutional
from experiments.studies.mnist.data import CLASSES, SIDE
from experiments.studies.mnist.presets import Preset

DISTORTED_COLUMNS = 8


class Result(NamedTuple):
    """The results of a preset.

    Attributes:
      name, preset: the preset.
      part: the part that was measured, "test" or "dev".
      classes: their names.
      probabilities: by seed, example and class, (seeds, m, k).
      data: the images and labels of that part.
      train_error: error rate of each seed, on the first 10 000 training images without distortion.
      distorted: training images and their distortions, rows of `DISTORTED_COLUMNS`, or `None`.
      history: the population's.
      first: params of the first seed.
      signals: of the first seed, on 1000 training images.
      difference: of the two gradients; see `proof.DEFINITION`.
    """

    name: str
    preset: Preset
    part: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    data: jaxnn.Batch
    train_error: np.ndarray
    distorted: np.ndarray | None
    history: list[dict[str, Any]]
    first: Any
    signals: list[Signal]
    difference: float


def error_rates(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the error rates, (...), of probabilities (..., m, k)."""
    return (probabilities.argmax(axis=-1) != y).mean(axis=-1)


def write_report(result: Result, ensemble: bool, folder: RunFolder, more: Sequence[str] = ()) -> None:
    """Print the table, with `more` lines, and write it with plots and all numbers to the folder."""
    preset, y = result.preset, np.asarray(result.data.y)
    wrong = error_rates(result.probabilities, y)
    mean = result.probabilities.mean(axis=0)
    together = float(error_rates(mean, y))
    columns = ["preset", "layers", "published\ntest error %", f"{result.part} error %\nmedian (range)"]
    cells = [result.name, str(preset.spec), f"{preset.published:.2f}", tables.median_and_range(100 * wrong, 2)]
    if ensemble:
        columns.append("ensemble\nerror %")
        cells.append(f"{100 * together:.2f}")
    columns += ["seeds", "training\nerror %", "epochs", "gradient\ndiff."]
    cells += [str(len(wrong)), tables.median_and_range(100 * result.train_error, 2), str(preset.epochs)]
    cells += [f"{result.difference:.1e}"]
    table = tables.table("MNIST, trained with hand-derived gradients", columns, [cells], 2)
    notes = [
        f"published: {preset.source}" + ("" if result.classes == CLASSES else ", on MNIST's ten digits"),
        f"gradient diff.: {proof.DEFINITION}, in float64; more than {proof.BOUND:g} fails the run",
        *more,
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    numbers = {
        "preset": result.name,
        "published_test_error": round(preset.published / 100, 6),
        f"{result.part}_error": wrong.tolist(),
        "training_error": result.train_error.tolist(),
        "ensemble_error": together,
        "gradient_difference": result.difference,
    }
    folder.write_json("results.json", numbers)
    _pictures(result, mean, folder)


def _pictures(result: Result, mean: np.ndarray, folder: RunFolder) -> None:
    epochs = [entry["epoch"] for entry in result.history]
    measures = {name: best for name, best in {"loss": "", "dev_error": "min"}.items() if name in result.history[0]}
    figure, axes = plots.grid(1, len(measures))
    for panel, (name, best) in zip(axes[0], measures.items(), strict=True):
        values = np.stack([entry[name] for entry in result.history])
        curves = {f"seed {i}": (epochs, values[:, i]) for i in range(values.shape[1])}
        label = name.replace("_", " ")
        plots.draw_curves(panel, curves, title=result.name, x="epoch", y=label, log=True, best=best)
    caption = "Training loss by epoch and seed" + (", and error on the dev split." if len(measures) > 1 else ".")
    folder.add_picture("curves.png", plots.png(figure), caption)

    first, y, k = result.probabilities[0], np.asarray(result.data.y), len(result.classes)
    figure, axes = plots.grid(1, 1)
    plots.draw_confusion(
        axes[0, 0], np.asarray(jaxnn.metrics.confusion_matrix(first.argmax(axis=-1), y, k)), result.classes
    )
    folder.add_picture("confusion.png", plots.png(figure), f"Confusion matrix of the first seed, {result.part} images.")

    images = np.asarray(result.data.x).reshape(-1, SIDE, SIDE)
    sheet = plots.draw_mistakes(images, y, mean.argmax(axis=-1), np.clip(mean, 0, 1), classes=result.classes)
    caption = "The worst mistakes of the ensemble: the true digit has the lowest probability."
    folder.add_picture("mistakes.png", plots.png(sheet), caption)
    spec = result.preset.spec
    if isinstance(spec, LayersSpec):
        convolutional.add_pictures(spec, result.first, result.data, result.classes, folder)
    else:
        sheet = plots.draw_weight_images(np.asarray(result.first[0]["W"])[:40].reshape(-1, SIDE, SIDE))
        folder.add_picture("weights.png", plots.png(sheet), "First-layer weights of the first units.")
    if result.distorted is not None:
        sheet = plots.draw_images(result.distorted, DISTORTED_COLUMNS)
        caption = "Training images, each followed by distortions of it: they differ in every epoch."
        folder.add_picture("distorted.png", plots.png(sheet), caption)
    caption = "Activations by layer and gradients with respect to them, of the first seed, on 1000 training images."
    folder.add_picture("signals.png", plots.png(draw_signals(result.signals)), caption)
