"""Read the jaxpr of a function: the precision it computes in, the constants in it, and what it stops."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.runner import Arrays, Runner, precision
from jaxnn.jaxprs import consts_of, equations, inner_jaxprs

_JAX = jax.__file__.removesuffix("__init__.py")


def trace(flat: FlatProblem, leaves: Arrays) -> Any | None:
    """Return the jaxpr of the plain function at these leaves, or `None` if it cannot be traced."""
    with precision(leaves):
        try:
            return jax.make_jaxpr(flat.f)(leaves)
        except Exception:
            return None


def compute_eps(runner: Runner, leaves: Arrays) -> float:
    """Return the largest eps of the float dtypes that the function, or the one with the rule, computes in.

    A function that casts to bfloat16 inside has no more digits than bfloat16, also if its arguments are float64, and
    one that returns float32, as a callback may, no more than float32. A rule for a loss that is always float32 gets a
    cotangent in float32.
    """
    closed = trace(runner.flat, leaves)
    eps = [float(jnp.finfo(leaf.dtype).eps) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    eps += [float(jnp.finfo(dtype).eps) for dtype in runner.value_dtypes(leaves)]
    eps += [float(jnp.finfo(aval.dtype).eps) for aval in (closed.out_avals if closed else ())]
    largest = max(eps, default=0.0)
    for equation in equations(closed.jaxpr) if closed else ():
        if equation.primitive.name == "convert_element_type":
            before, after = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
            if all(jnp.issubdtype(dtype, jnp.floating) for dtype in (before, after)):
                largest = max(largest, float(jnp.finfo(after).eps))
    return largest


def stops_gradients(flat: FlatProblem, leaves: Arrays) -> bool:
    """Return whether the plain function has a `stop_gradient`, besides those in functions of JAX, as in softmax."""
    closed = trace(flat, leaves)
    if closed is None:
        return False
    return any(e.primitive.name == "stop_gradient" and not _is_called_by_jax(e) for e in equations(closed.jaxpr))


def _is_called_by_jax(equation: Any) -> bool:
    """Return whether the function of JAX that made an equation was called by another one of JAX."""
    traceback = equation.source_info.traceback
    frames = [frame for frame in traceback.frames if frame.function_name] if traceback else []
    callers = itertools.dropwhile(lambda frame: "stop_gradient" not in frame.function_name, frames)
    outside = itertools.dropwhile(lambda f: "stop_gradient" in f.function_name or "tree" in f.file_name, callers)
    caller = next(outside, None)
    return caller is not None and caller.file_name.startswith(_JAX)


def constants(function: Callable[..., Any], *arguments: Any) -> list[np.ndarray] | None:
    """Return the constants in the jaxpr of `function(*arguments)`, or `None` if it cannot be traced.

    A pure function has the same constants each time it is traced.
    """
    with precision(jax.tree.leaves(arguments)):
        try:
            # A new lambda each time: JAX caches traces by function.
            closed = jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)
        except Exception:
            return None
    numbers = list(closed.consts)
    for equation in equations(closed.jaxpr):
        numbers += [v.val for v in equation.invars if isinstance(v, core.Literal)] + consts_of(equation)
    return [np.asarray(a) for a in numbers]


def is_rule(equation: Any) -> bool:
    """Return whether an equation calls a function with a custom derivative rule."""
    return equation.primitive.name.startswith(("custom_vjp_call", "custom_jvp_call"))


def has_rule(flat: FlatProblem, function: Callable[..., Any], leaves: Arrays) -> bool:
    """Return whether a function has a custom derivative rule in it; True if it cannot be traced."""
    with precision(leaves):
        try:
            closed = jax.make_jaxpr(flat.value_of(function))(leaves)
        except Exception:
            return True
    return any(is_rule(equation) for equation in equations(closed.jaxpr))


def is_part_of_jax(equation: Any) -> bool:
    """Return whether JAX itself defines the functions that an equation calls."""
    return all(_JAX in str(inner.debug_info.func_src_info) for inner in inner_jaxprs(equation))


def rule_source(equation: Any) -> str:
    """Return where the function of a rule is defined."""
    inner = inner_jaxprs(equation)
    return str(inner[0].debug_info.func_src_info) if inner else equation.primitive.name
