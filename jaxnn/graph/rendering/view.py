"""What a graph shows at a depth: its variables in the order of evaluation, and what each is made of."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxnn.graph.tracing.derivatives import local
from jaxnn.graph.tracing.formulas import formula
from jaxnn.graph.tracing.nodes import Node, Operation


class Row(NamedTuple):
    """A variable, or, where `node` is `None`, the head of an opened box.

    Attributes:
      node: of any shape.
      operation: what made it; `None` of an argument or a constant.
      boxes: the opened boxes that it is in, the outermost first.
    """

    node: Node | None
    operation: Operation | None
    boxes: tuple[Operation, ...] = ()

    @property
    def formula(self) -> str:
        """How the variable, of any shape, is made; empty of an argument or a constant."""
        if self.operation is None:
            return ""
        op = self.operation
        if self.node is None or len(op.outputs) == 1:
            return formula(op)
        made = op.name if op.primitive is None else formula(op)
        return f"{made}, {op.outputs.index(self.node) + 1} of {len(op.outputs)}"


class Edge(NamedTuple):
    """From a variable to one that is made of it.

    Attributes:
      source, target: nodes of any shapes.
      local: the derivative of target by source, where it is a scalar or diagonal: in the target's shape; else `None`.
    """

    source: Node
    target: Node
    local: Any


def rows(arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int) -> list[Row]:
    """The variables, of any shapes, in the order of evaluation, constants where they are first used."""
    shown = set(arguments)
    found = [Row(node, None) for node in arguments]
    for op, boxes, is_open in _visible(operations, depth, ()):
        if is_open:
            found.append(Row(None, op, boxes))
            continue
        # A constant that a box hands back is seen where it is used.
        made = (node for node in op.outputs if node.kind == "result")
        for node in (*(n for n in op.inputs if n.kind == "constant"), *made):
            if node not in shown:
                found.append(Row(node, op if node in op.outputs else None, boxes))
            shown.add(node)
    return found


def edges(operations: tuple[Operation, ...], depth: int) -> list[Edge]:
    """The edges between the variables shown, of any shapes; one where an operation takes a variable twice."""
    found = []
    for op, _, is_open in _visible(operations, depth, ()):
        if not is_open:
            slopes = local(op) or {}
            inputs = dict.fromkeys(node for node in op.inputs if node.kind != "literal")
            for out in op.outputs:
                taken = inputs if out.kind == "result" and out not in inputs else {}
                if op.inside and len(op.outputs) > 1:
                    needed = _needed(op.inside, out)
                    taken = {node: None for node in taken if node in needed}
                found += [Edge(node, out, slopes.get(node)) for node in taken]
    return found


def _needed(operations: tuple[Operation, ...], out: Node) -> set[Node]:
    """The nodes, of any shapes, that `out` is made of."""
    needed = {out}
    for op in reversed(operations):
        for made in op.outputs:
            if made in needed:
                needed |= _needed(op.inside, made) if op.inside else set(op.inputs)
    return needed


def _visible(
    operations: tuple[Operation, ...], depth: int, boxes: tuple[Operation, ...]
) -> Iterator[tuple[Operation, tuple[Operation, ...], bool]]:
    for op in operations:
        opened = bool(op.inside) and depth > 0
        yield op, boxes, opened
        if opened:
            yield from _visible(op.inside, depth - 1, (*boxes, op))
