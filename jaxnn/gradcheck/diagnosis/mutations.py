"""Autodiff with one mistake: the plain function's jaxpr, run so that a chosen local derivative is wrong.

If the manual gradient equals, to many digits, that of the function differentiated with a certain mistake, that mistake
explains it. Only derivatives are changed, never values.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.diagnosis.mutation_sites import MutationSites
from jaxnn.gradcheck.inspection import trace
from jaxnn.gradcheck.runner import Arrays, Runner, precision
from jaxnn.jaxprs import Special, bind, interpret, scan_sizes


class Mutant(NamedTuple):
    """A mistake (`kind` and `text` of its diagnosis) and the gradients it gives, in the shapes of the leaves `wrt`."""

    kind: str
    text: str
    gradients: Arrays


def mutants(runner: Runner, leaves: Arrays, cotangents: Arrays) -> list[Mutant]:
    """Return the gradients with each mistake that the function has a place for."""
    closed = trace(runner.flat, leaves)
    if closed is None:
        return []
    sites = MutationSites(leaves, cotangents)
    sites.explore(closed.jaxpr)
    if not sites.equations and not sites.scans:
        return []
    wrt = runner.flat.wrt

    def gradients(slopes, cuts, leaves, cotangents):
        def f(chosen):
            full = list(leaves)
            for i, leaf in zip(wrt, chosen, strict=True):
                full[i] = leaf
            return interpret(closed.jaxpr, closed.consts, full, _special(sites, slopes, cuts))

        return jax.vjp(f, [leaves[i] for i in wrt])[1](list(cotangents))[0]

    with precision(leaves):
        compiled = runner.jit(gradients)
        n, length = len(sites.equations), max(sites.scans.values(), default=0)
        results = []
        for kind, text, slopes, cuts in _mistakes(sites, n, length):
            wrong = compiled(np.asarray(slopes), np.asarray(cuts), leaves, cotangents)
            results.append(Mutant(kind, text, [np.asarray(g, np.float64) for g in wrong]))
    return results


def _mistakes(sites: MutationSites, n: int, length: int) -> list[tuple[str, str, list[bool], list[bool]]]:
    """Return (kind, text, which of the n sites are wrong, before which of the scan's steps the cotangent is cut)."""
    no_cuts = [False] * length
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
            (kind, f"{_TEXTS[kind]}: {which}", chosen, no_cuts) for which, chosen in groups.items() if any(chosen)
        ]
    if length > 1:
        text = "the carry's cotangent is dropped at every step: each step is differentiated as if it were the only one"
        mistakes.append(("truncated recurrence", text, [False] * n, [True] * length))
        for steps in range(1, length):
            text = f"the gradient reaches back {steps} of {length} steps"
            cuts = [t == length - steps for t in range(length)]
            mistakes.append(("truncated recurrence", text, [False] * n, cuts))
            if steps > 1:
                text = f"the carry's cotangent is dropped every {steps} steps"
                mistakes.append(("truncated recurrence", text, [False] * n, [t % steps == 0 for t in range(length)]))
    return mistakes


_TEXTS = {
    "g for g'": "the value g(z) is used in place of the slope g'(z)",
    "missing 1/m": "the 1/m of a mean over the batch is missing in its derivative",
    "sum for mean": "the 1/n of a mean is missing in its derivative, as if it were a sum",
}


def _special(sites: MutationSites, slopes: Any, cuts: Any) -> Special:
    def special(equation, inputs):
        if id(equation) in sites.equations:
            position = next(i for i, v in enumerate(equation.invars) if not isinstance(v, core.Literal))
            mutated = slopes[list(sites.equations).index(id(equation))]
            return [_with_slope(equation, inputs, position, mutated, sites.equations[id(equation)].kind)]
        if id(equation) in sites.scans:
            return _unrolled(equation, inputs, special, cuts)
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
