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
    """W_1, b_1, W_2, ... in this order."""
    layers = raw_input_layers(network)
    return {f"{v}_{i}": a for i, layer in enumerate(layers, start=1) for v, a in layer._asdict().items()}


def encode(network: StoredNetwork) -> bytes:
    """The bytes of the file, which says in its metadata what the arrays are of."""
    spec = network.spec
    return save(arrays(network), {"sizes": str(spec), "activation": spec.activation, "output": spec.output})


def code(spec: NetworkSpec, file: str) -> str:
    """Lines that load the file by jaxnn; any reader of safetensors does."""
    return code_by("safetensors.numpy", "load_file", spec, file)


def code_by(package: str, function: str, spec: NetworkSpec, file: str) -> str:
    """Lines that load W_1, b_1, ... by that function."""
    layers = len(spec.sizes)
    return f"""\
import jaxnn, {package}
model = jaxnn.mlp({spec.sizes}, {spec.activation!r}, output={spec.output!r})
arrays = {package}.{function}({file!r})
arrays = [arrays[f"{{v}}_{{i}}"] for i in range(1, {layers}) for v in "Wb"]
params = jaxnn.models.params_from_arrays(model.network, model.in_shape, arrays)"""


def read(path: Path) -> list[Weights]:
    """The layers of a file that `encode` wrote."""
    return by_name(read_safetensors(path)[1])


def by_name(named: dict[str, np.ndarray]) -> list[Weights]:
    """The layers out of arrays W_1, b_1, ..."""
    return layers_by_number(named, r"(?P<kind>[Wb])_(?P<layer>\d+)", "W_1, b_1, W_2, ...", transposed=False)
