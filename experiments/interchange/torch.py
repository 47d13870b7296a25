"""PyTorch: the state dict of an `nn.Sequential` of `Linear` layers and activations, as safetensors.

Not as .pt, which is a pickle.
"""

from pathlib import Path

from safetensors.numpy import save

from experiments.interchange.formats import reject_pickles, reject_shards
from experiments.interchange.layers import Weights, raw_input_layers
from experiments.interchange.names import layers_by_number
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, read_safetensors

OUTPUT = "net(torch.as_tensor(x))"

_ACTIVATIONS = {
    "identity": "Identity()",
    "sigmoid": "Sigmoid()",
    "tanh": "Tanh()",
    "relu": "ReLU()",
    "leaky_relu": "LeakyReLU(0.01)",
    "softplus": "Softplus()",
    "silu": "SiLU()",
    "gelu": "GELU()",
    "gelu_tanh": "GELU('tanh')",
    "elu": "ELU()",
}


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file: 0.weight, 0.bias, 2.weight, ...; the activations between have no weights."""
    tensors = {}
    for i, (W, b) in enumerate(raw_input_layers(network)):
        tensors |= {f"{2 * i}.weight": W, f"{2 * i}.bias": b}
    return save(tensors, {"format": "pt"})


def code(spec: NetworkSpec, file: str) -> str:
    """Return code that builds the network and loads the file."""
    activation = f"torch.nn.{_ACTIVATIONS[spec.activation]}"
    layers = [f"torch.nn.Linear({n_in}, {n_out})" for n_in, n_out in zip(spec.sizes, spec.sizes[1:], strict=False)]
    last = ", torch.nn.ReLU()" if spec.output == "relu" else ""
    return f"""\
import torch, safetensors.torch
net = torch.nn.Sequential({f", {activation}, ".join(layers)}{last})
net.load_state_dict(safetensors.torch.load_file({file!r}))"""


def read(path: Path) -> list[Weights]:
    """Return the layers of a state dict, whose names end in weight or bias."""
    conversion = "safetensors.torch.save_file(net.state_dict(), 'net.safetensors')"
    reject_pickles(path, conversion)
    reject_shards(path, conversion)
    pattern = r"((?P<layer>.*)\.)?(?P<kind>weight|bias)"
    return layers_by_number(read_safetensors(path)[1], pattern, "0.weight, 0.bias, 2.weight, ...", transposed=False)
