"""PyTorch: the state dict of an `nn.Sequential`, as safetensors, not as .pt, which is a pickle.

Images are (m, channels, height, width) there, sequences for recurrences and attention (m, T, n), as here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from experiments.interchange import torch_sequences
from experiments.interchange.channels_first import ARRAYS, with_channels_first
from experiments.interchange.formats import reject_pickles, reject_shards
from experiments.interchange.geometry import Pairs, groups_of, transposed_of, windows_of
from experiments.interchange.layers import Placed, layers_of
from experiments.interchange.names import Contents, Modules, grouped
from experiments.interchange.standardization import raw_inputs
from experiments.interchange.stepwise import without_steps
from experiments.interchange.tables import (
    Code,
    Row,
    arrays_there,
    brief,
    call,
    code_of,
    given,
    lines,
    row_of,
    with_helpers,
)
from experiments.interchange.torch_code import CLASSES
from experiments.networks.storage import StoredNetwork
from experiments.readers.safetensors import read_safetensors
from jaxnn.nn.windows import pairs, size_of

OUTPUT = "net(torch.as_tensor(x))"
CHANNELS_FIRST = True


def arranged(layers: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return the layers as they are stored: channels first, but for sequences."""
    return without_steps(with_channels_first(layers))


def _padding(ends: Pairs, most: Sequence[int] = (), value: str = "") -> tuple[Any, tuple[str, ...]]:
    """Return the padding that a module adds at both ends, and the module before it that adds other ones.

    Args:
      ends: the places of both ends of each axis.
      most: how many the module can add; without it, any number.
      value: what they hold, 0 by default.
    """
    lows = [low for low, _ in ends]
    if all(low == high for low, high in ends) and all(low <= n for low, n in zip(lows, most, strict=False)):
        return brief(lows), ()
    return 0, (_padded(ends, value),)


def _padded(ends: Pairs, value: str = "") -> str:
    # The last axis is first there.
    widths = tuple(n for end in reversed(ends) for n in end)
    return f"nn.{'ConstantPad' if value else 'ZeroPad'}{len(ends)}d({widths}{value and ', '}{value})"


def _conv(layer: Placed) -> Code:
    w = windows_of(layer)
    padding, before = _padding(w.padding)
    options = given(
        stride=(brief(w.stride), 1),
        padding=(padding, 0),
        dilation=(brief(w.dilation), 1),
        groups=(groups_of(layer), 1),
    )
    made = call(f"nn.Conv{layer.axes}d", layer.in_shape[-1], layer.out_shape[-1], brief(w.size), **options)
    return Code(made, _first(layer) + before)


def _conv_transpose(layer: Placed) -> Code:
    t, n = transposed_of(layer), layer.axes
    # There both ends are cut alike; output_padding, below stride or dilation, gives back what is cut more at the end.
    more = tuple(more + low - high for more, (low, high) in zip(t.more, t.cut, strict=True))
    limits = (max(s, d) for s, d in zip(t.stride, t.dilation, strict=True))
    fits = all(0 <= rest < limit for rest, limit in zip(more, limits, strict=True))
    cut = tuple(low for low, _ in t.cut) if fits else (0,) * n
    after = () if fits else (_padded(tuple((-low, -high) for low, high in t.cut)),)
    options = given(
        stride=(brief(t.stride), 1),
        padding=(brief(cut), 0),
        output_padding=(brief(more if fits else t.more), 0),
        groups=(layer.options["groups"], 1),
        dilation=(brief(t.dilation), 1),
    )
    made = call(f"nn.ConvTranspose{n}d", layer.in_shape[-1], layer.out_shape[-1], brief(t.size), **options)
    return Code(made, _first(layer), after)


