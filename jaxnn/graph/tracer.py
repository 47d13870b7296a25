"""Tracing: from a function and its arguments to its graph, with all values and derivatives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Count, checked
from jaxnn.graph.graph import Graph
from jaxnn.graph.tracing.backward_pass import set_derivatives
from jaxnn.graph.tracing.evaluation import evaluate
from jaxnn.graph.tracing.naming import argument_paths, assign_names, replace_unprintable
from jaxnn.graph.tracing.nodes import Node, Operation


@checked(depth=Count(0), limit=Count())
def trace(f: Callable[..., Any], *, depth: int = 0, cotangent: Any = None, limit: int = 2_000) -> Callable[..., Graph]:
    """Trace the computation graph of a function: every intermediate, and the derivative with respect to it.

    Values are computed from left to right, one operation at a time, and derivatives from right to left, each operation
    pulled back by `jax.vjp`: dJ/dx = Σ dJ/dv dv/dx over the operations v that take x.

    Args:
      f: any JAX function of pytrees of arrays.
      depth: the nesting depth to which the graph expands composites: functions under `jit` (`jax.nn.relu` is one),
        `vmap` (the operations on the batch), `scan`, `while` and `cond`, `jax.checkpoint`, and `custom_vjp` and
        `custom_jvp`, whose derivative is that of their rule.
      cotangent: the derivative to start from, in the structure and shapes of the output; by default 1, for a scalar.
      limit: loops with more operations than this stay composites without a body; nested loops share the limit.

    Returns:
      A function that takes the arguments of f and returns the `Graph`. Integer arguments have no derivative.

    Raises:
      ValueError: if depth or limit is not a valid int; from the returned function, if no argument has a derivative, f
        cannot be traced, the output is not a scalar and there is no cotangent, or an operation has no derivative.

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

    @_unguarded()
    def traced(*args: Any) -> Graph:
        paths, leaves, tree = argument_paths(f, args), *jax.tree.flatten(args)
        values = [_as_array(leaf, path) for leaf, path in zip(leaves, paths, strict=True)]
        names = [replace_unprintable("".join(path)) for path in paths]

        def graph_of(values: list[jax.Array]) -> Graph:
            arguments = tuple(Node(value, "argument", name) for value, name in zip(values, names, strict=True))
            _check_differentiable(arguments)
            closed, shapes = _make_jaxpr(f, tree, values)
            seeds = _output_cotangents(jax.tree.structure(shapes), jax.tree.leaves(shapes), cotangent)
            operations, results = evaluate(closed, list(arguments), limit)
            operations, outputs = _without_outer_jit(operations), tuple(results)
            assign_names(arguments, operations, outputs, _name_of(f))
            set_derivatives(arguments, operations, outputs, seeds)
            return Graph(_name_of(f), arguments, operations, outputs, tuple(paths), retrace, depth)

        config: Any = jax.config
        x64 = config.jax_enable_x64

        @_unguarded()
        def retrace(values: list[Any]) -> Graph:
            with jax.enable_x64(x64):
                return graph_of([jnp.asarray(value) for value in values])

        return graph_of(values)

    return traced


@contextmanager
def _unguarded() -> Iterator[None]:
    """Switch off JAX's checks for NaN, which the graph is to show, and for the transfer of constants to the device."""
    with jax.debug_nans(False), jax.debug_infs(False), jax.transfer_guard("allow"):
        yield


def _as_array(leaf: Any, path: tuple[str, ...]) -> jax.Array:
    try:
        return jnp.asarray(leaf)
    except TypeError:
        got = f"{type(leaf).__name__}: bind it by functools.partial"
        raise ValueError(f"argument {''.join(path)} must be an array, got {got}") from None


def _check_differentiable(arguments: tuple[Node, ...]) -> None:
    if not any(node.inexact for node in arguments):
        dtypes = ", ".join(f"{node.name}: {node.dtype}" for node in arguments) or "no arguments"
        raise ValueError(f"an argument must be floating, got {dtypes}: pass 5.0 instead of 5, for example")


def _make_jaxpr(f: Callable[..., Any], tree: Any, values: list[Any]) -> tuple[Any, Any]:
    def of_leaves(*leaves):
        return f(*jax.tree.unflatten(tree, leaves))

    try:
        return jax.make_jaxpr(of_leaves, return_shape=True)(*values)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        reason = str(error).splitlines()[0]
        used_numpy = isinstance(error, jax.errors.TracerArrayConversionError)
        hint = "use jax.numpy instead of numpy" if used_numpy else "use jnp.where or lax.cond for choices"
        raise ValueError(f"{_name_of(f)} cannot be traced: {reason} ({hint})") from error
    except TypeError as error:
        raise ValueError(f"{_name_of(f)} cannot be traced: {' '.join(str(error).split())}") from error


def _output_cotangents(structure: Any, shapes: list[Any], cotangent: Any) -> list[Any]:
    """Return the cotangent of each output in its shape, `None` for integers."""
    if cotangent is None:
        if len(shapes) != 1 or shapes[0].shape != ():
            got = ", ".join(str(shape.shape) for shape in shapes) or "no output"
            raise ValueError(f"the output must be a scalar, got {got}: pass cotangent=, of the output's structure")
        if not jnp.issubdtype(shapes[0].dtype, jnp.floating):
            raise ValueError(f"the output must be floating to have a derivative, got {shapes[0].dtype}")
        return [jnp.ones((), shapes[0].dtype)]
    leaves, cotangent_structure = jax.tree.flatten(cotangent)
    expected, got = [shape.shape for shape in shapes], [np.shape(leaf) for leaf in leaves]
    if cotangent_structure != structure or got != expected:
        expected, got = jax.tree.unflatten(structure, expected), jax.tree.unflatten(cotangent_structure, got)
        raise ValueError(f"cotangent must have the structure and shapes of the output, {expected}, got {got}")
    inexact = [jnp.issubdtype(shape.dtype, jnp.inexact) for shape in shapes]
    return [jnp.asarray(leaf, s.dtype) if ok else None for leaf, s, ok in zip(leaves, shapes, inexact, strict=True)]


def _without_outer_jit(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return the body of a jitted function if that is the only operation, as for a jitted f."""
    while len(operations) == 1 and operations[0].body and operations[0].primitive.name in ("jit", "pjit"):
        operations = operations[0].body
    return operations


def _name_of(f: Callable[..., Any]) -> str:
    name = getattr(f, "__name__", "")
    return name if name.isidentifier() else "output"
