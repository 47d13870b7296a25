"""The collection of gradients: right ones agree with autodiff of the plain function, wrong ones differ.

Those in the style of public code, of which many have no autodiff, are in test_wild.py.
"""

from collections import Counter
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.gradcheck import GradcheckError
from scripts.benchmarks.checkers import by_jaxnn
from scripts.benchmarks.gradbench.cases import ERRORS, HARD, KINDS, RIGHT, WILD, WRONG, Witness, backward_of

LOW = "only in low precision"
# The largest error relative to the largest entry of each gradient, in the dtype of the arguments.
OWN = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}

pytestmark = pytest.mark.usefixtures("quick_compilation")  # compiling is all the cost here


def floating(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def wide(tree):
    return jax.tree.map(lambda leaf: leaf.astype("float64") if floating(leaf) else leaf, tree)


def cotangent(f, args):
    rng = np.random.default_rng(0)

    def draw(leaf):
        # Of either sign and not small. An integer output cannot have one.
        return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape) * rng.choice([-1, 1], leaf.shape), leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(f, *args))


@cache
def truth(f, vmap):
    """Return autodiff of the plain function, compiled once for all the cases that share it."""

    def pullback(args, dy):
        return jax.vjp(f, *args)[1](jnp.ones((), f(*args).dtype) if dy is None else dy)

    return jax.jit(jax.vmap(pullback) if vmap else pullback)


def derivative_of(backward):
    """Return the gradient of the sum of all that `backward` returns: right only if its own derivative is."""

    def total(args, dy):
        return sum(leaf.sum() for leaf in jax.tree.leaves(backward(args, dy)))

    return jax.grad(total)


def compare(case, args, dy=None, vmap=False, order=1, wide_truth=False):
    """Return the largest difference from autodiff, relative to the largest entry; inf if shapes, dtypes or NaNs differ.

    Integers, masks and keys have no gradient, and `None` means zero.
    """
    if dy is None and case.form != "gradient":
        dy = cotangent(jax.vmap(case.f) if vmap else case.f, args)
    backward, reference = backward_of(case), truth(case.f, vmap)
    if order == 2:
        backward, reference = derivative_of(backward), derivative_of(reference)
    manual = jax.jit(jax.vmap(backward) if vmap else backward)(args, dy)
    assert isinstance(manual, tuple) and len(manual) == len(args)
    with jax.enable_x64(wide_truth or jax.config.jax_enable_x64):
        expected = reference(*((wide(args), wide(dy)) if wide_truth else (args, dy)))
    # A gradient that cancels to zero has no scale.
    scale = 1 if case.name == "a sum that cancels its gradient" else None
    worst = 0.0
    for a, g, h in zip(args, expected, manual, strict=True):
        hs = [None] * len(jax.tree.leaves(a)) if h is None else jax.tree.leaves(h)
        for a_leaf, g_leaf, h_leaf in zip(jax.tree.leaves(a), jax.tree.leaves(g), hs, strict=True):
            if floating(a_leaf):
                worst = max(worst, leaf_difference(a_leaf, np.asarray(g_leaf, float), h_leaf, scale))
    return worst


def leaf_difference(a, g, h, scale):
    if h is None:
        h = jnp.zeros_like(a)
    if h.shape != a.shape or h.dtype != a.dtype:
        return np.inf
    h = np.asarray(h, float)
    if not np.array_equal(np.isfinite(g), np.isfinite(h)):
        return np.inf
    finite = np.isfinite(g)
    difference = np.abs(g[finite] - h[finite]).max(initial=0)
    return difference / (scale or max(np.abs(g[finite]).max(initial=0), 1e-300)) if difference else 0.0


# One of each kind of error.
ONE_OF_EACH = list({case.kind: case for case in reversed(WRONG)}.values())
[CHEAPEST] = (case for case in ONE_OF_EACH if case.name == "sigmoid: a for a(1 - a)")
ELSEWHERE = [case for case in WRONG if case.witness]


def named(cases, representatives=None):
    """Return the cases by their names; of those with representatives, the others are for --full."""
    names = {case.name for case in (cases if representatives is None else representatives)}
    return [pytest.param(case, id=case.name, marks=() if case.name in names else pytest.mark.full) for case in cases]


@pytest.mark.representatives("an argument without effect", "data as constants", "float16 under a rule", "sigmoid")
@pytest.mark.parametrize("case", named(RIGHT + HARD, RIGHT[:40:16] + HARD[::8]))
def test_right_gradients_agree_with_autodiff(case, x64):
    # Labels in float32 sum to 1 only up to rounding.
    assert compare(case, wide(case.args)) < (1e-7 if "sum to 1" in case.name else 1e-9)


@pytest.mark.parametrize("case", named(HARD, HARD[::8]))
def test_hard_is_right_in_the_dtype_of_its_arguments(case):
    leaves = jax.tree.leaves(case.args)
    # A key gives other numbers in 64 bits.
    keys = any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves)
    limit = max(OWN[leaf.dtype.name] for leaf in leaves if floating(leaf))
    assert compare(case, case.args, wide_truth=not keys) < limit


@pytest.mark.parametrize("case", named(WRONG, ONE_OF_EACH[::3]))
def test_wrong_gradients_differ_from_autodiff(case):
    witness = case.witness() if case.witness else Witness(case.args)
    if case.kind == LOW:
        assert not compare(case, witness.args, wide_truth=True) < 0.05
        return
    with jax.enable_x64(True):
        dy = None if witness.dy is None else wide(witness.dy)
        assert compare(case, wide(witness.args), dy, witness.vmap, witness.order) > 1e-5


@pytest.mark.parametrize("case", named(ELSEWHERE, ELSEWHERE[::16]))
def test_wrong_elsewhere_is_right_at_its_arguments(case, x64):
    assert compare(case, wide(case.args)) < 1e-6


# The checker on one case of each kind. `scripts/bench gradcheck` runs all cases, and other checkers.
@pytest.mark.parametrize("case", named(RIGHT[::16] + HARD[::8], RIGHT[16:17]))
def test_checker_passes_what_is_right(case):
    assert by_jaxnn(case).right


@pytest.mark.parametrize("case", named(ONE_OF_EACH, [CHEAPEST]))
def test_checker_catches_each_kind_and_names_it(case):
    verdict = by_jaxnn(case)
    assert not verdict.right
    assert set(verdict.kinds) <= {case.kind, *case.also}
    assert case.kind is None or case.kind in verdict.kinds


@pytest.mark.parametrize("case", named(ERRORS))
def test_checker_raises_if_the_check_cannot_be_run(case):
    with pytest.raises(GradcheckError):
        by_jaxnn(case)


def test_names_kinds_and_forms():
    cases = RIGHT + HARD + WILD + WRONG + ERRORS
    assert [name for name, n in Counter(case.name for case in cases).items() if n > 1] == []
    kinds = Counter(case.kind for case in WRONG)
    assert set(kinds) == {*KINDS, None} and min(kinds.values()) >= 6
    assert all(set(case.also) <= set(KINDS) and case.kind not in case.also for case in WRONG)
    assert {case.form for case in RIGHT} == {case.form for case in WRONG} == {"gradient", "vjp", "rule", "custom"}
    assert len(RIGHT) >= 25 and len(HARD) >= 20 and len(WRONG) >= 100 and len(ERRORS) >= 6
