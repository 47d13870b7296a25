"""A graph as an SVG picture: values above the boxes, derivatives below them."""

from html import escape
from itertools import pairwise

import numpy as np

from jaxnn.graph.formatting import format_array, format_type
from jaxnn.graph.rendering import histograms, theme
from jaxnn.graph.rendering.labels import captions, short_label, source_location
from jaxnn.graph.rendering.layout.placement import Frame, PlacedBox, Point, place_boxes
from jaxnn.graph.rows import Edge, Row, list_rows
from jaxnn.graph.tracing.nodes import Node, Operation

MOST_BOXES = 300
_LETTER, _LINE, _MARGIN = 6.7, 15.0, 12.0  # the width of a letter in 11 px monospace; the height of a line; around it

_COLORS = f"""\
.jaxnn-graph {{ {theme.LIGHT} }}
@media (prefers-color-scheme: dark) {{ .jaxnn-graph {{ {theme.DARK} }} }}
"""
_STYLE = """\
.jaxnn-graph text { font: 11px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink); }
.jaxnn-graph rect.page { fill: var(--page); }
.jaxnn-graph rect.box { fill: var(--box); stroke: var(--line); }
.jaxnn-graph rect.result { stroke-width: 1.5; }
.jaxnn-graph rect.frame { fill: var(--line); fill-opacity: 0.08; stroke: var(--line); stroke-dasharray: 3 2; }
.jaxnn-graph text.frame { font-size: 10px; }
.jaxnn-graph path { fill: none; stroke: var(--line); }
.jaxnn-graph path.head { fill: var(--line); }
.jaxnn-graph .value { fill: var(--value); }
.jaxnn-graph .slope { fill: var(--slope); }
.jaxnn-graph text.local { font-size: 10px; paint-order: stroke; stroke: var(--page); stroke-width: 4px; }"""


def render_svg(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int, edges: list[Edge], output: str
) -> str:
    """Render a picture from left to right, composites expanded to `depth`, in light and dark colors.

    Raises:
      ValueError: if there are more than 300 variables.
    """
    nodes = [row.node for row in list_rows(arguments, operations, depth) if row.node is not None]
    if len(nodes) > MOST_BOXES:
        raise ValueError(
            f"a picture must have at most {MOST_BOXES} variables, got {len(nodes)}: use by_layer() or a smaller depth"
        )
    drawing = place_boxes(arguments, operations, depth, _box_size)
    width, height = drawing.width + 2 * _MARGIN, drawing.height + 2 * _MARGIN + _LINE
    drawn = [edge for edge in edges if edge.source in drawing.boxes and edge.target in drawing.boxes]
    paths = [drawing.edge_path(edge.source, edge.target) for edge in drawn]
    parts = [*map(_frame, drawing.frames), *map(_edge, paths), *(_box(drawing.boxes[node], output) for node in nodes)]
    parts += [_local_derivative(path, edge) for path, edge in zip(paths, drawn, strict=True)]
    legend = (
        f'<text x="{_MARGIN}" y="{height - 10:g}"><tspan class="value">above: value</tspan>'
        f'<tspan class="slope" dx="14">below: derivative of {escape(output)}</tspan></text>'
    )
    body = "\n".join(parts)
    width = max(width, 300.0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="jaxnn-graph" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">\n'
        f"<title>Computation graph of {escape(output)}</title>\n<style>\n{_COLORS}{_STYLE}\n</style>\n"
        f'<rect class="page" width="100%" height="100%"/>\n'
        f'<g transform="translate({_MARGIN:g} {_MARGIN:g})">\n{body}\n</g>\n{legend}\n</svg>\n'
    )


def _box_size(row: Row) -> Point:
    assert row.node is not None
    letters = max(map(len, (short_label(row), *captions(row.node))))
    for_histograms = 2 * histograms.HEIGHT if histograms.has_histogram(row.node) else 0.0
    return max(letters * _LETTER + 16, 56.0), 22 + 2 * _LINE + for_histograms


def _box(box: PlacedBox, output: str) -> str:
    row, x, y, width, *_ = box
    node = row.node
    assert node is not None
    above, below = captions(node)
    tooltip = [short_label(row), f"{format_type(node)}: {format_array(node.value)}"]
    tooltip += [] if node.derivative is None else [f"d{output}/d: {format_array(node.derivative)}"]
    tooltip += [source_location(row.operation)] if row.operation and row.operation.source else []
    if row.operation and row.operation.body:
        tooltip.append("operations: " + ", ".join(op.name for op in row.operation.body))
    parts = [
        f"<g><title>{escape(chr(10).join(tooltip))}</title>",
        f'<rect class="box{" result" if row.operation else ""}" x="{x - width / 2:.1f}" y="{y - 11:.1f}" '
        f'width="{width:.1f}" height="22" rx="{5 if row.operation else 11}"/>',
        _text(short_label(row), x, y + 4, ""),
        _text(above, x, y - 15, "value"),
        _text(below, x, y + 23, "slope") if below else "",
    ]
    if histograms.has_histogram(node):
        parts.append(_histogram(node.value, x, y - 11 - _LINE - histograms.HEIGHT, "value"))
        parts.append(_histogram(node.derivative, x, y + 11 + _LINE + 2, "slope") if node.derivative is not None else "")
    return "".join([*parts, "</g>"])


def _text(text: str, x: float, y: float, kind: str) -> str:
    css_class = f' class="{kind}"' if kind else ""
    return f'<text{css_class} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'


def _histogram(value: object, x: float, y: float, kind: str) -> str:
    """Draw a histogram with its center at `x`."""
    path = histograms.histogram_path(value, x - histograms.WIDTH / 2, y)
    return f'<path class="{kind}" style="fill: var(--{kind}); stroke: none" d="{path}"/>' if path else ""


def _frame(frame: Frame) -> str:
    op, left, top, width, height = frame
    return (
        f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8"/>'
        f'<text class="frame" x="{left + 8:.1f}" y="{top + 13:.1f}">{escape(op.title)}</text>'
    )


def _edge(points: list[Point]) -> str:
    curves = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    end, y1 = points[-1]
    for (ax, ay), (bx, by) in pairwise(dict.fromkeys(points)):
        middle = (ax + bx) / 2
        curves.append(f"C{middle:.1f} {ay:.1f} {middle:.1f} {by:.1f} {bx:.1f} {by:.1f}")
    return f'<path d="{"".join(curves)}"/><path class="head" d="M{end:.1f} {y1 - 3:.1f}l6 3l-6 3z"/>'


def _local_derivative(points: list[Point], edge: Edge) -> str:
    """Draw the local derivative between scalars beside the end of the edge, in the gap before the target's column."""
    if edge.local is None or np.ndim(edge.local) > 0:
        return ""
    (ax, ay), (bx, by) = points[-3:-1]
    x, y = (ax + bx) / 2, (ay + by) / 2 - 3
    text = f"{float(np.real(edge.local)) + 0.0:.3g}"
    return f'<text class="local" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'
