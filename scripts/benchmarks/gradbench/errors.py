"""Checks that cannot be run: a checker must raise an error that explains why."""

import itertools

import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import normal, with_rule, with_value, wrong

V = normal(161, 6)
PARAMS = {"W": normal(162, 3, 4), "b": normal(163, 3)}
X = normal(164, 5, 4)
SINE = with_rule(jnp.sin, lambda args, dy: (dy * jnp.sin(args[0]),))
_calls = itertools.count(1)


def dense(params, x):
    return x @ params["W"].T + params["b"][None]


def impure(x):
    # A different function at every call.
    return x * x * next(_calls)


def raises(args, dy):
    params, x = args
    return {"W": dy @ x, "b": dy.sum(0)}, dy @ params["W"]


def double(args, dy):
    return (2 * args[0] * dy,)


ERRORS = [
    wrong("one entry too few", "vjp", dense, lambda args, dy: ({"W": dy.T @ args[1], "b": dy.sum(0)},), PARAMS, X),
    wrong("one entry too many", "vjp", jnp.square, lambda args, dy: (*double(args, dy), None), V),
    wrong("a list for a dict", "vjp", dense,
          lambda args, dy: ([dy.T @ args[1], dy.sum(0)], dy @ args[0]["W"]), PARAMS, X),
    wrong("a leaf forgotten", "vjp", dense, lambda args, dy: ({"W": dy.T @ args[1]}, dy @ args[0]["W"]), PARAMS, X),
    wrong("backward raises", "vjp", dense, raises, PARAMS, X),
    wrong("impure function", "vjp", impure, double, V),
    wrong("NaN in an argument", "vjp", jnp.square, double, with_value(V, 2, jnp.nan)),
    wrong("an integer output", "vjp", lambda x: jnp.argmax(x), lambda args, dy: (jnp.zeros_like(args[0]),), V),
    wrong("gradient of a function that is not scalar", "gradient", jnp.square, lambda x: 2 * x, V),
    wrong("vacuous: the rule against itself", "custom", SINE, SINE, V),
    wrong("vacuous: the function has the rule on it", "vjp", SINE, lambda args, dy: (dy * jnp.sin(args[0]),), V),
]  # fmt: skip
