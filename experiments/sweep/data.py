"""The data sets that can be swept on, each split in train, dev and test. Another one is another function here."""

from collections.abc import Callable
from pathlib import Path

import jaxnn
from experiments.ladder.data import Dataset, load_datasets


def load(name: str, split_seed: int, data_dir: Path | None) -> Dataset:
    """The data set of that name, one of `experiments.sweep.DATA`.

    Raises:
      ValueError, OSError: its files are not there, or not as they should be.
    """
    return _LOADERS[name](split_seed, data_dir)


def _breast_cancer(split_seed: int, data_dir: Path | None) -> Dataset:
    return load_datasets(split_seed)[0]


def _digits(split_seed: int, data_dir: Path | None) -> Dataset:
    return load_datasets(split_seed)[1]


def _catvnoncat(split_seed: int, data_dir: Path | None) -> Dataset:
    from experiments.catvnoncat.data import IMAGE_SHAPE, find_files, read_photos  # needs h5py, and the others do not

    photos = read_photos(find_files(data_dir))
    # The published test photos stay what they are.
    train, dev = jaxnn.split(*photos.train[:2], (0.8, 0.2), seed=split_seed, stratify=True)
    return Dataset("catvnoncat", train, dev, photos.test, photos.classes, None, IMAGE_SHAPE)


_LOADERS: dict[str, Callable[[int, Path | None], Dataset]] = {
    "breast-cancer": _breast_cancer,
    "catvnoncat": _catvnoncat,
    "digits": _digits,
}
