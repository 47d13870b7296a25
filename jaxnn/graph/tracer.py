"""Tracing: from a function and its arguments to its graph, with all values and derivatives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.graph.graph import Graph
from jaxnn.graph.tracing.derivatives import derivatives
from jaxnn.graph.tracing.evaluation import evaluate
from jaxnn.graph.tracing.naming import argument_paths, name_all, printable
from jaxnn.graph.tracing.nodes import Node, Operation


def trace(f: Callable[..., Any], *, depth: int = 0, cotangent: Any = None, limit: int = 2_000) -> Callable[..., Graph]:
    """The computation graph of a function: every intermediate, and the derivative of the output by it.

    Values are computed from left to right, one operation at a time, and derivatives from right to left, each operation
    pulled back by its own `jax.vjp`: dJ/dx = Σ dJ/dv dv/dx over the operations v that take x.

    Args:
      f: any function of JAX, of pytrees of arrays.
      depth: how many levels of boxes the graph shows opened: functions under `jit` (`jax.nn.relu` is one),
        `vmap` (what it rewrote for the batch), `scan`, `while` and `cond`, `jax.checkpoint`, and `custom_vjp` and
        `custom_jvp`, whose derivative is that of their rule.
      cotangent: the derivative to start from, in the structure and shapes of the output; by default 1, of a scalar.
      limit: loops that make more operations than that stay closed boxes; loops in a loop share its limit.

    Returns:
      A function that takes f's arguments and gives the `Graph`. Whole numbers among the arguments have no derivative.

    Raises:
      ValueError: from the returned function: no argument has a derivative, f cannot be traced, its output is not a
        scalar and there is no cotangent, or an operation has no derivative.

    Example:
      >>> from jaxnn import graph
      >>> def J(a, b, c):
      ...     u = graph.name(b * c, "u")
      ...     v = graph.name(a + u, "v")
      ...     return 3 * v
      >>> g = graph.trace(J)(5.0, 3.0, 2.0)
      >>> {node.name: (node.value.item(), node.derivative.item()) for node in g.nodes}
      {'a': (5.0, 3.0), 'b': (3.0, 6.0), 'c': (2.0, 9.0), 'u': (6.0, 3.0), 'v': (11.0, 3.0), 'J': (33.0, 1.0)}

    Source: reverse accumulation, Griewank & Walther, Evaluating Derivatives, 2nd ed., 2008, section 3.2.
    """
    if not (isinstance(depth, int) and isinstance(limit, int) and depth >= 0 and limit >= 1):
        raise ValueError(f"depth must be a whole number from 0, and limit from 1, got {depth!r} and {limit!r}")

    @_one_by_one()
    def traced(*args: Any) -> Graph:
        paths, leaves, tree = argument_paths(f, args), *jax.tree.flatten(args)
        given = [_array(leaf, path) for leaf, path in zip(leaves, paths, strict=True)]
        names = [printable("".join(path)) for path in paths]

        def graph_of(values: list[jax.Array]) -> Graph:
            arguments = tuple(Node(value, "argument", name) for value, name in zip(values, names, strict=True))
            if not any(node.inexact for node in arguments):
                raise ValueError(_no_floats(arguments))
            closed, shapes = _jaxpr(f, tree, values)
            seeds = _seeds(jax.tree.structure(shapes), jax.tree.leaves(shapes), cotangent)
            operations, results = evaluate(closed, list(arguments), limit)
            outputs = tuple(results)
            name_all(arguments, operations := _outermost(operations), outputs, _name_of(f))
            _differentiate(arguments, operations, outputs, seeds)
            return Graph(_name_of(f), arguments, operations, outputs, tuple(paths), retrace, depth)

        x64 = jax.config.jax_enable_x64

        @_one_by_one()
        def retrace(values: list[Any]) -> Graph:
            with jax.enable_x64(x64):
                return graph_of([jnp.asarray(value) for value in values])

        return graph_of(given)

    return traced


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Operations run one by one: NaN is for the graph to show, and numbers among them go to the device as they come."""
    with jax.debug_nans(False), jax.debug_infs(False), jax.transfer_guard("allow"):
        yield


