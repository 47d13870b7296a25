"""What made the first NaN or inf of a graph."""

from functools import reduce
from typing import NamedTuple

import numpy as np

from jaxnn.graph.tracing.derivatives import ELEMENTWISE
from jaxnn.graph.tracing.formulas import formula, short
from jaxnn.graph.tracing.nodes import Node, Operation, flat, to_numpy


class NotFinite(NamedTuple):
    """Where the first NaN or inf came from.

    Attributes:
      what: "NaN" or "inf".
      way: "forward", "backward", or "argument", where it was given.
      operation: that made it of finite numbers; `None` of an argument.
      node: that holds it, in the backward its derivative; of any shape.
    """

    what: str
    way: str
    operation: Operation | None
    node: Node

    def __str__(self) -> str:
        if self.operation is None:
            return f"the argument {self.node.name} holds {self.what}: {short(self.node.value)}"
        inputs = dict.fromkeys(node for node in self.operation.inputs if node.kind != "literal")
        given = "; ".join(f"{node.name}: {short(node.value)}" for node in inputs)
        place = f" at {self.operation.source}" if self.operation.source else ""
        what = formula(self.operation)
        if self.way == "forward":
            return f"forward, {self.node.name} = {what} made {self.what}{place}, of {given}"
        return f"backward, the derivative by {self.node.name} of {what} made {self.what}{place}, at {given}"


def first_nonfinite(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], outputs: tuple[Node, ...]
) -> NotFinite | None:
    """The first argument, forward or backward operation to bring a NaN or inf, on nodes of any shapes; or `None`.

    An operation brings one where it has a NaN, and none of what it took had, or an inf, and all of that was finite: of
    an elementwise one, in some element. An inf that was given or written down, as -inf is in masks, counts only where
    the output or a derivative is not finite, and nothing else brought one.
    """
    for node in arguments:
        if _made([], [node.value]) == "NaN":
            return NotFinite("NaN", "argument", None, node)
    steps = _as_derived(operations)
    for op in steps:
        # Inside a rule, only where the rule lets it out: keeping a NaN in is what many are written for.
        inside = flat(op.inside) if op.inside and _made_by(op) else [op]
        for step in inside:
            if what := _made_by(step):
                return NotFinite(what, "forward", step, next(out for out in step.outputs if _made([], [out.value])))
    for op in reversed(steps):
        taken = [node.derivative for node in op.outputs] + [node.value for node in (*op.inputs, *op.outputs)]
        for i, pulled in op.pulled.items():
            if what := _made(taken, [pulled]):
                return NotFinite(what, "backward", op, op.inputs[i])
    is_bad = _made([], [node.value for node in outputs])
    if is_bad or _made([], [node.derivative for node in arguments]):
        for node in arguments:
            if what := _made([], [node.value]):
                return NotFinite(what, "argument", None, node)
    if is_bad:
        for op in steps:
            for out in op.outputs:
                if what := _made([], [out.value]):
                    return NotFinite(what, "forward", op, out)
    # Or a sum of derivatives that are finite each, or the cotangent.
    for op in reversed(steps):
        for node in (*op.outputs, *op.inputs):
            if what := _made([], [node.derivative]):
                return NotFinite(what, "backward", op, node)
    return None


def _as_derived(operations: tuple[Operation, ...]) -> list[Operation]:
    """The operations that are derived each by itself: primitives and boxes with a rule, on nodes of any shapes."""
    return [step for op in operations for step in (_as_derived(op.inside) if op.inside and not op.has_rule else [op])]


def _made_by(op: Operation) -> str:
    taken, given = [node.value for node in op.inputs], [node.value for node in op.outputs]
    return _made(taken, given, each=op.name in ELEMENTWISE)


def _made(taken: list[object], given: list[object], each: bool = False) -> str:
    """What is in `given`, arrays of any shapes, and does not come from `taken`: `each` element from its own."""

    def where(values, what):
        arrays = [array for value in values if value is not None and (array := to_numpy(value)) is not None]
        found = [what(array) for array in arrays if array.dtype.kind in "fc"]
        return reduce(np.logical_or, found if each else [x.any() for x in found], np.False_)

    had_nan = where(taken, np.isnan)
    if np.any(where(given, np.isnan) & ~had_nan):
        return "NaN"
    return "inf" if np.any(where(given, np.isinf) & ~had_nan & ~where(taken, np.isinf)) else ""
