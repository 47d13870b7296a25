"""Loops that end: a program whose `while` loops stop after a number of iterations.

A solver may iterate until it stands still, and at arguments that its author never meant it never does. XLA cannot
interrupt a loop, so each loop counts its iterations, and stops at a limit.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.jaxprs import closed_jaxprs, equations, interpret, scan_sizes


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run(limit, *args) -> (function(*args), iterations)`, with at most `limit` iterations of each loop.

    `iterations` is the largest number that a `while` loop took, int32; a value of `limit` means that one did not end,
    so that the outputs mean nothing.
    """

    def run(limit, *args):
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        leaves = jax.tree.leaves(args)
        counter = _Counter(limit)
        outputs = interpret(closed.jaxpr, closed.consts, leaves, counter.special)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs), counter.most

    return run


class _Counter:
    """Runs the loops of a jaxpr with a limit, and keeps the largest number of iterations."""

    def __init__(self, limit: Any):
        self._limit, self.most = limit, jnp.zeros((), jnp.int32)

    def special(self, equation: Any, inputs: list[Any]) -> list[Any] | None:
        """Return the outputs of an equation with a loop in it, or `None` if it has none."""
        name = equation.primitive.name
        if name == "while":
            return self._while(equation, inputs)
        if name in ("scan", "cond") and any(has_loops(inner) for inner in closed_jaxprs(equation)):
            return (self._scan if name == "scan" else self._cond)(equation, inputs)
        return None

    def _inner(self, closed: Any, inputs: Any) -> tuple[list[Any], Any]:
        counter = _Counter(self._limit)
        return interpret(closed.jaxpr, closed.consts, inputs, counter.special), counter.most

    def _while(self, equation: Any, inputs: list[Any]) -> list[Any]:
        p = equation.params
        n_cond, n_body = p["cond_nconsts"], p["body_nconsts"]
        cond_consts, body_consts = inputs[:n_cond], inputs[n_cond : n_cond + n_body]

        def goes_on(state):
            count, _, carry = state
            (again,), _ = self._inner(p["cond_jaxpr"], [*cond_consts, *carry])
            return jnp.any(again) & (count < self._limit)

        def body(state):
            count, most, carry = state
            (again,), _ = self._inner(p["cond_jaxpr"], [*cond_consts, *carry])
            new, inner = self._inner(p["body_jaxpr"], [*body_consts, *carry])
            if jnp.ndim(again):  # under vmap: the samples that are done stay as they are
                new = [jnp.where(_to_rank(again, n), n, c) for n, c in zip(new, carry, strict=True)]
            return count + 1, jnp.maximum(most, inner), new

        start = (jnp.zeros((), jnp.int32), self.most, inputs[n_cond + n_body :])
        count, most, carry = jax.lax.while_loop(goes_on, body, start)
        self.most = jnp.maximum(most, count)
        return list(carry)

    def _scan(self, equation: Any, inputs: list[Any]) -> list[Any]:
        p = equation.params
        n_consts, n_carry = scan_sizes(equation)
        consts, carry, xs = inputs[:n_consts], inputs[n_consts : n_consts + n_carry], inputs[n_consts + n_carry :]

        def step(state, xs):
            most, carry = state
            outputs, inner = self._inner(p["jaxpr"], [*consts, *carry, *xs])
            return (jnp.maximum(most, inner), outputs[:n_carry]), outputs[n_carry:]

        start = (self.most, list(carry))
        (self.most, carry), ys = jax.lax.scan(step, start, list(xs), length=p["length"], reverse=p["reverse"])
        return [*carry, *ys]

    def _cond(self, equation: Any, inputs: list[Any]) -> list[Any]:
        branches = [
            lambda *operands, branch=branch: self._inner(branch, operands) for branch in closed_jaxprs(equation)
        ]
        index, *operands = inputs
        outputs, inner = jax.lax.switch(index, branches, *operands)
        self.most = jnp.maximum(self.most, inner)
        return list(outputs)


def _to_rank(mask: Any, like: Any) -> Any:
    return mask.reshape(mask.shape + (1,) * (jnp.ndim(like) - mask.ndim))


def has_loops(closed: Any) -> bool:
    """Return whether a jaxpr has a `while` loop, in the jaxprs inside it too."""
    return any(equation.primitive.name == "while" for equation in equations(closed.jaxpr))
