"""The right gradients in the style of public code: each agrees with difference quotients in float64.

The quotients are one-sided: a gradient is right along a direction if it lies between the two, which are equal but at a
kink. They are taken of f (or of the function that the case names `instead`) at arguments projected into its domain.
"""

import inspect
from collections import Counter
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scripts.benchmarks.gradbench.case import (
    OPTIONS,
    backward_of,
    function_of,
    gradients_of_variables,
    is_variable,
    keywords_of,
    variables,
)
from scripts.benchmarks.gradbench.cases import _STYLES, WILD

# User code: ranks may be promoted.
pytestmark = pytest.mark.usefixtures("quick_compilation", "no_rank_promotion_rule")

STEP = 1e-4


def symmetric(a):
    return (a + jnp.swapaxes(a, -1, -2)) / 2


def positive_definite(a):
    w, V = jnp.linalg.eigh(symmetric(a))
    return jnp.where(w.min() > 0.05, symmetric(a), symmetric(V * jnp.maximum(jnp.abs(w), 0.1)[None] @ V.T))


def positive(a):
    return jnp.where(a == 0, 0.01, jnp.abs(a))


def unit_interval(a):
    return jnp.where((a > 0) & (a < 1), a, 0.05 + 0.9 * (jnp.abs(a) - jnp.floor(jnp.abs(a))))


STRUCTURES = {
    "symmetric": symmetric,
    "positive definite": positive_definite,
    "ordered": jnp.sort,
    "positive": positive,
    "unit interval": unit_interval,
}


def projection_of(case):
    """Return the projection of arguments into the domain that the case states."""
    domain = case.options.get("domain")
    if domain is None:
        return lambda *args: args
    if isinstance(domain, str):
        return lambda *args: jax.tree.map(lambda a: STRUCTURES[domain](a) if is_variable(a) else a, args)
    if callable(domain):
        return domain
    names = list(inspect.signature(case.f).parameters)
    assert set(domain) <= set(names), f"{case.name}: {domain} of {names}"
    own = {names.index(name): STRUCTURES.get(p, p) if isinstance(p, str) else p for name, p in domain.items()}
    return lambda *args: tuple(own[i](a) if i in own else a for i, a in enumerate(args))


def as_reals(leaves):
    """Return all leaves as one vector, complex ones as their real and their imaginary parts."""
    parts = [np.ravel(np.asarray(leaf)) for leaf in leaves]
    parts = [np.concatenate([p.real, p.imag]) if np.iscomplexobj(p) else p for p in parts]
    return np.concatenate([np.zeros(0), *parts])


def like(vector, leaves):
    out, start = [], 0
    for leaf in leaves:
        size = leaf.size * (2 if np.iscomplexobj(leaf) else 1)
        part, start = vector[start : start + size], start + size
        part = part[: leaf.size] + 1j * part[leaf.size :] if np.iscomplexobj(leaf) else part
        out.append(part.reshape(leaf.shape).astype(leaf.dtype))
    assert start == vector.size
    return out


def wide(args):
    values, rebuilt = variables(args)
    return rebuilt([np.asarray(v, complex if jnp.iscomplexobj(v) else float) for v in values])


