"""The equations of a function into which a mistake can be put."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.runner import Arrays
from jaxnn.jaxprs import CALLS, bind, equations, inner_jaxprs, scan_sizes

_NONLINEAR = frozenset(
    "tanh logistic exp log log1p expm1 max min sin cos sqrt rsqrt cbrt erf erfc integer_pow pow square abs".split()
)
_ELEMENTWISE = _NONLINEAR | frozenset(
    "mul add sub neg div sign select_n convert_element_type ge gt lt le ne eq and or not is_finite".split()
)
_STEPS = frozenset("round floor ceil sign".split())
_LONGEST_SCAN, _MOST_UNROLLED = 64, 500
"""Steps of a scan, and equations in all of its steps, up to which it is unrolled: more take minutes to compile."""


class Site(NamedTuple):
    """An equation whose derivative can be mistaken: the kind of the mistake, and the name of the equation."""

    kind: str
    name: str


def _can_be_unrolled(scan: Any) -> bool:
    length, body = scan.params["length"], scan.params["jaxpr"].jaxpr
    return length <= _LONGEST_SCAN and length * sum(1 for _ in equations(body)) <= _MOST_UNROLLED


class MutationSites:
    """Where a mistake can be put in.

    Args:
      leaves: the arguments.
      cotangents: of y.
      constants: the arrays that the function closes over.

    Attributes:
      equations: nonlinear elementwise equations, steps, and divisions by a size.
      scans: the lengths of scans with a carry.
      factors: products with a factor that can be transposed: (equation, which operand it is) -> its shape.
    """

    def __init__(self, leaves: Arrays, cotangents: Arrays, constants: Sequence[np.ndarray] = ()):
        self.equations: dict[int, Site] = {}
        self.scans: dict[int, int] = {}
        self.factors: dict[tuple[int, int], tuple[int, ...]] = {}
        # The batch is the leading axis of y, or of matrices if y is a number; a vector's axis may be that of features.
        led = [dy for dy in cotangents if dy.ndim] or [leaf for leaf in (*leaves, *constants) if leaf.ndim > 1]
        self._trailing = {size for leaf in leaves for size in leaf.shape[1:]}
        self._leading = {a.shape[0] for a in led} - self._trailing

    def explore(self, jaxpr: Any, known: dict[Any, Any] | None = None) -> None:
        """Collect the sites in a jaxpr; `known` holds variables with constant values, such as n - 0 in a variance."""
        known = {} if known is None else known
        for equation in jaxpr.eqns:
            name = equation.primitive.name
            inputs = [v.val if isinstance(v, core.Literal) else known.get(v) for v in equation.invars]
            if _is_known_arithmetic(inputs, equation):
                known |= zip(equation.outvars, bind(equation, inputs), strict=True)
                continue
            n = _divisor(name, inputs)
            if n in self._leading | self._trailing:
                kind = "missing 1/m" if n in self._leading else "sum for mean"
                self.equations[id(equation)] = Site(kind, f"the mean over {n}")
            elif name in _STEPS and jnp.issubdtype(equation.invars[0].aval.dtype, jnp.floating):
                self.equations[id(equation)] = Site("straight-through", name)
            elif _is_activation(equation):
                label = equation.params.get("name", name) if name in CALLS else name
                self.equations[id(equation)] = Site("g for g'", label)
            elif name == "dot_general":
                for operand in (0, 1):
                    if transposable_axes(equation, operand):
                        self.factors[id(equation), operand] = equation.invars[operand].aval.shape
            elif name == "scan" and scan_sizes(equation)[1] and _can_be_unrolled(equation):
                self.scans[id(equation)] = equation.params["length"]
                self.explore(equation.params["jaxpr"].jaxpr)
            elif name in CALLS:
                for inner in inner_jaxprs(equation)[:1]:
                    pairs = zip(inner.invars, inputs, strict=True)
                    self.explore(inner, {v: a for v, a in pairs if a is not None})


def transposable_axes(equation: Any, operand: int) -> tuple[int, int] | None:
    """Return the summed axis and the other one of a square factor in a product, `None` if it is not square."""
    summed, batch = equation.params["dimension_numbers"]
    shape = equation.invars[operand].aval.shape
    rest = [axis for axis in range(len(shape)) if axis not in (*summed[operand], *batch[operand])]
    if len(summed[operand]) != 1 or len(rest) != 1 or shape[summed[operand][0]] != shape[rest[0]]:
        return None
    return (summed[operand][0], rest[0]) if shape[rest[0]] > 1 else None


def divisors(jaxpr: Any) -> set[int]:
    """Return the whole numbers by which a function divides, in its means for example."""
    found: set[int] = set()
    known: dict[Any, Any] = {}
    for equation in jaxpr.eqns:
        inputs = [v.val if isinstance(v, core.Literal) else known.get(v) for v in equation.invars]
        if _is_known_arithmetic(inputs, equation):
            known |= zip(equation.outvars, bind(equation, inputs), strict=True)
            continue
        n = _divisor(equation.primitive.name, inputs)
        found |= {n} if n else set()
        for inner in inner_jaxprs(equation):
            found |= divisors(inner)
    return found


def _is_known_arithmetic(inputs: list[Any], equation: Any) -> bool:
    """Return True if an equation computes a scalar from known scalars."""
    numbers = inputs and all(a is not None and np.ndim(a) == 0 for a in inputs)
    return bool(numbers) and equation.primitive.name in _ELEMENTWISE and not any(v.aval.shape for v in equation.outvars)


def _divisor(name: str, inputs: list[Any]) -> int | None:
    """Return the integer n if an equation divides by n or multiplies by 1/n, else `None`.

    `inputs` holds the known values, and `None` for the others.
    """
    if name not in ("div", "mul") or inputs[0] is not None or inputs[1] is None:
        return None
    number = np.asarray(inputs[1])
    if number.ndim or not number:
        return None
    number = float(number) if name == "div" else 1 / float(number)
    return round(number) if number >= 2 and abs(number - round(number)) < 1e-6 else None


def _is_activation(equation: Any) -> bool:
    """Return True if an equation maps one floating array to one of its shape, elementwise and nonlinearly."""
    variables = [v for v in equation.invars if not isinstance(v, core.Literal)]
    if len(variables) != 1 or len(equation.outvars) != 1:
        return False
    z, a = variables[0].aval, equation.outvars[0].aval
    if z.shape != a.shape or not all(jnp.issubdtype(v.dtype, jnp.floating) for v in (z, a)):
        return False
    if equation.primitive.name in _NONLINEAR:
        return True
    if equation.primitive.name not in CALLS:
        return False
    inner = [e for jaxpr in inner_jaxprs(equation)[:1] for e in _flat_equations(jaxpr)]
    names = {e.primitive.name for e in inner}
    return bool(names & _NONLINEAR) and names <= _ELEMENTWISE | CALLS


def _flat_equations(jaxpr: Any) -> list[Any]:
    flat = []
    for equation in jaxpr.eqns:
        flat.append(equation)
        for inner in inner_jaxprs(equation)[:1]:
            flat += _flat_equations(inner)
    return flat
