"""The data of a study, from any source."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from experiments.datasets.targets import Target
from jaxnn.models.feedforward import OutputName


class Dataset(NamedTuple):
    """A problem, ready for training: x (m, n_in) float32, y (m,) class indices, or scaled numbers float32.

    If columns are embedded, x is a tuple of these numbers and the whole numbers (m,) int32 of each such column.

    Attributes:
      train, dev, test: the parts.
      classes: the names of the classes, in order; empty for regression.
      standardizer: of the numbers, fitted on the training part; `None` if they were only scaled.
      image_shape: the shape of each image if x are images, else `None`.
      files: the data files, if any.
      embedded: the number of whole numbers of each embedded column; empty if x is one array.
      encoder: the encoding of a row of a user's CSV file, as JSON.
      notes: texts on how a user's file was read.
      name: the name in reports and file names.
      target: the numbers of regression; `None` for classification.
      example_shape: of a photo (height, width, channels) or of a recording's features (frames, bands), if x are such;
        else `None`.
    """

    train: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]
    standardizer: jaxnn.data.Standardizer | None = None
    image_shape: tuple[int, ...] | None = None
    files: tuple[Path, ...] = ()
    embedded: tuple[int, ...] = ()
    encoder: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    name: str = ""
    target: Target | None = None
    example_shape: tuple[int, ...] | None = None

    @property
    def n_outputs(self) -> int:
        """Return how many outputs a network has: one for regression and for two classes."""
        return len(self.classes) if len(self.classes) > 2 else 1

    @property
    def output(self) -> OutputName:
        """Return what the outputs of a network mean, as `jaxnn.mlp` takes it."""
        if self.target is not None:
            return "relu" if self.target.nonnegative else "linear"
        return "softmax" if len(self.classes) > 2 else "binary"

    @property
    def numbers(self) -> int:
        """Return how many numbers a row has, without embedded columns."""
        return (self.train.x[0] if self.embedded else self.train.x).shape[1]

    def images(self, x: np.ndarray) -> np.ndarray:
        """Return the images (m, height, width) of standardized inputs (m, n_in)."""
        return (x * self.standardizer.std + self.standardizer.mean).reshape(-1, *self.image_shape)
