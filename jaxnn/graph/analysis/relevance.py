"""What a reader of a graph can do without: variables that the outputs do not depend on, and the plumbing of keys."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.graph.tracing.nodes import Node, Operation

_LOOPS = ("scan", "while", "cond", "step")
"""Composites whose bodies have results that control the loop and that no output depends on."""
_MOVES = (
    *("slice", "squeeze", "reshape", "dynamic_slice", "unstack", "gather", "broadcast_in_dim", "concatenate"),
    *("expand_dims", "transpose", "convert_element_type", "copy"),
)
"""Operations that move the two words of an old-style key without changing them."""


def find_unused(operations: tuple[Operation, ...], outputs: Iterable[Node]) -> set[Node]:
    """Return the results and constants that no output depends on, also inside composites other than loops."""
    used, unused = set(outputs), set()
    for op in reversed(operations):
        live = [node for node in op.outputs if node in used]
        if live:
            used.update(op.inputs)
            unused |= find_unused(op.body, live) if op.name not in _LOOPS else set()
        else:
            unused |= _results(op)
    nodes = {node for op in operations for node in (*op.inputs, *op.outputs)}
    return (unused | {node for node in nodes if node.kind in ("constant", "result")}) - used


def _results(op: Operation) -> set[Node]:
    """Return all results of an operation and of its body."""
    return {*op.outputs}.union(*map(_results, op.body))


class Plumbing(NamedTuple):
    """Where a random key comes from.

    Attributes:
      roots: the nodes outside of the plumbing that it comes from, such as the argument `key`.
      through: the keys from there to it, itself the last.
    """

    roots: tuple[Node, ...]
    through: tuple[Node, ...]


def find_key_plumbing(operations: tuple[Operation, ...]) -> dict[Node, Plumbing]:
    """Return the nodes that only carry random keys from where they come from to where numbers are drawn.

    These are keys that are split, folded in, wrapped or moved, also inside composites, and the constants that are only
    folded in.
    """
    plumbing: dict[Node, Plumbing] = {}
    raw: set[Node] = set()

    def visit(steps: tuple[Operation, ...]) -> None:
        for op in steps:
            visit(op.body)
            moves = op.name == "random_unwrap" or (op.name in _MOVES and any(node in raw for node in op.inputs))
            raw.update(op.outputs if moves else ())
            if op.outputs and all(node in raw or _is_key(node) for node in op.outputs):
                inputs = [node for node in op.inputs if node.kind != "literal"]
                # A key with which a number is folded in comes from the other key.
                inputs = [node for node in inputs if node in plumbing or _is_key(node)] or inputs
                before = [plumbing.get(node, Plumbing((node,), ())) for node in inputs]
                roots = tuple(dict.fromkeys(node for one in before for node in one.roots))
                through = tuple(dict.fromkeys(node for one in before for node in one.through))
                plumbing.update((node, Plumbing(roots, (*through, node))) for node in op.outputs)

    visit(operations)
    folded_in, others = _inputs(operations, plumbing)
    constants = {node for node in folded_in - others if node.kind == "constant"}
    return plumbing | dict.fromkeys(constants, Plumbing((), ()))


def _inputs(operations: tuple[Operation, ...], plumbing: Collection[Node]) -> tuple[set[Node], set[Node]]:
    """Return the inputs of the operations that carry keys, and those of the others, also inside composites."""
    carried, others = set(), set()
    for op in operations:
        if op.outputs and all(node in plumbing for node in op.outputs):
            carried.update(op.inputs)
        else:
            others.update(op.inputs)
            inside = _inputs(op.body, plumbing)
            carried |= inside[0]
            others |= inside[1]
    return carried, others


def _is_key(node: Node) -> bool:
    return jnp.issubdtype(node.dtype, jax.dtypes.prng_key)
