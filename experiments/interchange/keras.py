"""Keras 3: the weights of a `Sequential` of `Dense` layers, as HDF5 in the layout that `save_weights` writes.

In this layout, layers/dense/vars/0 is the kernel (n_in, n_out) of the first dense layer, .../1 its bias, and
layers/dense_1 the next layer. Of the many features of HDF5, only plain arrays in the file itself are read.
"""

import io
import re
from pathlib import Path

import h5py
import numpy as np

from experiments.interchange.formats import FORMATS
from experiments.interchange.layers import Weights, raw_input_layers
from experiments.interchange.names import layers_by_number
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import MOST_BYTES, StoredNetwork
from experiments.readers.errors import InvalidFileError
from experiments.readers.hdf5 import dataset_names, read_datasets

OUTPUT = "net(x)"

_PATH = re.compile(
    r"(?P<by_class>(layers|_layer_checkpoint_dependencies)/)?(?P<layer>(?P<kind>\w+?)(_\d+)?)/vars/(?P<number>\d+)"
)
_OF_NO_LAYER = re.compile(r"(optimizer|metrics|compile_metrics|loss_tracker)/|(.*/)?seed_generator/|vars/")
"""Datasets that a compiled model stores besides the weights of its layers."""
_ACTIVATIONS = {
    "identity": "'linear'",
    "leaky_relu": "lambda z: keras.activations.leaky_relu(z, 0.01)",
    "gelu_tanh": "lambda z: keras.activations.gelu(z, approximate=True)",
}
"""The activations with other names or defaults than here."""


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_group("vars")
        for i, (W, b) in enumerate(raw_input_layers(network)):
            variables = file.create_group(f"layers/dense_{i}/vars" if i else "layers/dense/vars")
            variables["0"], variables["1"] = W.T, b
    return memory.getvalue()


def code(spec: NetworkSpec, file: str) -> str:
    """Return code that builds the network and loads its weights."""
    *hidden, last = spec.sizes[1:]
    activation = _ACTIVATIONS.get(spec.activation, repr(spec.activation))
    layers = [f"keras.layers.Dense({n}, {activation})" for n in hidden]
    layers.append(f"keras.layers.Dense({last}{', ' + repr('relu') if spec.output == 'relu' else ''})")
    return f"""\
import keras
net = keras.Sequential([keras.Input(({spec.sizes[0]},)), {", ".join(layers)}])
net.load_weights({file!r})"""


def read(path: Path) -> list[Weights]:
    """Return the layers of a .weights.h5 file, which may hold dense layers and the state of an optimizer."""
    if not path.name.endswith(FORMATS["keras"].suffix):
        raise ValueError(f"{path} must end in .weights.h5, as written by net.save_weights('net.weights.h5')")
    names = [name for name in dataset_names(path) if not _OF_NO_LAYER.match(name)]
    layers = {name: _layer(path, name) for name in names}
    datasets = read_datasets(path, names, most_bytes=MOST_BYTES)
    for name, stored in datasets.items():
        if not isinstance(stored.values, np.ndarray):
            most = f", and no more than {MOST_BYTES:,} bytes" if stored.dtype[1:2] == "f" else ""
            raise InvalidFileError(f"{path}: {name} is {stored}, expected floats{most}")
    arrays = {layers[name]: stored.values for name, stored in datasets.items()}
    return layers_by_number(
        arrays, r"(?P<layer>.+)/(?P<kind>[01])", "dense/0, dense/1, dense_1/0, ...", transposed=True
    )


def _layer(path: Path, name: str) -> str:
    """Return LAYER/NUMBER of a dataset, the name of a dense layer and the index of its array, in Keras' layout."""
    match = _PATH.fullmatch(name)
    if not match:
        raise InvalidFileError(
            f"{path} has {name}, expected layers/LAYER/vars/0 and the like: import reads a sequence of dense layers in "
            "the layout of Keras 3"
        )
    # Keras names layers after their class; a subclass of Model, after its attributes.
    if match["by_class"] and match["kind"] != "dense":
        fold = ": fold it into the adjacent dense layer" if "normalization" in match["kind"] else ""
        raise InvalidFileError(f"{path} has a layer {match['layer']}, expected dense layers only{fold}")
    return f"{match['layer']}{'_0' if match['layer'] == 'dense' else ''}/{match['number']}"
