"""Arrays W_1, b_1, W_2, ... as safetensors: raw numbers under names, for any library."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from experiments.interchange.layers import Weights, raw_input_layers
from experiments.interchange.names import layers_by_number
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, read_safetensors

OUTPUT = "model.outputs(params, x)"


def arrays(network: StoredNetwork) -> dict[str, np.ndarray]:
    """Return W_1, b_1, W_2, ... in this order."""
    layers = raw_input_layers(network)
    return {f"{v}_{i}": a for i, layer in enumerate(layers, start=1) for v, a in layer._asdict().items()}


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file, with a description of the arrays in its metadata."""
    spec = network.spec
    return save(arrays(network), {"sizes": str(spec), "activation": spec.activation, "output": spec.output})


def code(spec: NetworkSpec, file: str) -> str:
    """Return code that loads the file with jaxnn; any reader of safetensors can load it."""
    return code_by("safetensors.numpy", "load_file", spec, file)


def code_by(package: str, function: str, spec: NetworkSpec, file: str) -> str:
    """Return code that loads W_1, b_1, ... with that function."""
    layers = len(spec.sizes)
    return f"""\
import jaxnn, {package}
model = jaxnn.mlp({spec.sizes}, {spec.activation!r}, output={spec.output!r})
arrays = {package}.{function}({file!r})
arrays = [arrays[f"{{v}}_{{i}}"] for i in range(1, {layers}) for v in "Wb"]
params = jaxnn.models.params_from_arrays(model.network, model.in_shape, arrays)"""


def read(path: Path) -> list[Weights]:
    """Return the layers of a file that `encode` wrote."""
    return by_name(read_safetensors(path)[1])


def by_name(named: dict[str, np.ndarray]) -> list[Weights]:
    """Return the layers of arrays W_1, b_1, ..."""
    return layers_by_number(named, r"(?P<kind>[Wb])_(?P<layer>\d+)", "W_1, b_1, W_2, ...", transposed=False)
