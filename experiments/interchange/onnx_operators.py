"""What each operator of an ONNX graph is here, from a table.

Channels are first there, and last here. A value is laid out in one of these ways: a vector; channels first; channels
last, as an embedding makes them; moved to the end by a transposition, for a normalization over them; turned to the
front by one, after an embedding; pooled to one place, which a flatten removes. An operator in another layout than it is
read in is an error.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from jaxnn import nn

VECTOR, FIRST, LAST, MOVED, TURNED, POOLED = "a vector", "first", "last", "moved", "turned", "pooled"


class Operation(NamedTuple):
    """An operator of a graph.

    Attributes:
      kind: its name, such as "Conv".
      attributes: by name.
      inputs: the names of its values; "" for one that is left out.
      constants: its inputs that are arrays of the file, by index.
      layout: how its first value is laid out.
      axes: the number of axes of places of the first value.
    """

    kind: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    constants: Mapping[int, np.ndarray]
    layout: str
    axes: int

    def needs(self, condition: bool, expected: str, got: Any) -> None:
        """Raise ValueError unless the condition holds."""
        if not condition:
            raise ValueError(f"{self.kind} must have {expected}, got {str(got)[:100]}")


class Meaning(NamedTuple):
    """What an operator is here: layers, the arrays of the last, how its output is laid out and on how many axes."""

    layers: tuple[jaxnn.Layer, ...] = ()
    arrays: tuple[Mapping[str, np.ndarray], ...] = ()
    layout: str = ""
    axes: int | None = None


def _pads(o: Operation, axes: int) -> Any:
    """Return the padding: "same", "valid", or a pair for each axis."""
    auto = o.attributes.get("auto_pad", "NOTSET")
    o.needs(auto in ("NOTSET", "VALID", "SAME_UPPER"), "auto_pad NOTSET, VALID or SAME_UPPER", auto)
    if auto != "NOTSET":
        return {"VALID": "valid", "SAME_UPPER": "same"}[auto]
    pads = list(map(int, o.attributes.get("pads", [0] * 2 * axes)))
    o.needs(len(pads) == 2 * axes, f"{2 * axes} pads", pads)
    return tuple(zip(pads[:axes], pads[axes:], strict=True))


def _per_axis(o: Operation, name: str, axes: int) -> tuple[int, ...]:
    return tuple(map(int, o.attributes.get(name, [1] * axes)))


def _with_places(o: Operation) -> int:
    o.needs(o.layout in (FIRST, TURNED), "examples with places, channels first", o.layout)
    return o.axes


def _filters(o: Operation) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the filters, and them with the bias, by their names in the table."""
    o.needs(1 in o.constants and (len(o.inputs) == 1), "filters that are stored in the model", "computed ones")
    o.needs(o.constants[1].ndim == o.axes + 2, f"filters with {o.axes + 2} axes", o.constants[1].shape)
    arrays = {"weight": o.constants[1]} | ({"bias": o.constants[2]} if 2 in o.constants else {})
    return o.constants[1], arrays


def _conv(o: Operation) -> Meaning:
    axes, (weight, arrays) = _with_places(o), _filters(o)
    stride, dilation = _per_axis(o, "strides", axes), _per_axis(o, "dilations", axes)
    groups = int(o.attributes.get("group", 1))
    layer = nn.conv(len(weight), weight.shape[2:], stride, _pads(o, axes), dilation, groups)
    return Meaning((layer,), (arrays,), FIRST)


def _conv_transpose(o: Operation) -> Meaning:
    axes, (weight, arrays) = _with_places(o), _filters(o)
    o.needs(
        o.attributes.get("auto_pad", "NOTSET") == "NOTSET" and "output_shape" not in o.attributes, "pads", "auto_pad"
    )
    stride, dilation = _per_axis(o, "strides", axes), _per_axis(o, "dilations", axes)
    groups, more = int(o.attributes.get("group", 1)), tuple(map(int, o.attributes.get("output_padding", [0] * axes)))
    c_out = weight.shape[1] * groups
    layer = nn.conv_transpose(c_out, weight.shape[2:], stride, _pads(o, axes), more, dilation, groups)
    return Meaning((layer,), (arrays,), FIRST)


def _pool(o: Operation) -> Meaning:
    axes = _with_places(o)
    plain = not o.attributes.get("ceil_mode") and max(_per_axis(o, "dilations", axes)) == 1
    o.needs(plain, "neither ceil_mode nor dilations", "them")
    size, stride = tuple(o.attributes["kernel_shape"]), _per_axis(o, "strides", axes)
    if o.kind == "MaxPool":
        return Meaning((nn.max_pool(size, stride, _pads(o, axes)),), (), FIRST)
    counts = bool(o.attributes.get("count_include_pad", 0))
    return Meaning((nn.avg_pool(size, stride, _pads(o, axes), counts),), (), FIRST)


