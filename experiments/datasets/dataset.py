"""What experiments train on, wherever it was read."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxnn


class Dataset(NamedTuple):
    """A classification problem, ready for training: x (m, n_in) float32, y (m,) class numbers.

    Attributes:
      train, dev, test: the parts.
      classes: the names of the classes, in order.
      standardizer: of the inputs, fitted on the training part; `None` where they were only scaled.
      image_shape: where each x was an image, its shape.
      files: what all this was read from, if any.
      encoder: what makes inputs of a row of a user's CSV file, as JSON.
      notes: what was done to the values of a user's file, for people.
      name: for people, and for names of files.
    """

    train: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]
    standardizer: jaxnn.data.Standardizer | None = None
    image_shape: tuple[int, ...] | None = None
    files: tuple[Path, ...] = ()
    encoder: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    name: str = ""

    def images(self, x: np.ndarray) -> np.ndarray:
        """The images (m, height, width) that standardized inputs (m, n_in) were."""
        return (x * self.standardizer.std + self.standardizer.mean).reshape(-1, *self.image_shape)
