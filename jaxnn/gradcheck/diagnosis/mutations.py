"""Autodiff with one mistake: the plain function's jaxpr, run so that a chosen local derivative is wrong.

If the manual gradient equals, to many digits, that of the function differentiated with a certain mistake, that mistake
explains it. Only derivatives are changed, never values.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.diagnosis.mutation_sites import MutationSites, transposable_axes
from jaxnn.gradcheck.inspection import trace
from jaxnn.gradcheck.leaves import vjp_of_leaves
from jaxnn.gradcheck.runner import Arrays, Runner, precision
from jaxnn.jaxprs import Special, bind, interpret, scan_sizes


class Mutant(NamedTuple):
    """A mistake in the derivative of a function.

    Attributes:
      kind, text: of its diagnosis.
      gradients: (leaves, cotangents) -> the gradients that it gives, in the shapes of the leaves `wrt`.
    """

    kind: str
    text: str
    gradients: Callable[[Arrays, Arrays], Arrays]


def mutants(runner: Runner, leaves: Arrays, cotangents: Arrays) -> list[Mutant]:
    """Return each mistake that the function has a place for, at arguments of these shapes."""
    closed = trace(runner.flat, leaves)
    if closed is None:
        return []
    sites = MutationSites(leaves, cotangents, [np.asarray(a) for a in closed.consts])
    sites.explore(closed.jaxpr)
    if not sites.equations and not sites.scans and not sites.factors:
        return []

    def f(leaves, slopes, cuts, turned):
        return interpret(closed.jaxpr, closed.consts, leaves, _special(sites, slopes, cuts, turned))

    compiled = runner.jit(derivative(f, runner.flat.wrt))

    def gradients(mistake: Mistake, leaves: Arrays, cotangents: Arrays) -> Arrays:
        with precision(leaves):
            flags = [np.asarray(mistake.slopes), np.asarray(mistake.cuts), np.asarray(mistake.turned)]
            return [np.asarray(g, np.float64) for g in compiled(leaves, cotangents, *flags)]

    return [Mutant(each.kind, each.text, partial(gradients, each)) for each in _mistakes(sites)]


def derivative(f: Callable[..., Any], wrt: list[int]) -> Callable[..., Any]:
    """Return `(leaves, cotangents, *flags)` -> the gradients of `f(leaves, *flags)` by the leaves `wrt`."""

    def gradients(leaves, cotangents, *flags):
        return vjp_of_leaves(lambda full: f(full, *flags), leaves, wrt, list(cotangents))[1]

    return gradients


class Mistake(NamedTuple):
    """Which of the sites are wrong.

    Attributes:
      kind, text: of its diagnosis.
      slopes: for each equation, whether its slope is wrong.
      cuts: for each step of a scan, whether the carry's cotangent is dropped before it.
      turned: for each factor of a product, whether it is not transposed.
    """

    kind: str
    text: str
    slopes: list[bool]
    cuts: list[bool]
    turned: list[bool]


def _mistakes(sites: MutationSites) -> list[Mistake]:
    """Return the mistakes to try: at one site, at all of a kind, or at all of them but the last."""
    n, length, n_factors = len(sites.equations), max(sites.scans.values(), default=0), len(sites.factors)
    no_slopes, no_cuts, none_turned = [False] * n, [False] * length, [False] * n_factors
    places = list(sites.equations.values())
    mistakes = []
    for kind in dict.fromkeys(site.kind for site in places):
        names = [site.name if site.kind == kind else "" for site in places]
        positions = [i for i, name in enumerate(names) if name]
        groups = {f"{names[i]} number {names[: i + 1].count(names[i])}": [j == i for j in range(n)] for i in positions}
        for name in dict.fromkeys(names[i] for i in positions):
            groups[f"every {name}"] = [other == name for other in names]
        groups[f"all of {len(positions)}"] = [bool(name) for name in names]
        groups["all but the last"] = [i in positions[:-1] for i in range(n)]
        mistakes += [
            Mistake(kind, f"{_TEXTS[kind]}: {which}", chosen, no_cuts, none_turned)
            for which, chosen in groups.items()
            if any(chosen)
        ]
    if length > 1:
        text = "the carry's cotangent is dropped at every step: each step is differentiated as if it were the only one"
        mistakes.append(Mistake("truncated recurrence", text, no_slopes, [True] * length, none_turned))
        for steps in range(1, length):
            text = f"the gradient reaches back {steps} of {length} steps"
            cuts = [t == length - steps for t in range(length)]
            mistakes.append(Mistake("truncated recurrence", text, no_slopes, cuts, none_turned))
            if steps > 1:
                text = f"the carry's cotangent is dropped every {steps} steps"
                cuts = [t % steps == 0 for t in range(length)]
                mistakes.append(Mistake("truncated recurrence", text, no_slopes, cuts, none_turned))
    for j, shape in enumerate(sites.factors.values()):
        text = f"a factor of shape {shape} in a product, number {j + 1}, is not transposed in the derivative"
        mistakes.append(Mistake("transpose", text, no_slopes, no_cuts, [j == other for other in range(n_factors)]))
    return mistakes


_TEXTS = {
    "g for g'": "the value g(z) is used in place of the slope g'(z)",
    "missing 1/m": "the 1/m of a mean over the batch is missing in its derivative",
    "sum for mean": "the 1/n of a mean is missing in its derivative, as if it were a sum",
    "straight-through": "the derivative of a step is taken to be 1, and it is 0; if that is meant, state it by instead",
}


def _special(sites: MutationSites, slopes: Any, cuts: Any, turned: Any) -> Special:
    places, factors = list(sites.equations), list(sites.factors)

    def special(equation, inputs):
        if id(equation) in sites.equations:
            position = next(i for i, v in enumerate(equation.invars) if not isinstance(v, core.Literal))
            mutated = slopes[places.index(id(equation))]
            return [_with_slope(equation, inputs, position, mutated, sites.equations[id(equation)].kind)]
        if id(equation) in sites.scans:
            return _unrolled(equation, inputs, special, cuts)
        operands = [operand for operand in (0, 1) if (id(equation), operand) in sites.factors]
        if operands:
            flags = {operand: turned[factors.index((id(equation), operand))] for operand in operands}
            return [_with_turned_factors(equation, inputs, flags)]
        return None

    return special


def _with_slope(equation: Any, inputs: list[Any], position: int, mutated: Any, kind: str) -> Any:
    """Return g(z) with the derivative g'(z), or if `mutated`, with g(z) itself, or 1 for the division of a mean."""
    z = inputs[position]

    def g(z):
        return bind(equation, [z if i == position else other for i, other in enumerate(inputs)])[0]

    a, slope = jax.jvp(g, (z,), (jnp.ones_like(z),))
    wrong = a if kind == "g for g'" else jnp.ones_like(a)
    slope = jax.lax.stop_gradient(jnp.where(mutated, wrong, slope))
    return jax.lax.stop_gradient(a) + slope * (z - jax.lax.stop_gradient(z))


