"""Operations and numbers in words: `b * c`, `dot_general(x, W)`, `f32[4,3]`."""

from typing import Any

import numpy as np

from jaxnn.graph.tracing.nodes import Node, Operation, summarise, to_numpy

_INFIX = dict(
    add="+", add_any="+", sub="-", mul="*", div="/", pow="**", lt="<", le="<=", gt=">", ge=">=", eq="==", ne="!="
)
_SHORT = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "complex": "c"}
_PLUMBING = {"broadcast_in_dim", "convert_element_type", "reshape", "squeeze", "transpose"}
"""What a layer's short description leaves out."""
_FEW = 3
"""Arrays of so many elements are written out."""


def formula(op: Operation) -> str:
    """An operation on nodes of any shapes, as it would be written.

    Example:
      >>> b, c = Node(3.0, "argument", "b"), Node(2.0, "argument", "c")
      >>> formula(Operation("mul", None, {}, (b, c), ()))
      'b * c'
    """
    if op.primitive is None and op.inside:
        steps = dict.fromkeys(step.name for step in op.inside if step.name not in _PLUMBING)
        return f"{op.name}: {', '.join(steps)}"
    args = [reference(node) for node in op.inputs]
    if op.name in _INFIX and len(args) == 2:
        return f"{args[0]} {_INFIX[op.name]} {args[1]}"
    if op.name == "neg":
        return f"-{args[0]}"
    if op.name == "integer_pow":
        return f"{args[0]} ** {op.params['y']}"
    detail = [f"{key}={op.params[key]}".replace(" ", "") for key in ("axes", "new_dtype") if key in op.params]
    # A loop may take any number of arrays; the edges of a drawing show them all.
    listed = args if len(args) <= 4 else [*args[:3], f"{len(args) - 3} more"]
    return f"{op.name}({', '.join([*listed, *detail])})"


def reference(node: Node) -> str:
    """A node in a formula: its name, or the number of a literal, whose elements, of any shape, are all that."""
    return number(np.ravel(to_numpy(node.value))[0]) if node.kind == "literal" else node.name


def number(value: Any) -> str:
    """A scalar, in six digits."""
    array = to_numpy(value)
    if array is None:
        return "key"
    if array.dtype.kind in "biu":
        return str(array.item())
    return f"{array.item() + 0.0:.6g}"  # of two zeros, the one without a sign


def type_of(node: Node) -> str:
    """The dtype and shape of a node (of any shape) in short: f32[4,3]."""
    kind = str(node.dtype)
    letters = kind.rstrip("0123456789")
    short = _SHORT[letters] + kind[len(letters) :] if letters in _SHORT else kind
    return f"{short}[{','.join(map(str, node.shape))}]" if node.shape else short


def short(value: Any) -> str:
    """An array of any shape in a few words: itself where it is small, or else its range, mean and share of zeros."""
    if value is None:
        return ""
    array = to_numpy(value)
    if array is None:
        return "random key"
    if array.ndim == 0:
        return number(array)
    if 0 < array.size <= _FEW:
        return " ".join(f"{x + 0.0:.3g}" if array.dtype.kind == "f" else str(x) for x in array.ravel())
    summary = summarise(array)
    if summary is None:
        return "empty" if array.size == 0 else "complex"
    if np.isnan(summary.mean):
        return f"none of {array.size} finite"
    if summary.minimum == summary.maximum and not summary.not_finite:
        return f"all {summary.mean + 0.0:.6g}"
    text = f"{summary.minimum:.3g} .. {summary.maximum:.3g}, mean {summary.mean:.3g}"
    if array.size and summary.zeros:
        text += f", {summary.zeros:.0%} zeros"
    return text + (f", {summary.not_finite} of {array.size} not finite" if summary.not_finite else "")


def rms(value: Any) -> float:
    """The root of the mean square of an array of any shape: a scalar, 0 of an empty one."""
    array = np.abs(to_numpy(value)).astype(np.float64)
    return float(np.sqrt(np.mean(array**2))) if array.size else 0.0