def inexact(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def compiles(case):
    return "plain NumPy" not in case.name


def with_held(f, args, base):
    """Return f(*args), where lax.stop_gradient gives what it gives at `base`: its argument does not vary."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.lax, "stop_gradient", lambda v: kept.append(v) or v)
        f(*base)
        patch.setattr(jax.lax, "stop_gradient", lambda v: kept.pop(0))
        return f(*args)


class Measurement(NamedTuple):
    """The manual Jacobian at some arguments, and the one-sided quotients along directions, one in each row.

    Outputs and arguments count their real numbers; `scales` are the tolerances' units, one for each direction.
    """

    jacobian: np.ndarray
    tangents: np.ndarray
    quotients: tuple[np.ndarray, np.ndarray]
    scales: np.ndarray
    floor: float


def manual_jacobian(case, args):
    """Return the rows of the manual gradient, for every real number of the output as the one that counts."""
    values, rebuilt = variables(args)
    shapes = jax.eval_shape(lambda own: case.f(*rebuilt(own), **keywords_of(case)), values)
    outputs, tree = jax.tree.flatten(shapes)
    own = [np.zeros(s.shape, s.dtype) for s in outputs if jnp.issubdtype(s.dtype, jnp.inexact)]

    def pullback(values, own):
        cotangents = iter(own)
        dy = [next(cotangents) if jnp.issubdtype(s.dtype, jnp.inexact) else np.zeros(s.shape, jax.dtypes.float0)
              for s in outputs]  # fmt: skip
        grads = backward_of(case)(rebuilt(values), jax.tree.unflatten(tree, dy))
        return gradients_of_variables(rebuilt(values), grads)

    if compiles(case):
        pullback = jax.jit(pullback)
    rows = []
    for one in np.eye(as_reals(own).size):
        # The cotangent -i reads the imaginary part: Re(-i z) = Im z.
        dy = [np.conj(part) if np.iscomplexobj(leaf) else part for part, leaf in zip(like(one, own), own, strict=True)]
        grads = pullback(values, dy)
        assert [(g.shape, g.dtype) for g in grads] == [(v.shape, v.dtype) for v in map(jnp.asarray, values)]
        # Re(g dz) = Re g Re dz - Im g Im dz.
        rows.append(as_reals([np.conj(g) if np.iscomplexobj(g) else g for g in grads]))
    return np.stack(rows)


def measure(case, args):
    values, rebuilt = variables(args)
    f, project = function_of(case), projection_of(case)
    x = as_reals(values)

    @jax.jit
    def projected(values):
        own = variables(project(*rebuilt(values)))[0]
        return own, inexact(with_held(f, rebuilt(own), rebuilt(list(map(jnp.asarray, variables(args)[0])))))

    def at(x):
        own, out = projected(like(x, values))
        return np.concatenate([as_reals(own), as_reals(out)])

    here = at(x)
    np.testing.assert_allclose(here[: x.size], x, rtol=0, atol=1e-6, err_msg=f"{case.name}: outside of the domain")
    varied = np.isfinite(x)  # all but -inf in a mask
    random = np.random.default_rng(0).normal(size=(4, x.size)) * varied
    directions = np.concatenate([np.eye(x.size)[varied], random])
    sides = []
    for side in (1, -1):
        with np.errstate(invalid="ignore"):  # -inf in a mask
            a, b, c = (np.array([(at(x + side * h * u) - here) / (side * h) for u in directions])
                       for h in (STEP, STEP / 2, STEP / 4))  # fmt: skip
            sides.append((a - 6 * b + 8 * c) / 3)
    tangents = np.where(varied[None], (sides[0] + sides[1])[:, : x.size] / 2, 0)
    jacobian = manual_jacobian(case, args)
    # The unit of a direction along one number is the largest entry of its leaf.
    leaf = np.concatenate([np.full(as_reals([v]).size, i) for i, v in enumerate(values)])
    columns = np.abs(jacobian).max(axis=0)
    units = [columns[leaf == i].max() for i in leaf[varied]] + [columns.max() * np.abs(u).sum() ** 0.5 for u in random]
    floor = 1e-9 * max(1.0, np.abs(here[np.isfinite(here)]).max())
    quotients = tuple(side[:, x.size :] for side in sides)
    return Measurement(jacobian, tangents, quotients, np.array(units), floor)


def violation(case, m, jacobian, kinks=True):
    """Return how far a Jacobian lies outside of the one-sided quotients, in tolerances: right is below 1."""
    tolerance = (1e-6 + case.options.get("rtol", 0)) * m.scales[:, None] + m.floor
    slopes = m.tangents @ jacobian.T
    with np.errstate(invalid="ignore"):
        low, high = np.minimum(*m.quotients), np.maximum(*m.quotients)
        middle = (low + high) / 2
        outside = np.maximum(low - slopes, slopes - high) if kinks else np.abs(slopes - middle)
        finite = np.isfinite(low) & np.isfinite(high) & np.isfinite(m.tangents).all(axis=1)[:, None]
    assert np.isfinite(jacobian).all() and finite.mean() > 0.5
    return float((outside / tolerance)[finite].max())


@cache
def measured(name, point):
    """Return the measurement at the case's arguments, or at random ones beside them."""
    case = next(case for case in WILD if case.name == name)
    with jax.enable_x64(True):
        args = wide(case.args)
        if point:
            values, rebuilt = variables(args)
            rng = np.random.default_rng(point)
            with np.errstate(invalid="ignore"):  # -inf in a mask
                moved = [v + 0.02 * (1 + np.abs(v)) * rng.normal(size=v.shape) for v in values]
            args = rebuilt([np.where(np.isfinite(v), m, v) for v, m in zip(values, moved, strict=True)])
        own = variables(projection_of(case)(*args))[0]
        return measure(case, variables(args)[1]([np.asarray(v) for v in own]))


REPRESENTATIVES = {family.WILD[0].name for family in _STYLES[::2]}
EACH = [pytest.param(case, id=case.name, marks=() if case.name in REPRESENTATIVES else pytest.mark.full)
        for case in WILD]  # fmt: skip


@pytest.mark.representatives(
    "Bessel function of an order: SciPy both ways",
    "layer: a named tuple with a function, None and an int",
    "straight-through round",
)
@pytest.mark.parametrize("case", EACH)
def test_gradient_lies_between_one_sided_quotients(case):
    m = measured(case.name, 0)
    assert violation(case, m, m.jacobian) < 1


@pytest.mark.representatives(
    "1-Bessel function of an order: SciPy both ways",
    "1-hinge loss on its margin",
    "1-straight-through round",
    "2-Bessel function of an order: SciPy both ways",
    "2-hinge loss on its margin",
    "2-straight-through round",
)
@pytest.mark.parametrize("case", EACH)
@pytest.mark.parametrize("point", [1, 2])
def test_gradient_equals_quotients_beside_the_arguments(case, point):
    m = measured(case.name, point)
    assert violation(case, m, m.jacobian, kinks=False) < 1


@pytest.mark.parametrize("case", EACH)
def test_a_wrong_gradient_fails(case):
    m = measured(case.name, 1)
    largest = np.unravel_index(np.abs(m.jacobian).argmax(), m.jacobian.shape)
    one, factor = m.jacobian.copy(), 1.01 + 3 * case.options.get("rtol", 0)
    one[largest] *= factor
    for wrong in (one, m.jacobian * factor, -m.jacobian, 0 * m.jacobian):
        assert violation(case, m, wrong) > 1


@pytest.mark.parametrize("case", [pytest.param(p.values[0], id=p.id, marks=p.marks) for p in EACH
                                  if "instead" in p.values[0].options])  # fmt: skip
def test_a_deliberate_gradient_is_not_that_of_f(case):
    with jax.enable_x64(True):
        m = measure(case._replace(options={**case.options, "instead": case.f}), wide(case.args))
    assert violation(case, m, m.jacobian) > 1


@pytest.mark.parametrize("case", EACH)
def test_gradient_is_right_in_the_dtype_of_its_arguments(case):
    exact, own = measured(case.name, 0).jacobian, manual_jacobian(case, case.args)
    scale = np.abs(exact).max()
    np.testing.assert_allclose(own, exact, rtol=0, atol=(2e-4 + case.options.get("rtol", 0)) * scale)


@pytest.mark.parametrize("case", EACH)
def test_values_of_a_rule_are_those_of_f(case, x64):
    if case.form not in ("rule", "custom"):
        return
    args = wide(case.args)
    value = case.manual[0](*args)[0] if case.form == "rule" else case.manual(*args)
    expected = case.f(*args, **keywords_of(case))
    assert jax.tree.structure(value) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), value, expected)


