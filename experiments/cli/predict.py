"""Predict new data with a network of a run: a photo, a recording, or the rows of a table or npz file; or translate.

predict RUN IMAGE: with a run of catvnoncat, print the class of a photo and its probability. The photo may be a PNG or
JPEG of any size, in color or gray. It is rotated by its EXIF orientation, put on a white background if transparent, and
resized, not cropped, to 64 x 64 pixels. The networks are logistic, one-hidden and four-layers.

predict RUN IMAGE: with a run of mnist or sweep mnist, print the digit in a photo of handwriting, and its probability.
Ink may be dark on light paper or the reverse, in any color, of any size and in any place. The digit is separated from
the paper, scaled into 20 x 20 pixels and centered by its center of mass in 28 x 28, as MNIST's digits were; an image of
28 x 28 pixels that is light on dark is used unchanged. Without ink, or with marks farther apart than a quarter of the
largest one and at least 0.4 times as large, there is an error; smaller ones are left out.

predict RUN FILE.wav: with a run of speech, print the digit of a recording, and its probability; with a run of speech
--strings, the digits that follow each other. The recording may be a WAV file of PCM or floats, of any rate, number of
channels and loudness. It becomes one channel of 8 kHz, without silence at its ends.

predict RUN FILE...: with a run on your own folder of photos or recordings (run ladder --data FOLDER), print the class
of each file and the probability of each class, as CSV. A folder stands for the photos or recordings in it; if their
folders are named as classes, the accuracy is printed.

predict RUN SENTENCE: with a run of translation, print the translation of an English sentence, which is quoted: predict
RUN "A man in a red shirt."

predict RUN FILE: with a run on your own file (sweep FILE, run ladder --data FILE), print the class of each row of
another file and the probability of each class, as CSV; of a run of regression, the predicted number. The file needs the
same columns, in any order; further columns are ignored. Rows are encoded and standardized as in training. If the file
has the labels, the accuracy is printed, or for regression R² and the errors.
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
    from experiments.datasets.folder_inputs import Inputs
    from experiments.networks.storage import StoredNetwork

_OF_HANDWRITING, _OF_SPEECH, _OF_TRANSLATION = ("mnist", "sweep-mnist"), "speech", "translation"
"""The experiments whose networks take images of MNIST, and those whose networks take recordings and sentences."""


@dataclass(frozen=True)
class Options(CacheOptions):
    """The options of `predict`."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    """The photo, the recording, or the file with rows; or the sentence."""
    more: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = ()
    """More photos or recordings, with a run on a folder of them."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A network of the run, by the name of its file. By default the best on dev for rows, else the deepest."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: printed)")] = None
    """Write the CSV to this file; an existing file is never replaced."""


def run_command(options: Options) -> str:
    """Return the class of a photo or a recording as text, the predictions of rows as CSV, or a translation.

    Raises:
      ValueError: if the run has no network for the file, or the file is invalid.
      OSError: if a file cannot be read or written.
    """
    experiment, file = _experiment(options.run), Path(options.file)
    if experiment == _OF_TRANSLATION:
        return _translate(options)
    inputs = _inputs_of(options.run)
    if inputs is not None:
        return _classify_files(options, inputs)
    if options.more:
        raise ValueError(f"predict takes one FILE with this run, got {1 + len(options.more)}: {options.more[0]}")
    name, network = _load_classifier(options.run, options.network)
    if network.image_shape is None and experiment not in (*_OF_HANDWRITING, _OF_SPEECH):
        return _classify_rows(options, file, name, network)
    if options.out:
        got = "a recording" if experiment == _OF_SPEECH else "a photo"
        raise ValueError(f"--out must be used with a file of rows, got {got}: its class is printed")
    if experiment == _OF_SPEECH:
        from experiments.studies.speech.new_recordings import recognize

        return recognize(file, network)
    if _is_regression(network):
        raise ValueError(f"{name} of {options.run} must be a classifier, got a network for regression")
    return _classify_photo(network, file)


def _inputs_of(run: Path) -> "Inputs | None":
    """Return what the files of a run on a folder become; `None` for another run."""
    if not (run / "encoder.json").is_file():
        return None
    from experiments.datasets.folder_inputs import load_inputs

    return load_inputs(run)


def _classify_files(options: Options, inputs: "Inputs") -> str:
    from experiments.networks import file_predictions

    run, name = options.run, options.network or _best("ladder", options.run)
    name, network = _load_classifier(run, name)
    files = file_predictions.files_of([Path(each) for each in (options.file, *options.more)], inputs)
    predicted = file_predictions.classify_files(run, files, inputs, network)
    scored = file_predictions.accuracy_by_folder(predicted, network.classes)
    ranked = "" if options.network else ", the run's best on dev"
    notes = [printable(line) for line in (f"by {name}, {network.spec}{ranked}", *scored)]
    return _printed(options, file_predictions.files_to_csv(predicted, network.classes), notes, len(files))


