"""Absolute error and Huber's loss: kinks, extremes, traced delta, second derivatives; optax as a second oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled, curvatures, value_and_slopes

RNG = np.random.default_rng(0)
Z, Y = RNG.normal(size=(6, 3)) * 3, RNG.normal(size=(6, 3))
absolute_error, huber = jaxnn.losses.absolute_error, jaxnn.losses.huber
INF = np.inf


@pytest.mark.parametrize("delta", [0.3, 1.0, 20.0])
def test_huber_is_optaxs_summed_over_outputs(delta, x64):
    loss = huber(delta)
    for z, y in ((Z, Y), (Z[:, :1], Y[:, 0])):
        same_shape = jnp.asarray(y.reshape(z.shape))

        @compiled
        def by_optax(z, y):
            value, pullback = jax.vjp(lambda z: optax.losses.huber_loss(z, y, delta=delta).sum(axis=1), z)
            return value, pullback(jnp.ones(6))[0]

        value, gradient = by_optax(z, same_shape)
        ours, *slopes = value_and_slopes(loss, z, y)
        np.testing.assert_allclose(ours, value, **TOLERANCE["float64"])
        for slope in slopes:
            np.testing.assert_allclose(slope, gradient, **TOLERANCE["float64"])


def test_slope_where_prediction_is_right_is_0():
    """As JAX's gradient of the value, which is not that of `jnp.abs`, 1."""
    z, loss = jnp.array([0.0, -0.0, 2.0, 2.0]), absolute_error()
    y = jnp.array([0.0, 0.0, 2.0, 1.0])
    for slope in value_and_slopes(loss, z, y)[1:]:
        np.testing.assert_array_equal(slope, [0, 0, 0, 1])


def test_huber_has_one_slope_at_delta():
    z, y = jnp.array([2.0, -2.0, np.nextafter(np.float32(2), np.float32(3))]), jnp.zeros(3)
    value, *slopes = value_and_slopes(huber(2.0), z, y)
    for slope in slopes:
        np.testing.assert_array_equal(slope, [2, -2, 2])
    np.testing.assert_allclose(value, [2, 2, 2], rtol=1e-6)


def test_huber_is_between_squared_and_absolute_error(x64):
    np.testing.assert_array_equal(huber(1e3).gradient(Z, Y), jaxnn.squared_error().gradient(Z, Y))
    np.testing.assert_allclose(huber(1e3).value(Z, Y), jaxnn.squared_error().value(Z, Y), **TOLERANCE["float64"])
    np.testing.assert_allclose(huber(1e-9).value(Z, Y) / 1e-9, absolute_error().value(Z, Y), rtol=1e-8)
    np.testing.assert_allclose(huber(1e-9).gradient(Z, Y) / 1e-9, absolute_error().gradient(Z, Y), rtol=1e-12)


@pytest.mark.representatives("bfloat16")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_extreme_errors(dtype):
    """No large error is squared, and none is NaN: values, gradients, and JAX's gradients of both."""
    far = {"float16": 3e4}.get(dtype, 1e38)
    z, y = jnp.array([far, -far, INF, -INF, 0.0, 1.0], dtype), jnp.array([0, 0, 0, 0, INF, -far], dtype)
    signs = np.array([1, -1, 1, -1, -1, 1])
    for loss, delta in ((absolute_error(), 1), (huber(), 1), (huber(0.25), 0.25)):
        value, gradient, slope = value_and_slopes(loss, z, y)
        assert value.dtype == gradient.dtype == jnp.dtype(dtype)
        expected = delta * np.array([far, far, INF, INF, INF, far])
        np.testing.assert_allclose(np.asarray(value, np.float64), expected, rtol=float(jnp.finfo(dtype).eps))
        np.testing.assert_array_equal(np.asarray(gradient, np.float64), delta * signs)
        np.testing.assert_array_equal(np.asarray(slope, np.float64), delta * signs)
        second, _ = curvatures(loss, z, y)
        np.testing.assert_array_equal(np.asarray(second, np.float64), np.zeros(6))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_delta_beyond_the_dtype_squares_every_error(dtype):
    z = jnp.array([2.0, -100.0, INF, -INF], dtype)
    value, gradient = huber(1e300).value(z, jnp.zeros(4)), huber(1e300).gradient(z, jnp.zeros(4))
    np.testing.assert_array_equal(value, [2, 5000, INF, INF])
    np.testing.assert_array_equal(gradient[:2], [2, -100])
    np.testing.assert_array_equal(huber(1e19).value(jnp.array([2.2e19]), jnp.zeros(1)), np.float32(1.7e38))


def test_delta_may_be_traced_and_vmapped():
    deltas = jnp.array([0.5, 1.0, 4.0])
    z, y = jnp.asarray(Z, jnp.float32), jnp.asarray(Y, jnp.float32)
    value, gradient = compiled(jax.vmap(lambda d: (huber(d).value(z, y), huber(d).gradient(z, y))))(deltas)
    for i, delta in enumerate(deltas.tolist()):
        np.testing.assert_allclose(value[i], oracle.huber(Z, Y, delta), **TOLERANCE["float32"])
        np.testing.assert_allclose(gradient[i], oracle.d_huber(Z, Y, delta), **TOLERANCE["float32"])
    half = jax.jit(lambda d: huber(d).value(z.astype("bfloat16"), y))(0.5)
    assert half.dtype == jnp.bfloat16
    # The derivative with respect to δ: |r| - δ beyond it.
    slope = jax.grad(lambda d: huber(d).value(jnp.array([3.0, -1.0]), jnp.zeros(2)).sum())(0.5)
    assert slope == 2.5 + 0.5


def test_second_derivatives(x64):
    """1 within δ and 0 beyond, by autodiff of the gradient and of the value; 0 for the absolute error."""
    r = jnp.array([0.0, 0.5, -0.9, 1.5, -30.0])
    for loss, expected in ((huber(), [1, 1, 1, 0, 0]), (absolute_error(), [0] * 5)):
        for second in curvatures(loss, r, jnp.zeros(5)):
            np.testing.assert_array_equal(second, expected)


def test_missing_targets_of_weight_0_change_nothing():
    x, weight, network = jnp.asarray(Z, jnp.float32), np.array([1, 2, 0, 1, 1, 1]), jaxnn.dense(3)
    missing, finite = (np.where(np.arange(6)[:, None] == 2, a, Y).astype(np.float32) for a in (np.nan, 1e30))
    params, _ = network.init(jax.random.key(0), (3,))
    for loss in (absolute_error(), huber(0.5)):
        objective = jaxnn.objective(network, loss)
        objective.check(params, jaxnn.Batch(x, missing, weight))
        run = compiled(lambda y, objective=objective: objective.value_and_grad(params, jaxnn.Batch(x, y, weight)))
        assert np.isfinite(run(finite)[0][0])
        jax.tree.map(np.testing.assert_array_equal, run(missing), run(finite))
        assert np.isnan(objective.evaluate(params, (), jaxnn.Batch(x, missing)))


@pytest.mark.parametrize("delta", [0, -1.0, np.inf, np.nan, 10**400, "1", None, True, [1.0], np.ones(2)])
def test_invalid_delta_raises(delta):
    message = "^delta must be positive and finite, got .*: the size of the largest error that is squared"
    for call in (lambda: huber(delta=delta), lambda: jaxnn.functional.huber_value(jnp.ones(2), jnp.ones(2), delta)):
        with pytest.raises(ValueError, match=message):
            call()
