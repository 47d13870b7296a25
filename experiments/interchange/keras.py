"""Keras 3: the weights of a `Sequential`, as HDF5 in the layout that `save_weights` writes; also .keras archives.

In this layout, layers/dense/vars/0 is the kernel (n_in, n_out) of the first dense layer, .../1 its bias, and
layers/dense_1 the next layer. Of the many features of HDF5, only plain arrays in the file itself are read. An archive
also has the layers, as JSON. Channels are last there too.
"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from experiments.interchange import keras_sequences
from experiments.interchange.formats import FORMATS
from experiments.interchange.geometry import Pairs, groups_of, transposed_of, windows_of
from experiments.interchange.keras_code import CLASSES
from experiments.interchange.keras_weights import counted, datasets_of, modules_of, snake_case
from experiments.interchange.layers import Placed, layers_of
from experiments.interchange.names import Contents
from experiments.interchange.standardization import raw_inputs
from experiments.interchange.stepwise import without_steps
from experiments.interchange.tables import (
    Array,
    Code,
    Row,
    arrays_there,
    brief,
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
from jaxnn.nn.windows import pairs, size_of

OUTPUT = "net(x)"
NUMBERED_BY_DEPTH = True
"""Keras numbers the layers of a functional model by their depth, across branches."""


def arranged(layers: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return the layers as they are stored."""
    return without_steps(layers)


