"""Report a network of characters: what a character costs, learning curves, which ones are hard, and a sample."""

from typing import Any, NamedTuple

import numpy as np

from experiments.networks.spec import LayersSpec
from experiments.reports import plots, tables
from experiments.runs import proof
from experiments.runs.folder import RunFolder
from experiments.studies.text.data import Text
from jaxnn.typing import Params

_SHOWN = 40
"""Characters in the picture of those that are hard, the most frequent ones."""
_SAMPLE = "sample, at temperature 0.8:"


class Result(NamedTuple):
    """A trained network, and what it computes.

    Attributes:
      spec: its specification.
      params: its params.
      history: of `jaxnn.fit`.
      nats: what each character of the held-out text but the first costs, (n - 1,).
      sample: a text that it wrote.
      difference: of the two gradients; see `proof.DEFINITION`.
    """

    spec: LayersSpec
    params: Params
    history: list[dict[str, Any]]
    nats: np.ndarray
    sample: str
    difference: float


def write_report(result: Result, text: Text, part: str, folder: RunFolder) -> None:
    """Print the table, the notes and the sample, and write them with pictures and all numbers to the folder."""
    nats, by_frequency = float(result.nats.mean()), _entropy(text)
    rows = [
        [
            _described(result.spec),
            f"{result.spec.n_params:,}",
            f"{result.history[-1]['loss']:.3f}",
            f"{nats:.3f}",
            f"{nats / np.log(2):.3f}",
            f"{np.exp(nats):.2f}",
            f"{result.difference:.1e}",
        ],
        [
            "frequencies of characters",
            "",
            "",
            f"{by_frequency:.3f}",
            f"{by_frequency / np.log(2):.3f}",
            f"{np.exp(by_frequency):.2f}",
            "",
        ],
    ]
    columns = ("network", "params", "training\nnats", f"{part}\nnats", "bits", "perplexity", "gradient\ndiff.")
    table = tables.table("Text by characters, trained with hand-derived gradients", columns, rows, 1)
    notes = [
        f"text: {len(text.train):,} characters to train, {len(text.held_out):,} {part}, {len(text.characters)} "
        "different ones",
        "nats: -log p of a character, mean over the text, read from its beginning to its end; of the last epoch, with "
        "dropout, in training",
        f"gradient diff.: {proof.DEFINITION}, on some pieces, in float64; more than {proof.BOUND:g} fails the run",
    ]
    text_of_report = tables.show_with_notes([table], notes)
    print("", _SAMPLE, *result.sample.strip().split("\n")[:12], sep="\n")
    folder.write_text("sample.txt", result.sample)
    folder.write_text("report.txt", f"{text_of_report}\n{_SAMPLE}\n{result.sample}\n")
    folder.write_json(
        "results.json",
        {"params": result.spec.n_params, f"{part}_nats": nats, "gradient_difference": result.difference},
    )
    _pictures(result, text, part, folder)


def _described(spec: LayersSpec) -> str:
    """Return the layers between the embedding and the last one."""
    first, *rest = dict.fromkeys(spec.layers[1:-1])
    return str(rest[-1] if rest else first)


def _entropy(text: Text) -> float:
    """Return the nats of a held-out character by the frequencies in the training text, each counted once more."""
    counts = np.bincount(text.train, minlength=len(text.characters)) + 1
    return float(-np.log(counts / counts.sum())[text.held_out[1:]].mean())


def _pictures(result: Result, text: Text, part: str, folder: RunFolder) -> None:
    figure, axes = plots.grid(1, 1)
    epochs = [entry["epoch"] for entry in result.history]
    curves = {
        "training, with dropout": (epochs, [entry["loss"] for entry in result.history]),
        part: (epochs, [entry["held_out_loss"] for entry in result.history]),
    }
    plots.draw_curves(axes[0, 0], curves, title="Nats of a character", x="epoch", y="nats", best="min")
    caption = "What a character costs, by epoch."
    folder.add_picture("learning-curves.png", plots.png(figure), caption, shows_metrics=True)

    target = text.held_out[1:]
    counts = np.bincount(target, minlength=len(text.characters))
    sums = np.bincount(target, result.nats, minlength=len(text.characters))
    frequent = [i for i in np.argsort(-counts, kind="stable")[:_SHOWN] if counts[i]]
    hardest = sorted(frequent, key=lambda i: -sums[i] / counts[i])
    figure, axes = plots.grid(1, 1)
    panel = axes[0, 0]
    panel.bar(range(len(hardest)), [sums[i] / counts[i] for i in hardest], color=plots.COLORS[0])
    panel.set_xticks(range(len(hardest)), [_shown(text.characters[i]) for i in hardest], fontsize=7)
    panel.set(title=f"Nats of each character, {part}", ylabel="nats")
    folder.add_picture("characters.png", plots.png(figure), "What each character costs, the frequent ones.")


def _shown(character: str) -> str:
    return {"\n": "↵", " ": "␣", "\t": "⇥"}.get(character, character if character.isprintable() else "?")
