"""Report the networks for one digit: a table, errors by speaker who was left out, and confusion matrices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.recording_features import HOP, RATE, log_mel
from experiments.networks.spec import LayersSpec
from experiments.reports import plots, tables
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.speech.data import CLASSES, Recordings


class Result(NamedTuple):
    """A network, and what it computes.

    Attributes:
      name: of the network.
      spec: its specification.
      train: probabilities of the training recordings by seed, (seeds, m, 10).
      held_out: of the test or dev recordings, (seeds, m, 10).
      by_speaker: for each speaker who was left out, the digits (m,) and their probabilities, (m, 10).
      difference: the largest of the gradients' differences; see `proof.DEFINITION`.
    """

    name: str
    spec: LayersSpec
    train: np.ndarray
    held_out: np.ndarray
    by_speaker: Mapping[str, tuple[np.ndarray, np.ndarray]]
    difference: float


def right(probabilities: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """Return the percentage of right digits, (...), of probabilities (..., m, 10)."""
    return 100 * (probabilities.argmax(axis=-1) == digits).mean(axis=-1)


def write_report(
    results: Sequence[Result], part: str, train: Recordings, held_out: Recordings, folder: RunFolder
) -> None:
    """Print the tables and notes, and write them with pictures and all numbers to the folder."""
    title = f"Spoken digits, trained with hand-derived gradients: {len(train.digits)} recordings, {part} "
    title += str(len(held_out.digits))
    columns = ("network", "params", f"{part} %\nmean", "of seeds", "training\n%", "gradient\ndiff.")
    content = [tables.table(title, columns, [_cells(result, train, held_out) for result in results], 1)]
    speakers = list(results[0].by_speaker)
    if speakers:
        rows = [[result.name, *_by_speaker(result)] for result in results]
        heading = ("network", *speakers, "mean")
        content.append(tables.table("Right of a speaker who was left out of training, in %", heading, rows, 1))
    notes = [
        f"gradient diff.: {proof.DEFINITION}, on a few of them, in float64; more than {proof.BOUND:g} fails the run"
    ]
    if speakers:
        counts = sorted({len(digits) for digits, _ in results[0].by_speaker.values()})
        of_each = " to ".join(map(str, (counts[0], counts[-1])[: len(counts)]))
        notes.append(f"left out: first seed, on {of_each} recordings of that speaker")
    folder.write_text("report.txt", tables.show_with_notes(content, notes))
    folder.write_json("results.json", {result.name: _numbers(result, part, train, held_out) for result in results})
    _pictures(results, part, held_out, folder)


def _cells(result: Result, train: Recordings, held_out: Recordings) -> list[str]:
    accuracy = right(result.held_out, held_out.digits)
    return [
        result.name,
        f"{result.spec.n_params:,}",
        f"{accuracy.mean():.2f}",
        ", ".join(f"{each:.2f}" for each in accuracy),
        f"{right(result.train, train.digits).mean():.2f}",
        f"{result.difference:.1e}",
    ]


def _by_speaker(result: Result) -> list[str]:
    each = [right(probabilities, digits) for digits, probabilities in result.by_speaker.values()]
    return [f"{value:.1f}" for value in (*each, np.mean(each))]


def _numbers(result: Result, part: str, train: Recordings, held_out: Recordings) -> dict[str, object]:
    return {
        "params": result.spec.n_params,
        f"{part}_accuracy": right(result.held_out, held_out.digits).tolist(),
        "training_accuracy": right(result.train, train.digits).tolist(),
        "left_out_accuracy": {
            speaker: float(right(probabilities, digits))
            for speaker, (digits, probabilities) in result.by_speaker.items()
        },
        "gradient_difference": result.difference,
    }


def _pictures(results: Sequence[Result], part: str, held_out: Recordings, folder: RunFolder) -> None:
    rows = 2 if results[0].by_speaker else 1
    figure, axes = plots.grid(rows, len(results))
    for panels, result in zip(axes.T, results, strict=True):
        measured = [(f"{result.name}, {part}, first seed", held_out.digits, result.held_out[0])]
        if result.by_speaker:
            digits, probabilities = map(np.concatenate, zip(*result.by_speaker.values(), strict=True))
            measured.append((f"{result.name}, speakers who were left out", digits, probabilities))
        for panel, (title, digits, probabilities) in zip(panels, measured, strict=True):
            matrix = jaxnn.metrics.confusion_matrix(probabilities.argmax(axis=-1), digits, len(CLASSES))
            plots.draw_confusion(panel, np.asarray(matrix), CLASSES)
            panel.set_title(title)
    folder.add_picture("confusion.png", plots.png(figure), "Confusion matrices: spoken digits as rows.")

    figure, axes = plots.grid(2, 5)
    figure.set_size_inches(15, 5)
    for digit, panel in enumerate(axes.flat):
        i = int(np.flatnonzero(held_out.digits == digit)[0])
        features = log_mel(held_out.samples[i])
        extent = (0, len(features) * HOP / RATE, 0, features.shape[1])
        panel.imshow(features.T, origin="lower", aspect="auto", extent=extent, cmap="magma")
        panel.set(title=f"{digit}, {held_out.speakers[i]}", xlabel="seconds", ylabel="band")
    folder.add_picture("features.png", plots.png(figure), "Log-mel features, which the networks see, of each digit.")
