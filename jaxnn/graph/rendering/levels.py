"""A graph as boxes in boxes: at each level, what stands in which column, and where edges pass through."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Union

from jaxnn.graph.rendering.layout import Key, Way, arrange
from jaxnn.graph.rendering.view import Row
from jaxnn.graph.tracing.nodes import Node, Operation


class Item(NamedTuple):
    """What stands in a column: an argument, a constant, or an operation.

    Attributes:
      rows: the variables, of any shapes, that are seen of it where it is closed.
      operation: `None` of an argument or a constant.
      level: what is in the box; `None` where it cannot be opened.
    """

    rows: tuple[Row, ...]
    operation: Operation | None
    level: Union["Level", None]


class Passage(NamedTuple):
    """Where the edges of some variables, of any shapes, pass through a column."""

    nodes: tuple[Node, ...]


class Level(NamedTuple):
    """What a box holds, or the whole graph.

    Attributes:
      columns: from left to right, each from the top down.
      middles: how far below the top the middle of each is.
      height: of it all.
    """

    columns: list[list[Item | Passage]]
    middles: list[list[float]]
    height: float


def level(
    sources: Iterable[Node],
    operations: tuple[Operation, ...],
    depth: int,
    height: Callable[[Item | Passage], float],
    entering: Iterable[Node] = (),
    leaving: Iterable[Node] = (),
) -> Level:
    """The columns of some operations on nodes of any shapes, boxes to be opened `depth` levels deep.

    `sources` stand among them; `entering` come from the left, from outside of the box, and `leaving` go out to the
    right. `height` is how much room something takes, with what is between it and the next.
    """
    pieces: dict[Key, Item | Passage] = {node: Item((Row(node, None),), None, None) for node in sources}
    home: dict[Node, Key] = {node: node for node in sources}
    edges: list[tuple[Key, Key]] = []
    doors = [Passage((node,)) for node in entering]
    for door in doors:
        pieces[door] = door
        home[door.nodes[0]] = door
    for op in operations:
        for node in op.inputs:
            if node.kind == "constant" and node not in home:
                pieces[node] = Item((Row(node, None),), None, None)
                home[node] = node
        made = tuple(node for node in dict.fromkeys(op.outputs) if node not in home and node.kind == "result")
        taken = [node for node in dict.fromkeys(op.inputs) if node in home]
        inside = level((), op.inside, depth - 1, height, taken, made) if op.inside and depth > 0 else None
        pieces[op] = Item(tuple(Row(node, op) for node in made), op, inside)
        edges += [(home[node], op) for node in taken]
        home |= dict.fromkeys(made, op)
    out = [Passage((node,)) for node in leaving if node in home]
    pieces |= {door: door for door in out}
    edges += [(home[door.nodes[0]], door) for door in out]

    def piece(key: Key) -> Item | Passage:
        if not isinstance(key, Way):
            return pieces[key]
        source = pieces[key.source]
        return source if isinstance(source, Passage) else Passage(tuple(row.node for row in source.rows))

    def room(key: Key) -> float:
        return height(piece(key))

    ranks, y = arrange(list(pieces), edges, room, doors, out)
    top = min((y[key] - room(key) / 2 for key in y), default=0.0)
    bottom = max((y[key] + room(key) / 2 for key in y), default=0.0)
    columns = [[piece(key) for key in rank] for rank in ranks]
    return Level(columns, [[y[key] - top for key in rank] for rank in ranks], bottom - top)
