"""Where everything stands in a picture: boxes in boxes, and the edges between them."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnn.graph.rendering.levels import Item, Level, Passage, level
from jaxnn.graph.rendering.view import Row
from jaxnn.graph.tracing.nodes import Node, Operation

Point = tuple[float, float]
Sides = tuple[float, float]
HEAD = 6.0
"""How long the head of an edge is."""
_GAP, _BETWEEN = 62.0, 14.0  # between columns, where a local derivative such as -1.23e-05 fits; between what is in one
_SIDE, _TITLE = 10.0, 18.0  # of a frame: left, right and below; above, for its name


class Spot(NamedTuple):
    """A variable.

    Attributes:
      row: its node is of any shape.
      x, y: its middle.
      width: of its box.
      column: the left and the right side of what it stands in, with others above and below.
      levels: the frames that it is in, the picture itself first, by their numbers.
    """

    row: Row
    x: float
    y: float
    width: float
    column: tuple[float, float]
    levels: tuple[int, ...]


class Frame(NamedTuple):
    """An opened box."""

    operation: Operation
    left: float
    top: float
    width: float
    height: float


class _Way(NamedTuple):
    left: float
    right: float
    y: float
    level: int


class Plan(NamedTuple):
    """Where things are.

    Attributes:
      spots: of the variables, of any shapes.
      frames: the outer ones first.
      ways: where the edges of a variable pass through columns and into frames.
      width, height: of it all.
    """

    spots: dict[Node, Spot]
    frames: list[Frame]
    ways: dict[Node, list[_Way]]
    width: float
    height: float

    def path(self, source: Node, target: Node) -> list[Point]:
        """The points that an edge between nodes of any shapes runs through, to where its head begins.

        Straight through columns, so that it bends only in the gaps between.
        """
        start, end = self.spots[source], self.spots[target]
        right, left = start.column[1], end.column[0] - HEAD
        passed = [
            way
            for way in self.ways.get(source, ())
            if way.level in (*start.levels, *end.levels) and right <= way.left and way.right <= left
        ]
        between = [p for way in sorted(passed) for p in dict.fromkeys([(way.left, way.y), (way.right, way.y)])]
        out, into = (start.x + start.width / 2, start.y), (end.x - end.width / 2 - HEAD, end.y)
        return [out, (right, start.y), *between, (left, end.y), into]


def plan(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int, size: Callable[[Row], Point]
) -> Plan:
    """Boxes of width and height `size(row)` for variables of any shapes, boxes of operations opened `depth` deep."""

    def extent(piece: Item | Passage) -> Point:
        if isinstance(piece, Passage):
            return 0.0, 8.0
        if piece.level is not None:
            return width(piece.level) + 2 * _SIDE, piece.level.height + _TITLE + _SIDE - _BETWEEN
        sizes = [size(row) for row in piece.rows]
        return max((w for w, _ in sizes), default=0.0), sum(h + _BETWEEN for _, h in sizes) - _BETWEEN

    def width(level: Level) -> float:
        return sum(map(widest, level.columns)) + _GAP * (len(level.columns) - 1)

    def widest(column: list[Item | Passage]) -> float:
        return max(extent(piece)[0] for piece in column)

    top = level(arguments, operations, depth, lambda piece: extent(piece)[1] + _BETWEEN)
    found = Plan({}, [], {}, width(top), top.height)

    def put(level: Level, left: float, top: float, levels: tuple[int, ...], outside: Sides) -> None:
        for i, (column, middles) in enumerate(zip(level.columns, level.middles, strict=True)):
            wide = widest(column)
            sides = left, left + wide
            # Through the first and the last column, edges come in from outside of the frame, and leave it.
            open_sides = outside[0] if i == 0 else sides[0], outside[1] if i == len(level.columns) - 1 else sides[1]
            for piece, middle in zip(column, middles, strict=True):
                y = top + middle
                if isinstance(piece, Passage):
                    for node in piece.nodes:
                        found.ways.setdefault(node, []).append(_Way(*open_sides, y, levels[-1]))
                    continue
                w, h = extent(piece)
                if piece.level is None:
                    put_rows(piece.rows, left + wide / 2, y - h / 2, sides, levels)
                else:
                    corner = left + (wide - w) / 2, y - h / 2
                    found.frames.append(Frame(piece.operation, *corner, w, h))
                    inside = (*levels, len(found.frames))
                    put(piece.level, corner[0] + _SIDE, corner[1] + _TITLE - _BETWEEN / 2, inside, sides)
            left += wide + _GAP

    def put_rows(rows: tuple[Row, ...], x: float, y: float, sides: Sides, levels: tuple[int, ...]) -> None:
        for row in rows:
            w, h = size(row)
            found.spots[row.node] = Spot(row, x, y + h / 2, w, sides, levels)
            y += h + _BETWEEN

    put(top, 0.0, 0.0, (0,), (0.0, found.width))
    return found
