"""Keras 3: the weights of a `Sequential` of `Dense` layers, as HDF5 in the layout that `save_weights` writes.

In it, layers/dense/vars/0 is the kernel (n_in, n_out) of the first dense layer, .../1 its bias, and layers/dense_1 the
next. HDF5 can do much more than hold arrays. What is read is what Keras writes: whole arrays in the file itself.
"""

import io
from pathlib import Path

import h5py
import numpy as np

from experiments.network_file import StoredNetwork
from experiments.networks import NetworkSpec
from experiments.travel.formats import FORMATS
from experiments.travel.layers import Weights, raw_input_layers
from experiments.travel.names import layers_by_number

OUTPUT = "net(x)"

_ACTIVATIONS = {
    "identity": "'linear'",
    "leaky_relu": "lambda z: keras.activations.leaky_relu(z, 0.01)",
    "gelu_tanh": "lambda z: keras.activations.gelu(z, approximate=True)",
}
"""Those that are not called as here, or by default not the same."""


def encode(network: StoredNetwork) -> bytes:
    """The bytes of the file."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_group("vars")
        for i, (W, b) in enumerate(raw_input_layers(network)):
            variables = file.create_group(f"layers/dense_{i}/vars" if i else "layers/dense/vars")
            variables["0"], variables["1"] = W.T, b
    return memory.getvalue()


def code(spec: NetworkSpec, file: str) -> str:
    """Lines that make the network and load its weights."""
    *hidden, last = spec.sizes[1:]
    activation = _ACTIVATIONS.get(spec.activation, repr(spec.activation))
    layers = [f"keras.layers.Dense({n}, {activation})" for n in hidden]
    layers.append(f"keras.layers.Dense({last}{', ' + repr('relu') if spec.output == 'relu' else ''})")
    return f"""\
import keras
net = keras.Sequential([keras.Input(({spec.sizes[0]},)), {", ".join(layers)}])
net.load_weights({file!r})"""


def read(path: Path) -> list[Weights]:
    """The layers of a .weights.h5 file with no weights but those of dense layers."""
    if not path.name.endswith(FORMATS["keras"].suffix):
        raise ValueError(
            f"{path} is not called .weights.h5: net.save_weights('net.weights.h5') writes what import takes"
        )
    path.open("rb").close()  # says plainly what a missing or forbidden file is
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: _array(name, item, path.stat().st_size) for name, item in _variables(file).items()}
    except Exception as error:  # damaged bytes can trip the decoder anywhere
        raise ValueError(f"{path} is damaged, or not as Keras 3 writes weights: {error}") from None
    pattern = r"(?P<stem>dense)(_(?P<number>\d+))?/(?P<kind>[01])"
    return layers_by_number(arrays, pattern, "dense/0, dense/1, dense_1/0, ...", transposed=True)


def _variables(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Each layer's variables, by names such as dense_1/0."""
    layers = _own(file, "layers")
    found = {}
    for layer in layers:
        parts = _own(layers, layer)
        for part in parts:
            if part != "vars" and len(_own(parts, part)):
                raise ValueError(f"layer {layer} has parts of its own, {part}: import takes a row of dense layers")
        found |= {f"{layer}/{name}": _own(parts["vars"], name) for name in parts.get("vars", ())}
    return found


def _own(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What is in the group itself; a link could lead to any file of the reader's."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"it has no {group.name.rstrip('/')}/{name} of its own")
    return group[name]


def _array(name: str, dataset: h5py.Dataset, file_size: int) -> np.ndarray:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise ValueError(f"{name} is no array of floats")
    elsewhere = dataset.external or dataset.is_virtual
    if elsewhere or dataset.chunks or not dataset.id.get_storage_size() == dataset.nbytes <= file_size:
        raise ValueError(f"{name} says its shape is {dataset.shape}, and that is not in the file as it is")
    return dataset[()]
