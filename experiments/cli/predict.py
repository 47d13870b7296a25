"""Classify new data with a network of a run: a photo, or the rows of a CSV or npz file.

predict RUN IMAGE: with a run of catvnoncat, the class of a photo and its probability. The photo may be a PNG or a JPEG
of any size, in color or gray. It is turned upright as its EXIF data state, transparency becomes white, and it is
resized, not cropped, to the 64 x 64 pixels that the networks take.

predict RUN FILE: with a run on your own file (sweep FILE, run ladder --data FILE), the class of each row of another
file with the same columns, in any order, and the probability of each class, as CSV. Rows are encoded and standardized
as in training. If the column of the labels is there too, the accuracy is printed; further columns are ignored.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.readers.errors import printable
from experiments.runs.atomic_write import write_new
from experiments.runs.options import CacheOptions

if TYPE_CHECKING:
    from experiments.networks.storage import StoredNetwork


@dataclass(frozen=True)
class Options(CacheOptions):
    """What to classify, and with which network."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The photo, or the rows."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A network of the run, by the name of its file. By default for photos the deepest: logistic, one-hidden and
    four-layers are available; for rows the best on dev."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: printed)")] = None
    """Where the CSV is written; an existing file is never replaced."""


def run_command(options: Options) -> str:
    """Return the class of a photo in words, or the predictions of rows as CSV.

    Raises:
      ValueError: if the run has no network for the file, or the file is invalid.
      OSError: if a file cannot be read or written.
    """
    name, network = _load_classifier(options.run, options.network)
    if network.image_shape is None:
        return _classify_rows(options, name, network)
    if options.out:
        raise ValueError("--out is for the classes of rows: that of a photo is printed")
    return _classify_photo(network, options.file)


def _load_classifier(run: Path, name: str) -> tuple[str, "StoredNetwork"]:
    """Return a network of the run that classifies, and its name; the deepest if no name is given."""
    from experiments.networks.storage import load_from_run

    name, network = load_from_run(run, name)
    one_of_two = (network.spec.output, network.spec.sizes[-1]) == ("binary", 1)
    if not one_of_two and (network.spec.output != "softmax" or len(network.classes) < 2):
        raise ValueError(f"{name} of {run} has no probabilities of classes: predict needs a network that classifies")
    return name, network


def _classify_photo(network: "StoredNetwork", photo: Path) -> str:
    from experiments.networks.spec import class_probabilities
    from experiments.readers.photo import read_photo

    height, width, _ = network.image_shape
    pixels = read_photo(photo, height, width).reshape(1, -1)
    probabilities = class_probabilities(network.spec.model(), network.params, pixels)[0]
    best = int(probabilities.argmax())
    return f"{network.classes[best]} with probability {probabilities[best]:.2f}"


def _classify_rows(options: Options, name: str, network: "StoredNetwork") -> str:
    from experiments.datasets.new_rows import read_rows
    from experiments.networks import predictions
    from experiments.runs.config import read_config
    from experiments.runs.environment import digest
    from experiments.studies.registry import find

    # A run on a user's own data standardizes; an import, which has no such options, does not.
    config = read_config(options.run, find) if network.standardizer is not None else None
    if config is None or getattr(config.options, "data", None) is None:
        raise ValueError(
            f"{options.run} has networks for other data than images or your own file: predict takes a run of "
            "catvnoncat, or one of sweep FILE or run ladder --data FILE"
        )
    if options.out and options.out.absolute().parent.resolve() == options.run.resolve():
        raise ValueError(f"--out must not be in the folder of the run, got {options.out}")
    if not options.network:
        name, network = _load_classifier(options.run, _best(config.study.name, options.run))
    rows = read_rows(options.file, options.run, config.options)
    predicted = predictions.classify(options.file, rows, network)
    text = predictions.to_csv(predicted, network.classes)
    ranked = "" if options.network else ", which the run ranks best on dev"
    notes = [f"by {name}, {network.spec}{ranked}", *rows.notes]
    if rows.labels is not None:
        notes.append(predictions.accuracy(predicted, rows.labels, network.classes))
        trained_on = config.json.get("data")
        if isinstance(trained_on, dict) and digest(options.file) in trained_on.values():
            notes.append("note: this is the file that the run learned from, and most of its rows were trained on")
    notes = [printable(line) for line in notes]
    if options.out is None:
        print(*notes, sep="\n", file=sys.stderr)
        return text.removesuffix("\n")
    write_new(options.out, text.encode())
    return "\n".join([f"{options.out}: the classes of {len(rows.x)} rows", *notes])


def _best(experiment: str, run: Path) -> str:
    """Return the name of the network that a run on a user's own data ranks best."""
    from experiments.studies.ladder.results import best_network

    return best_network(run) if experiment == "ladder" else "best"
