"""The part of a graph that a page shows: its variables and operations, and their numbers as text."""

from typing import Any, NamedTuple

import numpy as np

from jaxnn.graph.formatting import format_array, format_operation
from jaxnn.graph.rendering.histograms import has_histogram, histogram_path
from jaxnn.graph.rendering.labels import captions
from jaxnn.graph.rows import Edge, list_edges
from jaxnn.graph.tracing.nodes import Node, Operation, walk_operations
from jaxnn.graph.tracing.summaries import to_numpy

MOST_VARIABLES = 1_000
_WRITTEN_OUT = 12


class PageView(NamedTuple):
    """The part of a graph that a page shows.

    Attributes:
      nodes: the variables, in the order of evaluation.
      operations: composites before their bodies.
      edges: for each operation, the edges drawn while it is collapsed.
      depth: the nesting depth to which composites can be expanded.
    """

    nodes: list[Node]
    operations: list[Operation]
    edges: list[list[Edge]]
    depth: int

    def same_structure(self, other: "PageView") -> bool:
        """Return whether both have the same operations from the same source lines, and variables of the same types."""

        def structure(view):
            nodes = [(node.name, node.shape, node.dtype) for node in view.nodes]
            return nodes, [(format_operation(op), op.source) for op in view.operations]

        return structure(self) == structure(other)

    def numbers(self) -> dict[str, Any]:
        """Return the text for each variable and each edge, in their order.

        For a variable: the captions above and below its box, the paths of both histograms, and the value and the
        derivative in more digits.
        """
        slopes = [
            ["" if np.ndim(e.local) or e.local is None else _format_slope(e.local) for e in es] for es in self.edges
        ]
        return {"nodes": [_node_text(node) for node in self.nodes], "edges": slopes}


def make_page_view(arguments: tuple[Node, ...], operations: tuple[Operation, ...]) -> PageView:
    """Return the view of all variables, or of those in composites to the depth at which at most 1000 are left.

    Raises:
      ValueError: if there are more than 1000 variables outside of composites.
    """
    nodes = ()
    for depth in range(_nesting_depth(operations), -1, -1):
        nodes = _ordered_nodes(arguments, operations, depth)
        if len(nodes) <= MOST_VARIABLES:
            visible = walk_operations(operations, depth)
            return PageView(nodes, visible, [list_edges((op,), 0) for op in visible], depth)
    raise ValueError(f"a page must have at most {MOST_VARIABLES} variables, got {len(nodes)}: use by_layer()")


def _nesting_depth(operations: tuple[Operation, ...]) -> int:
    return max((1 + _nesting_depth(op.body) for op in operations if op.body), default=0)


def _ordered_nodes(arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int) -> list[Node]:
    nodes = dict.fromkeys(arguments)

    def add(steps, depth):
        for op in steps:
            nodes.update(dict.fromkeys(node for node in op.inputs if node.kind == "constant"))
            if depth > 0:
                add(op.body, depth - 1)
            nodes.update(dict.fromkeys(node for node in op.outputs if node.kind == "result"))

    add(operations, depth)
    return list(nodes)


def _node_text(node: Node) -> list[str]:
    paths = [histogram_path(x) if x is not None and has_histogram(node) else "" for x in (node.value, node.derivative)]
    return [*captions(node), *paths, _format_in_full(node.value), _format_in_full(node.derivative)]


def _format_in_full(value: Any) -> str:
    """Format a scalar in all its digits, and a small array in all its elements."""
    array = None if value is None else to_numpy(value)
    if array is None or array.size > _WRITTEN_OUT or array.size == 0:
        return format_array(value)
    return str(array[()]) if array.ndim == 0 else np.array2string(array, precision=4, separator=", ")


def _format_slope(slope: Any) -> str:
    return f"{float(np.real(slope)) + 0.0:.4g}"
