"""What a function's jaxpr tells of it: the precision it computes in, and the constants in it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.problem import Flat
from jaxnn.gradcheck.runner import Arrays, precision
from jaxnn.jaxprs import consts_of, equations


def trace(flat: Flat, leaves: Arrays) -> core.ClosedJaxpr | None:
    """The jaxpr of the plain function at these leaves (of any shapes); `None` where it cannot be traced."""
    with precision(leaves):
        try:
            return jax.make_jaxpr(flat.f)(leaves)
        except jax.errors.ConcretizationTypeError:
            return None


def compute_eps(flat: Flat, leaves: Arrays) -> float:
    """The largest eps (a scalar) of the floats that the function computes in, whatever precision comes in.

    A function that casts to bfloat16 inside has no more than bfloat16's digits.
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
    """The numbers, of any shapes, that tracing `function(*arguments)` put into its program; `None` without tracing.

    A pure function puts the same ones in each time.
    """
    with precision(jax.tree.leaves(arguments)):
        try:
            # A new function each time: JAX remembers what it traced by the function.
            closed = jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)
        except jax.errors.ConcretizationTypeError:
            return None
    found = list(closed.consts)
    for equation in equations(closed.jaxpr):
        found += [v.val for v in equation.invars if isinstance(v, core.Literal)] + consts_of(equation)
    return [np.asarray(a) for a in found]
