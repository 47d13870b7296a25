"""Reads the cat photos, and says what is wrong with files that are not as they should be."""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

import jaxnn
from experiments.data_files import places

FILES = {"train": "train_catvnoncat.h5", "test": "test_catvnoncat.h5"}
IMAGE_SHAPE = (64, 64, 3)
MOST_IMAGES = 10_000
"""More would not be this data set, and would not fit comfortably in memory as floats."""

_FIX = "get the file again, or see what wrote it"


class Photos(NamedTuple):
    """Pixels divided by 255 as rows, x (m, 12288) float32, and y (m,), 1 for a cat."""

    train: jaxnn.Batch
    test: jaxnn.Batch
    classes: tuple[str, ...]


def find_files(data_dir: Path | None) -> dict[str, Path]:
    """The path of each file: in `data_dir`, or else in $JAXNN_DATA or ./data; or in their subfolder catvnoncat."""
    folders = places(data_dir, "catvnoncat")
    for folder in folders:
        paths = {part: folder / name for part, name in FILES.items()}
        if all(path.is_file() for path in paths.values()):
            return paths
    raise ValueError(
        f"no folder has both {FILES['train']} (datasets train_set_x uint8 (209, 64, 64, 3), train_set_y, list_classes) "
        f"and {FILES['test']} (test_set_x, test_set_y); looked in {', '.join(map(str, folders))}; "
        "put them into ./data/catvnoncat, or give their folder as --data-dir"
    )


def read_photos(paths: dict[str, Path]) -> Photos:
    """Both files, checked before they are read in full.

    Raises:
      ValueError: a file that is not HDF5 or is damaged, or data of another kind than expected.
    """
    parts = {}
    classes = ()
    for part, path in paths.items():
        try:
            with h5py.File(path, "r") as file:
                parts[part] = _read_part(file, path, part)
                if part == "train":
                    classes = _read_classes(file, path)
        except OSError as error:
            raise ValueError(f"{path} is damaged or no HDF5 file ({error}): {_FIX}") from None
    return Photos(**parts, classes=classes)


def _read_part(file: h5py.File, path: Path, part: str) -> jaxnn.Batch:
    x, y = (_dataset(file, path, f"{part}_set_{name}") for name in "xy")
    if x.ndim != 4 or x.shape[1:] != IMAGE_SHAPE or x.dtype != np.uint8 or not 1 <= len(x) <= MOST_IMAGES:
        raise ValueError(
            f"{path}: {part}_set_x is {x.dtype} {x.shape}, expected uint8 (m, 64, 64, 3) with m from 1 to "
            f"{MOST_IMAGES}: {_FIX}"
        )
    if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
        raise ValueError(f"{path}: {part}_set_y is {y.dtype} {y.shape}, expected whole numbers ({len(x)},): {_FIX}")
    labels = y[:]
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"{path}: {part}_set_y holds labels from {labels.min()} to {labels.max()}, expected 0 (non-cat) and 1 (cat)"
        )
    pixels = x[:].reshape(len(x), -1).astype(np.float32) / 255
    return jaxnn.Batch(pixels, labels.astype(np.int32))


def _read_classes(file: h5py.File, path: Path) -> tuple[str, ...]:
    names = _dataset(file, path, "list_classes")
    if names.shape != (2,) or names.dtype.kind not in "SO":
        raise ValueError(f"{path}: list_classes is {names.dtype} {names.shape}, expected two names: {_FIX}")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names[:])


def _dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{path} has no dataset {name}, only {', '.join(file) or 'nothing'}: {_FIX}")
    return found
