"""A graph for networkx, which is an optional dependency, imported only here and only when needed."""

from typing import Any

from jaxnn.graph.rows import Edge, Row


def build_digraph(rows: list[Row], edges: list[Edge]) -> Any:
    """Build a `networkx.DiGraph` of the variables by name, with their arrays.

    Raises:
      ValueError: if networkx is not installed.
    """
    try:
        import networkx
    except ImportError:
        raise ValueError("networkx is not installed: pip install networkx") from None
    digraph = networkx.DiGraph()
    for node, op, _ in rows:
        if node is not None:
            operation = op.name if op else None
            digraph.add_node(node.name, value=node.value, derivative=node.derivative, operation=operation)
    digraph.add_edges_from((edge.source.name, edge.target.name, {"local": edge.local}) for edge in edges)
    return digraph
