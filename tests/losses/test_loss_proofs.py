"""Every loss of the registry: terms, hand = autodiff, dtypes, and terms that depend on their outputs alone."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import pytest
from jax.test_util import check_grads

import jaxnn
from jaxnn import gradcheck
from jaxnn.arrays import zero_cotangent
from jaxnn.losses.terms import beside_terms, check_terms
from tests.helpers.programs import BATCH_SIZES, THOROUGH, TOLERANCE, compiled, dtypes, same, same_in_bfloat16
from tests.helpers.registry import LOSS_CASES, name_of

pytestmark = pytest.mark.usefixtures("quick_compilation")


losses = pytest.mark.parametrize("case", LOSS_CASES, ids=name_of)


@pytest.mark.representatives("softmax_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error")
@losses
def test_loss_by_gradcheck(case, full):
    fast = not full and case.name not in THOROUGH
    gradcheck.loss(case.loss, *case.make(5, jnp.float32), fast=fast).raise_if_failed()


def is_float(a):
    return jnp.issubdtype(a.dtype, jnp.floating)


def apart(z):
    """The floats of the outputs, and a function that puts others in their place: lengths have no gradient."""
    leaves, structure = jax.tree.flatten(z)

    def whole(floats):
        floats = iter(floats)
        return structure.unflatten([next(floats) if is_float(a) else a for a in leaves])

    return [a for a in leaves if is_float(a)], whole


def loss_by_hand(loss, z, y):
    return loss.value(z, y), loss.gradient(z, y)


def terms_by_hand(loss, z, y):
    return *loss_by_hand(loss, z, y), loss.counts and loss.counts(z, y)


def loss_by_jax(loss, z, y):
    value, pullback = jax.vjp(lambda z: loss.value(z, y), z)  # a float0 for whole numbers
    return value, pullback(jax.tree.map(jnp.ones_like, value))[0]


@pytest.mark.representatives("sigmoid_cross_entropy_soft-float64", "softmax_cross_entropy-float32")
@dtypes
@losses
def test_loss_hand_is_autodiff(case, dtype, x64):
    batches = [case.make(m, jnp.dtype(dtype)) for m in BATCH_SIZES]

    @compiled
    def run(batches):
        return [[way(case.loss, *batch) for batch in batches] for way in (loss_by_hand, loss_by_jax)]

    got, expected = run(batches)
    same(got, expected, **TOLERANCE[dtype])
    for (z, y), (value, gradient) in zip(batches, got, strict=True):
        check_terms(value, z)
        chex.assert_trees_all_equal_shapes_and_dtypes(gradient, jax.tree.map(zero_cotangent, z))
        case.loss.check(z, y)


@pytest.mark.representatives("softmax_cross_entropy")
@losses
def test_loss_bfloat16(case):
    z, y = case.make(7, jnp.dtype("bfloat16"))
    got = compiled(partial(loss_by_hand, case.loss))(z, y)
    wide = compiled(partial(loss_by_jax, case.loss))(
        jax.tree.map(lambda a: a.astype("float32") if is_float(a) else a, z), y
    )
    same_in_bfloat16(got, jax.tree.map(lambda a: a.astype("bfloat16") if is_float(a) else a, wide))


@pytest.mark.representatives("softmax_cross_entropy")
@losses
def test_loss_numerical_float64(case, x64):
    z, y = case.make(3, jnp.dtype("float64"))
    floats, whole = apart(z)

    @jax.custom_vjp
    def value(floats):
        return case.loss.value(whole(floats), y)

    def backward(floats, d):
        dz = beside_terms(jnp.multiply, case.loss.gradient(whole(floats), y), d)
        return ([a for a in jax.tree.leaves(dz) if is_float(a)],)

    value.defvjp(lambda floats: (value(floats), floats), backward)
    check_grads(value, (floats,), order=1, modes=("rev",), atol=1e-6, rtol=1e-6)


@pytest.mark.representatives("squared_error")
@losses
def test_loss_is_per_example(case):
    """Example i's terms, counts and gradient do not depend on the other examples; jit = eager, vmap = loop."""
    z, y = case.make(7, jnp.float32)
    together = compiled(partial(terms_by_hand, case.loss))(z, y)
    same(terms_by_hand(case.loss, z, y), together, **TOLERANCE["float32"])
    alone = compiled(jax.vmap(partial(terms_by_hand, case.loss)))(*jax.tree.map(lambda a: a[:, None], (z, y)))
    same(jax.tree.map(lambda a: a[:, 0], alone), together, **TOLERANCE["float32"])


@pytest.mark.representatives("softmax_cross_entropy_counted")
@losses
def test_objective_of_a_loss_is_autodiff(case, x64):
    """With what its terms count, and weights, one of 0: of a layer that adds its params to the outputs."""
    z, y = case.make(5, jnp.dtype("float64"))
    floats, whole = apart(z)

    def forward(params, x, key=None):
        return whole(jax.tree.map(jnp.add, floats, params)), None

    def backward(params, cache, dz):
        return [a for a in jax.tree.leaves(dz) if is_float(a)], None

    network = jaxnn.Layer(lambda key, shape: (), forward, backward)
    objective = jaxnn.objective(network, case.loss)
    batches = [jaxnn.Batch(jnp.zeros((5, 1)), y, weight) for weight in (None, jnp.array([1.0, 2, 0, 0.5, 1]))]

    @compiled
    def run(params):
        ways = [jaxnn.train.gradients_by(objective, gradients) for gradients in ("hand", "auto")]
        return [[way(params, batch) for batch in batches] for way in ways]

    got, expected = run(jax.tree.map(jnp.zeros_like, floats))
    same(got, expected, **TOLERANCE["float64"])
