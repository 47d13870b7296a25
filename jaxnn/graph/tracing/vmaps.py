"""Boxes for `jax.vmap`, which leaves no equation of its own: JAX notes it beside each that it rewrote for the batch."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from jax.extend import core

from jaxnn.graph.tracing.naming import printable
from jaxnn.graph.tracing.nodes import Node, Operation, boundary, uses

VMAP = core.Primitive("vmap")
"""What a box of these has for a primitive."""


def in_vmaps(
    operations: list[Operation], stacks: list[Any], outputs: Iterable[Node], deep: int = 0
) -> tuple[Operation, ...]:
    """The operations, those next to each other that are under the same `vmap` in a box; nodes have any shapes.

    `stacks` are JAX's name stacks, scopes and transformations from the outside in, of which `deep` are dealt with;
    `outputs` are the nodes that are taken elsewhere. Two calls of `vmap` right after one another look like one.
    """
    found: list[Operation] = []
    everywhere = uses(operations, outputs)
    for until, group in groupby(zip(operations, stacks, strict=True), lambda one: _until_vmap(one[1], deep)):
        run = list(group)
        inside, names = [op for op, _ in run], [stack for _, stack in run]
        if until is None:
            for op, stack in run:
                op.scope = _words(stack, deep, None)
            found += inside
            continue
        taken, leaving = boundary(inside, everywhere)
        after = deep + len(until)
        box = Operation("vmap", VMAP, {}, taken, leaving, in_vmaps(inside, names, leaving, after))
        box.source, box.scope = inside[0].source, _words(names[0], deep, after - 1)
        found.append(box)
    return tuple(found)


def _until_vmap(stack: Any, deep: int) -> tuple[Any, ...] | None:
    """What is left of the stack, until the next `vmap`; `None` where there is none."""
    rest = stack.stack[deep:]
    for i, element in enumerate(rest):
        if element.name == "vmap" and not _is_scope(element):
            return rest[: i + 1]
    return None


def _words(stack: Any, start: int, stop: int | None) -> str:
    """The scopes, without the transformations that JAX writes among them, as in jvp(layer)."""
    return printable("/".join(element.name for element in stack.stack[start:stop] if _is_scope(element)))


def _is_scope(element: Any) -> bool:
    return type(element).__name__ == "Scope"
