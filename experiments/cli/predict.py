"""Classify new data by a network of a run: a photo, or the rows of a CSV or npz file.

predict RUN IMAGE: by a run of catvnoncat, the class of a photo and its probability. The photo may be a PNG or a JPEG of
any size, in colour or grey. It is turned upright as its EXIF data say, transparency becomes white, and it is squashed,
not cropped, to the 64 x 64 pixels that the networks take.

predict RUN FILE: by a run on a file of yours (sweep FILE, run ladder --data FILE), the class of each row of another one
with the same columns, in any order, and the probability of each class, as CSV. Rows are encoded and standardised as in
training. Where the column of the labels is there too, the accuracy is told; what else is there is left out.
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
    """What to classify, and by what."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The photo, or the rows."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A network of the run, by the name of its file. By default for photos the deepest: logistic, one-hidden and
    four-layers are there; for rows the best on dev."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: printed)")] = None
    """Where the CSV goes; never in the place of another file."""


def predict(options: Options) -> str:
    """The answer in words, or the predictions as CSV.

    Raises:
      ValueError, OSError: what is wrong with the run or with the file.
    """
    name, network = _classifier(options.run, options.network)
    if network.image_shape is None:
        return _of_rows(options, name, network)
    if options.out:
        raise ValueError("--out is for the classes of rows: that of a photo is printed")
    return _of_photo(network, options.file)


def _classifier(run: Path, name: str) -> tuple[str, "StoredNetwork"]:
    """A network of the run and its name, the deepest if none is named, that tells classes apart."""
    from experiments.networks.storage import load_from_run

    name, network = load_from_run(run, name)
    one_of_two = (network.spec.output, network.spec.sizes[-1]) == ("binary", 1)
    if not one_of_two and (network.spec.output != "softmax" or len(network.classes) < 2):
        raise ValueError(f"{name} of {run} gives no probabilities of classes: predict takes networks that classify")
    return name, network


def _of_photo(network: "StoredNetwork", photo: Path) -> str:
    from experiments.networks.spec import class_probabilities
    from experiments.readers.photo import read_photo

    height, width, _ = network.image_shape
    pixels = read_photo(photo, height, width).reshape(1, -1)
    probabilities = class_probabilities(network.spec.model(), network.params, pixels)[0]
    best = int(probabilities.argmax())
    return f"{network.classes[best]} with probability {probabilities[best]:.2f}"


def _of_rows(options: Options, name: str, network: "StoredNetwork") -> str:
    from experiments.datasets.new_rows import read_rows
    from experiments.networks import predictions
    from experiments.runs.config import recorded
    from experiments.runs.environment import digest
    from experiments.studies.registry import find

    # A run on a user's own data standardises; an import, which has no such options, does not.
    asked = recorded(options.run, find) if network.standardizer is not None else None
    if asked is None or getattr(asked.options, "data", None) is None:
        raise ValueError(
            f"{options.run} has networks for other data than images or a file of yours: predict takes a run of "
            "catvnoncat, or one of sweep FILE or run ladder --data FILE"
        )
    if options.out and options.out.absolute().parent.resolve() == options.run.resolve():
        raise ValueError(f"--out {options.out} is in the run's folder, whose files are its own: choose another one")
    if not options.network:
        name, network = _classifier(options.run, _best(asked.study.name, options.run))
    rows = read_rows(options.file, options.run, asked.options)
    said = predictions.classify(options.file, rows, network)
    text = predictions.to_csv(said, network.classes)
    ranked = "" if options.network else ", which the run ranks best on dev"
    told = [f"by {name}, {network.spec}{ranked}", *rows.notes]
    if rows.labels is not None:
        told.append(predictions.accuracy(said, rows.labels, network.classes))
        learnt_from = asked.config.get("data")
        if isinstance(learnt_from, dict) and digest(options.file) in learnt_from.values():
            told.append("note: this is the file that the run learnt from, and most of its rows were trained on")
    told = [printable(line) for line in told]
    if options.out is None:
        print(*told, sep="\n", file=sys.stderr)
        return text.removesuffix("\n")
    write_new(options.out, text.encode())
    return "\n".join([f"{options.out}: the classes of {len(rows.x)} rows", *told])


def _best(experiment: str, run: Path) -> str:
    """The name of the network that a run on a user's own data ranks best."""
    from experiments.studies.ladder.results import best_network

    return best_network(run) if experiment == "ladder" else "best"
