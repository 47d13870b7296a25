"""The layers of a .keras archive: a zip archive of config.json, the layers, and model.weights.h5, their weights.

A table maps each class of Keras to the layers that it is here. Of a file from a stranger, no code is run: lambdas and
classes that Keras does not have are not read.
"""

import json
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jaxnn
from experiments.interchange.graphs import DAMAGE, START, Branch, Node, branch_of, one_layer, without_probabilities
from experiments.interchange.keras import counted, datasets_of, modules_of, snake_case
from experiments.interchange.names import Contents, Modules
from experiments.networks.spec import LayersSpec
from experiments.networks.storage import MOST_BYTES
from experiments.readers.errors import InvalidFileError, check_file
from jaxnn import nn

_MOST_CONFIG = 2**24
"""The maximum size of the layers, as JSON: a thousand layers have one to two megabytes."""
Config = Mapping[str, Any]


class _Class(NamedTuple):
    """A class of Keras.

    Attributes:
      layers: `layers(config, axes)`, what it is here; axes are those of places, from the digit in its name.
      arrays: `arrays(config)`, the numbers of its arrays in the table of `keras.py`, in the order of the file.
    """

    layers: Callable[[Config, int], list[jaxnn.Layer]]
    arrays: Callable[[Config], list[str]] | None = None


def read(path: Path) -> Contents:
    """Return the layers and the weights of an archive.

    Raises:
      InvalidFileError: if the file is damaged, or too large.
      ValueError: if it has layers that there are not here.
      OSError: if it cannot be opened.
    """
    config, weights = _unpacked(path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.weights.h5"
        file.write_bytes(weights)
        try:
            modules = modules_of(datasets_of(file))
        except InvalidFileError as error:
            raise InvalidFileError(str(error).replace(str(file), f"{path}, {file.name}")) from None
    try:
        model = json.loads(config)
        branch, shape, dtype = _model(model, "", modules)
    except (*DAMAGE, json.JSONDecodeError) as error:
        reason = f"{type(error).__name__} {error}"
        raise InvalidFileError(f"{path}: config.json must be that of a Keras 3 model, got {reason}"[:500]) from None
    except ValueError as error:
        raise InvalidFileError(f"{path}: {error}") from None
    layers, output = without_probabilities(branch.layers)
    in_dtype = "int32" if dtype.startswith("int") else "float32"
    spec = LayersSpec(one_layer(layers), shape, output or "linear", in_dtype)
    return Contents({f"layer {i}": dict(arrays) for i, arrays in enumerate(branch.arrays, start=1)}, spec, output)


def _unpacked(path: Path) -> tuple[bytes, bytes]:
    check_file(path, MOST_BYTES + _MOST_CONFIG)
    path.open("rb").close()  # raises a clear error for an unreadable file
    try:
        with zipfile.ZipFile(path) as archive:
            return _member(archive, "config.json", _MOST_CONFIG), _member(archive, "model.weights.h5", MOST_BYTES)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, NotImplementedError) as error:
        raise InvalidFileError(f"{path} must be an archive that net.save('net.keras') wrote, got {error}") from None


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with archive.open(name) as file:  # of what is unpacked, one byte more than the limit at most
        data = file.read(most + 1)
    if len(data) > most:
        raise InvalidFileError(f"{archive.filename}: {name} must have at most {most:,} bytes, got more")
    return data


