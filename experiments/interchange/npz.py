"""Arrays W_1, b_1, W_2, ... as NumPy's npz, without pickles."""

import io
from pathlib import Path

import numpy as np

from experiments.interchange import safetensors
from experiments.interchange.layers import Weights
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork
from experiments.readers.npz import read_npz

OUTPUT = safetensors.OUTPUT


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file, not compressed, since weights hardly compress."""
    file = io.BytesIO()
    np.savez(file, **safetensors.arrays(network))
    return file.getvalue()


def code(spec: NetworkSpec, file: str) -> str:
    """Return code that loads the file with jaxnn; `numpy.load` returns the arrays."""
    return safetensors.code_by("numpy", "load", spec, file)


def read(path: Path) -> list[Weights]:
    """Return the layers of a file with arrays W_1, b_1, ..."""
    return safetensors.by_name(read_npz(path))