def _array(leaf: Any, path: tuple[str, ...]) -> jax.Array:
    try:
        return jnp.asarray(leaf)
    except TypeError:
        message = f"argument {''.join(path)} is a {type(leaf).__name__}: expected arrays; bind it by functools.partial"
        raise ValueError(message) from None


def _no_floats(arguments: tuple[Node, ...]) -> str:
    if not arguments:
        return "there are no arguments to take a derivative by: pass the function's arguments"
    given = ", ".join(f"{node.name}: {node.dtype}" for node in arguments)
    return f"no argument has a derivative ({given}): pass floating numbers, such as 5.0 in place of 5"


def _jaxpr(f: Callable[..., Any], tree: Any, values: list[jax.Array]) -> tuple[Any, Any]:
    def of_leaves(*leaves):
        return f(*jax.tree.unflatten(tree, leaves))

    try:
        return jax.make_jaxpr(of_leaves, return_shape=True)(*values)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        why = str(error).splitlines()[0]
        numpy = isinstance(error, jax.errors.TracerArrayConversionError)
        fix = "use jax.numpy in place of numpy" if numpy else "use jnp.where or lax.cond for choices"
        raise ValueError(f"{_name_of(f)} cannot be traced: {why} ({fix})") from error
    except TypeError as error:
        raise ValueError(f"{_name_of(f)} cannot be traced: {' '.join(str(error).split())}") from error


def _seeds(structure: Any, shapes: list[Any], cotangent: Any) -> list[Any]:
    """The cotangent of each output, in its shape, `None` for whole numbers."""
    if cotangent is None:
        if len(shapes) != 1 or shapes[0].shape != ():
            given = ", ".join(str(shape.shape) for shape in shapes) or "nothing"
            raise ValueError(f"the output must be a scalar, got {given}: pass cotangent=, of the output's structure")
        if not jnp.issubdtype(shapes[0].dtype, jnp.floating):
            raise ValueError(f"the output is of {shapes[0].dtype}, which has no derivative: expected a real number")
        return [jnp.ones((), shapes[0].dtype)]
    given, given_structure = jax.tree.flatten(cotangent)
    fits = given_structure == structure and [np.shape(ct) for ct in given] == [shape.shape for shape in shapes]
    if not fits:
        wanted = jax.tree.unflatten(structure, [shape.shape for shape in shapes])
        raise ValueError(f"the cotangent must have the structure and shapes of the output: {wanted}")
    inexact = [jnp.issubdtype(shape.dtype, jnp.inexact) for shape in shapes]
    return [jnp.asarray(ct, s.dtype) if ok else None for ct, s, ok in zip(given, shapes, inexact, strict=True)]


def _outermost(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Without boxes that hold all there is, as a jitted f does."""
    while len(operations) == 1 and operations[0].inside and operations[0].primitive.name in ("jit", "pjit"):
        operations = operations[0].inside
    return operations


def _name_of(f: Callable[..., Any]) -> str:
    name = getattr(f, "__name__", "")
    return name if name.isidentifier() else "output"


def _differentiate(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], outputs: tuple[Node, ...], seeds: list[Any]
) -> None:
    """Set every node's derivative: what the reverse pass finds, and zeros, in its shape, where nothing came back."""
    start: dict[Node, Any] = {}
    for node, seed in zip(outputs, seeds, strict=True):
        if seed is not None and node.kind != "literal":
            start[node] = start[node] + seed if node in start else seed
    found = derivatives(operations, start)

    def assign(nodes: tuple[Node, ...], zeros: bool) -> None:
        for node in nodes:
            if node.inexact and node.kind != "literal" and node.derivative is None:
                node.derivative = found.get(node, jnp.zeros(node.shape, node.dtype) if zeros else None)

    def walk(steps: tuple[Operation, ...], zeros: bool) -> None:
        for op in steps:
            assign(op.inputs + op.outputs, zeros)
            walk(op.inside, zeros and not op.has_rule)

    assign(arguments + outputs, True)
    walk(operations, True)
