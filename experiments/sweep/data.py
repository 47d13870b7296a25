"""The data sets that can be swept on, each split in train, dev and test. Another one is another function here."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jaxnn
from experiments.ladder.data import load_datasets


class Dataset(NamedTuple):
    """A classification problem, ready for training: x (m, n_in) float32, y (m,) class numbers.

    `classes`, `image_shape` and `standardizer` are those of the winner's `StoredNetwork`; `files` are what all this was
    read from, if any.
    """

    train: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]
    image_shape: tuple[int, ...] | None = None
    standardizer: jaxnn.Standardizer | None = None
    files: tuple[Path, ...] = ()


def load(name: str, split_seed: int, data_dir: Path | None) -> Dataset:
    """The data set of that name, one of `experiments.sweep.DATA`.

    Raises:
      ValueError, OSError: its files are not there, or not as they should be.
    """
    return _LOADERS[name](split_seed, data_dir)


def _scikit_learns(i: int) -> Callable[[int, Path | None], Dataset]:
    def read(split_seed, data_dir):
        data = load_datasets(split_seed)[i]
        return Dataset(data.train, data.dev, data.test, data.classes, standardizer=data.standardizer)

    return read


# What was published as a test set stays one: dev is a part of the rest.


def _catvnoncat(split_seed: int, data_dir: Path | None) -> Dataset:
    from experiments.catvnoncat.data import IMAGE_SHAPE, find_files, read_photos  # needs h5py, and the others do not

    files = find_files(data_dir)
    photos = read_photos(files)
    train, dev = jaxnn.split(photos.train.x, photos.train.y, (0.8, 0.2), seed=split_seed, stratify=True)
    return Dataset(train, dev, photos.test, photos.classes, IMAGE_SHAPE, files=tuple(files.values()))


def _mnist(split_seed: int, data_dir: Path | None) -> Dataset:
    from experiments.mnist.data import CLASSES, find_files, read_images, split_dev

    found = find_files(data_dir)
    parts = {part: read_images(paths) for part, paths in found.items()}
    files = tuple(path for paths in found.values() for path in paths)
    return Dataset(*split_dev(parts["train"], split_seed), parts["test"], CLASSES, files=files)


_LOADERS: dict[str, Callable[[int, Path | None], Dataset]] = {
    "breast-cancer": _scikit_learns(0),
    "catvnoncat": _catvnoncat,
    "digits": _scikit_learns(1),
    "mnist": _mnist,
}