def _model(model: Config, place: str, modules: Modules) -> tuple[Branch, tuple[int, ...], str]:
    """Return the layers of a model, the shape of one example and its dtype."""
    kind, config = model["class_name"], model["config"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise ValueError(
            f"the archive must have a Sequential or functional model, got {str(kind)[:50]}: save its weights, "
            "net.save_weights('net.weights.h5'), and import them with --layers"
        )
    nodes, counts, before, inputs = {}, Counter(), START, []
    for layer in config["layers"]:
        one, name = layer["config"], str(layer.get("name") or layer["config"]["name"])
        if layer["class_name"] == "InputLayer":
            inputs.append(one)
            nodes[name] = Node((START,))
        else:
            where = f"{place}{counted(snake_case(layer['class_name']), counts)}"
            sources = _inputs(layer) if kind != "Sequential" else (before,)
            nodes[name] = _node(layer, where, sources, modules)
        before = name
    output = before if kind == "Sequential" else str(_first_name(config["output_layers"]))
    if len(inputs) > 1:
        raise ValueError(f"the model must have one input, got {len(inputs)}")
    shape, dtype = _input(inputs[0] if inputs else config.get("build_input_shape"))
    return branch_of(nodes, output), shape, dtype


def _input(given: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape of one example and its dtype, of an InputLayer or of a shape that a model was built for."""
    shape, dtype = (given["batch_shape"], given["dtype"]) if isinstance(given, dict) else (given or [], "float32")
    if len(shape) < 2 or not all(type(n) is int and n >= 1 for n in shape[1:]):
        raise ValueError(f"the model must have an input of known size, got {str(shape)[:100]}")
    return tuple(shape[1:]), str(dtype)


def _inputs(layer: Config) -> tuple[str, ...]:
    """Return the names of the layers whose outputs a layer takes."""
    if len(layer["inbound_nodes"]) != 1:
        raise ValueError(f"{str(layer['name'])[:50]} must be used once, got {len(layer['inbound_nodes'])} times")
    found, open_values = [], [layer["inbound_nodes"][0]["args"]]
    while open_values:
        value = open_values.pop()
        if isinstance(value, list):
            open_values += reversed(value)
        elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            found.append(str(value["config"]["keras_history"][0]))
    return tuple(found)


def _first_name(layers: Any) -> Any:
    """Return the name of the only output layer: [name, 0, 0], or a list of one such."""
    while isinstance(layers[0], list):
        if len(layers) != 1:
            raise ValueError(f"the model must have one output, got {len(layers)}")
        layers = layers[0]
    return layers[0]


def _node(layer: Config, where: str, inputs: tuple[str, ...], modules: Modules) -> Node:
    kind, config = str(layer["class_name"]), layer["config"]
    if kind in ("Sequential", "Functional", "Model"):
        branch, *_ = _model(layer, f"{where}/layers/", modules)
        return Node(inputs, tuple(branch.layers), tuple(branch.arrays))
    digit = next((c for c in kind if c.isdigit()), "")
    name, axes = kind.replace(f"{digit}D", "ND") if digit else kind, int(digit or 0)
    if name not in CLASSES:
        known = ", ".join(sorted(CLASSES)).replace("ND", "2D")
        raise ValueError(f"the archive must have layers of {known}, got {kind[:50]}")
    if config.get("data_format", "channels_last") != "channels_last":
        raise ValueError(f"{kind} must have channels last, got data_format={str(config['data_format'])[:50]}")
    made = CLASSES[name]
    layers, arrays = tuple(made.layers(config, axes)), ()
    if made.arrays is not None:
        stored, numbers = modules.get(where, {}), made.arrays(config)
        arrays = ({numbers[int(i)]: a for i, a in stored.items() if int(i) < len(numbers)},)
    if (len(inputs) > 1) != (name in ("Add", "Concatenate")):
        raise ValueError(f"{kind} must have {'several inputs' if len(inputs) < 2 else 'one input'}, got {len(inputs)}")
    return Node(inputs, layers, arrays)


# ------------------------------------------------------------------ what each class is here


def _activation(given: Any) -> list[jaxnn.Layer]:
    name = given.get("config") if isinstance(given, dict) else given
    if name in (None, "linear"):
        return []
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {str(name)[:50]}")
    return [_ACTIVATIONS[name]]


_ACTIVATIONS = {
    "relu": nn.relu(),
    "sigmoid": nn.sigmoid(),
    "tanh": nn.tanh(),
    "softmax": nn.softmax(),
    "softplus": nn.softplus(),
    "silu": nn.silu(),
    "swish": nn.silu(),
    "gelu": nn.gelu(),
    "elu": nn.elu(),
    "leaky_relu": nn.leaky_relu(0.2),  # the slope of Keras
}


def _size(config: Config, name: str, axes: int) -> tuple[int, ...]:
    value = config[name]
    return tuple(map(int, value)) if isinstance(value, list) else (int(value),) * axes


def _padding(config: Config) -> str:
    if config["padding"] not in ("same", "valid"):
        raise ValueError(f"padding must be same or valid, got {str(config['padding'])[:50]}")
    return config["padding"]


def _conv(config: Config, axes: int) -> list[jaxnn.Layer]:
    size, stride, dilation = (_size(config, name, axes) for name in ("kernel_size", "strides", "dilation_rate"))
    layer = nn.conv(config["filters"], size, stride, _padding(config), dilation, config.get("groups", 1))
    return [layer, *_activation(config["activation"])]


def _depthwise_conv(config: Config, axes: int) -> list[jaxnn.Layer]:
    size, stride, dilation = (_size(config, name, axes) for name in ("kernel_size", "strides", "dilation_rate"))
    layer = nn.depthwise_conv(size, config["depth_multiplier"], stride, _padding(config), dilation)
    return [layer, *_activation(config["activation"])]


def _conv_transpose(config: Config, axes: int) -> list[jaxnn.Layer]:
    size, stride, dilation = (_size(config, name, axes) for name in ("kernel_size", "strides", "dilation_rate"))
    more, padding = config.get("output_padding"), _padding(config)
    if more is not None and padding == "same":
        raise ValueError('Conv2DTranspose must have no output_padding with padding="same", got both')
    spans = zip(stride, size, dilation, strict=True)
    # Without output padding, "valid" has s n places at least.
    rest = tuple(max(s - d * (k - 1) - 1, 0) for s, k, d in spans)
    rest = rest if more is None else _size(config, "output_padding", axes)
    layer = nn.conv_transpose(config["filters"], size, stride, padding, 0 if padding == "same" else rest, dilation)
    return [layer, *_activation(config["activation"])]


def _pool(pool: Callable[..., jaxnn.Layer], **options: Any) -> Callable[[Config, int], list[jaxnn.Layer]]:
    def layers(config: Config, axes: int) -> list[jaxnn.Layer]:
        return [pool(_size(config, "pool_size", axes), _size(config, "strides", axes), _padding(config), **options)]

    return layers


def _global_pool(pool: Callable[[], jaxnn.Layer]) -> Callable[[Config, int], list[jaxnn.Layer]]:
    def layers(config: Config, axes: int) -> list[jaxnn.Layer]:
        if config.get("keepdims"):
            raise ValueError("global pooling must have keepdims=False, got True")
        return [pool()]

    return layers


def _norm(norm: Callable[..., jaxnn.Layer]) -> Callable[[Config, int], list[jaxnn.Layer]]:
    def layers(config: Config, axes: int) -> list[jaxnn.Layer]:
        axis = config.get("axis", -1)
        if axis not in (-1, [-1]):
            raise ValueError(f"normalizations must have axis=-1, the channels, got {str(axis)[:50]}")
        return [norm(float(config["epsilon"]))]

    return layers


def _relu(config: Config, axes: int) -> list[jaxnn.Layer]:
    if config.get("max_value") is not None or config.get("threshold"):
        raise ValueError("ReLU must have no max_value and threshold=0, got others")
    slope = float(config.get("negative_slope") or 0)
    return [nn.leaky_relu(slope) if slope else nn.relu()]


def _zero_padding(config: Config, axes: int) -> list[jaxnn.Layer]:
    ends = config["padding"]
    ends = ends if isinstance(ends[0], list) else [ends]
    return [nn.pad(tuple((int(low), int(high)) for low, high in ends))]


def _upsampling(config: Config, axes: int) -> list[jaxnn.Layer]:
    if config.get("interpolation", "nearest") != "nearest":
        raise ValueError(f"UpSampling2D must have interpolation='nearest', got {str(config['interpolation'])[:50]}")
    return [nn.upsample(_size(config, "size", axes))]


def _weights(config: Config) -> list[str]:
    return ["0", "1"] if config.get("use_bias", True) else ["0"]


def _gains(config: Config) -> list[str]:
    return ["0"] * bool(config.get("scale", True)) + ["1"] * bool(config.get("center", True))


def _first(config: Config) -> list[str]:
    return ["0"]


def _nothing(config: Config, axes: int) -> list[jaxnn.Layer]:
    return []


CLASSES = {
    "Dense": _Class(lambda c, axes: [nn.dense(c["units"]), *_activation(c["activation"])], _weights),
    "ConvND": _Class(_conv, _weights),
    "DepthwiseConvND": _Class(_depthwise_conv, _weights),
    "ConvNDTranspose": _Class(_conv_transpose, _weights),
    "BatchNormalization": _Class(_norm(nn.batch_norm), lambda c: [*_gains(c), "2", "3"]),
    "LayerNormalization": _Class(_norm(nn.layer_norm), _gains),
    "RMSNormalization": _Class(_norm(nn.rms_norm), _first),
    "GroupNormalization": _Class(lambda c, axes: _norm(lambda eps: nn.group_norm(c["groups"], eps))(c, axes), _gains),
    "Embedding": _Class(lambda c, axes: [nn.embedding(c["input_dim"], c["output_dim"])], _first),
    "MaxPoolingND": _Class(_pool(nn.max_pool)),
    "AveragePoolingND": _Class(_pool(nn.avg_pool, count_padding=False)),
    "GlobalMaxPoolingND": _Class(_global_pool(nn.global_max_pool)),
    "GlobalAveragePoolingND": _Class(_global_pool(nn.global_avg_pool)),
    "Flatten": _Class(lambda c, axes: [nn.flatten()]),
    "ZeroPaddingND": _Class(_zero_padding),
    "UpSamplingND": _Class(_upsampling),
    "Rescaling": _Class(lambda c, axes: [nn.rescale(float(c["scale"]), float(c["offset"]))]),
    "Dropout": _Class(lambda c, axes: [nn.dropout(float(c["rate"]))]),
    "SpatialDropoutND": _Class(_nothing),
    "GaussianNoise": _Class(_nothing),
    "Identity": _Class(_nothing),
    "Activation": _Class(lambda c, axes: _activation(c["activation"])),
    "ReLU": _Class(_relu),
    "LeakyReLU": _Class(lambda c, axes: [nn.leaky_relu(float(c["negative_slope"]))]),
    "ELU": _Class(lambda c, axes: [nn.elu(float(c["alpha"]))]),
    "Softmax": _Class(lambda c, axes: [nn.softmax()]),
    "Add": _Class(lambda c, axes: [nn.fan_in_sum()]),
    "Concatenate": _Class(lambda c, axes: [nn.fan_in_concat(c["axis"] - (c["axis"] > 0))]),
}
"""The classes of Keras, with N for the number of axes in their names."""
