"""Flax: the params of a network of `Dense` (linen) or `Linear` (NNX) layers as safetensors, paths joined by dots.

The Hugging Face libraries store Flax's params in this form. Flax's msgpack has no table of contents to check sizes
before unpacking, and Orbax writes a folder of many files.
"""

from pathlib import Path

from safetensors.numpy import save

from experiments.interchange.formats import reject_pickles, reject_shards
from experiments.interchange.layers import Weights, raw_input_layers
from experiments.interchange.names import layers_by_number
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, read_safetensors

OUTPUT = "net.apply({'params': params}, x)"

_ACTIVATIONS = {
    "identity": "lambda z: z",
    "gelu": "lambda z: nn.gelu(z, approximate=False)",
    "gelu_tanh": "nn.gelu",
}
"""The activations with other names than here."""


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file: layers_0.kernel, layers_0.bias, layers_2.kernel, ..., kernels (n_in, n_out)."""
    tensors = {}
    for i, (W, b) in enumerate(raw_input_layers(network)):
        tensors |= {f"layers_{2 * i}.kernel": W.T.copy(), f"layers_{2 * i}.bias": b}
    return save(tensors, {"format": "flax"})


def code(spec: NetworkSpec, file: str) -> str:
    """Return code that builds the network and loads its params."""
    activation = _ACTIVATIONS.get(spec.activation, f"nn.{spec.activation}")
    layers = f", {activation}, ".join(f"nn.Dense({n_out})" for n_out in spec.sizes[1:])
    last = ", nn.relu" if spec.output == "relu" else ""
    return f"""\
import flax.linen as nn, flax.traverse_util, safetensors.flax
net = nn.Sequential([{layers}{last}])
params = flax.traverse_util.unflatten_dict(safetensors.flax.load_file({file!r}), sep=".")"""


def read(path: Path) -> list[Weights]:
    """Return the layers of params whose paths, joined by dots or slashes, end in kernel or bias."""
    save_file = "safetensors.flax.save_file(flax.traverse_util.flatten_dict(params, sep='.'), 'net.safetensors')"
    reject_pickles(path, save_file)
    reject_shards(path, save_file)
    if path.suffix.lower() == ".msgpack":
        raise ValueError(f"{path} must be safetensors, got msgpack: convert it with {save_file}")
    pattern = r"((?P<layer>.*)[./])?(?P<kind>kernel|bias)"
    names = "Dense_0.kernel, Dense_0.bias, Dense_1.kernel, ..."
    return layers_by_number(read_safetensors(path)[1], pattern, names, transposed=True)
