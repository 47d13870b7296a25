"""The coordinates of everything in a picture: boxes, the frames of expanded composites, edges."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnn.graph.rendering.layout.nested import Cell, Layout, Waypoint, nested_layout
from jaxnn.graph.rows import Row
from jaxnn.graph.tracing.nodes import Node, Operation

Point = tuple[float, float]
Sides = tuple[float, float]
ARROWHEAD = 6.0
"""The length of an arrowhead."""
_COLUMN_GAP, _ROW_GAP = 62.0, 14.0  # a local derivative such as -1.23e-05 fits between columns
_FRAME_PADDING, _FRAME_TITLE = 10.0, 18.0  # left, right and below; above


class PlacedBox(NamedTuple):
    """The box of a variable.

    Attributes:
      row: the variable.
      x, y: the center of the box.
      width: of the box.
      column: the left and right sides of its column.
      frames: the numbers of the frames that contain it, 0 for the picture first.
    """

    row: Row
    x: float
    y: float
    width: float
    column: Sides
    frames: tuple[int, ...]


class Frame(NamedTuple):
    """The frame of an expanded composite."""

    operation: Operation
    left: float
    top: float
    width: float
    height: float


class _Crossing(NamedTuple):
    """The horizontal line along which the edges of a variable cross a column."""

    left: float
    right: float
    y: float
    frame: int


class Drawing(NamedTuple):
    """The coordinates of all boxes, frames and edges.

    Attributes:
      boxes: by variable.
      frames: outer ones first.
      crossings: the columns that the edges of a variable cross.
      width, height: of the drawing.
    """

    boxes: dict[Node, PlacedBox]
    frames: list[Frame]
    crossings: dict[Node, list[_Crossing]]
    width: float
    height: float

    def edge_path(self, source: Node, target: Node) -> list[Point]:
        """Return the points that an edge passes through, up to its arrowhead.

        Edges are straight inside columns and bend only in the gaps between.
        """
        start, end = self.boxes[source], self.boxes[target]
        right, left = start.column[1], end.column[0] - ARROWHEAD
        crossed = [
            crossing
            for crossing in self.crossings.get(source, ())
            if crossing.frame in (*start.frames, *end.frames) and right <= crossing.left and crossing.right <= left
        ]
        between = [p for c in sorted(crossed) for p in dict.fromkeys([(c.left, c.y), (c.right, c.y)])]
        out, into = (start.x + start.width / 2, start.y), (end.x - end.width / 2 - ARROWHEAD, end.y)
        return [out, (right, start.y), *between, (left, end.y), into]


def place_boxes(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int, size: Callable[[Row], Point]
) -> Drawing:
    """Place a box of width and height `size(row)` for each variable, composites expanded to `depth`."""

    def extent(cell: Cell | Waypoint) -> Point:
        if isinstance(cell, Waypoint):
            return 0.0, 8.0
        if cell.layout is not None:
            height = cell.layout.height + _FRAME_TITLE + _FRAME_PADDING - _ROW_GAP
            return total_width(cell.layout) + 2 * _FRAME_PADDING, height
        sizes = [size(row) for row in cell.rows]
        return max((w for w, _ in sizes), default=0.0), sum(h + _ROW_GAP for _, h in sizes) - _ROW_GAP

    def total_width(layout: Layout) -> float:
        return sum(map(column_width, layout.columns)) + _COLUMN_GAP * (len(layout.columns) - 1)

    def column_width(column: list[Cell | Waypoint]) -> float:
        return max(extent(cell)[0] for cell in column)

    whole = nested_layout(arguments, operations, depth, lambda cell: extent(cell)[1] + _ROW_GAP)
    drawing = Drawing({}, [], {}, total_width(whole), whole.height)

    def place_layout(layout: Layout, left: float, top: float, frames: tuple[int, ...], outside: Sides) -> None:
        for i, (column, centers) in enumerate(zip(layout.columns, layout.centers, strict=True)):
            width = column_width(column)
            sides = left, left + width
            # In the first and the last column of a frame, edges continue to the sides of the column outside of it.
            edge_sides = outside[0] if i == 0 else sides[0], outside[1] if i == len(layout.columns) - 1 else sides[1]
            for cell, center in zip(column, centers, strict=True):
                y = top + center
                if isinstance(cell, Waypoint):
                    for node in cell.nodes:
                        drawing.crossings.setdefault(node, []).append(_Crossing(*edge_sides, y, frames[-1]))
                    continue
                w, h = extent(cell)
                if cell.layout is None or cell.operation is None:
                    place_rows(cell.rows, left + width / 2, y - h / 2, sides, frames)
                else:
                    corner = left + (width - w) / 2, y - h / 2
                    drawing.frames.append(Frame(cell.operation, *corner, w, h))
                    inner_frames = (*frames, len(drawing.frames))
                    inner_left, inner_top = corner[0] + _FRAME_PADDING, corner[1] + _FRAME_TITLE - _ROW_GAP / 2
                    place_layout(cell.layout, inner_left, inner_top, inner_frames, sides)
            left += width + _COLUMN_GAP

    def place_rows(rows: tuple[Row, ...], x: float, y: float, sides: Sides, frames: tuple[int, ...]) -> None:
        for row in rows:
            assert row.node is not None
            w, h = size(row)
            drawing.boxes[row.node] = PlacedBox(row, x, y + h / 2, w, sides, frames)
            y += h + _ROW_GAP

    place_layout(whole, 0.0, 0.0, (0,), (0.0, drawing.width))
    return drawing
