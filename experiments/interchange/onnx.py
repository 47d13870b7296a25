"""ONNX: a graph with the params inside, which its runtimes compute on any device; channels are first there.

The graph is written and read through the package onnx, which is needed for this format alone. Layers are those of the
graph: strides, padding and activations are in it. A table maps each layer to operators, and `onnx_operators` each
operator to layers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.interchange import onnx_sequences
from experiments.interchange.channels_first import ARRAYS, starts_last, with_channels_first
from experiments.interchange.geometry import Pairs, groups_of, transposed_of, windows_of
from experiments.interchange.layers import Placed, layers_of
from experiments.interchange.onnx_graphs import package, read
from experiments.interchange.standardization import raw_inputs
from experiments.interchange.tables import Row, arrays_there, row_of
from experiments.networks.storage import StoredNetwork
from jaxnn.nn.windows import pairs, size_of

__all__ = ["CHANNELS_FIRST", "OUTPUT", "TABLE", "arranged", "code", "encode", "read"]

OUTPUT = "session.run(None, {'x': x})[0]"
CHANNELS_FIRST = True
arranged = with_channels_first

_SINCE = {"Gelu": 20, "GroupNormalization": 21, "RMSNormalization": 23}
"""The operator sets in which operators are new; older runtimes have 17, which has the others."""


class _Graph:
    """The nodes and the arrays of a graph that is written."""

    def __init__(self):
        self.nodes, self.arrays, self.version = [], [], 17

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        (name,) = self.outputs(operator, 1, *inputs, **attributes)
        return name

    def outputs(self, operator: str, n: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node; return the names of its n outputs."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        names = [name, *(f"{name}_{i}" for i in range(1, n))]
        self.nodes.append(package().helper.make_node(operator, inputs, names, name, **attributes))
        self.version = max(self.version, _SINCE.get(operator, 0))
        return names

    def array(self, name: str, array: Any) -> str:
        """Add an array; return its name."""
        name = f"{name}_{len(self.arrays)}"
        self.arrays.append(package().numpy_helper.from_array(np.asarray(array), name))
        return name


Operators = Callable[[_Graph, str, Placed, dict[str, str]], str]
"""`operators(graph, x, layer, arrays) -> y`: add a layer that takes the output named x; arrays are names too."""


def _ends(ends: Pairs) -> list[int]:
    return [*(low for low, _ in ends), *(high for _, high in ends)]


def _conv(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    w = windows_of(layer)
    options = dict(kernel_shape=w.size, strides=w.stride, pads=_ends(w.padding), dilations=w.dilation)
    return g.node("Conv", x, a["weight"], a["bias"], **options, group=groups_of(layer))


def _conv_transpose(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    t = transposed_of(layer)
    options = dict(kernel_shape=t.size, strides=t.stride, pads=_ends(t.cut), dilations=t.dilation)
    options |= dict(output_padding=t.more, group=layer.options["groups"])
    return g.node("ConvTranspose", x, a["weight"], a["bias"], **options)


def _pool(operator: str, g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    w = windows_of(layer)
    counts = {"count_include_pad": int(layer.options["count_padding"])} if operator == "AveragePool" else {}
    return g.node(operator, x, kernel_shape=w.size, strides=w.stride, pads=_ends(w.padding), **counts)


def _global_pool(operator: str, g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    return g.node("Flatten", g.node(operator, x), axis=1)


def _batch_norm(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    names = (a[name] for name in ("weight", "bias", "running_mean", "running_var"))
    return g.node("BatchNormalization", x, *names, epsilon=float(layer.options["eps"]))


def _over_channels(operator: str, g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    """Add a normalization over the last axis, to which the channels are moved."""
    moved = layer.axes and not layer.channels_last
    x = g.node("Transpose", x, perm=_to_last(layer.axes)) if moved else x
    y = g.node(operator, x, *a.values(), axis=-1, epsilon=float(layer.options["eps"]))
    return g.node("Transpose", y, perm=_to_first(layer.axes)) if moved else y


def _to_last(axes: int) -> list[int]:
    return [0, *range(2, axes + 2), 1]


def _to_first(axes: int) -> list[int]:
    return [0, axes + 1, *range(1, axes + 1)]


def _group_norm(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    options = dict(epsilon=float(layer.options["eps"]), num_groups=layer.options["groups"])
    return g.node("GroupNormalization", x, a["weight"], a["bias"], **options)


def _pad(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    ends = ((0, 0), (0, 0), *pairs(layer.options["widths"], layer.axes))
    value = g.array("value", np.float32(layer.options["value"]))
    return g.node("Pad", x, g.array("pads", np.array(_ends(ends), np.int64)), value)


def _upsample(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    scales = g.array("scales", np.array([1, 1, *size_of(layer.options["factor"])], np.float32))
    options = dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return g.node("Resize", x, "", scales, **options)


def _rescale(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    scaled = g.node("Mul", x, g.array("scale", np.float32(layer.options["scale"])))
    return g.node("Add", scaled, g.array("offset", np.float32(layer.options["offset"])))


def _operator(operator: str, **options: str) -> Operators:
    """Return the operators of a layer that is one; options are attributes: the name of the argument here."""

    def operators(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
        return g.node(operator, x, **{name: float(layer.options[here]) for name, here in options.items()})

    return operators


def _gelu(g: _Graph, x: str, layer: Placed, a: dict[str, str]) -> str:
    return g.node("Gelu", x, approximate="tanh" if layer.options["approximate"] else "none")


def _axis_of_channels(layer: Placed) -> int:
    return -1 if layer.channels_last else 1


def _concat(g: _Graph, xs: Sequence[str], layer: Placed, a: dict[str, str]) -> str:
    n = len(layer.in_shape)
    axis = layer.options["axis"] % n
    if not layer.channels_last and n > 1:
        axis = 0 if axis == n - 1 else axis + 1
    return g.node("Concat", *xs, axis=axis + 1)


TABLE = {
    "dense": Row(lambda g, x, layer, a: g.node("Gemm", x, a["weight"], a["bias"], transB=1), ARRAYS["dense"]),
    "conv": Row(_conv, ARRAYS["conv"]),
    "depthwise_conv": Row(_conv, ARRAYS["depthwise_conv"]),
    "conv_transpose": Row(_conv_transpose, ARRAYS["conv_transpose"]),
    "batch_norm": Row(_batch_norm, ARRAYS["batch_norm"]),
    "layer_norm": Row(partial(_over_channels, "LayerNormalization"), ARRAYS["layer_norm"]),
    "rms_norm": Row(partial(_over_channels, "RMSNormalization"), ARRAYS["rms_norm"]),
    "group_norm": Row(_group_norm, ARRAYS["group_norm"]),
    "embedding": Row(lambda g, x, layer, a: g.node("Gather", a["weight"], x), ARRAYS["embedding"]),
    "max_pool": Row(partial(_pool, "MaxPool")),
    "avg_pool": Row(partial(_pool, "AveragePool")),
    "global_max_pool": Row(partial(_global_pool, "GlobalMaxPool")),
    "global_avg_pool": Row(partial(_global_pool, "GlobalAveragePool")),
    "flatten": Row(lambda g, x, layer, a: g.node("Flatten", x, axis=1)),
    "pad": Row(_pad),
    "upsample": Row(_upsample),
    "rescale": Row(_rescale),
    "dropout": Row(_operator("Identity")),
    "identity": Row(_operator("Identity")),
    "sigmoid": Row(_operator("Sigmoid")),
    "tanh": Row(_operator("Tanh")),
    "relu": Row(_operator("Relu")),
    "leaky_relu": Row(_operator("LeakyRelu", alpha="slope")),
    "softplus": Row(_operator("Softplus")),
    "silu": Row(lambda g, x, layer, a: g.node("Mul", x, g.node("Sigmoid", x))),
    "gelu": Row(_gelu),
    "elu": Row(_operator("Elu", alpha="alpha")),
    "softmax": Row(lambda g, x, layer, a: g.node("Softmax", x, axis=_axis_of_channels(layer))),
    "residual": Row(lambda g, x, layer, a: x),
    "fan_out": Row(lambda g, x, layer, a: x),
    "fan_in_sum": Row(lambda g, xs, layer, a: g.node("Sum", *xs)),
    "fan_in_concat": Row(_concat),
    **onnx_sequences.TABLE,
}
"""The operators of each layer. What is made of others (residual, fan_out, each_step) has those of its parts."""


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of a model, whose input x and output y have any number of examples."""
    network = raw_inputs(network)
    spec, g, onnx, layers = network.spec, _Graph(), package(), layers_of(network)
    y = _written(arranged(layers), g, _as_floats(g, "x", spec.in_dtype))
    g.node("Identity", y)
    g.nodes[-1].output[0] = "y"
    shape = spec.in_shape if starts_last(layers) else (*spec.in_shape[-1:], *spec.in_shape[:-1])
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.in_dtype))
    x_info = onnx.helper.make_tensor_value_info("x", dtype, ["m", *shape])
    y_shape = ("m", *[None] * (len(layers[-1].out_shape) - 1), spec.n_outputs)
    y_info = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, y_shape)
    graph = onnx.helper.make_graph(g.nodes, "jaxnn", [x_info], [y_info], g.arrays)
    versions = [onnx.helper.make_opsetid("", g.version)]
    ir_version = onnx.helper.find_min_ir_version_for(versions)
    model = onnx.helper.make_model(graph, opset_imports=versions, ir_version=ir_version, producer_name="jaxnn")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _as_floats(g: _Graph, x: str, dtype: str) -> str:
    """Return the name of the input as floats, unless it is the numbers of words."""
    return g.node("Cast", x, to=package().TensorProto.FLOAT) if dtype == "uint8" else x


def _written(layers: Sequence[Placed], g: _Graph, x: Any) -> Any:
    """Add the layers to a graph; return the name of their output, or the names of branches."""
    for layer in layers:
        row = row_of(TABLE, layer, "onnx")
        if layer.moved:
            x = g.node("Transpose", x, perm=(_to_last if layer.channels_last else _to_first)(layer.axes))
        if layer.kind == "each_step":
            y = _written(layer.parts[0], g, onnx_sequences.rows_of_times(g, x, layer))
            x = onnx_sequences.times_of_rows(g, y, layer)
            continue
        arrays = {name: g.array(name, array) for name, array in arrays_there(row, layer).items()}
        parts = [_written(part, g, x) for part in layer.parts if layer.kind != "bidirectional"]
        if layer.kind == "residual":
            x = g.node("Add", x, *parts)
        else:
            x = parts or row.code(g, x, layer, arrays)
    return x


def code(network: StoredNetwork, file: str) -> str:
    """Return code that loads the model with onnxruntime."""
    return f"""\
import onnxruntime
session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])"""
