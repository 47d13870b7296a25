"""Arrays W_1, b_1, W_2, ... as NumPy's npz, without pickles."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from experiments.network_file import StoredNetwork
from experiments.networks import NetworkSpec
from experiments.travel import safetensors
from experiments.travel.layers import Weights

OUTPUT = safetensors.OUTPUT
_MOST_BYTES = 2**32
"""What import unpacks at most. A zip of a few megabytes can hold as many terabytes of zeros."""


def encode(network: StoredNetwork) -> bytes:
    """The bytes of the file, not compressed: weights are too random for it."""
    file = io.BytesIO()
    np.savez(file, **safetensors.arrays(network))
    return file.getvalue()


def code(spec: NetworkSpec, file: str) -> str:
    """Lines that load the file by jaxnn; `numpy.load` alone gives the arrays."""
    return safetensors.code_by("numpy", "load", spec, file)


def read(path: Path) -> list[Weights]:
    """The layers of a file with arrays W_1, b_1, ..."""
    path.open("rb").close()  # says plainly what a missing or forbidden file is
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # damaged bytes can trip a decompressor anywhere
        raise ValueError(f"{path} is damaged, or no npz file of numbers: {error}") from None
    return safetensors.by_name(arrays)


def _check_sizes(path: Path) -> None:
    """Hold what each array says of its size against what the zip says, before NumPy makes room for it."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > _MOST_BYTES:
            raise ValueError(f"it unpacks to {total} bytes, more than the {_MOST_BYTES} that import takes")
        for member in members:
            with archive.open(member) as file:
                major, _ = np.lib.format.read_magic(file)
                read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                shape, _, dtype = read_header(file)
                if dtype.hasobject:
                    raise ValueError(f"{member.filename} is a pickle, which can run anything when it is read")
                if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                    raise ValueError(f"{member.filename} says its shape is {shape}, and has another size")
