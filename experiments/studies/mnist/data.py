"""Find, read and validate the images."""

import re
import string
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.paths import places
from experiments.readers.errors import InvalidFileError
from experiments.readers.idx import read_idx
from experiments.readers.npz import read_npz

CLASSES = tuple("0123456789")
SIDE = 28
MOST_CLASSES = 100
_UPPER, _LOWER = string.ascii_uppercase, string.ascii_lowercase
_NAMES = {(1, 26): _UPPER, (0, 46): (*CLASSES, *_UPPER, *"abdefghnqrt"), (0, 61): (*CLASSES, *_UPPER, *_LOWER)}
"""Names of classes by their first and last label: EMNIST's letters, balanced and bymerge, and byclass."""
_FILE = re.compile(
    r"(?:(?P<set>.+)-)?(?P<part>train|t10k|test)-(?P<what>images|labels)[-.]idx[13]-ubyte"
    r"(?P<copy> ?\(\d+\)|-\d)?(?P<packed>\.gz)?",
    re.IGNORECASE,
)
"""Names as published; with a dot, as from gunzip and Kaggle; with a number, as browsers name a second copy."""
_NPZ = "mnist.npz"
_BELOW = (".", "raw", "MNIST/raw", "gzip")
"""Folders of the files in torchvision's folder, and in EMNIST's archive."""


class Part(NamedTuple):
    """The location of images and labels: two idx files, or x_NAME and y_NAME in one npz file, as Keras stores them."""

    images: Path
    labels: Path
    name: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files, without repetition."""
        return tuple(dict.fromkeys(self[:2]))


class Classes(NamedTuple):
    """The names of the classes, and the label of the first, which is 1 in EMNIST's letters."""

    names: tuple[str, ...]
    first: int

    def __str__(self) -> str:
        labels = f"{self.first} to {self.first + len(self.names) - 1}"
        return f"the digits {labels}" if self.names == CLASSES else f"{labels}, as in training"


def find_files(data_dir: Path | None) -> dict[str, Part]:
    """Return the files of "train" and "test": in `data_dir`, or else in $JAXNN_DATA or ./data.

    If a folder has several data sets, as EMNIST's has, `data_dir` is the folder and the name of one:
    gzip/emnist-letters for gzip/emnist-letters-train-images-idx3-ubyte.gz and so on. One of its files names it too.

    Raises:
      ValueError: if no folder has the files, or one has several data sets and none is named.
    """
    folders = places(data_dir, "mnist")
    for folder in folders:
        if not folder.is_dir():
            file = _FILE.fullmatch(folder.name)
            if named := _data_sets(folder.parent).get(file["set"] or "" if file else folder.name):
                return named
        for place in (folder / below for below in _BELOW):
            if data_sets := _data_sets(place):
                return _only_one(place, data_sets)
    elsewhere = next((place for folder in folders for place in sorted(folder.glob("*/raw")) if _data_sets(place)), None)
    raise ValueError(
        f"no folder has the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        f"t10k-labels-idx1-ubyte, with or without .gz, or {_NPZ}; searched {', '.join(map(str, folders))}; "
        + (f"{elsewhere} has them: give it" if elsewhere else "put them into ./data/mnist, or give their folder")
        + " as --data-dir"
    )


def _data_sets(folder: Path) -> dict[str, dict[str, Part]]:
    """Return the data sets whose files are all in the folder, by the name before "train", or that of the npz file.

    If a file is there under two names, one without a browser's number is preferred, then a compressed one.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    matches = [(path, match) for path in paths if (match := _FILE.fullmatch(path.name))]
    files: dict[str, dict[tuple[str, str], Path]] = {}
    for path, match in sorted(matches, key=lambda each: (bool(each[1]["copy"]), not each[1]["packed"])):
        part = "train" if match["part"].lower() == "train" else "test"
        files.setdefault(match["set"] or "", {}).setdefault((part, match["what"].lower()), path)
    npz = {
        path.name: {part: Part(path, path, part) for part in ("train", "test")} for path in paths if path.name == _NPZ
    }
    return npz | {
        name: {part: Part(each[part, "images"], each[part, "labels"]) for part in ("train", "test")}
        for name, each in files.items()
        if len(each) == 4
    }


def _only_one(folder: Path, data_sets: dict[str, dict[str, Part]]) -> dict[str, Part]:
    """Return the data set with MNIST's file names, or the only one."""
    for name in ("", _NPZ):
        if name in data_sets:
            return data_sets[name]
    if len(data_sets) > 1:
        names = sorted(data_sets)
        raise ValueError(f"{folder} has {', '.join(names)}: name one, as in --data-dir {folder / names[0]}")
    return next(iter(data_sets.values()))


def read_classes(train: Part) -> Classes:
    """Return the classes of the training labels: the digits if none is above 9, else one per label up to the highest.

    Raises:
      InvalidFileError: if the file is damaged, or labels are above `MOST_CLASSES`.
    """
    labels = _labels(Part(*train))
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if high > MOST_CLASSES:
        raise InvalidFileError(
            f"{train[1]} holds labels up to {high}, expected the digits 0 to 9, or labels up to {MOST_CLASSES}"
        )
    if high < len(CLASSES):
        return Classes(CLASSES, 0)
    first = min(low, 1)
    return Classes(tuple(_NAMES.get((first, high), map(str, range(first, high + 1)))), first)


def read_images(part: Part, classes: Classes | None = None) -> jaxnn.Batch:
    """Return pixels divided by 255 as rows, x (m, 784) float32, and class numbers y (m,) int32 from 0.

    Args:
      part: the files.
      classes: those of the training labels; by default those of this part.

    Raises:
      InvalidFileError: if a file is damaged, images have another size, there are not as many labels as images, or a
        label is of no class.
    """
    part = Part(*part)
    images, labels, classes = _images(part), _labels(part), classes or read_classes(part)
    if images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        raise InvalidFileError(
            f"{part.images} holds images of shape {images.shape}, expected (m, {SIDE}, {SIDE}), m above 0"
        )
    if len(labels) != len(images):
        raise InvalidFileError(
            f"{part.labels} holds {len(labels):,} labels for the {len(images):,} images of {part.images.name}"
        )
    y = labels.astype(np.int32) - classes.first
    if y.min() < 0 or y.max() >= len(classes.names):
        wrong = f"down to {labels.min()}" if y.min() < 0 else f"up to {labels.max()}"
        raise InvalidFileError(f"{part.labels} holds labels {wrong}, expected {classes}")
    return jaxnn.Batch(np.divide(images.reshape(len(images), -1), 255, dtype=np.float32), y)


def _images(part: Part) -> np.ndarray:
    return _bytes(part.images, f"x_{part.name}", 3) if part.name else read_idx(part.images, 3)


def _labels(part: Part) -> np.ndarray:
    return _bytes(part.labels, f"y_{part.name}", 1) if part.name else read_idx(part.labels, 1)


def _bytes(path: Path, name: str, axes: int) -> np.ndarray:
    array = read_npz(path, [name])[name]
    if array.ndim != axes or array.dtype.kind not in "iu" or array.size and not 0 <= array.min() <= array.max() <= 255:
        raise InvalidFileError(
            f"{path}: {name} is {array.dtype} {array.shape}, expected integers 0 to 255 of {axes} axes"
        )
    return array.astype(np.uint8)


def split_dev(train: jaxnn.Batch, seed: int) -> tuple[jaxnn.Batch, ...]:
    """Return the training images without the dev split, and the dev split: a sixth, 10 000 of 60 000."""
    return jaxnn.split(train.x, train.y, (5 / 6, 1 / 6), seed=seed, stratify=True)