def _global_pool(o: Operation) -> Meaning:
    _with_places(o)
    average = o.kind in ("GlobalAveragePool", "ReduceMean")
    keeps = True
    if o.kind.startswith("Reduce"):
        axes = o.attributes.get("axes", o.constants.get(1, ()))
        places = {*range(2, o.axes + 2)}
        o.needs({int(i) % (o.axes + 2) for i in axes} == places, "the axes of all places", axes)
        keeps = bool(o.attributes.get("keepdims", 1))
    layer = nn.global_avg_pool() if average else nn.global_max_pool()
    return Meaning((layer,), (), POOLED if keeps else VECTOR, 0)


def _dense(o: Operation) -> Meaning:
    o.needs(o.layout == VECTOR and 1 in o.constants, "a vector, and weights that are stored in the model", o.layout)
    weight = o.constants[1]
    o.needs(weight.ndim == 2, "a matrix of weights", weight.shape)
    if o.kind == "Gemm":
        scaled = any(o.attributes.get(name, 1) != 1 for name in ("alpha", "beta")) or o.attributes.get("transA", 0)
        o.needs(not scaled, "alpha and beta of 1, and transA=0", "others")
    weight = weight if o.attributes.get("transB", 0) else weight.T
    arrays = {"weight": weight} | ({"bias": o.constants[2].ravel()} if 2 in o.constants else {})
    return Meaning((nn.dense(len(weight)),), (arrays,))


def _batch_norm(o: Operation) -> Meaning:
    o.needs(o.layout in (FIRST, TURNED, VECTOR) and {1, 2, 3, 4} <= {*o.constants}, "channels first", o.layout)
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {name: o.constants[i] for i, name in enumerate(names, start=1)}
    layout = VECTOR if o.layout == VECTOR else FIRST
    return Meaning((nn.batch_norm(float(o.attributes.get("epsilon", 1e-5))),), (arrays,), layout)


def _group_norm(o: Operation) -> Meaning:
    o.needs(o.layout in (FIRST, TURNED, VECTOR) and {1, 2} <= {*o.constants}, "channels first", o.layout)
    groups = len(o.constants[1]) if o.kind == "InstanceNormalization" else int(o.attributes["num_groups"])
    layer = nn.group_norm(groups, float(o.attributes.get("epsilon", 1e-5)))
    layout = VECTOR if o.layout == VECTOR else FIRST
    return Meaning((layer,), ({"weight": o.constants[1], "bias": o.constants[2]},), layout)


def _over_channels(o: Operation) -> Meaning:
    axis = int(o.attributes.get("axis", -1))
    last = axis in (-1, o.axes + 1)
    o.needs(o.layout in (VECTOR, LAST, MOVED) and last and 1 in o.constants, "axis -1, the channels", o.layout)
    eps = float(o.attributes.get("epsilon", 1e-5))
    layer = nn.rms_norm(eps) if o.kind == "RMSNormalization" else nn.layer_norm(eps)
    return Meaning((layer,), (dict(zip(("weight", "bias"), o.constants.values(), strict=False)),))


def _embedding(o: Operation) -> Meaning:
    o.needs(0 in o.constants and o.attributes.get("axis", 0) == 0, "a table of vectors, stored in the model", o.layout)
    table = o.constants[0]
    return Meaning((nn.embedding(*table.shape),), ({"weight": table},), LAST, o.axes + 1)


def _transpose(o: Operation) -> Meaning:
    axes, perm = o.axes, list(o.attributes.get("perm", ()))
    if perm == [0, *range(2, axes + 2), 1] and o.layout == FIRST:
        return Meaning(layout=MOVED)
    if perm == [0, axes + 1, *range(1, axes + 1)] and o.layout in (MOVED, LAST):
        return Meaning(layout=FIRST if o.layout == MOVED else TURNED)
    raise ValueError(f"Transpose must move channels to the end or back, got perm={perm} for channels {o.layout}")


def _flatten(o: Operation) -> Meaning:
    o.needs(o.layout not in (MOVED, TURNED), "channels where they were before", o.layout)
    if o.kind == "Flatten":
        o.needs(o.attributes.get("axis", 1) == 1, "axis 1", o.attributes.get("axis"))
    elif o.kind == "Reshape":
        shape = o.constants.get(1, np.zeros(0)).tolist()
        o.needs(len(shape) == 2 and shape[1] != 0, "two axes, stored in the model", shape)
    else:
        o.needs(o.layout == POOLED, "what is pooled to one place", o.layout)
    return Meaning(() if o.layout in (POOLED, VECTOR) else (nn.flatten(),), (), VECTOR, 0)


