"""Names of nodes: those of arguments by their paths, those of results by `name` or by the order of evaluation."""

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from jaxnn.graph.tracing.nodes import Node, Operation, flat


def name(x: Any, label: str) -> Any:
    """Name an intermediate in the graph of the function that it is in; everywhere else an identity.

    Args:
      x: a pytree of arrays, of any shapes.
      label: the name.

    Returns:
      x. It is JAX's own `checkpoint_name`, so `jit`, `grad`, `vmap` and `scan` take it, and so do the policies of
      `jax.checkpoint`.

    Raises:
      ValueError: the label is not text.

    Example:
      >>> from jaxnn import graph
      >>> f = lambda b, c: 3 * graph.name(b * c, "u")
      >>> graph.trace(f)(3.0, 2.0)["u"].value.item()
      6.0
    """
    if not isinstance(label, str) or not label:
        raise ValueError(f"the name of an intermediate must be text, such as 'u', got {label!r}")
    return checkpoint_name(x, label)


def printable(words: str) -> str:
    """The words (no arrays) without what a terminal would obey, or a picture's XML not hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in words)


def argument_paths(f: Callable[..., Any], args: tuple[Any, ...]) -> list[tuple[str, ...]]:
    """The path of each leaf, of any shape, among the arguments: ("params", "[0]", ".W") for params[0]["W"]."""
    names = _parameter_names(f, len(args))
    return [
        (argument, *(_key(key) for key in path))
        for argument, arg in zip(names, args, strict=True)
        for path, _ in jax.tree_util.tree_flatten_with_path(arg)[0]
    ]


def _key(key: Any) -> str:
    # The index of a list; the key of a dictionary or the name of an attribute.
    index = getattr(key, "idx", None)
    return f"[{index}]" if index is not None else f".{getattr(key, 'key', getattr(key, 'name', key))}"


def _parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "arg")
    return (positional + [f"{rest}[{i}]" for i in range(count)])[:count]


def name_all(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], outputs: tuple[Node, ...], output: str
) -> None:
    """Give every node (of any shape) a name of its own.

    Results are v1, v2, ...; those inside the box that makes v2 are v2.1, v2.2, ...; the output of the function, where
    it is the only one and has no name, has that of the function.
    """
    taken: Counter[str] = Counter()
    if len(outputs) == 1 and outputs[0].kind == "result" and not outputs[0].name:
        outputs[0].name = output
    labelled: set[Node] = set()

    def label(node: Node, otherwise: Callable[[], str]) -> None:
        if node in labelled or node.kind == "literal":
            return
        labelled.add(node)
        wanted = printable(node.name or otherwise())
        node.name = wanted
        while node.name in taken:
            taken[wanted] += 1
            node.name = f"{wanted}_{taken[wanted]}"
        taken[node.name] += 1

    def walk(steps: tuple[Operation, ...], prefix: str) -> None:
        numbers = iter(range(1, 10**9))
        for op in steps:
            for node in op.inputs:
                if node.kind == "constant":
                    label(node, lambda: "const")
            for node in op.outputs:
                label(node, lambda: f"{prefix}{next(numbers)}")
            first = next((node.name for node in op.outputs if node.kind == "result"), prefix)
            walk(op.inside, f"{first}.")

    for node in arguments:
        label(node, str)
    # What has a name keeps it; of those of the same, the first evaluated comes first, in a loop as outside of it.
    for op in flat(operations):
        for node in op.outputs:
            if node.name:
                label(node, str)
    walk(operations, "v")
