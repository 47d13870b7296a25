"""The operation that produced the first NaN or inf of a graph."""

from functools import reduce
from typing import NamedTuple

import numpy as np

from jaxnn.graph.formatting import format_array, format_operation
from jaxnn.graph.tracing.backward_pass import ELEMENTWISE
from jaxnn.graph.tracing.nodes import Node, Operation, leaf_operations
from jaxnn.graph.tracing.summaries import to_numpy


class NonFinite(NamedTuple):
    """The origin of the first NaN or inf.

    Attributes:
      value: "NaN" or "inf".
      phase: "forward", "backward", or "argument" if an argument contains it.
      operation: the operation that produced it; `None` for an argument.
      node: the node whose value, or derivative in the backward phase, contains it.
    """

    value: str
    phase: str
    operation: Operation | None
    node: Node

    def __str__(self) -> str:
        if self.operation is None:
            return f"argument {self.node.name} contains {self.value}: {format_array(self.node.value)}"
        inputs = dict.fromkeys(node for node in self.operation.inputs if node.kind != "literal")
        values = "; ".join(f"{node.name}: {format_array(node.value)}" for node in inputs)
        location = f" at {self.operation.source}" if self.operation.source else ""
        formula = format_operation(self.operation)
        if self.phase == "forward":
            result = f"{self.node.name} = {formula}"
        else:
            result = f"the derivative of {formula} with respect to {self.node.name}"
        return f"{self.phase}, {result} produced {self.value}{location}, for {values}"


def find_first_nonfinite(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], outputs: tuple[Node, ...]
) -> NonFinite | None:
    """Find the first argument, forward or backward operation that produced a NaN or inf, or return `None`.

    An operation produced it if its result has a NaN and its inputs have none, or its result has an inf and its inputs
    are finite; for an elementwise operation, in the same element. An inf in an argument or a constant, such as -inf in
    a mask, counts only if the output or a derivative is not finite and no operation produced a NaN or inf.
    """
    for node in arguments:
        if _produced([], [node.value]) == "NaN":
            return NonFinite("NaN", "argument", None, node)
    steps = _differentiated_operations(operations)
    for op in steps:
        # In the body of a rule, only if the rule's output has it: many rules exist to contain a NaN.
        body = leaf_operations(op.body) if op.body and _produced_forward(op) else [op]
        for step in body:
            if value := _produced_forward(step):
                node = next(out for out in step.outputs if _produced([], [out.value]))
                return NonFinite(value, "forward", step, node)
    for op in reversed(steps):
        inputs = [node.derivative for node in op.outputs] + [node.value for node in (*op.inputs, *op.outputs)]
        for i, cotangent in op.input_cotangents.items():
            if value := _produced(inputs, [cotangent]):
                return NonFinite(value, "backward", op, op.inputs[i])
    output_is_bad = _produced([], [node.value for node in outputs])
    if output_is_bad or _produced([], [node.derivative for node in arguments]):
        for node in arguments:
            if value := _produced([], [node.value]):
                return NonFinite(value, "argument", None, node)
    if output_is_bad:
        for op in steps:
            for out in op.outputs:
                if value := _produced([], [out.value]):
                    return NonFinite(value, "forward", op, out)
    # Or a sum of finite derivatives overflowed, or the cotangent is not finite.
    for op in reversed(steps):
        for node in (*op.outputs, *op.inputs):
            if value := _produced([], [node.derivative]):
                return NonFinite(value, "backward", op, node)
    return None


def _differentiated_operations(operations: tuple[Operation, ...]) -> list[Operation]:
    """List the operations that the backward pass differentiates one by one: primitives, and composites with a rule."""
    nested = (_differentiated_operations(op.body) if op.body and not op.has_rule else [op] for op in operations)
    return [step for steps in nested for step in steps]


def _produced_forward(op: Operation) -> str:
    inputs, results = [node.value for node in op.inputs], [node.value for node in op.outputs]
    return _produced(inputs, results, elementwise=op.name in ELEMENTWISE)


def _produced(inputs: list[object], results: list[object], elementwise: bool = False) -> str:
    """Return "NaN" or "inf" if the results have one that does not come from the inputs, else an empty string."""

    def anywhere(values, test):
        arrays = [array for value in values if value is not None and (array := to_numpy(value)) is not None]
        tested = [test(array) for array in arrays if array.dtype.kind in "fc"]
        return reduce(np.logical_or, tested if elementwise else [x.any() for x in tested], np.False_)

    had_nan = anywhere(inputs, np.isnan)
    if np.any(anywhere(results, np.isnan) & ~had_nan):
        return "NaN"
    return "inf" if np.any(anywhere(results, np.isinf) & ~had_nan & ~anywhere(inputs, np.isinf)) else ""