@pytest.mark.representatives(
    "Bessel function of an order: SciPy both ways", "hinge loss on its margin", "straight-through round"
)
@pytest.mark.parametrize("case", [p for p in EACH if compiles(p.values[0])])
def test_gradient_under_vmap(case, x64):
    args = wide(case.args)
    values, rebuilt = variables(args)
    project = projection_of(case)

    def pullback(values):
        out = jax.eval_shape(lambda own: case.f(*rebuilt(own), **keywords_of(case)), values)
        dy = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype) if jnp.issubdtype(s.dtype, jnp.inexact)
                          else np.zeros(s.shape, jax.dtypes.float0), out)  # fmt: skip
        return gradients_of_variables(rebuilt(values), backward_of(case)(rebuilt(values), dy))

    with np.errstate(invalid="ignore"):  # -inf in a mask
        near = variables(project(*rebuilt([np.where(np.isfinite(v), v + 0.01 * (1 + np.abs(v)), v) for v in values])))[
            0
        ]
    both = [jnp.stack([a, b]) for a, b in zip(values, near, strict=True)]
    mapped = jax.jit(jax.vmap(pullback))(both)
    for i, own in enumerate((values, near)):
        for g, h in zip(pullback(own), mapped, strict=True):
            np.testing.assert_allclose(h[i], g, rtol=1e-9, atol=1e-9 * max(1, np.abs(g).max(initial=0)))


def test_names_sources_and_options():
    names = Counter(case.name for case in WILD)
    assert max(names.values()) == 1 and len(WILD) >= 66
    assert min(len(family.WILD) for family in _STYLES) >= 5
    assert sum(bool(case.source) for case in WILD) >= len(WILD) / 2
    assert {case.form for case in WILD} == {"gradient", "vjp", "rule", "custom"} and all(case.right for case in WILD)
    for case in WILD:
        assert not keywords_of(case) or case.form in ("gradient", "vjp")
        assert {"fast", "seed", "batch", "atol", "kinks", "dtypes", "order"}.isdisjoint(case.options), OPTIONS
