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
from jaxnn.gradcheck.jaxprs import Special, interpret
from jaxnn.gradcheck.runner import Arrays, Runner, precision
from jaxnn.jaxprs import CALLS, bind, inner_jaxprs, scan_sizes

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
    room = _Room(leaves, cotangents)
    room.explore(closed.jaxpr)
    if not room.units and not room.scans:
        return []
    asked = runner.flat.asked

    def gradients(slopes, cuts, leaves, cotangents):
        def f(chosen):
            full = list(leaves)
            for i, leaf in zip(asked, chosen, strict=True):
                full[i] = leaf
            return interpret(closed.jaxpr, closed.consts, full, _special(room, slopes, cuts))

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
    units = list(room.units.values())
    slips = []
    for kind in dict.fromkeys(unit.kind for unit in units):
        names = [unit.name if unit.kind == kind else "" for unit in units]
        places = [i for i, name in enumerate(names) if name]
        groups = {f"{names[i]} number {names[: i + 1].count(names[i])}": [j == i for j in range(n)] for i in places}
        for name in dict.fromkeys(names[i] for i in places):
            groups[f"every {name}"] = [other == name for other in names]
        groups[f"all of {len(places)}"] = [bool(name) for name in names]
        groups["all but the last"] = [i in places[:-1] for i in range(n)]
        slips += [
            (kind, f"{_WORDS[kind]}: {where}", chosen, straight) for where, chosen in groups.items() if any(chosen)
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


_WORDS = {
    "g for g'": "the value g(z) stands where the slope g'(z) was meant",
    "missing 1/m": "the 1/m of a mean over the batch is left out of its derivative",
    "sum for mean": "the 1/n of a mean is left out of its derivative, as if it were a sum",
}


class _Unit(NamedTuple):
    """An equation whose derivative can be mistaken: in which way, and what to call it."""

    kind: str
    name: str


class _Room:
    """Where slips have room: elementwise nonlinear equations, divisions by a size, and scans with a carry."""

    def __init__(self, leaves: Arrays, cotangents: Arrays):
        self.units: dict[int, _Unit] = {}
        self.scans: dict[int, int] = {}
        # A batch leads y, or where y is a number, a table; a vector's only axis may be one of features.
        led = [dy for dy in cotangents if dy.ndim] or [leaf for leaf in leaves if leaf.ndim > 1]
        self._trailing = {size for leaf in leaves for size in leaf.shape[1:]}
        self._leading = {a.shape[0] for a in led} - self._trailing

    def explore(self, jaxpr: Any, known: dict[Any, Any] | None = None) -> None:
        """`known` are the variables whose values do not depend on the arguments, such as a variance's n - 0."""
        known = {} if known is None else known
        for equation in jaxpr.eqns:
            name = equation.primitive.name
            inputs = [v.val if isinstance(v, core.Literal) else known.get(v) for v in equation.invars]
            if _is_arithmetic_of(inputs, equation):
                known |= zip(equation.outvars, bind(equation, inputs), strict=True)
                continue
            n = _divisor(name, inputs)
            if n in self._leading | self._trailing:
                kind = "missing 1/m" if n in self._leading else "sum for mean"
                self.units[id(equation)] = _Unit(kind, f"the mean over {n}")
            elif _is_unit(equation):
                called = equation.params.get("name", name) if name in CALLS else name
                self.units[id(equation)] = _Unit("g for g'", called)
            elif name == "scan" and scan_sizes(equation)[1] and equation.params["length"] <= _LONGEST_SCAN:
                self.scans[id(equation)] = equation.params["length"]
                self.explore(equation.params["jaxpr"].jaxpr)
            elif name in CALLS:
                for inner in inner_jaxprs(equation)[:1]:
                    given = zip(inner.invars, inputs, strict=True)
                    self.explore(inner, {v: a for v, a in given if a is not None})


def _is_arithmetic_of(inputs: list[Any], equation: Any) -> bool:
    """Whether an equation makes known numbers from known numbers."""
    numbers = inputs and all(a is not None and np.ndim(a) == 0 for a in inputs)
    return bool(numbers) and equation.primitive.name in _ELEMENTWISE and not any(v.aval.shape for v in equation.outvars)


def _divisor(name: str, inputs: list[Any]) -> int | None:
    """The whole number that an equation divides by, or multiplies by the inverse of; `None` where it does neither.

    `inputs` has the values that are known, and `None` for those that are not.
    """
    if name not in ("div", "mul") or inputs[0] is not None or inputs[1] is None:
        return None
    number = np.asarray(inputs[1])
    if number.ndim or not number:
        return None
    number = float(number) if name == "div" else 1 / float(number)
    return round(number) if number >= 2 and abs(number - round(number)) < 1e-6 else None


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


def _special(room: _Room, slopes: Any, cuts: Any) -> Special:
    def special(equation, inputs):
        if id(equation) in room.units:
            position = next(i for i, v in enumerate(equation.invars) if not isinstance(v, core.Literal))
            unit = room.units[id(equation)]
            return [_with_slope(equation, inputs, position, slopes[list(room.units).index(id(equation))], unit.kind)]
        if id(equation) in room.scans:
            return _unrolled(equation, inputs, special, cuts)
        return None

    return special


def _with_slope(equation: Any, inputs: list[Any], position: int, mutated: Any, kind: str) -> Any:
    """g(z), whose derivative is g'(z), or where `mutated` g(z) itself, and for a mean's division 1."""
    z = inputs[position]

    def g(z):
        return bind(equation, [z if i == position else other for i, other in enumerate(inputs)])[0]

    a, slope = jax.jvp(g, (z,), (jnp.ones_like(z),))
    wrong = a if kind == "g for g'" else jnp.ones_like(a)
    slope = jax.lax.stop_gradient(jnp.where(mutated, wrong, slope))
    return jax.lax.stop_gradient(a) + slope * (z - jax.lax.stop_gradient(z))


def _unrolled(equation: Any, inputs: list[Any], special: Special, cuts: Any) -> list[Any]:
    """A scan step by step, the carry's cotangent dropped before each step t where `cuts[t]`."""
    p = equation.params
    (n_consts, n_carry), length = scan_sizes(equation), p["length"]
    consts, carry, xs = inputs[:n_consts], inputs[n_consts : n_consts + n_carry], inputs[n_consts + n_carry :]
    collected: list[Any] = [None] * length
    for t in range(length):
        place = length - 1 - t if p["reverse"] else t
        carry = [_cut(c, cuts[t]) for c in carry]
        given = [*consts, *carry, *(x[place] for x in xs)]
        outputs = interpret(p["jaxpr"].jaxpr, p["jaxpr"].consts, given, special)
        carry, collected[place] = outputs[:n_carry], outputs[n_carry:]
    ys = [jnp.stack([step[i] for step in collected]) for i in range(len(collected[0]))] if collected else []
    return [*carry, *ys]


def _cut(carry: Any, cut: Any) -> Any:
    if not jnp.issubdtype(jnp.asarray(carry).dtype, jnp.floating):
        return carry
    stopped = jax.lax.stop_gradient(carry)
    return stopped + jnp.where(cut, 0.0, 1.0).astype(carry.dtype) * (carry - stopped)
