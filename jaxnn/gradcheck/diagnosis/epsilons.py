"""A gradient with a small constant that f does not have, or without one that f has."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.gradcheck.diagnosis.mutations import derivative
from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.inspection import trace
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import precision
from jaxnn.jaxprs import CALLS, bind, inner_jaxprs, interpret

_SITES = frozenset("sqrt rsqrt log log1p div integer_pow pow".split())
_MOST_SITES = 12
_LARGEST, _SMALLEST = 0.2, 1e-13
_STEPS = 12
_BEFORE, _AFTER, _MOVED = range(3)
_PLACES = {_BEFORE: "inside", _AFTER: "added to the result of", _MOVED: "moved from outside to inside"}


def epsilon(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that f would have with a small constant added at a root, a logarithm or a quotient.

    The constant is fitted at the failed point, and must then give the manual gradient at every smooth point. It is
    added in f, or only in the derivative of one equation.
    """
    failed = leaf.failed
    closed = trace(leaf.runner.flat, failed.leaves)
    if closed is None or leaf.manual.shape != leaf.reference.shape or not np.isfinite(leaf.manual).all():
        return None
    sites = _sites(closed.jaxpr)[:_MOST_SITES]
    if not sites:
        return None
    f = _with_epsilon(closed, [id(equation) for equation in sites])
    gradients = derivative(f, leaf.runner.flat.wrt)

    def of_leaf(eps, leaves, cotangents, *flags):
        return jax.jvp(lambda eps: gradients(leaves, cotangents, eps, *flags)[leaf.k], (eps,), (jnp.ones_like(eps),))

    compiled = leaf.runner.jit(of_leaf)

    def at(e: Examination, eps: float, *flags: Any) -> tuple[np.ndarray, np.ndarray]:
        with precision(e.leaves):
            value, slope = compiled(np.float64(eps), e.leaves, e.cotangents, *flags)
            return np.asarray(value), np.asarray(slope)

    for j, equation in enumerate(sites):
        name = equation.primitive.name
        for place in _PLACES if name in ("sqrt", "rsqrt") else (_BEFORE,):
            for local in (False, True) if place != _MOVED else (False,):
                flags = (np.asarray(j), np.asarray(place), np.asarray(local))
                eps = _fitted(lambda eps, flags=flags: at(failed, eps, *flags), leaf.manual)
                if eps and leaf.explained_by(lambda e, eps=eps, flags=flags: at(e, eps, *flags)[0]):
                    what = "the quotient" if name == "div" else name
                    where = f"{_PLACES[place]} {what}" if place != _BEFORE else f"in {what}"
                    text = f"it is the gradient with {eps:.4g} added {where}: use the epsilon that f has"
                    return Diagnosis("epsilon", leaf.name, text)
    return None


def _sites(jaxpr: Any) -> list[Any]:
    """Return the equations in which an epsilon usually stands, with one that depends on the arguments."""
    found = []
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in CALLS:
            for inner in inner_jaxprs(equation)[:1]:
                found += _sites(inner)
        elif name in _SITES and _is_site(equation):
            found.append(equation)
    return found


def _is_site(equation: Any) -> bool:
    operand = equation.invars[1 if equation.primitive.name == "div" else 0]
    if equation.primitive.name == "integer_pow" and equation.params["y"] > 0:
        return False
    return not isinstance(operand, core.Literal) and bool(jnp.issubdtype(operand.aval.dtype, jnp.floating))


def _with_epsilon(closed: Any, ids: list[int]) -> Callable[..., Any]:
    """Return f of (leaves, eps, site, place, local), with eps added at a site: in its derivative alone if `local`."""

    def f(leaves, eps, site, place, local):
        def special(equation, inputs):
            if id(equation) not in ids:
                return None
            here = site == ids.index(id(equation))
            added = jnp.where(here, eps, 0.0)
            return [_mutated(equation, inputs, added, place, local)]

        return interpret(closed.jaxpr, closed.consts, leaves, special)

    return f


def _mutated(equation: Any, inputs: list[Any], eps: Any, place: Any, local: Any) -> Any:
    name, position = equation.primitive.name, 1 if equation.primitive.name == "div" else 0
    plain = bind(equation, inputs)[0]
    before = jnp.where(place == _AFTER, 0.0, eps).astype(plain.dtype)
    changed = bind(equation, [a + before if i == position else a for i, a in enumerate(inputs)])[0]
    after = jnp.where(place == _AFTER, eps, jnp.where(place == _MOVED, -eps, 0.0)).astype(plain.dtype)
    if name == "sqrt":
        changed = changed + after
    elif name == "rsqrt":
        changed = changed / (1 + after * changed)
    return changed + jnp.where(local, jax.lax.stop_gradient(plain - changed), 0.0)


def _fitted(at: Callable[[float], tuple[np.ndarray, np.ndarray]], manual: np.ndarray) -> float:
    """Return the epsilon with which the gradients are nearest to the manual ones, 0 without one of its size."""
    eps = 0.0
    for _ in range(_STEPS):
        gradient, slope = at(eps)
        square = float((slope * slope).sum())
        if not np.isfinite(square) or square == 0 or not np.isfinite(gradient).all():
            return 0.0
        step = float((slope * (manual - gradient)).sum()) / square
        eps += step
        if abs(eps) > _LARGEST:
            return 0.0
        if abs(step) <= 1e-12 * abs(eps):
            break
    return eps if abs(eps) >= _SMALLEST else 0.0
