"""The rows of a graph at an expansion depth, in the order of evaluation, and the edges between them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxnn.graph.formatting import format_operation
from jaxnn.graph.tracing.backward_pass import local_derivatives
from jaxnn.graph.tracing.nodes import Node, Operation


class Row(NamedTuple):
    """A variable, or, if `node` is `None`, the title of an expanded composite.

    Attributes:
      node: the variable.
      operation: the operation that computes it; `None` for an argument or a constant.
      parents: the expanded composites that contain it, the outermost first.
    """

    node: Node | None
    operation: Operation | None
    parents: tuple[Operation, ...] = ()

    @property
    def formula(self) -> str:
        """The formula of the variable; empty for an argument or a constant."""
        if self.operation is None:
            return ""
        op = self.operation
        if self.node is None or len(op.outputs) == 1:
            return format_operation(op)
        formula = op.name if op.primitive is None else format_operation(op)
        return f"{formula}, {op.outputs.index(self.node) + 1} of {len(op.outputs)}"


class Edge(NamedTuple):
    """An edge from a variable to another that is computed from it.

    Attributes:
      source, target: the two nodes.
      local: the derivative of the target with respect to the source in the target's shape, if they are scalars or the
        operation is elementwise; otherwise `None`.
    """

    source: Node
    target: Node
    local: Any


def list_rows(arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int) -> list[Row]:
    """List the rows in the order of evaluation, each constant before its first use."""
    listed = set(arguments)
    rows = [Row(node, None) for node in arguments]
    for op, parents, is_expanded in _visible(operations, depth, ()):
        if is_expanded:
            rows.append(Row(None, op, parents))
            continue
        # A constant that a composite returns gets its row where it is used.
        results = (node for node in op.outputs if node.kind == "result")
        for node in (*(n for n in op.inputs if n.kind == "constant"), *results):
            if node not in listed:
                rows.append(Row(node, op if node in op.outputs else None, parents))
            listed.add(node)
    return rows


def list_edges(operations: tuple[Operation, ...], depth: int) -> list[Edge]:
    """List the edges between the variables at this depth: one per pair, even if an operation takes a variable twice."""
    edges = []
    for op, _, is_expanded in _visible(operations, depth, ()):
        if not is_expanded:
            slopes = local_derivatives(op) or {}
            inputs = dict.fromkeys(node for node in op.inputs if node.kind != "literal")
            for out in op.outputs:
                sources = inputs if out.kind == "result" and out not in inputs else {}
                if op.body and len(op.outputs) > 1:
                    ancestors = _ancestors(op.body, out)
                    sources = {node: None for node in sources if node in ancestors}
                edges += [Edge(node, out, slopes.get(node)) for node in sources]
    return edges


def _ancestors(operations: tuple[Operation, ...], out: Node) -> set[Node]:
    """Return `out` and the nodes that it is computed from."""
    ancestors = {out}
    for op in reversed(operations):
        for result in op.outputs:
            if result in ancestors:
                ancestors |= _ancestors(op.body, result) if op.body else set(op.inputs)
    return ancestors


def _visible(
    operations: tuple[Operation, ...], depth: int, parents: tuple[Operation, ...]
) -> Iterator[tuple[Operation, tuple[Operation, ...], bool]]:
    """Iterate over the operations at this depth, with their parents, and whether they are expanded."""
    for op in operations:
        is_expanded = bool(op.body) and depth > 0
        yield op, parents, is_expanded
        if is_expanded:
            yield from _visible(op.body, depth - 1, (*parents, op))
