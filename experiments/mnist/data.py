"""Finds and reads the images, and says what is wrong with files that are not as they should be."""

from pathlib import Path

import numpy as np

import jaxnn
from experiments.data_files import places
from experiments.idx import read_idx
from experiments.refusal import Refused

CLASSES = tuple("0123456789")
SIDE = 28
_FILES = {"train": "train", "test": "t10k"}


def find_files(data_dir: Path | None) -> dict[str, tuple[Path, Path]]:
    """The paths of images and labels of "train" and "test": in `data_dir`, or else in $JAXNN_DATA or ./data."""
    folders = places(data_dir, "mnist")
    for folder in folders:
        found = {
            part: tuple(_path(folder, f"{name}-{what}-ubyte") for what in ("images-idx3", "labels-idx1"))
            for part, name in _FILES.items()
        }
        if all(path for paths in found.values() for path in paths):
            return found
    raise ValueError(
        f"no folder has the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        f"t10k-labels-idx1-ubyte, with or without .gz; looked in {', '.join(map(str, folders))}; put them into "
        "./data/mnist, or give their folder as --data-dir"
    )


def read_images(paths: tuple[Path, Path]) -> jaxnn.Batch:
    """Pixels divided by 255 as rows, x (m, 784) float32, and the digits y (m,) int32.

    Raises:
      Refused: a damaged file, images of another size, as many labels as no images, or labels outside 0 to 9.
    """
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        raise Refused(f"{paths[0]} holds images of shape {images.shape}, expected (m, {SIDE}, {SIDE}), m above 0")
    if len(labels) != len(images):
        raise Refused(f"{paths[1]} holds {len(labels):,} labels for the {len(images):,} images of {paths[0].name}")
    if labels.max() > 9:
        raise Refused(f"{paths[1]} holds labels up to {labels.max()}, expected the digits 0 to 9")
    pixels = np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
    return jaxnn.Batch(pixels, labels.astype(np.int32))


def split_dev(train: jaxnn.Batch, seed: int) -> tuple[jaxnn.Batch, ...]:
    """The training images without, and the dev split: a sixth, 10 000 of 60 000."""
    return jaxnn.split(train.x, train.y, (5 / 6, 1 / 6), seed=seed, stratify=True)


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)
