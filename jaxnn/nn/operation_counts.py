"""Count the multiplications and additions of a function's products, from its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxnn.jaxprs import inner_jaxprs
from jaxnn.nn.taking_turns import IN_TURN


def flops_of_products(function: Callable[..., Any], *args: Any) -> int:
    """Return the floating-point operations of a function's matrix products and convolutions, at arrays or their shapes.

    A product (m, k) (k, n) has 2 m k n of them, a convolution 2 for each output and each number of the filter that it
    is made of. Other operations, a few for each activation, are not counted. A scan counts each of its steps; of
    branches the most expensive one counts, and of a loop without a fixed number of steps one step.

    Example:
      >>> import jax.numpy as jnp
      >>> flops_of_products(lambda x, W: jnp.tanh(x @ W), jnp.ones((2, 3)), jnp.ones((3, 4)))
      48
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr)


def _of_jaxpr(jaxpr: Any) -> int:
    return sum(map(_of_equation, jaxpr.eqns))


def _of_equation(equation: Any) -> int:
    name, of_operands = equation.primitive.name, _OF_OPERANDS.get(equation.primitive.name)
    if of_operands is not None:
        return 2 * math.prod(equation.outvars[0].aval.shape) * of_operands(equation)
    if equation.primitive is IN_TURN:
        return flops_of_products(equation.params["function"], *(a.aval for a in equation.invars))
    inside = [_of_jaxpr(inner) for inner in inner_jaxprs(equation)]
    if name == "cond":
        return max(inside)
    return sum(inside) * (equation.params["length"] if name == "scan" else 1)


def _contracted(equation: Any) -> int:
    """Return the number of products that an entry of a matrix product adds up."""
    (axes, _), _ = equation.params["dimension_numbers"]
    return math.prod(equation.invars[0].aval.shape[axis] for axis in axes)


def _in_filter(equation: Any) -> int:
    """Return the number of products that an entry of a convolution adds up."""
    _, of_inputs, *places = equation.params["dimension_numbers"].rhs_spec
    filters = equation.invars[1].aval.shape
    return math.prod(filters[axis] for axis in (of_inputs, *places))


_OF_OPERANDS = {"dot_general": _contracted, "conv_general_dilated": _in_filter}
