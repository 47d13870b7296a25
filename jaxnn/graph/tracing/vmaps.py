"""Composites for `jax.vmap`, which leaves no equation: JAX records it in the name stack of each one it rewrites."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from jax.extend import core

from jaxnn.graph.tracing.naming import replace_unprintable
from jaxnn.graph.tracing.nodes import Node, Operation, count_uses, find_boundary
from jaxnn.marking.places import is_place, params_path

VMAP = core.Primitive("vmap")
"""The primitive of a composite for `jax.vmap`."""


def group_vmaps(
    operations: list[Operation], stacks: list[Any], outputs: Iterable[Node], start: int = 0
) -> tuple[Operation, ...]:
    """Group consecutive operations under the same `vmap` into one composite, and set the scopes of all operations.

    Two calls of `vmap` with no operation between them are one composite: their name stacks are equal.

    Args:
      operations: in the order of evaluation.
      stacks: the JAX name stack of each operation: scopes and transformations from the outside in.
      outputs: nodes used outside of these operations.
      start: the number of elements of the stacks that are already handled.
    """
    grouped: list[Operation] = []
    uses = count_uses(operations, outputs)
    for prefix, pairs in groupby(zip(operations, stacks, strict=True), lambda pair: _up_to_vmap(pair[1], start)):
        run = list(pairs)
        body, run_stacks = [op for op, _ in run], [stack for _, stack in run]
        if prefix is None:
            for op, stack in run:
                op.scope, op.layer = _join_scopes(stack, start, None), _layer(stack.stack)
            grouped += body
            continue
        inputs, results = find_boundary(body, uses)
        end = start + len(prefix)
        composite = Operation("vmap", VMAP, {}, inputs, results, group_vmaps(body, run_stacks, results, end))
        composite.source, composite.scope = body[0].source, _join_scopes(run_stacks[0], start, end - 1)
        composite.layer = _layer(run_stacks[0].stack[:end])
        grouped.append(composite)
    return tuple(grouped)


def _up_to_vmap(stack: Any, start: int) -> tuple[Any, ...] | None:
    """Return the elements of the stack from `start` up to the next `vmap`; `None` without one."""
    rest = stack.stack[start:]
    for i, element in enumerate(rest):
        if element.name == "vmap" and not _is_scope(element):
            return rest[: i + 1]
    return None


def _join_scopes(stack: Any, start: int, stop: int | None) -> str:
    """Join the names of the user's scopes, without the transformations that JAX puts among them, as in jvp(layer)."""
    names = (element.name for element in stack.stack[start:stop] if _is_scope(element))
    return replace_unprintable("/".join(name for name in names if not is_place(name)))


def _layer(elements: Iterable[Any]) -> str:
    return params_path(element.name for element in elements if _is_scope(element))


def _is_scope(element: Any) -> bool:
    return type(element).__name__ == "Scope"
