"""Read and run jaxprs, equation by equation."""

from collections.abc import Callable, Iterator
from typing import Any

from jax.extend import core

# Public in all versions of JAX, but 0.12 marks the name as private to type checkers.
ClosedJaxpr: Any = vars(core)["ClosedJaxpr"]

RULES = frozenset("custom_jvp_call custom_vjp_call".split())
"""Primitives that run a jaxpr once and have a custom derivative rule."""

CALLS = RULES | frozenset("jit pjit closed_call core_call remat remat2 checkpoint".split())
"""Primitives that run a jaxpr once. Their names differ between JAX versions: `jax.checkpoint` makes remat2."""

Special = Callable[[Any, list[Any]], list[Any] | None]
"""`special(equation, inputs)` -> the outputs to use, or `None` for the usual ones."""


def closed_jaxprs(equation: Any) -> list[Any]:
    """Return the jaxprs among an equation's parameters, in order, each with its constants.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> (equation,) = jax.make_jaxpr(jax.jit(lambda x: jnp.sin(x) * 2))(1.0).jaxpr.eqns
      >>> [inner.primitive.name for inner in closed_jaxprs(equation)[0].jaxpr.eqns]
      ['sin', 'mul']
    """
    found = []
    for parameter in equation.params.values():
        for item in parameter if isinstance(parameter, tuple | list) else (parameter,):
            # One class in JAX 0.12; in JAX 0.10, `jax.checkpoint` has a `Jaxpr`, which has no constants.
            if isinstance(item, ClosedJaxpr):
                found.append(item)
            elif isinstance(item, core.Jaxpr):
                found.append(ClosedJaxpr(item, ()))
    return found


def inner_jaxprs(equation: Any) -> list[Any]:
    """Return the jaxprs among an equation's parameters, in order, without their constants."""
    return [closed.jaxpr for closed in closed_jaxprs(equation)]


def equations(jaxpr: Any) -> Iterator[Any]:
    """Iterate over all equations of a jaxpr, those of the jaxprs inside it included, outer ones first."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations(inner)


def consts_of(equation: Any) -> list[Any]:
    """Return the constants, arrays of any shape, of the first jaxpr among an equation's parameters."""
    closed = closed_jaxprs(equation)
    return list(closed[0].consts) if closed else []


def scopes_of(equation: Any) -> tuple[str, ...]:
    """Return the names of the `jax.named_scope`s around an equation, from the outside in, as far as its jaxpr has them.

    JAX puts its transformations among them, such as jvp; these are left out.
    """
    stack = equation.source_info.name_stack.stack
    return tuple(element.name for element in stack if type(element).__name__ == "Scope")


def scan_sizes(equation: Any) -> tuple[int, int]:
    """Return the number of a scan's constants and the number of its carries: its inputs are constants, carries, xs.

    Found by their shapes: xs and ys have an axis of steps outside of the body, and none inside. The parameters of the
    primitive that hold these numbers differ between JAX versions.
    """

    def count_without_steps(outside, inside):
        return sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outside, inside, strict=True))

    body = equation.params["jaxpr"].jaxpr
    n_carry = count_without_steps(equation.outvars, body.outvars)
    return count_without_steps(equation.invars, body.invars) - n_carry, n_carry


def bind(equation: Any, inputs: Any) -> list[Any]:
    """Return the outputs of an equation, or of anything with a `primitive` and its `params`, on the input arrays."""
    outputs = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def interpret(jaxpr: Any, consts: Any, args: Any, special: Special = lambda equation, inputs: None) -> list[Any]:
    """Return the outputs of a jaxpr at `args`, with some equations replaced by `special`.

    If `special` returns `None`, the equation runs as it is; equations in `CALLS` are inlined, so that derivative rules
    attached to them are dropped.
    """
    values: dict[Any, Any] = {}

    def read(variable):
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for equation in jaxpr.eqns:
        inputs = [read(v) for v in equation.invars]
        outputs = special(equation, inputs)
        if outputs is None and equation.primitive.name in CALLS and (inner := closed_jaxprs(equation)):
            outputs = interpret(inner[0].jaxpr, inner[0].consts, inputs, special)
        elif outputs is None:
            outputs = bind(equation, inputs)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars]
