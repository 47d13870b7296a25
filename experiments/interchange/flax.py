"""Flax: the variables of a linen `Sequential` as safetensors, paths joined by dots.

The Hugging Face libraries store Flax's params in this form. Flax's msgpack has no table of contents to check sizes
before unpacking, and Orbax writes a folder of many files. Channels are last there too. By default, filters of a
transposed convolution are turned; with `transpose_kernel` they are not, and the axes of their channels are swapped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from experiments.interchange import flax_sequences
from experiments.interchange.formats import reject_pickles, reject_shards
from experiments.interchange.geometry import groups_of, transposed_of, windows_of
from experiments.interchange.layers import Placed, layers_of
from experiments.interchange.names import Contents, Modules, grouped
from experiments.interchange.standardization import raw_inputs
from experiments.interchange.stepwise import without_steps
from experiments.interchange.tables import (
    Array,
    Code,
    Row,
    arrays_there,
    call,
    code_of,
    given,
    lines,
    row_of,
    swapped,
    transposed,
    with_helpers,
)
from experiments.networks.storage import StoredNetwork
from experiments.readers.safetensors import read_safetensors
from jaxnn.nn.windows import pairs, size_of

OUTPUT = "net.apply(variables, x)"


def arranged(layers: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return the layers as they are stored."""
    return without_steps(layers)


def _turned(K: np.ndarray, layer: Placed) -> np.ndarray:
    return np.flip(K, tuple(range(K.ndim - 2)))


_BIAS = Array("bias", default=0.0)
_NORM = {"gamma": Array("scale", default=1.0), "beta": Array("bias", default=0.0)}
_CONV = {"K": Array("kernel"), "b": _BIAS}
_TRANSPOSED = {"K": Array("kernel", _turned, _turned), "b": _BIAS}


def _conv(layer: Placed) -> str:
    w, padding = windows_of(layer), layer.options["padding"]
    options = given(
        strides=(w.stride, (1,) * layer.axes),
        padding=(padding.upper() if isinstance(padding, str) else w.padding, "SAME"),
        kernel_dilation=(w.dilation, (1,) * layer.axes),
        feature_group_count=(groups_of(layer), 1),
    )
    return call("nn.Conv", layer.out_shape[-1], w.size, **options)


def _conv_transpose(layer: Placed) -> str:
    if layer.options["groups"] != 1:
        raise ValueError("transposed convolutions must have groups=1 for Flax, got more: stablehlo has any layers")
    t, ones = transposed_of(layer), (1,) * layer.axes
    # The places that it adds around x, with zeros in between, where the filter lies on them.
    along = zip(t.spans, t.cut, t.more, strict=True)
    padding = tuple((span - 1 - low, span - 1 - high + more) for span, (low, high), more in along)
    options = given(strides=(t.stride, ones), kernel_dilation=(t.dilation, ones))
    return call("nn.ConvTranspose", layer.out_shape[-1], t.size, **options, padding=padding)


def _pool(kind: str):
    def code(layer: Placed) -> str:
        w, options = windows_of(layer), given(count_include_pad=(layer.options.get("count_padding", True), True))
        more = "".join(f", {name}={value}" for name, value in options.items())
        return f"lambda x: nn.{kind}_pool(x, {w.size}, {w.stride}, {w.padding}{more})"

    return code


def _global_pool(kind: str):
    return lambda layer: f"lambda x: x.{kind}({tuple(range(1, layer.axes + 1))})"


def _norm(kind: str, **options: object):
    return lambda layer: call(f"nn.{kind}", epsilon=float(layer.options["eps"]), **options)


def _upsample(layer: Placed) -> Code:
    factors = enumerate(size_of(layer.options["factor"]), start=1)
    return Code("lambda x: x" + "".join(f".repeat({f}, {axis})" for axis, f in factors))


def _pad(layer: Placed) -> str:
    widths = ((0, 0), *pairs(layer.options["widths"], layer.axes), (0, 0))
    return f"lambda x: jax.numpy.pad(x, {widths}, constant_values={float(layer.options['value'])})"


def _plain(code: str) -> Row:
    return Row(lambda layer: code)


