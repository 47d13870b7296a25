"""Read the jaxpr of a function: the precision it computes in, and the constants in it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.runner import Arrays, precision
from jaxnn.jaxprs import consts_of, equations


def trace(flat: FlatProblem, leaves: Arrays) -> Any | None:
    """Return the jaxpr of the plain function at these leaves, or `None` if it cannot be traced."""
    with precision(leaves):
        try:
            return jax.make_jaxpr(flat.f)(leaves)
        except jax.errors.ConcretizationTypeError:
            return None


def compute_eps(flat: FlatProblem, leaves: Arrays) -> float:
    """Return the largest eps of the float dtypes that the function computes in.

    A function that casts to bfloat16 inside has no more digits than bfloat16, also if its arguments are float64.
    """
    closed = trace(flat, leaves)
    eps = [float(jnp.finfo(leaf.dtype).eps) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    largest = max(eps, default=0.0)
    for equation in equations(closed.jaxpr) if closed else ():
        if equation.primitive.name == "convert_element_type":
            before, after = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
            if all(jnp.issubdtype(dtype, jnp.floating) for dtype in (before, after)):
                largest = max(largest, float(jnp.finfo(after).eps))
    return largest


def constants(function: Callable[..., Any], *arguments: Any) -> list[np.ndarray] | None:
    """Return the constants in the jaxpr of `function(*arguments)`, or `None` if it cannot be traced.

    A pure function has the same constants each time it is traced.
    """
    with precision(jax.tree.leaves(arguments)):
        try:
            # A new lambda each time: JAX caches traces by function.
            closed = jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)
        except jax.errors.ConcretizationTypeError:
            return None
    numbers = list(closed.consts)
    for equation in equations(closed.jaxpr):
        numbers += [v.val for v in equation.invars if isinstance(v, core.Literal)] + consts_of(equation)
    return [np.asarray(a) for a in numbers]
