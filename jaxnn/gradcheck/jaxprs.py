"""Reading and running jaxprs, equation by equation."""

from collections.abc import Callable, Iterator
from typing import Any

from jax.extend import core

CALLS = frozenset("jit pjit closed_call core_call remat checkpoint custom_jvp_call custom_vjp_call".split())
"""Equations that run a jaxpr of their own, once."""

Special = Callable[[Any, list[Any]], list[Any] | None]
"""What an equation gives on these inputs; `None` for what it gives by itself."""


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a jaxpr, those of the jaxprs inside it included, whatever their shapes."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations(inner)


def inner_jaxprs(equation: Any) -> list[Any]:
    """The jaxprs among an equation's parameters (no shapes)."""
    found = []
    for parameter in equation.params.values():
        for item in parameter if isinstance(parameter, tuple | list) else (parameter,):
            if isinstance(item, core.ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, core.Jaxpr):
                found.append(item)
    return found


def consts_of(equation: Any) -> list[Any]:
    """The constants of the first jaxpr among an equation's parameters, arrays of any shapes."""
    closed = [p for p in equation.params.values() if isinstance(p, core.ClosedJaxpr)]
    return list(closed[0].consts) if closed else []


def scan_sizes(equation: Any) -> tuple[int, int]:
    """How many of a scan's inputs, in their order, are constants, and how many carries (of any shapes).

    Told by their shapes: a carry has no axis of steps, whereas xs and ys do. The parameters that say it are not the
    same ones in all versions of JAX.
    """

    def without_steps(outside, inside):
        return sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outside, inside, strict=True))

    body = equation.params["jaxpr"].jaxpr
    n_carry = without_steps(equation.outvars, body.outvars)
    return without_steps(equation.invars, body.invars) - n_carry, n_carry


def bind(equation: Any, inputs: list[Any]) -> list[Any]:
    """The outputs of one equation on inputs of any shapes."""
    outputs = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def interpret(jaxpr: Any, consts: Any, args: Any, special: Special = lambda equation, inputs: None) -> list[Any]:
    """The outputs of a jaxpr at `args` (of any shapes), where `special` may say what an equation gives.

    Equations that it gives `None` for are run as they are; those in `CALLS` are entered, so that derivative rules
    attached to them are left behind.
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
