"""Arrays W_1, b_1, W_2, ... as NumPy's npz, without pickles."""

import io
from pathlib import Path

import numpy as np

from experiments.interchange import safetensors
from experiments.interchange.layers import layers_of
from experiments.interchange.names import Contents
from experiments.interchange.standardization import raw_inputs
from experiments.networks.storage import StoredNetwork
from experiments.readers.npz import read_npz

OUTPUT = safetensors.OUTPUT
TABLE = safetensors.TABLE
arranged = tuple
arrays_of, modules_of = safetensors.arrays_of, safetensors.modules_of


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file, not compressed, since weights hardly compress."""
    file = io.BytesIO()
    np.savez(file, **arrays_of(layers_of(raw_inputs(network))))
    return file.getvalue()


def code(network: StoredNetwork, file: str) -> str:
    """Return code that loads the file with jaxnn; `numpy.load` returns the arrays."""
    return safetensors.code_by("numpy", "load", network, file)


def read(path: Path) -> Contents:
    """Return the arrays of a file with W_1, b_1, ..., by layer."""
    return Contents(modules_of(read_npz(path)))
