"""Load the data sets for sweeps, each split into train, dev and test; one function each."""

from collections.abc import Callable

import jaxnn
from experiments.datasets.dataset import Dataset
from experiments.datasets.options import own_data_flags
from experiments.studies.ladder import data as ladder
from experiments.studies.sweep import Options


def load(name: str, options: Options) -> Dataset:
    """Load the data set of that name, one of `experiments.studies.sweep.DATA`.

    Raises:
      ValueError, OSError: if its files are missing or invalid.
    """
    flags = own_data_flags(options)
    if name != "own" and flags:
        raise ValueError(f"{', '.join(flags)} must be used with your own data, got {name}: use sweep FILE ...")

    return _LOADERS[name](options)


def _scikit_learns(i: int) -> Callable[[Options], Dataset]:
    # The image shape in a stored network is for photos, which digits are not.
    return lambda options: ladder.load_datasets(options.split_seed)[i]._replace(image_shape=None)


# The published test set is used: dev is a part of the published training set.


def _catvnoncat(options: Options) -> Dataset:
    from experiments.studies.catvnoncat.data import IMAGE_SHAPE, find_files, read_photos

    files = find_files(options.data_dir)
    photos = read_photos(files)
    train, dev = jaxnn.split(photos.train.x, photos.train.y, (0.8, 0.2), seed=options.split_seed, stratify=True)
    return Dataset(train, dev, photos.test, photos.classes, image_shape=IMAGE_SHAPE, files=tuple(files.values()))


def _mnist(options: Options) -> Dataset:
    from experiments.studies.mnist.data import find_files, read_classes, read_images, split_dev

    parts = find_files(options.data_dir)
    classes = read_classes(parts["train"])
    train, test = (read_images(part, classes) for part in parts.values())
    files = tuple(dict.fromkeys(path for part in parts.values() for path in part.files))
    return Dataset(*split_dev(train, options.split_seed), test, classes.names, files=files)


def _own(options: Options) -> Dataset:
    if options.data is not None and options.data.is_dir():
        raise ValueError(
            f"sweep must be used with a table or an npz file, got the folder {options.data}: use run ladder"
        )
    return ladder.load_own(options, options.split_seed)


_LOADERS: dict[str, Callable[[Options], Dataset]] = {
    "breast-cancer": _scikit_learns(0),
    "catvnoncat": _catvnoncat,
    "digits": _scikit_learns(1),
    "mnist": _mnist,
    "own": _own,
}
