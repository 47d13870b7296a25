"""Load the ladder's data: two sets of scikit-learn or a user's, split in three and standardized."""

import numpy as np

import jaxnn
from experiments.datasets.dataset import Dataset
from experiments.datasets.options import OwnDataOptions, own_data_flags
from experiments.datasets.own_data import read_own_data
from experiments.datasets.own_folders import read_own_folder
from experiments.datasets.reading import reading_of
from experiments.datasets.splits import division_of
from experiments.datasets.tasks import task_of

FRACTIONS = (0.7, 0.15, 0.15)


def load_datasets(seed: int) -> list[Dataset]:
    """Load breast cancer and digits, which come with scikit-learn: nothing is downloaded."""
    from sklearn.datasets import load_breast_cancer, load_digits  # slow to import, so not for --help

    return [
        _prepare("breast cancer", load_breast_cancer(), seed, None),
        _prepare("digits", load_digits(), seed, (8, 8)),
    ]


def load_own(options: OwnDataOptions, seed: int) -> Dataset:
    """Load the user's own data, from the file that the options name.

    Raises:
      ValueError, OSError: if the options or the file are invalid, with the place.
    """
    reading = reading_of(options)
    if options.data is None:
        flags = " and ".join(own_data_flags(options)) or "--label and the like"
        raise ValueError(f"--data FILE must be given with {flags}, options for your own data")
    if options.data.is_dir():
        return read_own_folder(options, FRACTIONS, seed)
    if options.size != 64 or options.gray or options.seconds != 3.0:
        raise ValueError("--size, --gray and --seconds must be used with a folder of photos or recordings")
    return read_own_data(
        options.data, options.label, options.drop, FRACTIONS, seed, reading, task_of(options), division_of(options)
    )


def _prepare(name: str, bunch: object, seed: int, image_shape: tuple[int, int] | None) -> Dataset:
    parts = jaxnn.split(bunch.data.astype(np.float32), bunch.target, FRACTIONS, seed=seed, stratify=True)
    stats = jaxnn.data.fit_standardizer(parts[0].x)
    train, dev, test = (part._replace(x=jaxnn.standardize(stats, part.x)) for part in parts)
    return Dataset(train, dev, test, tuple(map(str, bunch.target_names)), stats, image_shape, name=name)
