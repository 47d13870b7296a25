"""A graph as a picture: values above the boxes, derivatives below, as the notes draw it. No program is needed."""

from html import escape
from itertools import pairwise

import numpy as np

from jaxnn.graph.rendering.boxes import (
    BARS_HEIGHT,
    BARS_WIDTH,
    ON_DARK,
    ON_WHITE,
    bars,
    figures,
    has_bars,
    label,
    place,
)
from jaxnn.graph.rendering.placement import Frame, Point, Spot, plan
from jaxnn.graph.rendering.view import Edge, Row, rows
from jaxnn.graph.tracing.formulas import short, type_of
from jaxnn.graph.tracing.nodes import Node, Operation

MOST_BOXES = 300
_LETTER, _LINE, _MARGIN = 6.7, 15.0, 12.0  # of 11 px monospace; of a line; around it all

_COLOURS = f"""\
.jaxnn-graph {{ {ON_WHITE} }}
@media (prefers-color-scheme: dark) {{ .jaxnn-graph {{ {ON_DARK} }} }}
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


def svg(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], depth: int, edges: list[Edge], output: str
) -> str:
    """The picture of variables of any shapes, from left to right, boxes opened `depth` levels deep.

    It is for white pages and for dark ones.

    Raises:
      ValueError: there are too many to be seen.
    """
    seen = [row.node for row in rows(arguments, operations, depth) if row.node is not None]
    if len(seen) > MOST_BOXES:
        raise ValueError(f"{len(seen)} variables are too many for a picture: draw .by_layer(), or at a smaller depth")
    drawn = plan(arguments, operations, depth, _size)
    spots = [drawn.spots[node] for node in seen]
    width, height = drawn.width + 2 * _MARGIN, drawn.height + 2 * _MARGIN + _LINE
    shown = [edge for edge in edges if edge.source in drawn.spots and edge.target in drawn.spots]
    paths = [drawn.path(edge.source, edge.target) for edge in shown]
    parts = [*map(_frame, drawn.frames), *map(_path, paths), *(_box(spot, output) for spot in spots)]
    parts += [_local(path, edge) for path, edge in zip(paths, shown, strict=True)]
    legend = (
        f'<text x="{_MARGIN}" y="{height - 10:g}"><tspan class="value">above: the value</tspan>'
        f'<tspan class="slope" dx="14">below: d{escape(output)}/d of it</tspan></text>'
    )
    body = "\n".join(parts)
    width = max(width, 300.0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="jaxnn-graph" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">\n'
        f"<title>Computation graph of {escape(output)}</title>\n<style>\n{_COLOURS}{_STYLE}\n</style>\n"
        f'<rect class="page" width="100%" height="100%"/>\n'
        f'<g transform="translate({_MARGIN:g} {_MARGIN:g})">\n{body}\n</g>\n{legend}\n</svg>\n'
    )


def _size(row: Row) -> Point:
    assert row.node is not None
    letters = max(map(len, (label(row), *figures(row.node))))
    for_bars = 2 * BARS_HEIGHT if has_bars(row.node) else 0.0
    return max(letters * _LETTER + 16, 56.0), 22 + 2 * _LINE + for_bars


def _box(spot: Spot, output: str) -> str:
    row, x, y, width, *_ = spot
    node = row.node
    assert node is not None
    above, below = figures(node)
    title = [label(row), f"{type_of(node)}: {short(node.value)}"]
    title += [] if node.derivative is None else [f"d{output}/d: {short(node.derivative)}"]
    title += [place(row.operation)] if row.operation and row.operation.source else []
    if row.operation and row.operation.inside:
        title.append("inside: " + ", ".join(op.name for op in row.operation.inside))
    parts = [
        f"<g><title>{escape(chr(10).join(title))}</title>",
        f'<rect class="box{" result" if row.operation else ""}" x="{x - width / 2:.1f}" y="{y - 11:.1f}" '
        f'width="{width:.1f}" height="22" rx="{5 if row.operation else 11}"/>',
        _words(label(row), x, y + 4, ""),
        _words(above, x, y - 15, "value"),
        _words(below, x, y + 23, "slope") if below else "",
    ]
    if has_bars(node):
        parts.append(_bars(node.value, x, y - 11 - _LINE - BARS_HEIGHT, "value"))
        parts.append(_bars(node.derivative, x, y + 11 + _LINE + 2, "slope") if node.derivative is not None else "")
    return "".join([*parts, "</g>"])


def _words(words: str, x: float, y: float, kind: str) -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(words)}</text>'


def _bars(value: object, x: float, y: float, kind: str) -> str:
    """A histogram of an array of any shape, of which `x` is the middle."""
    path = bars(value, x - BARS_WIDTH / 2, y)
    return f'<path class="{kind}" style="fill: var(--{kind}); stroke: none" d="{path}"/>' if path else ""


def _frame(frame: Frame) -> str:
    op, left, top, width, height = frame
    return (
        f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8"/>'
        f'<text class="frame" x="{left + 8:.1f}" y="{top + 13:.1f}">{escape(op.title)}</text>'
    )


def _path(points: list[Point]) -> str:
    curves = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    end, y1 = points[-1]
    for (ax, ay), (bx, by) in pairwise(dict.fromkeys(points)):
        middle = (ax + bx) / 2
        curves.append(f"C{middle:.1f} {ay:.1f} {middle:.1f} {by:.1f} {bx:.1f} {by:.1f}")
    return f'<path d="{"".join(curves)}"/><path class="head" d="M{end:.1f} {y1 - 3:.1f}l6 3l-6 3z"/>'


def _local(points: list[Point], edge: Edge) -> str:
    """The local derivative beside the edge, of scalars: where it comes to the target's column."""
    if edge.local is None or np.ndim(edge.local) > 0:
        return ""
    (ax, ay), (bx, by) = points[-3:-1]
    x, y = (ax + bx) / 2, (ay + by) / 2 - 3
    words = f"{float(np.real(edge.local)) + 0.0:.3g}"
    return f'<text class="local" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{words}</text>'