def _printed(options: Options, text: str, notes: list[str], n: int) -> str:
    """Return the predictions as text, with notes on stderr; or write them to a file, and return the notes."""
    if options.out is None:
        print(*notes, sep="\n", file=sys.stderr)
        return text.removesuffix("\n")
    if options.out.absolute().parent.resolve() == options.run.resolve():
        raise ValueError(f"--out must be outside the run's folder, got {options.out}")
    write_new(options.out, text.encode("utf-8", "replace"))
    return "\n".join([f"{options.out}: the classes of {n} files", *notes])


def _translate(options: Options) -> str:
    from experiments.studies.translation.saved import translate_sentence

    for name in ("network", "out"):
        if getattr(options, name):
            raise ValueError(f"--{name} must be omitted with a run of translation, got {getattr(options, name)}")
    return translate_sentence(options.run, options.file)


def _load_classifier(run: Path, name: str) -> tuple[str, "StoredNetwork"]:
    """Return a network of the run for labels or for one number, and its name; the deepest if no name is given."""
    from experiments.networks.storage import load_from_run

    name, network = load_from_run(run, name)
    one_of_two = (network.spec.output, network.spec.n_outputs) == ("binary", 1)
    if _is_regression(network):
        if network.spec.n_outputs != 1:
            raise ValueError(f"{name} of {run} must predict one number, got {network.spec.n_outputs}")
    elif not one_of_two and (network.spec.output != "softmax" or len(network.classes) < 2):
        raise ValueError(f"{name} of {run} must be a classifier, got a network without names of classes")
    return name, network


def _is_regression(network: "StoredNetwork") -> bool:
    return network.spec.output in ("linear", "relu")


def _experiment(run: Path) -> str:
    """Return the name of a run's experiment; empty for a folder without a config.json."""
    from experiments.runs.config import read_json_config

    try:
        return str(read_json_config(run)["experiment"])
    except ValueError:
        return ""


def _classify_photo(network: "StoredNetwork", photo: Path) -> str:
    from experiments.networks.spec import class_probabilities
    from experiments.readers.handwriting import read_handwriting
    from experiments.readers.photo import read_photo

    if network.image_shape is None:
        pixels = read_handwriting(photo)
    else:
        height, width, _ = network.image_shape
        pixels = read_photo(photo, height, width)
    pixels = pixels.reshape(1, *network.spec.in_shape)
    probabilities = class_probabilities(network.spec.model(), network.params, pixels, network.stats)[0]
    best = int(probabilities.argmax())
    return f"{network.classes[best]} with probability {probabilities[best]:.2f}"


def _classify_rows(options: Options, file: Path, name: str, network: "StoredNetwork") -> str:
    from experiments.datasets.new_rows import read_rows
    from experiments.networks import predictions
    from experiments.runs.config import read_config
    from experiments.runs.environment import digest
    from experiments.studies.registry import find

    # A run on a user's own data standardizes inputs; an import, which lacks these options, does not.
    config = read_config(options.run, find) if network.standardizer is not None else None
    if config is None or getattr(config.options, "data", None) is None:
        raise ValueError(
            f"{options.run} must be a run of catvnoncat, or on your own file (sweep FILE or run ladder --data FILE), "
            "or of mnist or speech: its networks take other data"
        )
    if options.out and options.out.absolute().parent.resolve() == options.run.resolve():
        raise ValueError(f"--out must be outside the run's folder, got {options.out}")
    if not options.network:
        name, network = _load_classifier(options.run, _best(config.study.name, options.run))
    regression = _is_regression(network)
    rows = read_rows(file, options.run, config.options, regression=regression)
    ranked = "" if options.network else ", the run's best on dev"
    notes = [f"by {name}, {network.spec}{ranked}", *rows.notes]
    if regression:
        numbers = predictions.predict_numbers(file, rows, network)
        text = predictions.numbers_to_csv(numbers, rows.label)
        scored = [] if rows.numbers is None else [predictions.errors(numbers, rows.numbers)]
    else:
        predicted = predictions.classify(file, rows, network)
        text = predictions.to_csv(predicted, network.classes)
        scored = [] if rows.labels is None else [predictions.accuracy(predicted, rows.labels, network.classes)]
    if scored:
        notes += scored
        trained_on = config.json.get("data")
        if isinstance(trained_on, dict) and digest(file) in trained_on.values():
            notes.append("note: this is the run's own data file: most of its rows are training rows")
    notes = [printable(line) for line in notes]
    if options.out is None:
        print(*notes, sep="\n", file=sys.stderr)
        return text.removesuffix("\n")
    write_new(options.out, text.encode())
    what = "predicted numbers" if regression else "classes"
    return "\n".join([f"{options.out}: the {what} of {len(rows.x)} rows", *notes])


def _best(experiment: str, run: Path) -> str:
    """Return the name of the best network of a run on a user's own data."""
    from experiments.studies.ladder.results import best_network

    return best_network(run) if experiment == "ladder" else "best"