TABLE = {
    "dense": Row(
        lambda layer: f"nn.Dense({layer.out_shape[0]})",
        {"W": Array("kernel", transposed, transposed), "b": _BIAS},
    ),
    "conv": Row(_conv, _CONV),
    "depthwise_conv": Row(_conv, _CONV),
    "conv_transpose": Row(_conv_transpose, _TRANSPOSED),
    "batch_norm": Row(
        _norm("BatchNorm", use_running_average=True), {**_NORM, "mean": Array("mean"), "var": Array("var")}
    ),
    "layer_norm": Row(_norm("LayerNorm", use_fast_variance=False), _NORM),
    "rms_norm": Row(_norm("RMSNorm"), {"gamma": Array("scale")}),
    "group_norm": Row(
        lambda layer: call(
            "nn.GroupNorm",
            layer.options["groups"],
            epsilon=float(layer.options["eps"]),
            use_fast_variance=False,
        ),
        _NORM,
    ),
    "embedding": Row(
        lambda layer: call("nn.Embed", layer.options["vocabulary"], layer.options["n"]), {"E": Array("embedding")}
    ),
    "max_pool": Row(_pool("max")),
    "avg_pool": Row(_pool("avg")),
    "global_max_pool": Row(_global_pool("max")),
    "global_avg_pool": Row(_global_pool("mean")),
    "flatten": _plain("lambda x: x.reshape(x.shape[0], -1)"),
    "pad": Row(_pad),
    "upsample": Row(_upsample),
    "rescale": Row(lambda layer: f"lambda x: {float(layer.options['scale'])} * x + {float(layer.options['offset'])}"),
    "dropout": Row(lambda layer: f"nn.Dropout({float(layer.options['rate'])}, deterministic=True)"),
    "identity": _plain("lambda x: x"),
    "sigmoid": _plain("nn.sigmoid"),
    "tanh": _plain("nn.tanh"),
    "relu": _plain("nn.relu"),
    "leaky_relu": Row(lambda layer: f"lambda x: nn.leaky_relu(x, {float(layer.options['slope'])})"),
    "softplus": _plain("nn.softplus"),
    "silu": _plain("nn.silu"),
    "gelu": Row(lambda layer: f"lambda x: nn.gelu(x, approximate={layer.options['approximate']})"),
    "elu": Row(lambda layer: f"lambda x: nn.elu(x, {float(layer.options['alpha'])})"),
    "softmax": _plain("nn.softmax"),
    "residual": Row(lambda layer, inside: f"Residual([{inside}])"),
    "fan_out": Row(lambda layer, *parts: f"FanOut([{', '.join(f'nn.Sequential([{part}])' for part in parts)}])"),
    "fan_in_sum": _plain("lambda xs: sum(xs)"),
    "fan_in_concat": Row(lambda layer: f"lambda xs: jax.numpy.concatenate(xs, {_axis_of_batch(layer)})"),
    **flax_sequences.TABLE,
}

TRANSPOSE_KERNEL_TABLE = {
    **TABLE,
    "conv_transpose": Row(_conv_transpose, {"K": Array("kernel", swapped, swapped), "b": _BIAS}),
}
"""That of networks whose transposed convolutions were made with `transpose_kernel=True`."""


def _axis_of_batch(layer: Placed) -> int:
    axis = layer.options["axis"]
    return axis if axis < 0 else axis + 1


_HELPERS = {
    "Residual": """
class Residual(nn.Sequential):
    def __call__(self, x):
        return x + super().__call__(x)
""",
    "FanOut": """
class FanOut(nn.Module):
    branches: tuple
    def __call__(self, x):
        return [branch(x) for branch in self.branches]
""",
    **flax_sequences.HELPERS,
}


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file: params.layers_0.kernel, params.layers_0.bias, ..., batch_stats.layers_1.mean."""
    return save(arrays_of(arranged(layers_of(raw_inputs(network)))), {"format": "flax"})


def arrays_of(layers: Sequence[Placed]) -> dict[str, np.ndarray]:
    """Return the variables of a `Sequential` of the layers, flattened, in execution order."""
    collections = {"mean": "batch_stats", "var": "batch_stats"}
    arrays = _written(layers)[1]
    return {f"{collections.get(name.rpartition('.')[2], 'params')}.{name}": array for name, array in arrays.items()}


def code(network: StoredNetwork, file: str) -> str:
    """Return code that builds the network and loads its variables."""
    modules = lines(_written(arranged(layers_of(raw_inputs(network))))[0])
    built = with_helpers(f"net = nn.Sequential([{modules}])", _HELPERS)
    imported = "jax, flax.linen as nn" if "jax." in built else "flax.linen as nn"
    return f"""\
import {imported}, flax.traverse_util, safetensors.flax
{built}
variables = flax.traverse_util.unflatten_dict(safetensors.flax.load_file({file!r}), sep=".")"""


def _written(layers: Sequence[Placed]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the modules of a `Sequential` of the layers, and its variables."""
    modules, variables = [], {}
    for layer in layers:
        row = row_of(TABLE, layer, "flax")
        parts = [_written(part) for part in layer.parts if layer.kind != "bidirectional"]
        arrays = flax_sequences.variables_of(layer) if "cell" in layer.options else arrays_there(row, layer)
        for i, (_, inside) in enumerate(parts):
            prefix = f"branches_{i}." if layer.kind == "fan_out" else ""
            arrays |= {prefix + name: array for name, array in inside.items()}
        made = code_of(row, layer, *(", ".join(inside) for inside, _ in parts))
        variables |= {f"layers_{len(modules) + len(made.before)}.{name}": array for name, array in arrays.items()}
        modules += [*made.before, made.main, *made.after]
    return modules, variables


def read(path: Path) -> Contents:
    """Return the arrays of variables, whose paths are joined by dots or slashes, by module."""
    save_file = "safetensors.flax.save_file(flax.traverse_util.flatten_dict(variables, sep='.'), 'net.safetensors')"
    reject_pickles(path, save_file)
    reject_shards(path, save_file)
    if path.suffix.lower() == ".msgpack":
        raise ValueError(f"{path} must be safetensors, got msgpack: convert it with {save_file}")
    return Contents(modules_of(read_safetensors(path)))


def modules_of(arrays: Mapping[str, np.ndarray]) -> Modules:
    """Return the arrays of variables by module."""
    pattern = r"((params|batch_stats)[./])?((?P<module>.*)[./])?(?P<array>kernel|bias|scale|mean|var|embedding)"
    return flax_sequences.with_cells(grouped(arrays, pattern, "Dense_0.kernel, Dense_0.bias, Dense_1.kernel, ..."))