def _with_turned_factors(equation: Any, inputs: list[Any], flags: dict[int, Any]) -> Any:
    """Return a product; in the derivative with respect to one operand, the other is transposed if its flag is set."""
    stopped = [jax.lax.stop_gradient(a) for a in inputs]
    value = bind(equation, stopped)[0]
    total = value
    for operand in (0, 1):
        factor = stopped[operand]
        if operand in flags:
            axes = transposable_axes(equation, operand)
            assert axes is not None
            factor = jnp.where(flags[operand], jnp.swapaxes(factor, *axes), factor)
        other = inputs[1 - operand] - stopped[1 - operand]
        total = total + bind(equation, [factor, other] if operand == 0 else [other, factor])[0]
    return total


def _unrolled(equation: Any, inputs: list[Any], special: Special, cuts: Any) -> list[Any]:
    """Run a scan step by step, and drop the cotangent of the carry before each step t with `cuts[t]`."""
    p = equation.params
    (n_consts, n_carry), length = scan_sizes(equation), p["length"]
    consts, carry, xs = inputs[:n_consts], inputs[n_consts : n_consts + n_carry], inputs[n_consts + n_carry :]
    collected: list[Any] = [None] * length
    for t in range(length):
        at = length - 1 - t if p["reverse"] else t
        carry = [_cut(c, cuts[t]) for c in carry]
        step_inputs = [*consts, *carry, *(x[at] for x in xs)]
        outputs = interpret(p["jaxpr"].jaxpr, p["jaxpr"].consts, step_inputs, special)
        carry, collected[at] = outputs[:n_carry], outputs[n_carry:]
    ys = [jnp.stack([step[i] for step in collected]) for i in range(len(collected[0]))] if collected else []
    return [*carry, *ys]


def _cut(carry: Any, cut: Any) -> Any:
    if not jnp.issubdtype(jnp.asarray(carry).dtype, jnp.floating):
        return carry
    stopped = jax.lax.stop_gradient(carry)
    return stopped + jnp.where(cut, 0.0, 1.0).astype(carry.dtype) * (carry - stopped)
