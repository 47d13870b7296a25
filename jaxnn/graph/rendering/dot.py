"""A graph in the DOT language of Graphviz."""

from jaxnn.graph.formatting import format_array, format_type
from jaxnn.graph.rows import Edge, Row
from jaxnn.graph.tracing.nodes import Node, Operation


def render_dot(rows: list[Row], edges: list[Edge], output: str) -> str:
    """Render a `digraph` of the variables, with a cluster for each expanded composite."""
    names = {row.node: f"n{i}" for i, row in enumerate(rows) if row.node is not None}
    clusters = {row.operation: f"cluster{i}" for i, row in enumerate(rows) if row.node is None}
    lines = [f"digraph {_quoted(output)} {{", "rankdir=LR; node [shape=box, style=rounded, fontname=monospace];"]
    current: tuple[Operation, ...] = ()
    for row in rows:
        if row.node is None:
            continue
        shared = 0
        while shared < min(len(current), len(row.parents)) and current[shared] is row.parents[shared]:
            shared += 1
        lines += ["}"] * (len(current) - shared)
        lines += [f"subgraph {clusters[op]} {{ label={_quoted(op.title)};" for op in row.parents[shared:]]
        current = row.parents
        lines.append(f"{names[row.node]} [label={_quoted(_label(row, row.node, output))}];")
    lines += ["}"] * len(current)
    for edge in edges:
        if edge.source in names and edge.target in names:
            label = f" [label={_quoted(format_array(edge.local))}]" if edge.local is not None else ""
            lines.append(f"{names[edge.source]} -> {names[edge.target]}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _label(row: Row, node: Node, output: str) -> str:
    derivative = [] if node.derivative is None else [f"d{output}/d = {format_array(node.derivative)}"]
    return "\n".join(
        [
            f"{node.name} = {row.formula}" if row.formula else node.name,
            f"{format_type(node)}: {format_array(node.value)}",
            *derivative,
        ]
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
