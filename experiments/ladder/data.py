"""The data of the ladder: two of scikit-learn's own, split in three and standardised by the training part."""

from typing import NamedTuple

import numpy as np

import jaxnn

FRACTIONS = (0.7, 0.15, 0.15)


class Dataset(NamedTuple):
    """A classification problem, ready for training: x (m, n_in) float32, y (m,) class numbers.

    Where each x was an image, `image_shape` is its height and width.
    """

    name: str
    train: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]
    standardizer: jaxnn.Standardizer
    image_shape: tuple[int, int] | None

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


def _prepare(name: str, bunch: object, seed: int, image_shape: tuple[int, int] | None) -> Dataset:
    parts = jaxnn.split(bunch.data.astype(np.float32), bunch.target, FRACTIONS, seed=seed, stratify=True)
    stats = jaxnn.fit_standardizer(parts[0].x)
    train, dev, test = (part._replace(x=jaxnn.standardize(stats, part.x)) for part in parts)
    return Dataset(name, train, dev, test, tuple(map(str, bunch.target_names)), stats, image_shape)