def _pad(o: Operation) -> Meaning:
    axes = _with_places(o)
    o.needs(o.attributes.get("mode", "constant") == "constant", "mode constant", o.attributes.get("mode"))
    pads = list(map(int, o.attributes.get("pads", o.constants.get(1, ()))))
    low, high = pads[: axes + 2], pads[axes + 2 :]
    o.needs(len(pads) == 2 * axes + 4 and not any((*low[:2], *high[:2])), "pads of places alone", pads)
    value = o.attributes.get("value", o.constants.get(2, 0.0))
    layer = nn.pad(tuple(zip(low[2:], high[2:], strict=True)), float(np.asarray(value).ravel()[0]))
    return Meaning((layer,), (), FIRST)


def _resize(o: Operation) -> Meaning:
    axes = _with_places(o)
    scales = o.constants.get(2, np.zeros(0)).tolist()
    whole = len(scales) == axes + 2 and scales[:2] == [1, 1] and all(s >= 1 and s == round(s) for s in scales)
    nearest = o.attributes.get("mode", "nearest") == "nearest"
    o.needs(whole and nearest, "mode nearest and whole numbers as scales of places", scales)
    return Meaning((nn.upsample(tuple(map(int, scales[2:]))),), (), FIRST)


def _softmax(o: Operation) -> Meaning:
    axis = int(o.attributes.get("axis", -1)) % (o.axes + 2)
    channels = 1 if o.layout in (FIRST, TURNED, VECTOR) else o.axes + 1
    o.needs(axis == channels, "the axis of the channels", axis)
    return Meaning((nn.softmax(),))


def _sum(o: Operation) -> Meaning:
    if len(o.inputs) > 1:
        return Meaning((nn.fan_in_sum(),))
    (number,) = o.constants.values() if o.constants else (np.zeros(()),)
    return Meaning((nn.rescale(1.0, float(number.ravel()[0])),) if number.size == 1 else ())


def _product(o: Operation) -> Meaning:
    if len(o.inputs) > 1:
        return Meaning((nn.silu(),))
    (number,) = o.constants.values()
    o.needs(number.size == 1, "a number", number.shape)
    return Meaning((nn.rescale(float(number.ravel()[0]), 0.0),))


def _concat(o: Operation) -> Meaning:
    n, axis = o.axes + 2, int(o.attributes["axis"])
    axis = axis % n
    o.needs(axis > 0 and o.layout in (VECTOR, FIRST, LAST), "an axis of an example", axis)
    if o.layout == FIRST:
        return Meaning((nn.fan_in_concat(-1 if axis == 1 else axis - 2),))
    return Meaning((nn.fan_in_concat(-1 if axis == n - 1 else axis - 1),))


def _gelu(o: Operation) -> Meaning:
    return Meaning((nn.gelu(o.attributes.get("approximate", "none") == "tanh"),))


def _plain(*layers: jaxnn.Layer) -> Callable[[Operation], Meaning]:
    return lambda o: Meaning(layers)


OPERATORS: Mapping[str, Callable[[Operation], Meaning]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalMaxPool": _global_pool,
    "GlobalAveragePool": _global_pool,
    "ReduceMean": _global_pool,
    "ReduceMax": _global_pool,
    "Gemm": _dense,
    "MatMul": _dense,
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _group_norm,
    "LayerNormalization": _over_channels,
    "RMSNormalization": _over_channels,
    "Gather": _embedding,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Squeeze": _flatten,
    "Pad": _pad,
    "Resize": _resize,
    "Sum": _sum,
    "Add": _sum,
    "Mul": _product,
    "Concat": _concat,
    "Softmax": _softmax,
    "Relu": _plain(nn.relu()),
    "Sigmoid": _plain(nn.sigmoid()),
    "Tanh": _plain(nn.tanh()),
    "LeakyRelu": lambda o: Meaning((nn.leaky_relu(float(o.attributes.get("alpha", 0.01))),)),
    "Elu": lambda o: Meaning((nn.elu(float(o.attributes.get("alpha", 1.0))),)),
    "Softplus": _plain(nn.softplus()),
    "Gelu": _gelu,
    "Identity": _plain(),
    "Dropout": _plain(),
    "Cast": _plain(),
}
"""What each operator is."""
