"""Read datasets of HDF5 files, which may be damaged or malicious.

The format's library is large and written in C: in trials it crashed on about one damaged file in 40 000, and a small
file can declare data of any size. So it runs in a separate process, with limits on its time and memory.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.readers.errors import InvalidFileError, check_file

_CHILD = Path(__file__).with_name("hdf5_worker.py")
_LONGEST_WAIT = 60
"""Seconds, for a busy machine or a sleeping disk: the worker's limit of processor time is far lower."""
_FIX = "download the file again, or check the program that wrote it"


class Stored(NamedTuple):
    """A dataset of a file.

    Attributes:
      dtype: its name in NumPy, or "names" for words.
      shape: its shape.
      values: the numbers, or the words as a list; `None` if there are too many.
    """

    dtype: str
    shape: tuple[int, ...]
    values: np.ndarray | list[str] | None

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def read_datasets(path: Path, names: Sequence[str], *, most_bytes: int) -> dict[str, Stored]:
    """Return the datasets with these names; for one of more than `most_bytes`, only dtype and shape.

    Links to other files, and datasets that are stored in other files, are treated as absent.

    Raises:
      InvalidFileError: if it is not an HDF5 file, is damaged, or lacks a dataset.
      OSError: if the file cannot be opened.
    """
    output, data = _run_worker(path, most_bytes, names)
    for name in names:
        if name not in output["datasets"]:
            raise InvalidFileError(
                f"{path} has no dataset {name}, only {', '.join(output['all']) or 'nothing'}: {_FIX}"
            )
    return _unpack(output["datasets"], data)


def dataset_names(path: Path) -> list[str]:
    """Return the paths of all datasets of a file, such as layers/dense/vars/0, at most a thousand.

    Raises:
      InvalidFileError: if it is not an HDF5 file, or is damaged.
      OSError: if the file cannot be opened.
    """
    return _run_worker(path, 0, [])[0]["all"]


def _run_worker(path: Path, most_bytes: int, names: Sequence[str]) -> tuple[dict, bytes]:
    """Return the worker's JSON output, and the numbers that follow it."""
    check_file(path, 2**40)  # only that it is a plain file: little of a large one is read
    path.open("rb").close()
    command = [sys.executable, "-P", str(_CHILD), str(path.absolute()), str(most_bytes), *names]
    # Without threads the worker needs less memory. Plug-ins are code that a file can load.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=_LONGEST_WAIT, check=False)
    except subprocess.TimeoutExpired:
        raise InvalidFileError(f"{path} took HDF5's library more than {_LONGEST_WAIT} s: {_FIX}") from None
    line, _, data = done.stdout.partition(b"\n")
    if done.returncode < 0:
        raise InvalidFileError(
            f"{path} is damaged: HDF5's library took too long or crashed ({-done.returncode}); {_FIX}"
        )
    if done.returncode or not line:
        raise RuntimeError(f"the reader of HDF5 files failed: {done.stderr.decode(errors='replace')[-1000:]}")
    output = json.loads(line)
    if "damaged" in output:
        raise InvalidFileError(f"{path} is damaged or not an HDF5 file ({output['damaged']}): {_FIX}")
    return output, data


def _unpack(described: dict[str, dict], data: bytes) -> dict[str, Stored]:
    datasets, at = {}, 0
    for name, about in described.items():
        shape, values = tuple(about["shape"]), about.get("names")
        if about.get("sent"):
            bits = about["dtype"] == "bfloat16"
            dtype, count = np.dtype("<u2" if bits else about["dtype"]), math.prod(shape)
            values = np.frombuffer(data, dtype, count, at).reshape(shape)
            at += count * dtype.itemsize
            if bits:  # the upper half of a float32 number
                values = (values.astype(np.uint32) << 16).view(np.float32)
        dtype = about["dtype"] if values is None or isinstance(values, list) else str(values.dtype)
        datasets[name] = Stored(dtype, shape, values)
    return datasets


def class_indices(y: Stored, m: int) -> np.ndarray | None:
    """Return labels as integers (m,), from any dtype with whole values and shape (m,), (m, 1) or (1, m); else None."""
    values = y.values
    if y.shape not in ((m,), (m, 1), (1, m)) or not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        return None
    whole = values.dtype.kind != "f" or bool((np.isfinite(values) & (values == np.round(values))).all())
    return values.ravel().astype(np.int64) if whole and bool((np.abs(values.astype(float)) < 2**53).all()) else None
