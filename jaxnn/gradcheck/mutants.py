"""Autodiff with one slip put in: the plain function's jaxpr, run so that a chosen local derivative is wrong.

A diagnosis by experiment: where the hand's gradient equals, to many digits, that of the function
differentiated with a certain slip, that slip explains it. Values are never changed, only derivatives.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.inspection import trace
from jaxnn.gradcheck.jaxprs import CALLS, bind, consts_of, inner_jaxprs
from jaxnn.gradcheck.run import Arrays, Runner, precision

_NONLINEAR = frozenset(
    "tanh logistic exp log log1p expm1 max min sin cos sqrt rsqrt cbrt erf erfc integer_pow pow square abs".split()
)
_ELEMENTWISE = _NONLINEAR | frozenset(
    "mul add sub neg div sign select_n convert_element_type ge gt lt le ne eq and or not is_finite".split()
)
_LONGEST_SCAN = 64


class Mutant(NamedTuple):
    """A slip (`kind` and `text`, for a diagnosis) and the gradients it makes, in the shapes of the asked leaves."""

    kind: str
    text: str
    gradients: Arrays


def mutants(runner: Runner, leaves: Arrays, cotangents: Arrays) -> list[Mutant]:
    """The gradients (arrays in the shapes of the asked leaves) under each slip that the function has room for."""
    closed = trace(runner.flat, leaves)
    if closed is None:
        return []
    room = _Room()
    room.explore(closed.jaxpr)
    if not room.units and not room.scans:
        return []
    asked = runner.flat.asked

    def gradients(slopes, cuts, leaves, cotangents):
        def f(chosen):
            full = list(leaves)
            for i, leaf in zip(asked, chosen, strict=True):
                full[i] = leaf
            return _evaluate(closed.jaxpr, closed.consts, full, room, slopes, cuts)

        return jax.vjp(f, [leaves[i] for i in asked])[1](list(cotangents))[0]

    with precision(leaves):
        compiled = runner.jit(gradients)
        n, length = len(room.units), max(room.scans.values(), default=0)
        found = []
        for kind, text, slopes, cuts in _slips(room, n, length):
            made = compiled(np.asarray(slopes), np.asarray(cuts), leaves, cotangents)
            found.append(Mutant(kind, text, [np.asarray(g, np.float64) for g in made]))
    return found


def _slips(room: "_Room", n: int, length: int) -> list[tuple[str, str, list[bool], list[bool]]]:
    straight = [False] * length
    names = list(room.units.values())
    groups = {f"{name} number {i + 1}": [j == i for j in range(n)] for i, name in enumerate(names)}
    for name in dict.fromkeys(names):
        groups[f"every {name}"] = [other == name for other in names]
    groups["every activation"] = [True] * n
    groups["every activation but the last"] = [i < n - 1 for i in range(n)]
    slips = [
        ("g for g'", f"the value g(z) stands where the slope g'(z) was meant, at {where}", slopes, straight)
        for where, slopes in groups.items()
        if any(slopes)
    ]
    if length > 1:
        text = "the carry's cotangent is dropped at every step: each step is differentiated as if it were the only one"
        slips.append(("truncated recurrence", text, [False] * n, [True] * length))
        for steps in range(1, length):
            text = f"the gradient reaches back {steps} of {length} steps"
            cuts = [t == length - steps for t in range(length)]
            slips.append(("truncated recurrence", text, [False] * n, cuts))
            if steps > 1:
                text = f"the carry's cotangent is dropped every {steps} steps"
                slips.append(("truncated recurrence", text, [False] * n, [t % steps == 0 for t in range(length)]))
    return slips


class _Room:
    """Where slips have room: elementwise nonlinear units, by equation, and scans with a carry, by equation."""

    def __init__(self):
        self.units: dict[int, str] = {}
        self.scans: dict[int, int] = {}

    def explore(self, jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            name = equation.primitive.name
            if _is_unit(equation):
                self.units[id(equation)] = equation.params.get("name", name) if name in CALLS else name
            elif name == "scan" and equation.params["num_carry"] and equation.params["length"] <= _LONGEST_SCAN:
                self.scans[id(equation)] = equation.params["length"]
                self.explore(equation.params["jaxpr"].jaxpr)
            elif name in CALLS:
                for inner in inner_jaxprs(equation)[:1]:
                    self.explore(inner)


def _is_unit(equation: Any) -> bool:
    """Whether an equation maps one floating array to one of its shape, elementwise and not linearly."""
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
    found = []
    for equation in jaxpr.eqns:
        found.append(equation)
        for inner in inner_jaxprs(equation)[:1]:
            found += _flat_equations(inner)
    return found


def _evaluate(jaxpr: Any, consts: Any, args: Any, room: _Room, slopes: Any, cuts: Any) -> list[Any]:
    values: dict[Any, Any] = {}

    def read(variable):
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for equation in jaxpr.eqns:
        inputs = [read(v) for v in equation.invars]
        if id(equation) in room.units:
            position = next(i for i, v in enumerate(equation.invars) if not isinstance(v, core.Literal))
            number = list(room.units).index(id(equation))
            outputs = [_with_slope(equation, inputs, position, slopes[number])]
        elif id(equation) in room.scans:
            outputs = _unrolled(equation, inputs, room, slopes, cuts)
        elif equation.primitive.name in CALLS and inner_jaxprs(equation):
            inner, inner_consts = inner_jaxprs(equation)[0], consts_of(equation)
            outputs = _evaluate(inner, inner_consts, inputs, room, slopes, cuts)
        else:
            outputs = bind(equation, inputs)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _with_slope(equation: Any, inputs: list[Any], position: int, mutated: Any) -> Any:
    """g(z), whose derivative is g'(z), or where `mutated` g(z)."""
    z = inputs[position]

    def g(z):
        return bind(equation, [z if i == position else other for i, other in enumerate(inputs)])[0]

    a, slope = jax.jvp(g, (z,), (jnp.ones_like(z),))
    slope = jax.lax.stop_gradient(jnp.where(mutated, a, slope))
    return jax.lax.stop_gradient(a) + slope * (z - jax.lax.stop_gradient(z))


def _unrolled(equation: Any, inputs: list[Any], room: _Room, slopes: Any, cuts: Any) -> list[Any]:
    """A scan step by step, the carry's cotangent dropped before each step t where `cuts[t]`."""
    p = equation.params
    n_consts, n_carry, length = p["num_consts"], p["num_carry"], p["length"]
    consts, carry, xs = inputs[:n_consts], inputs[n_consts : n_consts + n_carry], inputs[n_consts + n_carry :]
    collected: list[Any] = [None] * length
    for t in range(length):
        place = length - 1 - t if p["reverse"] else t
        carry = [_cut(c, cuts[t]) for c in carry]
        given = [*consts, *carry, *(x[place] for x in xs)]
        outputs = _evaluate(p["jaxpr"].jaxpr, p["jaxpr"].consts, given, room, slopes, cuts)
        carry, collected[place] = outputs[:n_carry], outputs[n_carry:]
    ys = [jnp.stack([step[i] for step in collected]) for i in range(len(collected[0]))] if collected else []
    return [*carry, *ys]


def _cut(carry: Any, cut: Any) -> Any:
    if not jnp.issubdtype(jnp.asarray(carry).dtype, jnp.floating):
        return carry
    stopped = jax.lax.stop_gradient(carry)
    return stopped + jnp.where(cut, 0.0, 1.0).astype(carry.dtype) * (carry - stopped)
