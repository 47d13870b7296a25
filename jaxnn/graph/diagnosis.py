"""What went wrong in a graph: what made the first NaN or inf, and how gradients grow from layer to layer."""

from functools import reduce
from typing import NamedTuple

import numpy as np

from jaxnn.graph.formulas import formula, rms, short
from jaxnn.graph.layers import LayerOfGraph
from jaxnn.graph.nodes import Node, Operation, flat, to_numpy
from jaxnn.graph.reverse import ELEMENTWISE

FLAG = 1e3
"""How many times smaller or larger than at the last layer a gradient is flagged."""


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


class LayerFlow(NamedTuple):
    """A layer's numbers, all root mean squares over its elements.

    Attributes:
      layer: its name.
      activation: of its output's value.
      gradient: of the derivative by its output.
      parameters: of the derivative by its parameters; NaN where it has none.
      ratio: of `gradient` to the last layer's.
      flag: "vanishing", "exploding", "not finite", or empty.
    """

    layer: str
    activation: float
    gradient: float
    parameters: float
    ratio: float
    flag: str


class Flow(tuple[LayerFlow, ...]):
    """The gradient from layer to layer, the first layer first; as text, a table."""

    def __str__(self) -> str:
        names = ("layer", "|a|", "|da|", "|dparams|", "to the last", "")
        cells = [names] + [(row.layer, *(f"{x:.3g}" for x in row[1:5]), row.flag) for row in self]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def flow(layers: list[LayerOfGraph]) -> Flow:
    """The size of activations and gradients (of any shapes) in each layer that has parameters."""
    of = [(layer, out) for layer in layers if layer.parameters and (out := _activations(layer)) is not None]
    last = rms(of[-1][1].derivative) if of else 0.0
    found = []
    for layer, out in of:
        gradient = rms(out.derivative)
        by = [np.ravel(to_numpy(p.derivative)) for p in layer.parameters if p.derivative is not None]
        ratio = gradient / last if last else float("nan")
        size = rms(np.concatenate(by)) if by else float("nan")
        found.append(LayerFlow(layer.name, rms(out.value), gradient, size, ratio, _flag(gradient, ratio)))
    return Flow(found)


def _activations(layer: LayerOfGraph) -> Node | None:
    """The largest array that leaves a layer; where only scalars do, as at the end, the last array that it makes."""
    leaving = [node for node in layer.outputs if node.shape and node.derivative is not None]
    if leaving:
        return max(leaving, key=lambda node: np.size(node.value))
    made = [node for op in layer.operations for node in op.outputs if node.derivative is not None]
    return next((node for node in reversed(made) if node.shape), made[-1] if made else None)


def _flag(gradient: float, ratio: float) -> str:
    if not np.isfinite(gradient):
        return "not finite"
    return "vanishing" if ratio < 1 / FLAG or gradient == 0 else "exploding" if ratio > FLAG else ""
