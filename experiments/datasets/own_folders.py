"""Read a folder of photos or recordings, one folder for each class, as a problem of classification."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

import jaxnn
from experiments.datasets.column_kinds import MOST_NUMBERS
from experiments.datasets.dataset import Dataset
from experiments.datasets.folder_inputs import (
    FRAMES_PER_SECOND,
    MOST_SECONDS,
    SIZES,
    Inputs,
    Photos,
    Recordings,
    as_json,
)
from experiments.datasets.labels import LONGEST_CLASS, MOST_CLASSES, count_classes
from experiments.datasets.options import OwnDataOptions
from experiments.datasets.own_data import weighted
from experiments.datasets.partition import check_rows, plural, split_rows
from experiments.readers.errors import InvalidFileError

FEWEST_FILES = 3
"""The minimum for a class, one for each part."""
_USED = ("data", "task", "class_weight", "size", "gray", "seconds")


def read_own_folder(options: OwnDataOptions, fractions: Sequence[float], seed: int) -> Dataset:
    """Read the folder that the options name and split it, stratified by class.

    Photos are standardized by the mean and deviation of each channel over the training part.

    Args:
      options: with the folder, and the size of photos or the length of recordings.
      fractions: the shares of train, dev and test.
      seed: the seed of the split.

    Raises:
      ValueError: if an option is not for folders, or out of bounds.
      InvalidFileError: if the folder has not the expected content, or a file is damaged.
      OSError: if a file cannot be opened.
    """
    path = options.data
    _check_options(options)
    classes, files, notes = _classes_of(path)
    inputs = _inputs_of(path, files, options)
    paths = [file for of_class in files for file in of_class]
    if len(paths) * np.prod(inputs.shape) > MOST_NUMBERS:
        size = " x ".join(map(str, inputs.shape))
        smaller = "--size" if isinstance(inputs, Photos) else "--seconds"
        raise InvalidFileError(
            f"{path} has {len(paths):,} files of {size} numbers each, more than {MOST_NUMBERS:,}: reduce {smaller}"
        )
    check_rows(path, len(paths))
    y = np.repeat(np.arange(len(files), dtype=np.int32), [len(of_class) for of_class in files])
    x = np.empty((len(paths), *inputs.shape), np.float32)
    for row, file in zip(x, paths, strict=True):
        row[:] = inputs.read(file)
    parts = split_rows(y, fractions, seed)
    stats = _standardizer(x, parts[0].x) if isinstance(inputs, Photos) else None
    ready = [part._replace(x=x[part.x] if stats is None else jaxnn.standardize(stats, x[part.x])) for part in parts]
    ready = [part._replace(x=part.x.astype(np.float32, copy=False)) for part in ready]
    size = " x ".join(map(str, inputs.shape))
    unit = "pixels and channels" if isinstance(inputs, Photos) else f"frames of {1 / FRAMES_PER_SECOND:g} s and bands"
    name = re.sub(r"[^\w.-]+", " ", path.resolve().name).strip(" .")[:50] or "data"
    data = Dataset(
        *ready,
        classes,
        stats,
        files=(path,),
        encoder=as_json(inputs),
        notes=(
            f"{name}: {len(paths)} {inputs.kind} as {size} {unit}, {len(classes)} classes",
            f"the folders: {count_classes(classes, y)}",
            *notes,
        ),
        name=name,
        example_shape=inputs.shape,
    )
    return data if options.class_weight is None else weighted(path, data, options.class_weight)


def listed_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files of a folder, and of the folders in it, with these suffixes, in the order of their paths.

    Hidden files, and those in hidden folders, are skipped.
    """
    visible = [each for each in folder.iterdir() if not each.name.startswith(".")]
    files = (*visible, *(file for each in visible for file in each.glob("*") if not file.name.startswith(".")))
    return sorted(file for file in files if _is_of(file, suffixes))


def _is_of(file: Path, suffixes: Iterable[str]) -> bool:
    return file.suffix.lower() in suffixes and file.is_file()


def _check_options(options: OwnDataOptions) -> None:
    others = [
        f"--{field.name.replace('_', '-')}"
        for field in fields(OwnDataOptions)
        if field.name not in _USED and getattr(options, field.name) != field.default
    ]
    if others or options.task == "regression":
        got = ", ".join(others) or "--task regression"
        raise ValueError(
            f"{got} must be used with a table, got the folder {options.data}, whose folders are the classes"
        )
    if not SIZES[0] <= options.size <= SIZES[1]:
        raise ValueError(f"--size must be from {SIZES[0]} to {SIZES[1]} pixels, got {options.size}")
    if not 0.1 <= options.seconds <= MOST_SECONDS:
        raise ValueError(f"--seconds must be from 0.1 to {MOST_SECONDS:g}, got {options.seconds:g}")


def _classes_of(path: Path) -> tuple[tuple[str, ...], list[list[Path]], list[str]]:
    """Return the names of the classes, the files of each, and notes on what is left out."""
    known = (*Photos.suffixes, *Recordings.suffixes)
    visible = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    folders = [each for each in visible if each.is_dir()]
    if not 2 <= len(folders) <= MOST_CLASSES:
        raise InvalidFileError(
            f"{path} has {len(folders)} folders, expected one for each of 2 to {MOST_CLASSES} classes, with its photos "
            "(PNG or JPEG) or recordings (WAV)"
        )
    files, others = [], [each for each in visible if not each.is_dir()]
    for folder in folders:
        if not folder.name.isprintable() or len(folder.name) > LONGEST_CLASS:
            raise InvalidFileError(f"{path} has a folder {folder.name[:50]!r}, expected the printable name of a class")
        inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
        files.append([each for each in inside if _is_of(each, known)])
        others += [each for each in inside if not _is_of(each, known)]
        if len(files[-1]) < FEWEST_FILES:
            raise InvalidFileError(
                f"{folder} has {plural(len(files[-1]), 'photo')} or recordings, expected at least {FEWEST_FILES}, for "
                "train, dev and test: add some, or remove the folder"
            )
    left = f"left out: {len(others)} other files or folders, the first {others[0].relative_to(path)}" if others else ""
    return tuple(folder.name for folder in folders), files, [left] if left else []


def _inputs_of(path: Path, files: Sequence[Sequence[Path]], options: OwnDataOptions) -> Inputs:
    """Return what the files become; raise if they are of two kinds."""
    kinds: dict[bool, Path] = {}
    for file in (file for of_class in files for file in of_class):
        kinds.setdefault(file.suffix.lower() in Recordings.suffixes, file)
    if len(kinds) > 1:
        raise InvalidFileError(f"{path} must have photos or recordings, got both: {kinds[False]} and {kinds[True]}")
    if True in kinds:
        return Recordings(round(options.seconds * FRAMES_PER_SECOND))
    return Photos(options.size, 1 if options.gray else 3)


def _standardizer(x: np.ndarray, train: np.ndarray) -> jaxnn.data.Standardizer:
    """Return the mean and deviation of each channel over the training photos; 1 for a channel that is constant."""
    means = np.stack([one.mean(axis=(0, 1), dtype=np.float64) for one in x[train]])
    squares = np.stack([np.square(one, dtype=np.float64).mean(axis=(0, 1)) for one in x[train]])
    mean = means.mean(axis=0)
    std = np.sqrt(np.maximum(squares.mean(axis=0) - mean**2, 0))
    return jaxnn.data.Standardizer(mean, np.where(std > 1e-6, std, 1.0))
