"""Read and run jaxprs, equation by equation."""

from collections.abc import Callable, Iterator
from typing import Any

from jax.extend import core

CALLS = frozenset("jit pjit closed_call core_call remat checkpoint custom_jvp_call custom_vjp_call".split())
"""Primitives that call another jaxpr once."""

Special = Callable[[Any, list[Any]], list[Any] | None]
"""`special(equation, inputs)` -> the outputs to use, or `None` for the usual ones."""


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yield all equations of a jaxpr, including those of the jaxprs inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations(inner)


def inner_jaxprs(equation: Any) -> list[Any]:
    """Return the jaxprs among the parameters of an equation."""
    jaxprs = []
    for parameter in equation.params.values():
        for item in parameter if isinstance(parameter, tuple | list) else (parameter,):
            if isinstance(item, core.ClosedJaxpr):
                jaxprs.append(item.jaxpr)
            elif isinstance(item, core.Jaxpr):
                jaxprs.append(item)
    return jaxprs


def consts_of(equation: Any) -> list[Any]:
    """Return the constants of the first jaxpr among the parameters of an equation."""
    closed = [p for p in equation.params.values() if isinstance(p, core.ClosedJaxpr)]
    return list(closed[0].consts) if closed else []


def scan_sizes(equation: Any) -> tuple[int, int]:
    """Return how many inputs of a scan are constants, and how many are carries.

    Counted by shapes: xs and ys have an axis of steps, carries do not. The parameters that hold these counts differ
    between versions of JAX.
    """

    def without_steps(outside, inside):
        return sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outside, inside, strict=True))

    body = equation.params["jaxpr"].jaxpr
    n_carry = without_steps(equation.outvars, body.outvars)
    return without_steps(equation.invars, body.invars) - n_carry, n_carry


def bind(equation: Any, inputs: list[Any]) -> list[Any]:
    """Return the outputs of one equation on these inputs."""
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
        if outputs is None and equation.primitive.name in CALLS and inner_jaxprs(equation):
            outputs = interpret(inner_jaxprs(equation)[0], consts_of(equation), inputs, special)
        elif outputs is None:
            outputs = bind(equation, inputs)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars]
