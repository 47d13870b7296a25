"""Predict the classes of photos or recordings: classes and probabilities as CSV, and the accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.folder_inputs import Inputs
from experiments.datasets.own_folders import listed_files
from experiments.networks.predictions import class_csv
from experiments.networks.scores import probabilities_of
from experiments.networks.storage import StoredNetwork
from experiments.readers.errors import InvalidFileError

FILES_AT_A_TIME = 256


class FilePredictions(NamedTuple):
    """The files, the index of the class of each, (m,), and the probabilities of the classes, (m, k)."""

    files: list[Path]
    labels: np.ndarray
    probabilities: np.ndarray


def files_of(paths: Sequence[Path], inputs: Inputs) -> list[Path]:
    """Return the files, with those of each folder in its place.

    Raises:
      InvalidFileError: if a folder has no photos or recordings, or a file is of another kind.
      OSError: if a path does not exist.
    """
    files = []
    for path in paths:
        if path.is_dir():
            found = listed_files(path, inputs.suffixes)
            if not found:
                raise InvalidFileError(f"{path} has no {inputs.kind} ({', '.join(inputs.suffixes)})")
            files += found
        elif path.suffix.lower() not in inputs.suffixes and path.exists():
            raise InvalidFileError(
                f"{path} must be {inputs.one} ({', '.join(inputs.suffixes)}), as the run's files are"
            )
        else:
            files.append(path)
    return files


def classify_files(run: Path, files: list[Path], inputs: Inputs, network: StoredNetwork) -> FilePredictions:
    """Return the network's predictions for files, which are read as in training.

    Raises:
      InvalidFileError: if the network does not fit the inputs, or a file is invalid.
      OSError: if a file cannot be opened.
    """
    spec, stats = network.spec, network.standardizer
    if tuple(spec.in_shape) != inputs.shape or (inputs.kind == "photos") != (stats is not None):
        raise InvalidFileError(f"{run} has an encoder of another run: its network takes {spec.in_shape}")
    parts = []
    for at in range(0, len(files), FILES_AT_A_TIME):
        x = np.stack([inputs.read(file) for file in files[at : at + FILES_AT_A_TIME]])
        x = x if stats is None else jaxnn.standardize(stats, x)
        parts.append(probabilities_of(spec, network.params, np.asarray(x, np.float32)))
    probabilities = np.concatenate(parts)
    return FilePredictions(files, probabilities.argmax(axis=1), probabilities)


def accuracy_by_folder(predictions: FilePredictions, classes: Sequence[str]) -> list[str]:
    """Return a line with the accuracy on the files whose folders are named as classes, if there are any."""
    number = {name: i for i, name in enumerate(classes)}
    known = [number.get(file.parent.name) for file in predictions.files]
    pairs = [(i, label) for i, label in zip(known, predictions.labels, strict=True) if i is not None]
    if not pairs:
        return []
    right = sum(i == label for i, label in pairs)
    return [f"accuracy {100 * right / len(pairs):.2f} %: {right} of {len(pairs)} files in folders named as classes"]


def files_to_csv(predictions: FilePredictions, classes: Sequence[str]) -> str:
    """Return one line per file: its path, its class, and the probabilities with all digits of float32."""
    names = [str(file) if str(file).isprintable() else ascii(str(file)) for file in predictions.files]
    return class_csv("file", classes, zip(names, predictions.labels, predictions.probabilities, strict=True))
