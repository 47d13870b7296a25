"""Nested layouts: the columns of a graph, and those of each expanded composite in it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Union

from jaxnn.graph.rendering.layout.layered import DummyBox, Key, arrange_columns
from jaxnn.graph.rows import Row
from jaxnn.graph.tracing.nodes import Node, Operation


class Cell(NamedTuple):
    """An argument, a constant or an operation in a column.

    Attributes:
      rows: its variables, as shown while it is collapsed.
      operation: `None` for an argument or a constant.
      layout: the layout of its body; `None` if it cannot be expanded.
    """

    rows: tuple[Row, ...]
    operation: Operation | None
    layout: Union["Layout", None]


class Waypoint(NamedTuple):
    """The place in a column that the edges of some variables pass through."""

    nodes: tuple[Node, ...]


class Layout(NamedTuple):
    """The layout of the whole graph or of a composite's body.

    Attributes:
      columns: from left to right, each from the top down.
      centers: the vertical center of each cell and waypoint, from the top.
      height: the total height.
    """

    columns: list[list[Cell | Waypoint]]
    centers: list[list[float]]
    height: float


def nested_layout(
    sources: Iterable[Node],
    operations: tuple[Operation, ...],
    depth: int,
    height: Callable[[Cell | Waypoint], float],
    entering: Iterable[Node] = (),
    leaving: Iterable[Node] = (),
) -> Layout:
    """Lay out operations in columns, composites expanded to a nesting depth of `depth`.

    Args:
      sources: the arguments, which get a cell each.
      operations: in the order of evaluation.
      depth: the nesting depth.
      height: the height of a cell or waypoint, with the gap to the next one.
      entering: nodes from outside of the composite; their edges enter at a waypoint in the first column.
      leaving: nodes used outside of the composite; their edges leave by a waypoint in the last column.
    """
    cells: dict[Key, Cell | Waypoint] = {node: Cell((Row(node, None),), None, None) for node in sources}
    origin: dict[Node, Key] = {node: node for node in sources}
    edges: list[tuple[Key, Key]] = []
    entries = [Waypoint((node,)) for node in entering]
    for entry in entries:
        cells[entry] = entry
        origin[entry.nodes[0]] = entry
    for op in operations:
        for node in op.inputs:
            if node.kind == "constant" and node not in origin:
                cells[node] = Cell((Row(node, None),), None, None)
                origin[node] = node
        results = tuple(node for node in dict.fromkeys(op.outputs) if node not in origin and node.kind == "result")
        inputs = [node for node in dict.fromkeys(op.inputs) if node in origin]
        expands = bool(op.body) and depth > 0
        layout = nested_layout((), op.body, depth - 1, height, inputs, results) if expands else None
        cells[op] = Cell(tuple(Row(node, op) for node in results), op, layout)
        edges += [(origin[node], op) for node in inputs]
        origin |= dict.fromkeys(results, op)
    exits = [Waypoint((node,)) for node in leaving if node in origin]
    cells |= {way_out: way_out for way_out in exits}
    edges += [(origin[way_out.nodes[0]], way_out) for way_out in exits]

    def cell_of(key: Key) -> Cell | Waypoint:
        if not isinstance(key, DummyBox):
            return cells[key]
        source = cells[key.source]
        return source if isinstance(source, Waypoint) else Waypoint(tuple(row.node for row in source.rows if row.node))

    def height_of(key: Key) -> float:
        return height(cell_of(key))

    ranks, y = arrange_columns(list(cells), edges, height_of, entries, exits)
    top = min((y[key] - height_of(key) / 2 for key in y), default=0.0)
    bottom = max((y[key] + height_of(key) / 2 for key in y), default=0.0)
    columns = [[cell_of(key) for key in rank] for rank in ranks]
    return Layout(columns, [[y[key] - top for key in rank] for rank in ranks], bottom - top)
