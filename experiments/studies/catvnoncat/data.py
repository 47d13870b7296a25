"""Read and validate the cat photos."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.paths import places
from experiments.readers.errors import InvalidFileError
from experiments.readers.hdf5 import Stored, class_indices, read_datasets

FILES = {"train": "train_catvnoncat.h5", "test": "test_catvnoncat.h5"}
IMAGE_SHAPE = (64, 64, 3)
MOST_IMAGES = 5_000
"""Files with more images are not this data set, and would need much memory as floats."""

_FIX = "download the file again, or check the program that wrote it"


class Photos(NamedTuple):
    """Pixels divided by 255 as rows, x (m, 12288) float32, and y (m,), 1 for a cat."""

    train: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]


def find_files(data_dir: Path | None) -> dict[str, Path]:
    """Return the path of each file: in `data_dir`, or else in $JAXNN_DATA or ./data; or in their folder catvnoncat."""
    folders = places(data_dir, "catvnoncat")
    for folder in folders:
        paths = {part: folder / name for part, name in FILES.items()}
        if all(path.is_file() for path in paths.values()):
            return paths
    raise ValueError(
        f"no folder has both {FILES['train']} (datasets train_set_x uint8 (209, 64, 64, 3), train_set_y, list_classes) "
        f"and {FILES['test']} (test_set_x, test_set_y); searched {', '.join(map(str, folders))}; "
        "put them into ./data/catvnoncat, or give their folder as --data-dir"
    )


def read_photos(paths: dict[str, Path]) -> Photos:
    """Read both files; sizes and types are checked before the data are read.

    Raises:
      InvalidFileError: if a file is not HDF5 or is damaged, or its data are not as expected.
      OSError: if it cannot be opened.
    """
    parts = {part: read_part(path, part) for part, path in paths.items()}
    return Photos(**{part: batch for part, (batch, _) in parts.items()}, classes=parts["train"][1])


def read_part(path: Path, part: str) -> tuple[jaxnn.Batch, tuple[str, ...]]:
    """Return the photos of a file, "train" or "test", and the names of the classes, which only the former has."""
    names = [f"{part}_set_x", f"{part}_set_y", *(["list_classes"] if part == "train" else [])]
    x, y, *words = read_datasets(path, names, most_bytes=MOST_IMAGES * math.prod(IMAGE_SHAPE)).values()
    return _part(path, part, x, y), _classes(path, *words) if words else ()


def _part(path: Path, part: str, x: Stored, y: Stored) -> jaxnn.Batch:
    if len(x.shape) != 4 or x.shape[1:] != IMAGE_SHAPE or x.dtype != "uint8" or not 1 <= x.shape[0] <= MOST_IMAGES:
        raise InvalidFileError(
            f"{path}: {part}_set_x is {x}, expected uint8 (m, 64, 64, 3) with m from 1 to {MOST_IMAGES}: {_FIX}"
        )
    m = x.shape[0]
    labels = class_indices(y, m)
    if labels is None:
        raise InvalidFileError(f"{path}: {part}_set_y is {y}, expected integers ({m},), ({m}, 1) or (1, {m}): {_FIX}")
    if not np.isin(labels, (0, 1)).all():
        lowest, highest = labels.min(), labels.max()
        raise InvalidFileError(
            f"{path}: {part}_set_y holds labels from {lowest} to {highest}, expected 0 (non-cat) and 1 (cat)"
        )
    pixels = np.divide(x.values.reshape(m, -1), 255, dtype=np.float32)
    return jaxnn.Batch(pixels, labels.astype(np.int32))


def _classes(path: Path, words: Stored) -> tuple[str, ...]:
    if words.shape != (2,) or words.dtype != "names":
        raise InvalidFileError(f"{path}: list_classes is {words}, expected two names: {_FIX}")
    if not all(name.isprintable() for name in words.values):
        raise InvalidFileError(f"{path}: list_classes holds {words.values}, expected names without line breaks: {_FIX}")
    return tuple(words.values)
