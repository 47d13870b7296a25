"""Score the strings of digits that are recognized, and report them with a picture of the posteriors over time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.datasets.recording_features import HOP, RATE, log_mel
from experiments.networks.spec import LayersSpec
from experiments.reports import plots, tables
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.speech.data import CLASSES
from experiments.studies.speech.strings import BLANK, FRAMES_PER_STEP

COLUMNS = ("strings of digits", "digit\nerror %", "of seeds", "strings\nright %", "digits", "strings")


class Score(NamedTuple):
    """Counts over strings: digits, strings, digits that are wrong, missing or added, and strings without an error."""

    digits: int
    strings: int
    errors: int
    right: int


class StringResult(NamedTuple):
    """The scores of a seed by condition, and the difference of its gradients; see `proof.DEFINITION`."""

    scores: Mapping[str, Score]
    difference: float


def score(recognized: Sequence[np.ndarray], spoken: Sequence[np.ndarray]) -> Score:
    """Compare recognized with spoken digits, string by string."""
    errors = [edit_distance(a, b) for a, b in zip(recognized, spoken, strict=True)]
    return Score(sum(map(len, spoken)), len(spoken), sum(errors), errors.count(0))


def edit_distance(a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray) -> int:
    """Return the least number of changed, missing and added entries that make one row of the other.

    Source: Levenshtein, "Binary codes capable of correcting deletions, insertions and reversals", 1966.
    """
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            above, row[j] = row[j], min(above + int(one != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def write_string_report(
    results: Sequence[StringResult],
    spec: LayersSpec,
    part: str,
    example: tuple[np.ndarray, np.ndarray, np.ndarray],
    folder: RunFolder,
) -> None:
    """Print the table and notes, and write them with the picture and all numbers to the folder.

    Args:
      results: of each seed.
      spec: of the network.
      part: "test" or "dev", whose recordings the strings are made of.
      example: samples, digits and posteriors (steps, classes) of a string.
      folder: the run's.
    """
    rates = {name: [_rate(result.scores[name]) for result in results] for name in results[0].scores}
    rows = []
    for name, each in rates.items():
        scores = [result.scores[name] for result in results]
        whole = np.mean([100 * one.right / one.strings for one in scores])
        cells = [f"{np.mean(each):.2f}", ", ".join(f"{rate:.2f}" for rate in each), f"{whole:.1f}"]
        rows.append([name, *cells, f"{scores[0].digits:,}", f"{scores[0].strings:,}"])
    table = tables.table(f"Strings of spoken digits, of {part} recordings, by CTC", COLUMNS, rows, 1)
    difference = max(result.difference for result in results)
    notes = [
        "digit error: changed, missing and added digits, as a share of the spoken ones; mean of the seeds",
        f"network: {spec.n_params:,} params; gradient diff. {difference:.1e}: {proof.DEFINITION}, on a few of them, in "
        f"float64; more than {proof.BOUND:g} fails the run",
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    numbers = {name: [result.scores[name]._asdict() for result in results] for name in rates}
    folder.write_json("results.json", {"params": spec.n_params, "gradient_difference": difference, "scores": numbers})
    caption = (
        "Log-mel features of a string of digits, and over them the posterior probabilities of the digits at each step: "
        f"spoken were {' '.join(map(str, example[1].tolist()))}."
    )
    folder.add_picture("posteriors.png", draw_posteriors(*example), caption)


def _rate(of: Score) -> float:
    return 100 * of.errors / of.digits


def draw_posteriors(samples: np.ndarray, digits: np.ndarray, posteriors: np.ndarray) -> bytes:
    """Draw the features of a string, and over them the posterior probability of each digit at each step."""
    figure, axes = plots.grid(1, 1)
    figure.set_figwidth(2 * figure.get_figwidth())
    panel = axes[0, 0]
    features = log_mel(samples)
    extent = (0, len(features) * HOP / RATE, 0, 1)
    panel.imshow(features.T, origin="lower", aspect="auto", extent=extent, cmap="gray_r", alpha=0.6)
    at = (np.arange(len(posteriors)) + 0.5) * FRAMES_PER_STEP * HOP / RATE
    shown = np.flatnonzero(posteriors.max(axis=0) > 0.1)
    for k in shown[shown != BLANK]:
        name = CLASSES[k - 1]
        (line,) = panel.plot(at, posteriors[:, k], linewidth=1.5)
        for step in _peaks(posteriors[:, k]):
            panel.annotate(name, (at[step], posteriors[step, k]), ha="center", va="bottom", color=line.get_color())
    panel.set(xlabel="seconds", ylabel="posterior probability; bands of the features", ylim=(0, 1.1))
    panel.set_title(f"spoken: {' '.join(map(str, digits.tolist()))}")
    return plots.png(figure)


def _peaks(values: np.ndarray) -> list[int]:
    """Return the largest place of each stretch of values above one half."""
    above = np.flatnonzero(values > 0.5)
    stretches = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else []
    return [int(stretch[values[stretch].argmax()]) for stretch in stretches]
