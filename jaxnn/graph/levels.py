"""A graph as boxes in boxes: at each level, what stands in which column, and where edges pass through."""

from collections.abc import Iterable
from typing import NamedTuple, Union

from jaxnn.graph.layout import Key, Way, arrange
from jaxnn.graph.nodes import Node, Operation
from jaxnn.graph.view import Row


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
    """What a box holds, or the whole graph: its columns from left to right, each from the top down."""

    columns: list[list[Item | Passage]]


def level(
    sources: Iterable[Node],
    operations: tuple[Operation, ...],
    depth: int,
    entering: Iterable[Node] = (),
    leaving: Iterable[Node] = (),
) -> Level:
    """The columns of some operations on nodes of any shapes, boxes to be opened `depth` levels deep.

    `sources` stand among them; `entering` come from the left, from outside of the box, and `leaving` go out to the
    right.
    """
    items: dict[Key, Item] = {node: Item((Row(node, None),), None, None) for node in sources}
    home: dict[Node, Key] = {node: node for node in items} | {node: Passage((node,)) for node in entering}
    doors = [key for key in home.values() if isinstance(key, Passage)]
    edges: list[tuple[Key, Key]] = []
    for op in operations:
        for node in op.inputs:
            if node.kind == "constant" and node not in home:
                items[node] = Item((Row(node, None),), None, None)
                home[node] = node
        made = tuple(node for node in dict.fromkeys(op.outputs) if node not in home and node.kind != "literal")
        taken = [node for node in dict.fromkeys(op.inputs) if node in home]
        inside = level((), op.inside, depth - 1, taken, made) if op.inside and depth > 0 else None
        items[op] = Item(tuple(Row(node, op) for node in made), op, inside)
        edges += [(home[node], op) for node in taken]
        home |= dict.fromkeys(made, op)
    out = {Passage((node,)): home[node] for node in leaving if node in home}
    edges += [(source, door) for door, source in out.items()]
    boxes = list(dict.fromkeys([*doors, *items, *out]))
    ranks, _, _ = arrange(boxes, edges, lambda key: _height(items.get(key)), doors, out)

    def shown(key: Key) -> Item | Passage:
        source = key.source if isinstance(key, Way) else key
        if isinstance(source, Passage):
            return source
        return Passage(tuple(row.node for row in items[source].rows)) if isinstance(key, Way) else items[key]

    return Level([[shown(key) for key in rank] for rank in ranks])


def _height(item: Item | None) -> float:
    return 8.0 if item is None else 60.0 * max(len(item.rows), 1)
