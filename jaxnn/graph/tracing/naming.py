"""Names of nodes: arguments by their paths, results by `name` or by the order of evaluation."""

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from jaxnn.constraints import Constraint, checked
from jaxnn.graph.tracing.nodes import Node, Operation, leaf_operations

_LABEL = Constraint(
    "a non-empty string, such as 'u'", ("", None, 3), test=lambda label: isinstance(label, str) and label != ""
)


@checked(label=_LABEL)
def name(x: Any, label: str) -> Any:
    """Name an intermediate in the graph of the function that computes it; an identity everywhere else.

    Args:
      x: a pytree of arrays, of any shapes.
      label: the name.

    Returns:
      x. This is `jax.ad_checkpoint.checkpoint_name`: it works under `jit`, `grad`, `vmap` and `scan`, and policies of
      `jax.checkpoint` can select it.

    Raises:
      ValueError: if the label is not a non-empty string.

    Example:
      >>> from jaxnn import graph
      >>> f = lambda b, c: 3 * graph.name(b * c, "u")
      >>> graph.trace(f)(3.0, 2.0)["u"].value.item()
      6.0
    """
    return checkpoint_name(x, label)


def replace_unprintable(text: str) -> str:
    """Replace characters that would control a terminal, or that XML does not allow."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def argument_paths(f: Callable[..., Any], args: tuple[Any, ...]) -> list[tuple[str, ...]]:
    """Return the path of each leaf of the arguments: ("params", "[0]", ".W") for params[0]["W"]."""
    names = _parameter_names(f, len(args))
    return [
        (argument, *(_format_key(key) for key in path))
        for argument, arg in zip(names, args, strict=True)
        for path, _ in jax.tree_util.tree_flatten_with_path(arg)[0]
    ]


def _format_key(key: Any) -> str:
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


def assign_names(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], outputs: tuple[Node, ...], function: str
) -> None:
    """Give every node a unique name.

    Results are v1, v2, ...; those in the body of the composite that computes v2 are v2.1, v2.2, ... A single output
    without a label gets the name of the function.
    """
    used: Counter[str] = Counter()
    if len(outputs) == 1 and outputs[0].kind == "result" and not outputs[0].name:
        outputs[0].name = function
    named: set[Node] = set()

    def assign(node: Node, default: Callable[[], str]) -> None:
        if node in named or node.kind == "literal":
            return
        named.add(node)
        wanted = replace_unprintable(node.name or default())
        node.name = wanted
        while node.name in used:
            used[wanted] += 1
            node.name = f"{wanted}_{used[wanted]}"
        used[node.name] += 1

    def number(steps: tuple[Operation, ...], prefix: str) -> None:
        numbers = iter(range(1, 10**9))
        for op in steps:
            for node in op.inputs:
                if node.kind == "constant":
                    assign(node, lambda: "const")
            for node in op.outputs:
                assign(node, lambda: f"{prefix}{next(numbers)}")
            first = next((node.name for node in op.outputs if node.kind == "result"), prefix)
            number(op.body, f"{first}.")

    for node in arguments:
        assign(node, str)
    # Labels first, in the order of evaluation, so that the first of equal ones keeps its name, in a loop too.
    for op in leaf_operations(operations):
        for node in op.outputs:
            if node.name:
                assign(node, str)
    number(operations, "v")
