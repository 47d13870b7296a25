"""Graphs of other libraries as networks of layers one after another, around others and side by side.

A graph has one input and one output. Where several branches meet in a sum or a concatenation, they begin at the nearest
node that all paths to them pass: x + f(x) is `residual`, other branches are `fan_out` and how they meet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from jaxnn import nn

START = ""
"""The name of the input."""
MOST_NODES = 5000
DAMAGE = (KeyError, TypeError, IndexError, AttributeError, OverflowError, ZeroDivisionError, RecursionError)
"""What may be raised for entries of a damaged file that are missing, or of another type than expected."""


class Node(NamedTuple):
    """A node of a graph.

    Attributes:
      inputs: the names of the nodes whose outputs it takes; more than one only if it is where branches meet.
      layers: the layers that it is, one after another; of several inputs, how they meet.
      arrays: of the layers that have any, in execution order, by their names in the file.
    """

    inputs: tuple[str, ...]
    layers: tuple[jaxnn.Layer, ...] = ()
    arrays: tuple[Mapping[str, np.ndarray], ...] = ()


class Branch(NamedTuple):
    """Layers one after another, and the arrays of those that have any."""

    layers: list[jaxnn.Layer]
    arrays: list[Mapping[str, np.ndarray]]


def branch_of(nodes: Mapping[str, Node], output: str) -> Branch:
    """Return the layers from the input to the output of a graph, whose nodes are in an order in which they compute.

    Raises:
      ValueError: if branches meet that do not begin at one node, or a node is used outside of its branch.

    Example:
      >>> nodes = {"a": Node((START,), (nn.relu(),)), "b": Node(("a",), (nn.dense(3),))}
      >>> branch_of(nodes | {"c": Node(("a", "b"), (nn.fan_in_sum(),))}, "c").layers
      [relu(), residual(dense(3))]
    """
    if len(nodes) > MOST_NODES:
        raise ValueError(f"graphs must have at most {MOST_NODES} nodes, got {len(nodes)}")
    above: dict[str, list[str]] = {START: [START]}
    for name, node in nodes.items():
        above[name] = [*_common([above[one] for one in node.inputs]), name]
    used: set[str] = set()
    whole = _between(nodes, above, START, output, used)
    if idle := next((name for name, node in nodes.items() if node.arrays and name not in used), None):
        raise ValueError(f"graphs must have one output, got {idle!r}, which the output {output!r} does not use")
    return whole


def _common(paths: Sequence[list[str]]) -> list[str]:
    """Return the nodes that all paths from the input pass, in order: those with which the lists begin alike."""
    common = paths[0]
    for path in paths[1:]:
        both = zip(common, path, strict=False)
        common = common[: next((i for i, (a, b) in enumerate(both) if a != b), min(len(common), len(path)))]
    return common


def _between(nodes: Mapping[str, Node], above: Mapping[str, list[str]], start: str, end: str, used: set[str]) -> Branch:
    """Return the layers after the node `start` up to `end`."""
    pieces: list[Branch] = []
    while end != start:
        node = nodes[end]
        if end in used:
            raise ValueError(f"branches must begin at one node, and meet in one: {end!r} is in several")
        used.add(end)
        if len(node.inputs) == 1:
            pieces.append(Branch([*node.layers], [*node.arrays]))
            (end,) = node.inputs
        else:
            fork = _common([above[one] for one in node.inputs])[-1]
            branches = [_between(nodes, above, fork, one, used) for one in node.inputs]
            pieces.append(_met(branches, node))
            end = fork
    layers = [layer for piece in reversed(pieces) for layer in piece.layers]
    return Branch(layers, [arrays for piece in reversed(pieces) for arrays in piece.arrays])


def _met(branches: Sequence[Branch], node: Node) -> Branch:
    """Return what branches and the node where they meet are together."""
    arrays = [one for branch in branches for one in branch.arrays]
    inside = [branch for branch in branches if branch.layers]
    if node.layers == (nn.fan_in_sum(),) and len(branches) == 2 and len(inside) == 1:
        return Branch([nn.residual(one_layer(inside[0].layers))], arrays)
    return Branch([nn.fan_out(*(one_layer(branch.layers) for branch in branches)), *node.layers], arrays)


def one_layer(layers: Sequence[jaxnn.Layer]) -> Any:
    """Return layers as one."""
    return layers[0] if len(layers) == 1 else nn.chain(*layers) if layers else nn.identity()


def without_probabilities(layers: Sequence[jaxnn.Layer]) -> tuple[list[jaxnn.Layer], str]:
    """Return layers without a softmax or a sigmoid at the end, since outputs are logits here, and what they mean."""
    for kind, output in ((nn.softmax(), "softmax"), (nn.sigmoid(), "binary")):
        if len(layers) > 1 and layers[-1] == kind:
            return [*layers[:-1]], output
    return [*layers], ""
