"""The layers of a network as text, such as "conv(6, 5), relu(), flatten(), dense(10)", and of dense weights alone.

Weights do not determine layers: strides, padding and activations have no weights. Text is read as literals and calls of
jaxnn's factories of layers; no other code runs.
"""

import ast
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jaxnn
from experiments.interchange.layers import Placed
from experiments.interchange.names import Modules, in_order
from experiments.interchange.tables import Table
from experiments.networks.spec import LayersSpec, NetworkSpec
from experiments.readers.errors import printable
from experiments.readers.suggestions import suggest
from jaxnn.models.calls_as_json import network_from_json
from jaxnn.models.model import shapes_of_params
from jaxnn.nn.activations import ACTIVATIONS
from jaxnn.typing import Shape

OUTPUTS = ("binary", "softmax", "linear", "relu")
_FACTORIES = frozenset(name for name in jaxnn.nn.__all__ if name.islower() and not name.endswith("ward"))


def network_of_text(text: str) -> jaxnn.Layer:
    """Return the network of text: one layer, or several separated by commas, which are a chain.

    Raises:
      ValueError: if the text is not calls of factories of layers with literals, or a call is invalid.

    Example:
      >>> network_of_text("conv(6, 5, stride=2), relu(), flatten(), dense(10)")
      chain(conv(6, 5, stride=2), relu(), flatten(), dense(10))
    """
    if not text.strip():
        raise ValueError("--layers must be one layer at least, such as dense(10)")
    try:
        tree = ast.parse(f"({text.strip().rstrip(',')},)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error).partition(" (")[0]
        raise ValueError(f"--layers must be layers as in Python, conv(6, 5), relu(), ..., got {reason}") from None
    layers = [_as_json(call) for call in tree.elts] if isinstance(tree, ast.Tuple) else [_as_json(tree)]
    written = layers[0] if len(layers) == 1 else {"call": "chain", "args": layers, "kwargs": {}}
    try:
        return network_from_json(json.dumps(written))
    except ValueError as error:
        reason = str(error).removeprefix("network must be JSON that network_to_json wrote, got ")
        raise ValueError(f"--layers: {reason.partition(': ')[2] or reason}") from None


def _as_json(node: ast.AST) -> Any:
    """Return a layer or an argument as `network_to_json` writes it."""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name not in _FACTORIES:
            raise ValueError(f"--layers must have layers of jaxnn.nn, got {name}(...){suggest(name, _FACTORIES)}")
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f"--layers must have literals as arguments, got {ast.unparse(node)[:100]}")
        kwargs = {keyword.arg: _as_json(keyword.value) for keyword in node.keywords}
        return {"call": name, "args": [_as_json(arg) for arg in node.args], "kwargs": kwargs}
    if isinstance(node, ast.Tuple | ast.List):
        return {"tuple": [_as_json(entry) for entry in node.elts]}
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        value = ...
    if isinstance(value, float):
        return {"float": repr(value)}
    if not isinstance(value, str | int | None):
        fix = f": call it, {node.id}()" if isinstance(node, ast.Name) and node.id in _FACTORIES else ""
        raise ValueError(f"--layers must have literals as arguments, got {ast.unparse(node)[:100]}{fix}")
    return value


def text_of_network(network: jaxnn.Layer, prefix: str = "") -> str:
    """Return a network as the text that `network_of_text` reads, each factory after the prefix.

    Example:
      >>> text_of_network(jaxnn.chain(jaxnn.nn.conv(6, (5, 3), stride=2), jaxnn.relu()), "nn.")
      'nn.chain(nn.conv(6, (5, 3), stride=2), nn.relu())'
    """
    call = network.factory_call
    parameters, args = inspect.signature(call.factory).parameters, []
    for name, value in call.arguments.items():
        if parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            args += [_as_text(entry, prefix) for entry in value]
        elif parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            args += [f"{key}={_as_text(entry, prefix)}" for key, entry in value.items()]
        else:
            required = parameters[name].default is inspect.Parameter.empty
            args.append(("" if required else f"{name}=") + _as_text(value, prefix))
    return f"{prefix}{call.factory.__name__}({', '.join(args)})"


def _as_text(value: Any, prefix: str) -> str:
    if hasattr(value, "factory_call"):
        return text_of_network(value, prefix)
    if isinstance(value, tuple | list):
        entries = [_as_text(entry, prefix) for entry in value]
        return f"({', '.join(entries)}{',' * (len(entries) == 1)})"
    return repr(value.item() if hasattr(value, "item") else value)


def spec_of_text(text: str, in_shape: Shape | None, output: str) -> LayersSpec:
    """Return the network of text on examples of this shape, whole numbers if the first layer is an embedding."""
    if not in_shape:
        raise ValueError("--layers needs the shape of one example: give --in-shape, such as --in-shape 28 28 1")
    check_option("output", output, OUTPUTS)
    network = network_of_text(text)
    spec = LayersSpec(network, in_shape, output, "int32" if _embeds(network) else "float32")
    shapes_of_params(network, spec.example)  # raises a ValueError that names the layer that does not fit
    return spec


def _embeds(layer: jaxnn.Layer) -> bool:
    """Return whether the first layer is an embedding, also at each step."""
    call = layer.factory_call
    around = call.factory in (jaxnn.chain, jaxnn.nn.each_step) and call.args
    return _embeds(call.args[0]) if around else call.factory is jaxnn.nn.embedding


def dense_spec(modules: Modules, table: Table, activation: str, output: str, words: Sequence[str] = ()) -> NetworkSpec:
    """Return the network of dense layers that arrays are of, in the order of the numbers in their names.

    Raises:
      ValueError: if they are not those of a sequence of dense layers, or an option is missing.
    """
    W, b, sizes = *(table["dense"].arrays[name] for name in "Wb"), []
    _check_dense(modules, {W.name: 2, b.name: 1})
    for i, name in enumerate(in_order(modules, words), start=1):
        module = modules[name]
        if W.name not in module:
            named = f"layer {printable(name)}" if name else "the layer"
            raise ValueError(f"{named} has a bias without weights: expected both for each layer")
        n_out, n_in = W.here(module[W.name], _A_DENSE).shape
        bias = module.get(b.name)
        if bias is not None and bias.shape != (n_out,):
            raise ValueError(f"layer {i} has weights of {n_out} units but a bias of shape {bias.shape}: is it damaged?")
        if sizes and n_in != sizes[-1]:
            raise ValueError(
                f"layer {i} takes {n_in} inputs, but layer {i - 1} has {sizes[-1]} units: import reads a sequence of "
                "dense layers, in the order of their numbers, or the layers that --like or --layers give"
            )
        sizes += [n_out] if sizes else [n_in, n_out]
    check_option("activation", activation, sorted(ACTIVATIONS), needed=len(sizes) > 2)
    check_option("output", output, OUTPUTS)
    return NetworkSpec(tuple(sizes), activation or "relu", output)


def _check_dense(modules: Modules, axes: Mapping[str, int]) -> None:
    """Raise ValueError unless arrays have these numbers of axes, by their names in a module."""
    for name, arrays in modules.items():
        for array, values in arrays.items():
            if values.ndim != axes.get(array):
                full = f"{name}.{array}".lstrip(".")
                kind = "a convolution" if values.ndim > 2 else "a normalization layer or an embedding"
                raise ValueError(
                    f"{full!r} has shape {values.shape}, like that of {kind}, and weights do not determine other "
                    'layers than dense ones: give --like RUN, or --layers "conv(6, 5), relu(), ..." and --in-shape'
                )


_A_DENSE = Placed("dense", {}, {}, (), ())


def check_option(option: str, value: str, known: Sequence[str], needed: bool = True) -> None:
    """Raise ValueError if an option is unknown, or missing where weights do not determine it."""
    if value not in known and (value or needed):
        got = f"unknown {option} {value!r}" if value else f"weights do not determine the {option}"
        raise ValueError(f"{got}: give --{option} {known[0]}, or one of {', '.join(known[1:])}")
