"""Operations and arrays as short text: `b * c`, `dot_general(x, W)`, `f32[4,3]`."""

from typing import Any

import numpy as np

from jaxnn.graph.tracing.nodes import Node, Operation
from jaxnn.graph.tracing.summaries import summarize, to_numpy

_INFIX = dict(
    add="+", add_any="+", sub="-", mul="*", div="/", pow="**", lt="<", le="<=", gt=">", ge=">=", eq="==", ne="!="
)
_DTYPES = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "complex": "c"}
_RESHAPING = {"broadcast_in_dim", "convert_element_type", "reshape", "squeeze", "transpose"}
"""Operations omitted from the description of a layer."""
_WRITTEN_OUT = 3
"""The largest number of elements written out one by one."""


def format_operation(op: Operation) -> str:
    """Format an operation as a formula.

    Example:
      >>> b, c = Node(3.0, "argument", "b"), Node(2.0, "argument", "c")
      >>> format_operation(Operation("mul", None, {}, (b, c), ()))
      'b * c'
    """
    if op.primitive is None and op.body:
        steps = dict.fromkeys(step.name for step in op.body if step.name not in _RESHAPING)
        return f"{op.name}: {', '.join(steps)}"
    args = [format_reference(node) for node in op.inputs]
    if op.name in _INFIX and len(args) == 2:
        return f"{args[0]} {_INFIX[op.name]} {args[1]}"
    if op.name == "neg":
        return f"-{args[0]}"
    if op.name == "integer_pow":
        return f"{args[0]} ** {op.params['y']}"
    options = [f"{key}={op.params[key]}".replace(" ", "") for key in ("axes", "new_dtype") if key in op.params]
    # A loop may take any number of arrays; the edges of a drawing show them all.
    listed = args if len(args) <= 4 else [*args[:3], f"{len(args) - 3} more"]
    return f"{op.name}({', '.join([*listed, *options])})"


def format_reference(node: Node) -> str:
    """Format a node inside a formula: its name, or the value of a literal, whose elements are all equal."""
    return format_scalar(np.asarray(to_numpy(node.value)).ravel()[0]) if node.kind == "literal" else node.name


def format_scalar(value: Any) -> str:
    """Format a scalar with six digits."""
    array = to_numpy(value)
    if array is None:
        return "key"
    if array.dtype.kind in "biu":
        return str(array.item())
    return f"{array.item() + 0.0:.6g}"  # adding 0.0 makes -0.0 positive


def format_type(node: Node) -> str:
    """Format the dtype and shape of a node, as in f32[4,3]."""
    dtype = str(node.dtype)
    letters = dtype.rstrip("0123456789")
    short = _DTYPES[letters] + dtype[len(letters) :] if letters in _DTYPES else dtype
    return f"{short}[{','.join(map(str, node.shape))}]" if node.shape else short


def format_array(value: Any) -> str:
    """Format an array of any shape: its elements if there are few, otherwise range, mean and fraction of zeros."""
    if value is None:
        return ""
    array = to_numpy(value)
    if array is None:
        return "random key"
    if array.ndim == 0:
        return format_scalar(array)
    if 0 < array.size <= _WRITTEN_OUT:
        return " ".join(f"{x + 0.0:.3g}" if array.dtype.kind == "f" else str(x) for x in array.ravel())
    summary = summarize(array)
    if summary is None:
        return "empty" if array.size == 0 else "complex"
    if np.isnan(summary.mean):
        return f"0 of {array.size} finite"
    if summary.minimum == summary.maximum and not summary.not_finite:
        return f"all {summary.mean + 0.0:.6g}"
    text = f"{summary.minimum:.3g} .. {summary.maximum:.3g}, mean {summary.mean:.3g}"
    if array.size and summary.zeros:
        text += f", {summary.zeros:.0%} zeros"
    return text + (f", {summary.not_finite} of {array.size} not finite" if summary.not_finite else "")
