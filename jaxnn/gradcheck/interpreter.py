"""Run jaxprs equation by equation, with the outputs of some equations replaced."""

from collections.abc import Callable
from typing import Any

from jax.extend import core

from jaxnn.jaxprs import CALLS, bind, closed_jaxprs

Special = Callable[[Any, list[Any]], list[Any] | None]
"""`special(equation, inputs)` -> the outputs to use, or `None` for the usual ones."""


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
