"""The Kullback-Leibler divergence: against optax and the cross-entropy, of zero and extreme probabilities, softened."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled, value_and_slopes

RNG = np.random.default_rng(0)
Z, Y = RNG.normal(size=(6, 4)) * 3, RNG.dirichlet(np.ones(4), 6)
kl_divergence = jaxnn.losses.kl_divergence
INF = np.inf


def test_it_is_optaxs_of_log_probabilities(x64):
    expected = optax.losses.kl_divergence(jax.nn.log_softmax(jnp.asarray(Z)), jnp.asarray(Y))
    np.testing.assert_allclose(kl_divergence().value(Z, Y), expected, **TOLERANCE["float64"])


def test_it_is_the_cross_entropy_less_the_entropy(x64):
    loss, cross = kl_divergence(), jaxnn.softmax_cross_entropy()
    for y in (Y, 3 * Y, np.eye(4)[[0, 1, 2, 3, 0, 1]], np.eye(4, dtype=int)[[0, 1, 2, 3, 0, 1]]):
        entropy = -np.sum(y * np.log(np.where(y == 0, 1, y)), axis=1)
        np.testing.assert_allclose(loss.value(Z, y), cross.value(Z, y) - entropy, **TOLERANCE["float64"])
        np.testing.assert_allclose(loss.gradient(Z, y), cross.gradient(Z, y), **TOLERANCE["float64"])


def test_it_is_0_at_the_target():
    z = jnp.asarray(Z, jnp.float32)
    value, gradient = kl_divergence().value(z, jax.nn.softmax(z)), kl_divergence().gradient(z, jax.nn.softmax(z))
    np.testing.assert_allclose(value, np.zeros(6), atol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros((6, 4)), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_temperature_divides_logits_and_keeps_the_size_of_the_gradient(temperature, x64):
    loss = kl_divergence(temperature)
    value = temperature**2 * oracle.kl_divergence(Z / temperature, Y)
    gradient = temperature * oracle.d_kl_divergence(Z / temperature, Y)
    np.testing.assert_allclose(loss.value(Z, Y), value, **TOLERANCE["float64"])
    np.testing.assert_allclose(loss.gradient(Z, Y), gradient, **TOLERANCE["float64"])


def test_temperature_may_be_traced_and_vmapped():
    z, y = jnp.asarray(Z, jnp.float32), jnp.asarray(Y, jnp.float32)
    temperatures = jnp.array([1.0, 3.0])
    run = compiled(jax.vmap(lambda t: (kl_divergence(t).value(z, y), kl_divergence(t).gradient(z, y))))
    for value, gradient, t in zip(*run(temperatures), temperatures.tolist(), strict=True):
        np.testing.assert_allclose(value, t**2 * oracle.kl_divergence(Z / t, Y), **TOLERANCE["float32"])
        np.testing.assert_allclose(gradient, t * oracle.d_kl_divergence(Z / t, Y), **TOLERANCE["float32"])
    half = jax.jit(lambda t: kl_divergence(t).gradient(z.astype("bfloat16"), y))(2.0)
    assert half.dtype == jnp.bfloat16


@pytest.mark.representatives("bfloat16")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_probabilities_of_0_and_extreme_logits(dtype):
    """A class of probability 0 costs nothing, one that is excluded by -inf and has some is infinite; never NaN."""
    far = {"float16": 3e4}.get(dtype, 1e38)
    z = jnp.array([[far, -far], [far, -far], [-INF, 0], [-INF, 0], [0, 0]], dtype)
    y = jnp.array([[1, 0], [0, 1], [0, 1], [0.5, 0.5], [0, 0]], dtype)
    loss = kl_divergence()
    value, gradient, by_jax = value_and_slopes(loss, z, y)
    assert value.dtype == gradient.dtype == jnp.dtype(dtype)
    np.testing.assert_allclose(np.asarray(value, np.float64), [0, 2 * far, 0, INF, 0], rtol=0.01)
    expected = [[0, 0], [1, -1], [0, 0], [-0.5, 0.5], [0, 0]]
    for slope in (gradient, by_jax):
        np.testing.assert_array_equal(np.asarray(slope, np.float64), expected)
    second = compiled(jax.grad(lambda z: (loss.gradient(z, y) ** 2).sum()))(z)
    assert np.isfinite(np.asarray(second, np.float64)).all()


def test_second_derivative_is_the_softmaxs(x64):
    """The Jacobian of dz is diag(p) - p pᵀ, by autodiff of the gradient and of the value."""
    p, loss = oracle.softmax(Z)[0], kl_divergence()
    for first in (lambda z: loss.gradient(z[None], Y[:1])[0], jax.grad(lambda z: loss.value(z[None], Y[:1]).sum())):
        jacobian = compiled(jax.jacobian(first))(jnp.asarray(Z[0]))
        np.testing.assert_allclose(jacobian, np.diag(p) - np.outer(p, p), **TOLERANCE["float64"])


def test_distillation_trains_the_student_to_the_teacher():
    """Of logits that are free: the minimum of the loss is the teacher's distribution, at any temperature."""
    teacher = jnp.array([[2.0, 0.0, -1.0], [0.0, 1.0, 1.0]])
    network = jaxnn.Layer(lambda key, shape: (), lambda z, x, key=None: (z, None), lambda z, cache, dz: (dz, dz))
    objective = jaxnn.objective(network, kl_divergence(3.0))
    batch = jaxnn.Batch(jnp.zeros((2, 1)), jax.nn.softmax(teacher / 3))

    @jax.jit
    def train(z):
        return jax.lax.fori_loop(0, 300, lambda _, z: z - objective.value_and_grad(z, batch)[1], z)

    np.testing.assert_allclose(jax.nn.softmax(train(jnp.zeros((2, 3)))), jax.nn.softmax(teacher), atol=1e-4)


def test_missing_targets_of_weight_0_change_nothing():
    z, weight = jnp.asarray(Z, jnp.float32), np.array([1, 2, 0, 1, 1, 1])
    missing = np.where(np.arange(6)[:, None] == 2, np.nan, Y).astype(np.float32)
    objective = jaxnn.objective(jaxnn.nn.identity(), kl_divergence())
    objective.check((), jaxnn.Batch(z, missing, weight))
    value = objective.evaluate((), (), jaxnn.Batch(z, missing, weight))
    expected = np.average(oracle.kl_divergence(Z, Y), weights=weight)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_invalid_arguments_raise():
    loss, z = kl_divergence(), np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^y must be at least 0 in a distribution over classes, got -0\.5$"):
        loss.check(z, np.array([[1.5, -0.5, 0], [1, 0, 0]]))
    for y in (np.array([0, 1]), np.zeros((2, 2)), np.zeros((2, 1), int)):
        for function in loss[:3]:
            with pytest.raises(ValueError, match=r"^y must be numbers in the shape of outputs z, \(2, 3\), got"):
                function(z, y)
    with pytest.raises(ValueError, match="softmax_cross_entropy for class numbers"):
        loss.value(z, np.array([0, 1]))
    for function in loss[:3]:
        with pytest.raises(ValueError, match="^z must be an array of floats, logits .* with k >= 2 classes"):
            function(z[:, :1], np.zeros((2, 1)))
    for given in (0, -1.0, np.inf, 10**400, "2", None, True):
        with pytest.raises(ValueError, match="^temperature must be positive and finite, got"):
            kl_divergence(given)
