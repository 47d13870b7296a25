"""A graph as a text table, in the order of evaluation."""

from jaxnn.graph.formatting import format_array, format_type
from jaxnn.graph.rendering.labels import source_location
from jaxnn.graph.rows import Edge, Row
from jaxnn.graph.tracing.nodes import Node

MOST_ROWS = 200
_LAST_ROWS = 20
_WIDEST = 44


def render_text(rows: list[Row], edges: list[Edge], output: str) -> str:
    """Render a table of the variables: values, derivatives of `output`, local derivatives, source lines."""
    into: dict[Node, list[Edge]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge)
    omitted = len(rows) - MOST_ROWS
    first = rows if omitted <= 0 else rows[: MOST_ROWS - _LAST_ROWS]
    lines = [("", "= ", "type", "value", f"d{output}/d", "local derivatives", "line")]
    lines += [_cells(row, into) for row in first]
    if omitted > 0:
        lines += [(f"... {omitted} more", *[""] * 6)] + [_cells(row, into) for row in rows[-_LAST_ROWS:]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    kept = [i for i, column in enumerate(zip(*lines[1:], strict=True)) if any(column)]
    return "\n".join("  ".join(line[i].ljust(widths[i]) for i in kept).rstrip() for line in lines)


def _cells(row: Row, into: dict[Node, list[Edge]]) -> tuple[str, ...]:
    indent, node, op = "  " * len(row.parents), row.node, row.operation
    if node is None:
        assert op is not None
        return (f"{indent}[{op.title}]", *[""] * 6)
    local = [
        f"d{node.name}/d{edge.source.name} = {format_array(edge.local)}"
        for edge in into.get(node, ())
        if edge.local is not None
    ]
    value, derivative = format_array(node.value), format_array(node.derivative)
    location = source_location(op) if op else ""
    cells = (row.formula, format_type(node), value, derivative, "; ".join(local), location)
    return (indent + node.name, *map(_truncate, cells))


def _truncate(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
