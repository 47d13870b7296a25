"""The weights of Keras' layers by their paths in a file, such as layers/dense_1/vars/0."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.interchange import keras_sequences
from experiments.interchange.names import Modules, grouped
from experiments.readers.errors import InvalidFileError
from experiments.readers.hdf5 import dataset_names, read_datasets
from experiments.readers.safetensors import MOST_BYTES

_PATH = re.compile(r"((layers|_layer_checkpoint_dependencies)/)?(?P<layer>.+)/vars/(?P<number>\d+)")
_OF_NO_LAYER = re.compile(r"(optimizer|metrics|compile_metrics|loss_tracker)/|(.*/)?seed_generator/|vars/")
"""Datasets that a compiled model stores besides the weights of its layers."""


def counted(name: str, counts: Counter[str]) -> str:
    """Return dense, dense_1, dense_2, ..., as Keras numbers layers of one class."""
    counts[name] += 1
    return f"{name}_{counts[name] - 1}" if counts[name] > 1 else name


def snake_case(name: str) -> str:
    """Return the name of a class as Keras has it in paths.

    Example:
      >>> snake_case("DepthwiseConv2D"), snake_case("RMSNormalization"), snake_case("Conv2DTranspose")
      ('depthwise_conv2d', 'rms_normalization', 'conv2d_transpose')
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def datasets_of(path: Path) -> dict[str, np.ndarray]:
    """Return the weights of layers by their paths in a file."""
    names = [name for name in dataset_names(path) if not _OF_NO_LAYER.match(name)]
    for name in names:
        if not _PATH.fullmatch(name):
            raise InvalidFileError(
                f"{path} has {name}, expected layers/LAYER/vars/0 and the like, the layout of Keras 3"
            )
    datasets = read_datasets(path, names, most_bytes=MOST_BYTES)
    for name, stored in datasets.items():
        if not isinstance(stored.values, np.ndarray):
            most = f", and no more than {MOST_BYTES:,} bytes" if stored.dtype[1:2] == "f" else ""
            raise InvalidFileError(f"{path}: {name} is {stored}, expected floats{most}")
    return {name: stored.values for name, stored in datasets.items()}


def modules_of(arrays: Mapping[str, np.ndarray]) -> Modules:
    """Return the arrays of weights by layer."""
    pattern = r"((layers|_layer_checkpoint_dependencies)/)?(?P<module>.+)/vars/(?P<array>\d+)"
    example = "layers/dense/vars/0, layers/dense/vars/1, layers/dense_1/vars/0, ..."
    return keras_sequences.with_attention(grouped(arrays, pattern, example))
