"""The layers of an ONNX graph: its nodes in order, each by the table of operators."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from experiments.interchange.graphs import DAMAGE, START, Node, branch_of, one_layer, without_probabilities
from experiments.interchange.names import Contents
from experiments.interchange.onnx_operators import FIRST, LAST, OPERATORS, VECTOR, Operation
from experiments.networks.spec import LayersSpec
from experiments.readers.errors import InvalidFileError, check_file
from experiments.readers.packages import install_command
from experiments.readers.safetensors import MOST_BYTES

_MOST_NUMBERS = MOST_BYTES // 4
_OF_SEQUENCES, _READ_FROM = ("LSTM", "GRU", "RNN", "Scan", "Loop"), "torch, flax or keras"


def package() -> ModuleType:
    """Return the package onnx.

    Raises:
      ValueError: if it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ValueError(f"onnx files need the package onnx ({error}): {install_command('onnx')}") from None
    return onnx


def read(path: Path) -> Contents:
    """Return the layers and the arrays of an ONNX model.

    Raises:
      InvalidFileError: if the file is damaged, or too large.
      ValueError: if it has operators without a meaning here, or onnx is not installed.
      OSError: if it cannot be opened.
    """
    onnx = package()
    check_file(path, MOST_BYTES)
    data = path.read_bytes()
    try:
        graph = onnx.ModelProto.FromString(data).graph
        constants = {tensor.name: _array(onnx, tensor) for tensor in graph.initializer}
        if not graph.node or not graph.output:
            raise ValueError("its graph has no operators")
    except Exception as error:  # what protobuf raises depends on its version
        raise InvalidFileError(f"{path} is damaged, or not an ONNX model: {error}"[:500]) from None
    if found := next((node.op_type for node in graph.node if node.op_type in _OF_SEQUENCES), ""):
        raise ValueError(f"{path} has {found}, and recurrences are not read from graphs: import them from {_READ_FROM}")
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ValueError(f"the model must have one input and one output, got {len(inputs)} and {len(graph.output)}")
    shape, dtype = _input(onnx, inputs[0])
    try:
        branch = branch_of(*_nodes(onnx, graph, inputs[0].name, shape, dtype, constants))
    except DAMAGE as error:
        raise InvalidFileError(f"{path} is damaged: {type(error).__name__} {error}"[:500]) from None
    except ValueError as error:
        raise InvalidFileError(f"{path}: {error}") from None
    layers, output = without_probabilities(branch.layers)
    arrays = {f"layer {i}": dict(of_layer) for i, of_layer in enumerate(branch.arrays, start=1)}
    return Contents(arrays, LayersSpec(one_layer(layers), shape, output or "linear", dtype), output)


def _array(onnx: ModuleType, tensor: Any) -> np.ndarray:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError(f"{tensor.name} is in another file: save the model in one file")
    if np.prod([float(n) for n in tensor.dims]) > _MOST_NUMBERS:
        raise ValueError(f"{tensor.name} declares {tuple(tensor.dims)}")
    array = onnx.numpy_helper.to_array(tensor)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _input(onnx: ModuleType, value: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape of one example, channels last, and its dtype."""
    tensor = value.type.tensor_type
    sizes = tuple(dim.dim_value for dim in tensor.shape.dim)[1:]
    if not sizes or min(sizes) < 1:
        raise ValueError(f"the input must have a known size for each axis but the first, got {sizes}")
    kinds = {onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.INT32: "int32", onnx.TensorProto.INT64: "int32"}
    dtype = kinds.get(tensor.elem_type, "float32")
    return (sizes if dtype == "int32" else (*sizes[1:], sizes[0])), dtype


def _nodes(
    onnx: ModuleType, graph: Any, start: str, shape: tuple[int, ...], dtype: str, constants: dict[str, np.ndarray]
) -> tuple[dict[str, Node], str]:
    """Return the nodes of the graph, in its order, and the name of the output."""
    nodes: dict[str, Node] = {}
    axes = len(shape) - 1
    laid = {start: (VECTOR if not axes else FIRST if dtype != "int32" else LAST, axes)}
    operations: dict[str, Operation] = {}
    for proto in graph.node:
        attributes = {one.name: _attribute(onnx, one) for one in proto.attribute}
        if proto.op_type == "Constant":
            constants[proto.output[0]] = np.asarray(next(iter(attributes.values())))
            continue
        values = tuple(name for name in proto.input if name and name not in constants)
        if unknown := next((name for name in values if name not in laid), None):
            raise ValueError(f"{proto.op_type} must take a value before it, got {unknown[:50]!r}")
        given = {i: constants[name] for i, name in enumerate(proto.input) if name in constants}
        if proto.op_type not in OPERATORS or not values:
            raise ValueError(f"operators must be {', '.join(OPERATORS)}, got {proto.op_type[:50]}")
        operation = Operation(proto.op_type, attributes, values, given, *laid[values[0]])
        meaning, inputs = OPERATORS[proto.op_type](operation), values
        if len(values) > 1:
            operation.needs(len({laid[one][0] for one in values}) == 1, "inputs that are laid out alike", values)
            if proto.op_type == "Mul":  # x sigmoid(x)
                inputs = (_gated(operation, operations),)
        name = proto.output[0]
        names = tuple(START if one == start else one for one in inputs)
        nodes[name] = Node(names, meaning.layers, meaning.arrays)
        layout, axes = meaning.layout or operation.layout, operation.axes if meaning.axes is None else meaning.axes
        laid[name], operations[name] = (layout, axes), operation
    return _with_biases(nodes, operations), graph.output[0].name


def _attribute(onnx: ModuleType, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _array(onnx, value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _gated(operation: Operation, operations: Mapping[str, Operation]) -> str:
    """Return x of a product of x and sigmoid(x)."""
    for gate, x in (operation.inputs, operation.inputs[::-1]):
        if gate in operations and operations[gate].kind == "Sigmoid" and operations[gate].inputs == (x,):
            return x
    raise ValueError("Mul must have a number, or x and Sigmoid(x), got two other values")


def _with_biases(nodes: dict[str, Node], operations: Mapping[str, Operation]) -> dict[str, Node]:
    """Return the nodes, with a vector that is added to a product without a bias as its bias."""
    for name, node in nodes.items():
        operation = operations[name]
        bias = next(iter(operation.constants.values()), None) if operation.kind == "Add" else None
        if bias is None or bias.size == 1:
            continue
        before = operations.get(operation.inputs[0])
        operation.needs(
            before is not None and before.kind == "MatMul" and bias.ndim == 1, "a number or a bias", bias.shape
        )
        product = nodes[operation.inputs[0]]
        arrays = ({**product.arrays[0], "bias": bias},)
        nodes[operation.inputs[0]] = product._replace(arrays=arrays)
        nodes[name] = node._replace(layers=())
    return nodes


# ------------------------------------------------------------------ what each operator is here
