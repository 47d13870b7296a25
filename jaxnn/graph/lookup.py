"""Nodes by name, and new values for arguments."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from jaxnn.graph.tracing.nodes import Node


def find_node(name: str, nodes: Mapping[str, Node], kind: str) -> Node:
    """Return the node of a name; `kind`, such as "variable", is for the message.

    Raises:
      ValueError: if there is no such node.
    """
    if name not in nodes:
        suggestions = (isinstance(name, str) and get_close_matches(name, nodes, 3)) or list(nodes)[:8]
        others = " and others" if len(nodes) > len(suggestions) else ""
        raise ValueError(f"{kind} must be one of {', '.join(suggestions)}{others}, got {name!r}")
    return nodes[name]


def replace_values(arguments: Sequence[Node], changes: Mapping[str, Any]) -> list[Any]:
    """Return the values of the arguments with some of them replaced, each in the old one's shape and dtype.

    Raises:
      ValueError: if there is no such argument, or a value has another shape or is not numeric.
    """
    by_name = {node.name: node for node in arguments}
    new = {find_node(name, by_name, "argument"): value for name, value in changes.items()}
    for node, value in new.items():
        if np.shape(value) != node.shape:
            raise ValueError(f"{node.name} must have the shape {node.shape}, got {np.shape(value)}")
    return [_cast(node, new[node]) if node in new else node.value for node in arguments]


def _cast(node: Node, value: Any) -> Any:
    """Cast a new value to the dtype of the old one; a weakly typed scalar stays a Python scalar, weakly typed."""
    old, new = node.value, np.asarray(value)
    if new.dtype.kind in "OSUMm" or (new.dtype.kind == "c" and not np.issubdtype(old.dtype, np.complexfloating)):
        raise ValueError(f"{node.name} must be a value for {old.dtype}, got {value!r}")
    new = new.astype(old.dtype)
    return new.item() if old.weak_type and not old.shape else new
