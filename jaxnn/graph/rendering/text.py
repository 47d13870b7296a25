"""A graph as a table for a terminal, in the order of evaluation."""

from jaxnn.graph.rendering.boxes import place
from jaxnn.graph.rendering.view import Edge, Row
from jaxnn.graph.tracing.formulas import short, type_of
from jaxnn.graph.tracing.nodes import Node

MOST_ROWS = 200
_WIDEST = 44


def text(rows: list[Row], edges: list[Edge], output: str) -> str:
    """The table of variables, of any shapes: values, derivatives of `output` by each, local derivatives, lines."""
    into: dict[Node, list[Edge]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge)
    left_out = len(rows) - MOST_ROWS
    shown = rows if left_out <= 0 else rows[: MOST_ROWS - 20]
    lines = [("", "= ", "type", "value", f"d{output}/d", "local derivatives", "line")]
    lines += [_cells(row, into) for row in shown]
    if left_out > 0:
        lines += [(f"... {left_out} more", *[""] * 6)] + [_cells(row, into) for row in rows[-20:]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    kept = [i for i, column in enumerate(zip(*lines[1:], strict=True)) if any(column)]
    return "\n".join("  ".join(line[i].ljust(widths[i]) for i in kept).rstrip() for line in lines)


def _cells(row: Row, into: dict[Node, list[Edge]]) -> tuple[str, ...]:
    indent, node, op = "  " * len(row.boxes), row.node, row.operation
    if node is None:
        assert op is not None
        return (f"{indent}[{op.title}]", *[""] * 6)
    local = [f"d{node.name}/d{e.source.name} = {short(e.local)}" for e in into.get(node, ()) if e.local is not None]
    line = place(op) if op else ""
    words = (row.formula, type_of(node), short(node.value), short(node.derivative), "; ".join(local), line)
    return (indent + node.name, *map(_cut, words))


def _cut(words: str) -> str:
    return words if len(words) <= _WIDEST else words[: _WIDEST - 3] + "..."
