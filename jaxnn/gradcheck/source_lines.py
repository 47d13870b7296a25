"""The line of code that probably computes a gradient, from the jaxpr of the manual backward."""

import contextlib
import inspect
import linecache
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.inspection import is_part_of_jax
from jaxnn.gradcheck.runner import Arrays, precision
from jaxnn.jaxprs import CALLS, inner_jaxprs

_CHECKER = __file__.removesuffix("source_lines.py")
_JAX, _NUMPY = jax.__file__.removesuffix("__init__.py"), np.__file__.removesuffix("__init__.py")
_LIBRARIES = (_CHECKER, _JAX, _NUMPY, contextlib.__file__)
_MOVES = frozenset("convert_element_type broadcast_in_dim reshape squeeze expand_dims copy copy_p real imag".split())
"""Primitives that change the form of an array only: a wrong value comes from the equation before."""


def is_users(file_name: str) -> bool:
    """Return whether code is of the functions under test: not of JAX, NumPy or the checker."""
    return not file_name.startswith(_LIBRARIES)


def likely_line(flat: FlatProblem, leaves: Arrays, cotangents: Arrays, k: int) -> str | None:
    """Return the line of code that produces the gradient number k of those that the backward returns.

    It is the line of the last equation in the jaxpr that is not a change of dtype or shape. A mistake may be earlier.

    Args:
      flat: the problem.
      leaves: arguments at which the backward is traced.
      cotangents: for them.
      k: the number of the gradient, among those of the leaves `wrt`.

    Returns:
      Such as "model.py:12: return dy @ W, dy.T @ x", without the folder; `None` if it cannot be found.
    """
    for backward in (_backward_of_rule(flat.problem.ruled), flat.problem.manual):
        line = None if backward is None else _line_of_gradient(flat, backward, leaves, cotangents, k)
        if line is not None:
            return line
    return None


def _line_of_gradient(
    flat: FlatProblem, backward: Callable[..., Any], leaves: Arrays, cotangents: Arrays, k: int
) -> str | None:
    with precision(leaves):
        try:
            # A new lambda each time: JAX caches traces by function, with the lines of the first one.
            traced = jax.make_jaxpr(lambda leaves, dy: flat.gradients(backward, leaves, dy))(leaves, cotangents)
        except Exception:  # the backward looks at values
            return None
    return line_of(traced.jaxpr, traced.jaxpr.outvars[k])


def _backward_of_rule(ruled: Any) -> Callable[..., Any] | None:
    """Return `backward(args, dy)` that calls the two functions of a `jax.custom_vjp`; `None` if it is not one.

    In the jaxpr of its VJP, the equations of the backward have the line where the decorated function was called.
    """
    if ruled is None:
        return None
    rule: Any = inspect.unwrap(ruled, stop=lambda f: isinstance(f, jax.custom_vjp))
    if not isinstance(rule, jax.custom_vjp):
        return None
    fwd, bwd = rule.fwd, rule.bwd
    if fwd is None or bwd is None:
        return None

    def backward(args, dy):
        constants = rule.nondiff_argnums
        cotangents = iter(bwd(*(args[i] for i in constants), fwd(*args)[1], dy))
        return tuple(None if i in constants else next(cotangents) for i in range(len(args)))

    return backward


def line_of(jaxpr: Any, variable: Any) -> str | None:
    """Return the line of the nearest equation before a variable that the user's code makes, breadth first."""
    producers = {v: equation for equation in jaxpr.eqns for v in equation.outvars}
    queue, seen, last = [variable], set(), None
    for v in queue:  # which grows
        if isinstance(v, core.Literal) or v in seen or v not in producers:
            continue
        seen.add(v)
        equation = producers[v]
        line = _inner_line(equation, v) or _own_line(equation)
        if line and equation.primitive.name not in _MOVES:
            return line
        last = last or line
        queue += equation.invars
    return last


def _inner_line(equation: Any, variable: Any) -> str | None:
    """Return the line inside the user's function that an equation calls, such as one under `jax.jit`."""
    inner = inner_jaxprs(equation) if equation.primitive.name in CALLS else []
    if not inner or is_part_of_jax(equation):
        return None
    return line_of(inner[0], inner[0].outvars[equation.outvars.index(variable)])


def _own_line(equation: Any) -> str | None:
    """Return the innermost line of the user's code that called JAX for an equation; `None` if the checker did."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if frame.file_name.startswith(_CHECKER):
            return None
        if is_users(frame.file_name):
            text = linecache.getline(frame.file_name, frame.line_num).strip()
            name = re.split(r"[\\/]", frame.file_name)[-1]
            return f"{name}:{frame.line_num}: {text}" if text else None
    return None
