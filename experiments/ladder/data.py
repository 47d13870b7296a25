"""The data of the ladder: two of scikit-learn's own or a user's, split in three, standardised by the training part."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from experiments.options import OwnDataOptions
from experiments.own_data import read_own_data

FRACTIONS = (0.7, 0.15, 0.15)


class Dataset(NamedTuple):
    """A classification problem, ready for training: x (m, n_in) float32, y (m,) class numbers.

    Where each x was an image, `image_shape` is its height and width. Where the data are a user's own, `files` is
    their file, `encoder` says what makes inputs of its rows, and `notes` what was done to its values.
    """

    name: str
    train: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]
    standardizer: jaxnn.Standardizer
    image_shape: tuple[int, int] | None
    files: tuple[Path, ...] = ()
    encoder: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def images(self, x: np.ndarray) -> np.ndarray:
        """The images (m, height, width) that standardised inputs (m, n_in) were."""
        return (x * self.standardizer.std + self.standardizer.mean).reshape(-1, *self.image_shape)


def load_datasets(seed: int) -> list[Dataset]:
    """Breast cancer and digits. They come with scikit-learn: nothing is downloaded."""
    from sklearn.datasets import load_breast_cancer, load_digits  # slow to import, so not for --help

    return [
        _prepare("breast cancer", load_breast_cancer(), seed, None),
        _prepare("digits", load_digits(), seed, (8, 8)),
    ]


def load_own(options: OwnDataOptions, seed: int) -> Dataset:
    """The user's own, from the file that the options name.

    Raises:
      ValueError, OSError: what is wrong with the options, or with the file and where.
    """
    if options.data is None:
        raise ValueError("--label and --drop are of your own data: give their file as --data FILE")
    own = read_own_data(options.data, options.label, options.drop, FRACTIONS, seed)
    # A name on a Linux disk need not be UTF-8, and this one goes into texts and the names of files.
    name = re.sub(r"[^\w.-]+", " ", options.data.stem).strip(" .")[:50] or "data"
    parts = own.train, own.dev, own.test
    return Dataset(name, *parts, own.classes, own.standardizer, None, (options.data,), own.encoder, tuple(own.notes))


def _prepare(name: str, bunch: object, seed: int, image_shape: tuple[int, int] | None) -> Dataset:
    parts = jaxnn.split(bunch.data.astype(np.float32), bunch.target, FRACTIONS, seed=seed, stratify=True)
    stats = jaxnn.fit_standardizer(parts[0].x)
    train, dev, test = (part._replace(x=jaxnn.standardize(stats, part.x)) for part in parts)
    return Dataset(name, train, dev, test, tuple(map(str, bunch.target_names)), stats, image_shape)
