"""The layers of a .keras archive: a zip archive of config.json, the layers, and model.weights.h5, their weights.

A table maps each class of Keras to the layers that it is here. Of a file from a stranger, no code is run: lambdas and
classes that Keras does not have are not read.
"""

import json
import tempfile
import zipfile
import zlib
from collections import Counter
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import jax

import jaxnn
from experiments.interchange.graphs import (
    DAMAGE,
    MOST_NODES,
    START,
    Branch,
    Node,
    branch_of,
    one_layer,
    without_probabilities,
)
from experiments.interchange.keras_classes import CLASSES, Config
from experiments.interchange.keras_sequence_classes import SEQUENCE_CLASSES, sequence_layers
from experiments.interchange.keras_weights import counted, datasets_of, modules_of, snake_case
from experiments.interchange.layers import out_shape_of
from experiments.interchange.names import Contents, Modules
from experiments.networks.spec import LayersSpec
from experiments.readers.errors import InvalidFileError, check_file
from experiments.readers.safetensors import MOST_BYTES
from jaxnn import nn
from jaxnn.nn.shapes import simplified, structs

_MOST_CONFIG = 2**24
"""The maximum size of the layers, as JSON: a thousand layers have one to two megabytes."""


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
        if (n := _layers_in(model)) > MOST_NODES:  # the shape after each of them takes a while
            raise ValueError(f"models must have at most {MOST_NODES} layers, got {n}")
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


@lru_cache(maxsize=1000)
def _shape_after(layers: tuple[jaxnn.Layer, ...], shape: Any) -> Any:
    """Return the shape of one example after layers, which takes milliseconds: blocks of a model often repeat."""
    return out_shape_of(one_layer(layers), shape)


def _layers_in(model: Config) -> int:
    config = model["config"]
    return sum(1 + _layers_in(layer) for layer in config.get("layers", ()))


def _model(model: Config, place: str, modules: Modules) -> tuple[Branch, tuple[int, ...], str]:
    """Return the layers of a model, the shape of one example and its dtype."""
    kind, config = model["class_name"], model["config"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise ValueError(
            f"the archive must have a Sequential or functional model, got {str(kind)[:50]}: save its weights, "
            "net.save_weights('net.weights.h5'), and import them with --layers"
        )
    inputs = [layer["config"] for layer in config["layers"] if layer["class_name"] == "InputLayer"]
    if len(inputs) > 1:
        raise ValueError(f"the model must have one input, got {len(inputs)}")
    shape, dtype = _input(inputs[0] if inputs else config.get("build_input_shape"))
    nodes, counts, before = {}, Counter(), START
    shapes: dict[str, Any] = {START: jax.ShapeDtypeStruct(shape, "int32" if dtype.startswith("int") else "float32")}
    for layer in config["layers"]:
        name, sources = str(layer.get("name") or layer["config"]["name"]), (START,)
        node = Node(sources)
        if layer["class_name"] != "InputLayer":
            where = f"{place}{counted(snake_case(layer['class_name']), counts)}"
            sources = _inputs(layer) if kind != "Sequential" else (before,)
            node = _node(layer, where, sources, modules, tuple(structs(shapes[sources[0]]).shape))
        taken = tuple(structs(shapes[one]) for one in node.inputs)
        shapes[name] = _shape_after(node.layers, simplified(taken if taken[1:] else taken[0]))
        nodes[name], before = node, name
    output = before if kind == "Sequential" else str(_first_name(config["output_layers"]))
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
    # Attention of a sequence to itself takes it as queries, keys and values.
    return tuple(dict.fromkeys(found)) if layer["class_name"] == "MultiHeadAttention" else tuple(found)


def _first_name(layers: Any) -> Any:
    """Return the name of the only output layer: [name, 0, 0], or a list of one such."""
    while isinstance(layers[0], list):
        if len(layers) != 1:
            raise ValueError(f"the model must have one output, got {len(layers)}")
        layers = layers[0]
    return layers[0]


def _node(layer: Config, where: str, inputs: tuple[str, ...], modules: Modules, shape: tuple[int, ...]) -> Node:
    """Return the node of a layer; the shape is that of one example before it, or of its first input."""
    kind, config = str(layer["class_name"]), layer["config"]
    if kind in ("Sequential", "Functional", "Model"):
        branch, *_ = _model(layer, f"{where}/layers/", modules)
        return Node(inputs, tuple(branch.layers), tuple(branch.arrays))
    if kind in SEQUENCE_CLASSES:
        _check_inputs(kind, inputs)

        def inside(layer: Config, where: str, shape: tuple[int, ...]) -> Branch:
            node = _node(layer, where, inputs, modules, shape)
            return Branch([*node.layers], [*node.arrays])

        branch = sequence_layers(layer, where, shape, modules, inside)
        return Node(inputs, tuple(branch.layers), tuple(branch.arrays))
    digit = next((c for c in kind if c.isdigit()), "")
    name, axes = kind.replace(f"{digit}D", "ND") if digit else kind, int(digit or 0)
    if name not in CLASSES:
        known = ", ".join(sorted((*CLASSES, *SEQUENCE_CLASSES))).replace("ND", "2D")
        raise ValueError(f"the archive must have layers of {known}, got {kind[:50]}")
    if config.get("data_format", "channels_last") != "channels_last":
        raise ValueError(f"{kind} must have channels last, got data_format={str(config['data_format'])[:50]}")
    made = CLASSES[name]
    layers, arrays = tuple(made.layers(config, axes)), ()
    if made.arrays is not None:
        stored, numbers = modules.get(where, {}), made.arrays(config)
        arrays = ({numbers[int(i)]: a for i, a in stored.items() if int(i) < len(numbers)},)
    _check_inputs(kind, inputs, several=name in ("Add", "Concatenate"))
    if kind == "Dense" and len(shape) > 1:  # at each place
        layers = (reduce(lambda dense, _: nn.each_step(dense), shape[1:], one_layer(layers[:1])), *layers[1:])
    return Node(inputs, layers, arrays)


def _check_inputs(kind: str, inputs: tuple[str, ...], several: bool = False) -> None:
    if (len(inputs) > 1) != several:
        raise ValueError(f"{kind} must have {'several inputs' if several else 'one input'}, got {len(inputs)}")
