"""A graph in the language of Graphviz."""

from jaxnn.graph.rendering.view import Edge, Row
from jaxnn.graph.tracing.formulas import short, type_of
from jaxnn.graph.tracing.nodes import Node, Operation


def dot(rows: list[Row], edges: list[Edge], output: str) -> str:
    """A `digraph` of the variables, of any shapes, opened boxes as clusters."""
    names = {row.node: f"n{i}" for i, row in enumerate(rows) if row.node is not None}
    boxes = {row.operation: f"cluster{i}" for i, row in enumerate(rows) if row.node is None}
    lines = [f"digraph {_quoted(output)} {{", "rankdir=LR; node [shape=box, style=rounded, fontname=monospace];"]
    opened: tuple[Operation, ...] = ()
    for row in rows:
        if row.node is None:
            continue
        same = 0
        while same < min(len(opened), len(row.boxes)) and opened[same] is row.boxes[same]:
            same += 1
        lines += ["}"] * (len(opened) - same)
        lines += [f"subgraph {boxes[box]} {{ label={_quoted(box.title)};" for box in row.boxes[same:]]
        opened = row.boxes
        lines.append(f"{names[row.node]} [label={_quoted(_label(row, row.node, output))}];")
    lines += ["}"] * len(opened)
    for edge in edges:
        if edge.source in names and edge.target in names:
            label = f" [label={_quoted(short(edge.local))}]" if edge.local is not None else ""
            lines.append(f"{names[edge.source]} -> {names[edge.target]}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _label(row: Row, node: Node, output: str) -> str:
    derivative = [] if node.derivative is None else [f"d{output}/d = {short(node.derivative)}"]
    return "\n".join(
        [
            f"{node.name} = {row.formula}" if row.formula else node.name,
            f"{type_of(node)}: {short(node.value)}",
            *derivative,
        ]
    )


def _quoted(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
