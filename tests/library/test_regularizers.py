"""Regularizers against the oracle in float64, on the selected leaves only."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled

RNG = np.random.default_rng(0)
W1, W2, B1, B2 = RNG.normal(size=(3, 4)), RNG.normal(size=(2, 3)), RNG.normal(size=3), RNG.normal(size=2)
W1[0] = 0  # where |w| has its kink


def params():
    return jax.tree.map(jnp.asarray, ({"W": W1, "b": B1}, (), {"W": W2, "b": B2}))


CASES = {
    "l2": (jaxnn.l2(0.3), [W1, W2], lambda w: oracle.l2(w, 0.3), lambda w: oracle.d_l2(w, 0.3)),
    "l1": (jaxnn.l1(0.2), [W1, W2], lambda w: oracle.l1(w, 0.2), lambda w: oracle.d_l1(w, 0.2)),
    "elastic_net": (
        jaxnn.regularizers.elastic_net(0.2, 0.3),
        [W1, W2],
        lambda w: oracle.elastic_net(w, 0.2, 0.3),
        lambda w: oracle.d_elastic_net(w, 0.2, 0.3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_the_oracles(name, x64):
    regularizer, weights, value, gradient = CASES[name]
    got, slopes = compiled(lambda p: (regularizer.value(p), regularizer.gradient(p)))(params())
    np.testing.assert_allclose(got, value(weights), **TOLERANCE["float64"])
    for layer, expected in zip((slopes[0], slopes[2]), gradient(weights), strict=True):
        np.testing.assert_allclose(layer["W"], expected, **TOLERANCE["float64"])
        assert not np.any(layer["b"])


@pytest.mark.parametrize(
    "make", [jaxnn.l1, jaxnn.l2, lambda s, **k: jaxnn.regularizers.elastic_net(s, s, **k)], ids=["l1", "l2", "both"]
)
def test_any_leaf_means_biases_too(make, x64):
    everywhere, weights = make(0.5, where=jaxnn.regularizers.all_leaves), make(0.5)
    biases = [{"W": b} for b in params()[0]["b"][None]], {"W": params()[2]["b"]}

    @compiled
    def run(p, biases):
        return everywhere.value(p), weights.value(p) + weights.value(biases), everywhere.gradient(p)

    value, expected, slopes = run(params(), biases)
    np.testing.assert_allclose(value, expected, **TOLERANCE["float64"])
    assert np.all(np.asarray(slopes[0]["b"]) != 0)


def test_where_chooses_by_path():
    def first_layer(path):
        return path[0].idx == 0 and jaxnn.regularizers.is_weight(path)

    slopes = jaxnn.l2(2.0, where=first_layer).gradient(params())
    np.testing.assert_allclose(slopes[0]["W"], 2 * W1, rtol=1e-6)
    assert not np.any(slopes[2]["W"])


def test_weights_are_checked_by_name_in_any_container():
    class Mine(NamedTuple):
        W: Any
        wide: Any

    slopes = jaxnn.l2(1.0).gradient([Mine(jnp.ones(2), jnp.ones(2)), {"W2": jnp.ones(1), "W": {"scale": jnp.ones(1)}}])
    assert jax.tree.map(lambda a: a.tolist(), slopes) == [Mine([1, 1], [0, 0]), {"W2": [0], "W": {"scale": [0]}}]


@pytest.mark.parametrize(
    "make", [jaxnn.l1, jaxnn.l2, lambda s: jaxnn.regularizers.elastic_net(s, s)], ids=["l1", "l2", "both"]
)
def test_params_without_weights_raise(make):
    with pytest.raises(
        ValueError, match=r"where must select at least one leaf of params, got none of \(.*'kernel'.*\): name weights W"
    ):
        make(0.1).value({"kernel": jnp.ones(2)})
    with pytest.raises(ValueError, match="where must select at least one leaf of params"):
        make(0.1).gradient({"kernel": jnp.ones(2)})


def test_network_without_params_has_no_penalty():
    assert jaxnn.l2(0.1).value(((), ())) == 0
    assert jaxnn.l2(0.1).gradient(((), ())) == ((), ())


@pytest.mark.parametrize("strength", [-1e-9, float("nan"), float("inf"), np.float32(-1)])
def test_negative_strength_raises(strength):
    makers = [
        jaxnn.l1,
        jaxnn.l2,
        lambda s: jaxnn.regularizers.elastic_net(s, 0.1),
        lambda s: jaxnn.regularizers.elastic_net(0.1, s),
    ]
    for make in makers:
        with pytest.raises(ValueError, match="strength must be finite and at least 0, got"):
            make(strength)


def test_traced_strength_is_a_hyperparameter(x64):
    """A derivative with respect to it exists, and members of a population may have different ones."""
    strengths = jnp.array([0.0, 0.5, 2.0])

    @compiled
    def run(strengths, p):
        slope = jax.grad(lambda s: jaxnn.regularizers.elastic_net(s, 2 * s).value(p))(strengths[1])
        return slope, jax.vmap(lambda s: jaxnn.l2(s).gradient(p)[2]["W"])(strengths)

    slope, many = run(strengths, params())
    np.testing.assert_allclose(slope, oracle.elastic_net([W1, W2], 1, 2), **TOLERANCE["float64"])
    np.testing.assert_allclose(many, np.asarray(strengths)[:, None, None] * W2[None], **TOLERANCE["float64"])


def test_half_precision_params_get_half_precision_gradients():
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), params())
    for regularizer in (
        jaxnn.l1(0.1),
        jaxnn.l2(jnp.float32(0.1)),
        jaxnn.regularizers.elastic_net(0.1, 0.1, where=jaxnn.regularizers.all_leaves),
        jaxnn.regularizers.no_regularizer(),
    ):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(regularizer.gradient(half))} == {"bfloat16"}


@pytest.mark.parametrize("strength", ["0.1", None, [0.1], np.array([0.1, 0.2]), True, {"W": 0.1}])
def test_invalid_strength_raises(strength):
    makers = [
        jaxnn.l1,
        jaxnn.l2,
        lambda s: jaxnn.regularizers.elastic_net(s, 0.1),
        lambda s: jaxnn.regularizers.elastic_net(0.1, s),
    ]
    for make in makers:
        with pytest.raises(ValueError, match="strength must be finite and at least 0, got"):
            make(strength)


@pytest.mark.parametrize("where", [True, "W", 0.1, lambda path, leaf: True])
def test_invalid_leaf_filter_raises(where):
    for make in (jaxnn.l1, jaxnn.l2, lambda s, where: jaxnn.regularizers.elastic_net(s, s, where)):
        with pytest.raises(ValueError, match=r"where must be a function where\(path\), got"):
            make(0.1, where)
