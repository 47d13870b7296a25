"""A graph for networkx, which is imported only here, and only when it is asked for."""

from typing import Any

from jaxnn.graph.rendering.view import Edge, Row


def to_networkx(rows: list[Row], edges: list[Edge]) -> Any:
    """A `networkx.DiGraph` of the variables by name, with their arrays of any shapes.

    Raises:
      ValueError: networkx is not installed.
    """
    try:
        import networkx
    except ImportError:
        raise ValueError("networkx is not installed: pip install networkx") from None
    found = networkx.DiGraph()
    for node, operation, _ in rows:
        if node is not None:
            made = operation.name if operation else None
            found.add_node(node.name, value=node.value, derivative=node.derivative, operation=made)
    found.add_edges_from((edge.source.name, edge.target.name, {"local": edge.local}) for edge in edges)
    return found