def _max_pool(layer: Placed) -> Code:
    w = windows_of(layer)
    padding, before = _padding(w.padding, [k // 2 for k in w.size], "float('-inf')")
    options = given(stride=(brief(w.stride), brief(w.size)), padding=(padding, 0))
    return Code(call(f"nn.MaxPool{layer.axes}d", brief(w.size), **options), _first(layer) + before)


def _avg_pool(layer: Placed) -> Code:
    w = windows_of(layer)
    counts = layer.options["count_padding"] or not any(map(any, w.padding))
    padding, before = _padding(w.padding, [k // 2 for k in w.size])
    options = given(stride=(brief(w.stride), brief(w.size)), padding=(padding, 0))
    if before and not counts:
        pool = call(f"nn.AvgPool{layer.axes}d", brief(w.size), **options)
        return Code(f"MeanInside({before[0]}, {pool})", _first(layer))
    options |= given(count_include_pad=(counts, True))
    return Code(call(f"nn.AvgPool{layer.axes}d", brief(w.size), **options), _first(layer) + before)


def _global_pool(kind: str):
    return lambda layer: Code(f"nn.Adaptive{kind}Pool{layer.axes}d(1)", _first(layer), ("nn.Flatten()",))


def _batch_norm(layer: Placed) -> Code:
    made = f"nn.BatchNorm{max(layer.axes, 1)}d"
    return Code(call(made, layer.in_shape[-1], **given(eps=(float(layer.options["eps"]), 1e-5))), _first(layer))


def _norm(kind: str):
    def code(layer: Placed) -> str:
        name = f"nn.{kind}" if layer.channels_last or not layer.axes else f"{kind}OfChannels"
        return call(name, layer.in_shape[-1], eps=float(layer.options["eps"]))

    return code


def _group_norm(layer: Placed) -> Code:
    options = given(eps=(float(layer.options["eps"]), 1e-5))
    return Code(call("nn.GroupNorm", layer.options["groups"], layer.in_shape[-1], **options), _first(layer))


def _pad(layer: Placed) -> Code:
    return Code(_padded(pairs(layer.options["widths"], layer.axes), str(float(layer.options["value"]))), _first(layer))


def _upsample(layer: Placed) -> Code:
    factor = tuple(map(float, size_of(layer.options["factor"])))
    return Code(call("nn.Upsample", scale_factor=brief(factor)), _first(layer))


def _axis(layer: Placed) -> int:
    """Return the axis of the channels of a batch there."""
    return -1 if layer.channels_last else 1


def _concat(layer: Placed) -> str:
    axis, n = layer.options["axis"], len(layer.in_shape)
    axis = axis % n
    if layer.channels_last or n == 1:
        return f"FanInConcat({axis + 1})"
    return f"FanInConcat({1 if axis == n - 1 else axis + 2})"


def _first(layer: Placed) -> tuple[str, ...]:
    return ("ChannelsFirst()",) * layer.moved


def _plain(code: str) -> Row:
    return Row(lambda layer: code)


TABLE = {
    "dense": Row(lambda layer: call("nn.Linear", layer.in_shape[0], layer.out_shape[0]), ARRAYS["dense"]),
    "conv": Row(_conv, ARRAYS["conv"]),
    "depthwise_conv": Row(_conv, ARRAYS["depthwise_conv"]),
    "conv_transpose": Row(_conv_transpose, ARRAYS["conv_transpose"]),
    "batch_norm": Row(_batch_norm, ARRAYS["batch_norm"]),
    "layer_norm": Row(_norm("LayerNorm"), ARRAYS["layer_norm"]),
    "rms_norm": Row(_norm("RMSNorm"), ARRAYS["rms_norm"]),
    "group_norm": Row(_group_norm, ARRAYS["group_norm"]),
    "embedding": Row(
        lambda layer: call("nn.Embedding", layer.options["vocabulary"], layer.options["n"]), ARRAYS["embedding"]
    ),
    "max_pool": Row(_max_pool),
    "avg_pool": Row(_avg_pool),
    "global_max_pool": Row(_global_pool("Max")),
    "global_avg_pool": Row(_global_pool("Avg")),
    "flatten": _plain("nn.Flatten()"),
    "pad": Row(_pad),
    "upsample": Row(_upsample),
    "rescale": Row(lambda layer: f"Rescale({float(layer.options['scale'])}, {float(layer.options['offset'])})"),
    "dropout": Row(lambda layer: f"nn.Dropout({float(layer.options['rate'])})"),
    "identity": _plain("nn.Identity()"),
    "sigmoid": _plain("nn.Sigmoid()"),
    "tanh": _plain("nn.Tanh()"),
    "relu": _plain("nn.ReLU()"),
    "leaky_relu": Row(lambda layer: f"nn.LeakyReLU({float(layer.options['slope'])})"),
    "softplus": _plain("nn.Softplus()"),
    "silu": _plain("nn.SiLU()"),
    "gelu": Row(lambda layer: "nn.GELU('tanh')" if layer.options["approximate"] else "nn.GELU()"),
    "elu": Row(lambda layer: f"nn.ELU({float(layer.options['alpha'])})"),
    "softmax": Row(lambda layer: f"nn.Softmax({_axis(layer)})"),
    "residual": Row(lambda layer, inside: f"Residual({inside})"),
    "fan_out": Row(lambda layer, *parts: f"FanOut([{', '.join(f'nn.Sequential({part})' for part in parts)}])"),
    "fan_in_sum": _plain("FanInSum()"),
    "fan_in_concat": Row(_concat),
    **torch_sequences.TABLE,
}


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file: 0.weight, 0.bias, 2.weight, ...; the activations between have no weights."""
    return save(arrays_of(arranged(layers_of(raw_inputs(network)))), {"format": "pt"})


def code(network: StoredNetwork, file: str) -> str:
    """Return code that builds the network and loads the file."""
    modules = lines(_written(arranged(layers_of(raw_inputs(network))))[0])
    built = with_helpers(f"net = nn.Sequential({modules})", CLASSES)
    return f"""\
import torch, safetensors.torch
from torch import nn
{built}
net.load_state_dict(safetensors.torch.load_file({file!r}))
net = net.eval()"""


def arrays_of(layers: Sequence[Placed]) -> dict[str, np.ndarray]:
    """Return the state dict of an `nn.Sequential` of the layers, in execution order."""
    return _written(layers)[1]


def _written(layers: Sequence[Placed]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the modules of an `nn.Sequential` of the layers, and its state dict."""
    modules, state = [], {}
    for layer in layers:
        row = row_of(TABLE, layer, "torch")
        parts = [_written(part) for part in layer.parts if layer.kind != "bidirectional"]
        made = code_of(row, layer, *(", ".join(inside) for inside, _ in parts))
        arrays = torch_sequences.state_of(layer) if layer.kind in torch_sequences.JOINT else arrays_there(row, layer)
        if layer.kind == "batch_norm":
            arrays["num_batches_tracked"] = np.zeros((), np.int64)
        for i, (_, inside) in enumerate(parts):
            # Residual and EachStep are Sequential, a FanOut has one for each branch.
            arrays |= {f"{i}.{name}" if layer.kind == "fan_out" else name: array for name, array in inside.items()}
        state |= {f"{len(modules) + len(made.before)}.{name}": array for name, array in arrays.items()}
        modules += [*made.before, made.main, *made.after]
    return modules, state


def read(path: Path) -> Contents:
    """Return the arrays of a state dict by module."""
    conversion = "safetensors.torch.save_file(net.state_dict(), 'net.safetensors')"
    reject_pickles(path, conversion)
    reject_shards(path, conversion)
    return Contents(modules_of(read_safetensors(path)))


def modules_of(arrays: Mapping[str, np.ndarray]) -> Modules:
    """Return the arrays of a state dict by module."""
    kept = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    pattern = rf"((?P<module>.*)\.)?(?P<array>weight|bias|running_mean|running_var|{torch_sequences.ARRAYS})"
    return grouped(torch_sequences.named_by_layer(kept), pattern, "0.weight, 0.bias, 2.weight, ...")
