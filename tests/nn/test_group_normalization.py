"""Group normalization: the two ends of the number of groups, any number of spatial axes, what is rejected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.functional import group_norm_backward, group_norm_forward, layer_norm_forward
from jaxnn.nn import group_norm
from tests.helpers.oracle import normalization as oracle
from tests.helpers.programs import compiled, hand

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(3)
PARAMS = {"gamma": jnp.ones(4), "beta": jnp.zeros(4)}
X = jnp.asarray(RNG.normal(size=(2, 3, 2, 4)), jnp.float32)


@pytest.mark.full
def test_one_group_is_layer_normalization_over_places_and_channels():
    flat = {"gamma": jnp.ones(24), "beta": jnp.zeros(24)}
    expected = layer_norm_forward(flat, X.reshape(2, 24))[0].reshape(X.shape)
    np.testing.assert_allclose(group_norm_forward(PARAMS, X, 1)[0], expected, rtol=1e-5, atol=1e-6)
    vectors = layer_norm_forward(PARAMS, X[:, 0, 0])[0]
    np.testing.assert_allclose(group_norm_forward(PARAMS, X[:, 0, 0], 1)[0], vectors, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_a_group_for_each_channel_is_instance_normalization():
    y = np.asarray(group_norm_forward(PARAMS, X, 4)[0], np.float64)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var((1, 2)), 1, rtol=1e-3)


@pytest.mark.representatives("places1", "places3")
@pytest.mark.parametrize("places", [(), (5,), (2, 3), (2, 1, 3)])
def test_any_number_of_spatial_axes(places, x64):
    x, dy = (jnp.asarray(RNG.normal(size=(2, *places, 6))) for _ in range(2))
    params = {"gamma": jnp.asarray(RNG.normal(size=6)), "beta": jnp.asarray(RNG.normal(size=6))}
    y, dparams, dx = compiled(lambda *given: hand(group_norm(3), *given, None))(params, x, dy)
    norm, gamma = oracle.group_norm(3), np.asarray(params["gamma"])
    gradient = oracle.d_normalization(norm, np.asarray(x), gamma, np.asarray(dy))
    np.testing.assert_allclose(y, oracle.normalization(norm, np.asarray(x), *map(np.asarray, params.values())), 1e-11)
    for got, expected in zip((dx, dparams["gamma"], dparams["beta"]), gradient, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.full
def test_one_example_and_one_channel():
    """A single vector of one channel for each group has variance 0: y is β and dx is 0."""
    y, cache = group_norm_forward({"gamma": jnp.ones(3), "beta": jnp.arange(3.0)}, jnp.array([[5.0, -7.0, 1e30]]), 3)
    np.testing.assert_array_equal(y, [[0, 1, 2]])
    dparams, dx = group_norm_backward({"gamma": jnp.ones(3), "beta": jnp.zeros(3)}, cache, jnp.ones((1, 3)))
    np.testing.assert_array_equal(dx, np.zeros((1, 3)))
    np.testing.assert_array_equal(dparams["gamma"], np.zeros(3))
    np.testing.assert_array_equal(dparams["beta"], np.ones(3))


@pytest.mark.full
def test_what_is_not_finite_stays_in_its_group():
    x = X.at[0, 0, 0, 0].set(jnp.nan).at[1, 0, 0, 3].set(jnp.inf)
    y = group_norm_forward(PARAMS, x, 2)[0]
    clean = group_norm_forward(PARAMS, X, 2)[0]
    np.testing.assert_array_equal(y[0, ..., 2:], clean[0, ..., 2:])
    np.testing.assert_array_equal(y[1, ..., :2], clean[1, ..., :2])
    assert np.isnan(y[0, ..., :2]).all() and np.isnan(y[1, 0, 0, 3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: group_norm(3).init(jax.random.key(0), (2, 4)),
            r"groups must divide the 4 channels of x, got 3: one of",
        ),
        (
            lambda: group_norm_forward(PARAMS, X, 3),
            r"groups must divide the 4 channels of x, got 3: one of \[1, 2, 4\]",
        ),
        (lambda: group_norm_forward(PARAMS, X, 0), "groups must be a whole number of at least 1, got 0"),
        (lambda: group_norm(2.0), "groups must be a whole number of at least 1, got 2.0"),
        (lambda: group_norm(2, eps=0.0), "eps must be positive and finite, got 0.0"),
        (lambda: group_norm(1).init(jax.random.key(0), ()), "in_shape must be the shape of one example with at least"),
        (lambda: group_norm_forward(PARAMS, X[0, 0, 0], 2), r"x must be floats \(m, ..., n=4\)"),
        (lambda: group_norm_forward(PARAMS, X[..., :2], 2), r"x must be floats \(m, ..., n=4\)"),
        (
            lambda: group_norm_backward(PARAMS, group_norm_forward(PARAMS, X, 2)[1], X[:1]),
            r"dy must have the shape of x, \(2, 3, 2, 4\), got float32 \(1, 3, 2, 4\)",
        ),
    ],
)
def test_rejected_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