def _by_channel(K: np.ndarray, layer: Placed) -> np.ndarray:
    c_in = layer.in_shape[-1]
    return K.reshape(*K.shape[:-2], c_in, K.shape[-1] // c_in)


def _all_channels(kernel: np.ndarray, layer: Placed) -> np.ndarray:
    return kernel.reshape(*kernel.shape[:-2], 1, -1)


_BIAS = Array("1", default=0.0)
_NORM = {"gamma": Array("0", default=1.0), "beta": Array("1", default=0.0)}


def _windows(layer: Placed, *options: str, value: str = "0") -> tuple[dict[str, object], tuple[str, ...]]:
    """Return padding and stride, as options, and what pads before by numbers of places."""
    w, padding = windows_of(layer), layer.options["padding"]
    stated = given(strides=(brief(w.stride), 1)) if "strides" in options else {}
    if padding == "same" and "same" in options:
        return stated | {"padding": "same"}, ()
    return stated, (_padded(w.padding, value),) if any(map(any, w.padding)) else ()


def _padded(ends: Pairs, value: str = "0") -> str:
    if float(value) == 0:
        return f"keras.layers.ZeroPadding{len(ends)}D({ends[0] if len(ends) == 1 else ends})"
    widths = ((0, 0), *ends, (0, 0))
    return f"keras.layers.Lambda(lambda x: keras.ops.pad(x, {widths}, constant_values=float({value!r})))"


def _conv(layer: Placed) -> Code:
    w, n = windows_of(layer), layer.axes
    if max(w.stride) > 1 and max(w.dilation) > 1:
        raise ValueError("convolutions must have no dilation with a stride for Keras, got both: stablehlo has any")
    options, before = _windows(layer, "strides", "same")
    options |= given(dilation_rate=(brief(w.dilation), 1))
    if layer.kind == "depthwise_conv":
        if n > 2:
            raise ValueError("depthwise convolutions must be of sequences or images for Keras, got volumes")
        options |= given(depth_multiplier=(layer.options["multiplier"], 1))
        return Code(call(f"keras.layers.DepthwiseConv{n}D", brief(w.size), **options), before)
    options |= given(groups=(groups_of(layer), 1))
    return Code(call(f"keras.layers.Conv{n}D", layer.out_shape[-1], brief(w.size), **options), before)


def _conv_transpose(layer: Placed) -> Code:
    t, n = transposed_of(layer), layer.axes
    if layer.options["groups"] != 1 or (max(t.stride) > 1 and max(t.dilation) > 1):
        raise ValueError("transposed convolutions must have no groups, nor a stride with dilation, for Keras")
    options = given(strides=(brief(t.stride), 1), dilation_rate=(brief(t.dilation), 1))
    after = ()
    if layer.options["padding"] == "same":
        options["padding"] = "same"
    else:
        options["output_padding"] = brief(t.more)
        if any(map(any, t.cut)):
            after = (f"keras.layers.Cropping{n}D({t.cut[0] if n == 1 else t.cut})",)
    return Code(call(f"keras.layers.Conv{n}DTranspose", layer.out_shape[-1], brief(t.size), **options), (), after)


def _max_pool(layer: Placed) -> Code:
    w = windows_of(layer)
    options, before = _windows(layer, "same", value="-inf")
    options = given(strides=(brief(w.stride), brief(w.size))) | options
    return Code(call(f"keras.layers.MaxPooling{layer.axes}D", brief(w.size), **options), before)


def _avg_pool(layer: Placed) -> Code:
    w, counts = windows_of(layer), layer.options["count_padding"]
    options, before = _windows(layer, *(() if counts else ("same",)))
    options = given(strides=(brief(w.stride), brief(w.size))) | options
    pool = call(f"keras.layers.AveragePooling{layer.axes}D", brief(w.size), **options)
    if before and not counts:
        return Code(f"MeanInside({before[0]}, {pool})")
    return Code(pool, before)


def _norm(kind: str, *options: str):
    def code(layer: Placed) -> str:
        return call(
            f"keras.layers.{kind}Normalization", *(layer.options[o] for o in options), epsilon=_float(layer, "eps")
        )

    return code


def _float(layer: Placed, option: str) -> float:
    return float(layer.options[option])


def _named(kind: str):
    """Return the code of a layer that is named for its number of axes."""
    return lambda layer: f"keras.layers.{kind}{layer.axes}D()"


def _plain(code: str) -> Row:
    return Row(lambda layer: f"keras.layers.{code}")


def _concat(layer: Placed) -> str:
    axis = layer.options["axis"]
    return f"keras.layers.Concatenate({axis if axis < 0 else axis + 1})"


TABLE = {
    "dense": Row(
        lambda layer: f"keras.layers.Dense({layer.out_shape[0]})",
        {"W": Array("0", transposed, transposed), "b": _BIAS},
    ),
    "conv": Row(_conv, {"K": Array("0"), "b": _BIAS}),
    "depthwise_conv": Row(_conv, {"K": Array("0", _by_channel, _all_channels), "b": _BIAS}),
    "conv_transpose": Row(_conv_transpose, {"K": Array("0", swapped, swapped), "b": _BIAS}),
    "batch_norm": Row(_norm("Batch"), {**_NORM, "mean": Array("2"), "var": Array("3")}),
    "layer_norm": Row(_norm("Layer"), _NORM),
    "rms_norm": Row(_norm("RMS"), {"gamma": Array("0")}),
    "group_norm": Row(_norm("Group", "groups"), _NORM),
    "embedding": Row(
        lambda layer: call("keras.layers.Embedding", layer.options["vocabulary"], layer.options["n"]),
        {"E": Array("0")},
    ),
    "max_pool": Row(_max_pool),
    "avg_pool": Row(_avg_pool),
    "global_max_pool": Row(_named("GlobalMaxPooling")),
    "global_avg_pool": Row(_named("GlobalAveragePooling")),
    "flatten": _plain("Flatten()"),
    "pad": Row(lambda layer: _padded(pairs(layer.options["widths"], layer.axes), str(_float(layer, "value")))),
    "upsample": Row(
        lambda layer: call(f"keras.layers.UpSampling{layer.axes}D", brief(size_of(layer.options["factor"])))
    ),
    "rescale": Row(lambda layer: f"keras.layers.Rescaling({_float(layer, 'scale')}, {_float(layer, 'offset')})"),
    "dropout": Row(lambda layer: f"keras.layers.Dropout({_float(layer, 'rate')})"),
    "identity": _plain("Identity()"),
    "sigmoid": _plain("Activation('sigmoid')"),
    "tanh": _plain("Activation('tanh')"),
    "relu": _plain("Activation('relu')"),
    "leaky_relu": Row(lambda layer: f"keras.layers.LeakyReLU({_float(layer, 'slope')})"),
    "softplus": _plain("Activation('softplus')"),
    "silu": _plain("Activation('silu')"),
    "gelu": Row(
        lambda layer: (
            "keras.layers.Activation(lambda z: keras.activations.gelu(z, approximate=True))"
            if layer.options["approximate"]
            else "keras.layers.Activation('gelu')"
        )
    ),
    "elu": Row(lambda layer: f"keras.layers.ELU({_float(layer, 'alpha')})"),
    "softmax": _plain("Softmax()"),
    "residual": Row(lambda layer, inside: f"Residual({inside})"),
    "fan_out": Row(lambda layer, *parts: f"FanOut({', '.join(f'[{part}]' for part in parts)})"),
    "fan_in_sum": _plain("Add()"),
    "fan_in_concat": Row(_concat),
    **keras_sequences.TABLE,
}


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_group("vars")
        for name, array in arrays_of(arranged(layers_of(raw_inputs(network)))).items():
            file[name] = array
    return memory.getvalue()


def arrays_of(layers: Sequence[Placed]) -> dict[str, np.ndarray]:
    """Return the weights of a `Sequential` of the layers by their paths, in execution order."""
    return _written(layers)[1]


def code(network: StoredNetwork, file: str) -> str:
    """Return code that builds the network and loads its weights."""
    network = raw_inputs(network)
    spec, modules = network.spec, _written(arranged(layers_of(network)))[0]
    dtype = spec.in_dtype
    first = call("keras.Input", tuple(spec.in_shape), **given(dtype=(dtype, "float32")))
    built = with_helpers(f"net = keras.Sequential([{lines([first, *modules])}])", CLASSES)
    return f"""\
import keras
{built}
net.load_weights({file!r})"""


def _written(layers: Sequence[Placed]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the layers of a `Sequential`, and its weights, whose paths have the classes of the layers, numbered."""
    modules, weights, counts = [], {}, Counter()
    for layer in layers:
        row = row_of(TABLE, layer, "keras")
        parts = [_written(part) for part in layer.parts if layer.kind != "bidirectional"]
        made = code_of(row, layer, *(", ".join(inside) for inside, _ in parts))
        name = counted(snake_case(made.main.partition("(")[0].rpartition(".")[2]), counts)
        if layer.kind in keras_sequences.JOINT:
            arrays = keras_sequences.weights_of(layer)
        else:
            arrays = {f"vars/{number}": array for number, array in arrays_there(row, layer).items()}
        branches: Counter[str] = Counter()
        for _, inside in parts:
            prefix = f"branches/{counted('sequential', branches)}" if layer.kind == "fan_out" else "inside"
            arrays |= {f"{prefix}/{path}": array for path, array in inside.items()}
        weights |= {f"layers/{name}/{path}": array for path, array in arrays.items()}
        modules += [*made.before, made.main, *made.after]
    return modules, weights


def read(path: Path) -> Contents:
    """Return the arrays of a .weights.h5 file by layer, without the state of an optimizer, or those of an archive."""
    if path.name.endswith(".keras"):
        from experiments.interchange import keras_archives

        return keras_archives.read(path)
    if not path.name.endswith(FORMATS["keras"].suffix):
        raise ValueError(
            f"{path} must end in .keras or .weights.h5, as written by net.save('net.keras') or "
            "net.save_weights('net.weights.h5')"
        )
    return Contents(modules_of(datasets_of(path)))
