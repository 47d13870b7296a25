"""Loops unrolled into their steps, so that each step is a composite of the graph."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jaxnn.jaxprs import equations, scan_sizes

Unrolled = tuple[Callable[..., list[Any]], int]
"""A function of the loop's inputs that returns its outputs, step by step, and the number of steps."""


def unroll(equation: Any, values: list[Any], limit: int) -> Unrolled | None:
    """Unroll a `scan` or `while` equation; `None` if its steps have more than `limit` equations in total."""
    if equation.primitive.name == "scan":
        length = equation.params["length"]
        fits = length * _count_equations(equation.params["jaxpr"].jaxpr) <= limit
        return (_unrolled_scan(equation), length) if fits else None
    steps = _count_while_steps(equation.params, values, limit)
    return None if steps is None else (_unrolled_while(equation.params, steps), steps)


def _count_equations(jaxpr: Any) -> int:
    return sum(1 for _ in equations(jaxpr))


def _as_step(closed: Any) -> Callable[..., Any]:
    """Return the jaxpr as a jitted function called "step", which the graph shows as a composite."""
    function = core.jaxpr_as_fun(closed)

    def step(*args):
        return function(*args)

    return jax.jit(step)


def _unrolled_scan(equation: Any) -> Callable[..., list[Any]]:
    length, step = equation.params["length"], _as_step(equation.params["jaxpr"])
    n_consts, n_carry = scan_sizes(equation)
    first_xs = n_consts + n_carry

    def element(x, i):
        # `i` is an operand, not a constant, so that JAX compiles this once and not once per step.
        return lax.squeeze(lax.dynamic_slice(x, (i, *[0] * (x.ndim - 1)), (1, *x.shape[1:])), (0,))

    def loop(*inputs):
        consts, carry, xs = inputs[:n_consts], inputs[n_consts:first_xs], inputs[first_xs:]
        ys: list[Any] = [None] * length
        for i in reversed(range(length)) if equation.params["reverse"] else range(length):
            outputs = step(*consts, *carry, *(element(x, i) for x in xs))
            carry, ys[i] = outputs[:n_carry], [lax.expand_dims(y, (0,)) for y in outputs[n_carry:]]
        stacked = [lax.concatenate(y, 0) for y in zip(*ys, strict=True)] if length else empty_ys()
        return [*carry, *stacked]

    def empty_ys():
        return [jnp.zeros(v.aval.shape, v.aval.dtype) for v in equation.outvars[n_carry:]]

    return loop


def _split_while(params: dict[str, Any], inputs: Any) -> tuple[Any, Any, Any]:
    """Split the inputs of a `while` equation: constants of the condition, constants of the body, carry."""
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    return inputs[:first], inputs[first:second], inputs[second:]


def _count_while_steps(params: dict[str, Any], values: list[Any], limit: int) -> int | None:
    """Run the loop to count its steps; `None` if they have more than `limit` equations in total."""
    most = limit // max(_count_equations(params["body_jaxpr"].jaxpr), 1)
    cond_consts, body_consts, carry = _split_while(params, values)
    cond, body = (core.jaxpr_as_fun(params[key]) for key in ("cond_jaxpr", "body_jaxpr"))

    def continues(state):
        return (state[0] <= most) & cond(*cond_consts, *state[1:])[0]

    def advance(state):
        return state[0] + 1, *body(*body_consts, *state[1:])

    steps = int(lax.while_loop(continues, advance, (0, *carry))[0])
    return steps if steps <= most else None


def _unrolled_while(params: dict[str, Any], length: int) -> Callable[..., list[Any]]:
    step = _as_step(params["body_jaxpr"])

    def loop(*inputs):
        _, body_consts, carry = _split_while(params, inputs)
        for _ in range(length):
            carry = step(*body_consts, *carry)
        return list(carry)

    return loop
