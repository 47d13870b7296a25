"""What a page shows of a graph: which variables and operations, and the words for their numbers."""

from typing import Any, NamedTuple

import numpy as np

from jaxnn.graph.rendering import view
from jaxnn.graph.rendering.boxes import bars, figures, has_bars
from jaxnn.graph.tracing.formulas import formula, short
from jaxnn.graph.tracing.nodes import Node, Operation, every, to_numpy

MOST_VARIABLES = 1_000
_WRITTEN_OUT = 12


class Shown(NamedTuple):
    """What can be seen of a graph.

    Attributes:
      nodes: the variables, of any shapes, in the order of evaluation.
      operations: boxes before what is in them.
      edges: of each operation, those that it is drawn with where it is closed.
      depth: how many levels of boxes can be opened.
    """

    nodes: list[Node]
    operations: list[Operation]
    edges: list[list[view.Edge]]
    depth: int

    def same_as(self, other: "Shown") -> bool:
        """Whether both took the same way through the function, by the same lines, with variables of the same shapes."""

        def form(shown):
            nodes = [(n.name, n.shape, n.dtype) for n in shown.nodes]
            return nodes, [(formula(op), op.source) for op in shown.operations]

        return form(self) == form(other)

    def numbers(self) -> dict[str, Any]:
        """In words, for each variable (of any shape) and for each edge, in their order.

        Of a variable: above and below its box, both histograms, and at length the value and the derivative.
        """
        slopes = [["" if np.ndim(e.local) or e.local is None else _brief(e.local) for e in es] for es in self.edges]
        return {"nodes": [_words(node) for node in self.nodes], "edges": slopes}


def shown(arguments: tuple[Node, ...], operations: tuple[Operation, ...]) -> Shown:
    """What can be seen of variables of any shapes: all, or what is in boxes as deep as there is room for.

    Raises:
      ValueError: there is no room for what is in no box.
    """
    height = _height(operations)
    for depth in range(height, -1, -1):
        nodes = _in_order(arguments, operations, depth)
        if len(nodes) <= MOST_VARIABLES:
            seen = every(operations, depth)
            return Shown(nodes, seen, [view.edges((op,), 0) for op in seen], depth)
    raise ValueError(f"{len(nodes)} variables are too many for a page: draw .by_layer()")


def _height(operations: tuple[Operation, ...]) -> int:
    return max((1 + _height(op.inside) for op in operations if op.inside), default=0)


def _in_order(arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int) -> list[Node]:
    found = dict.fromkeys(arguments)

    def walk(steps, deeper):
        for op in steps:
            found.update(dict.fromkeys(node for node in op.inputs if node.kind == "constant"))
            if deeper > 0:
                walk(op.inside, deeper - 1)
            found.update(dict.fromkeys(node for node in op.outputs if node.kind == "result"))

    walk(operations, depth)
    return list(found)


def _words(node: Node) -> list[str]:
    drawn = [bars(x) if x is not None and has_bars(node) else "" for x in (node.value, node.derivative)]
    return [*figures(node), *drawn, _at_length(node.value), _at_length(node.derivative)]


def _at_length(value: Any) -> str:
    """An array of any shape: all its elements where they are few, every digit of a scalar."""
    array = None if value is None else to_numpy(value)
    if array is None or array.size > _WRITTEN_OUT or array.size == 0:
        return short(value)
    return str(array[()]) if array.ndim == 0 else np.array2string(array, precision=4, separator=", ")


def _brief(slope: Any) -> str:
    return f"{float(np.real(slope)) + 0.0:.4g}"
