"""Label smoothing of every cross-entropy, against NumPy: with weights, traced, at extremes, in half precision."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
Z, BITS, SOFT = RNG.normal(size=(6, 3)) * 4, RNG.integers(0, 2, (6, 3)), RNG.uniform(size=(6, 3))
sigmoid, binary, softmax = jaxnn.sigmoid_cross_entropy, jaxnn.losses.binary_cross_entropy, jaxnn.softmax_cross_entropy
identity = jaxnn.nn.identity()


def softened(y, smoothing):
    """y (1 - ε) + ε/2, as in Keras."""
    return y * (1 - smoothing) + 0.5 * smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_binary_labels_are_halfway_to_a_half(smoothing, x64):
    a = 1 / (1 + np.exp(-Z))
    for y in (BITS, SOFT):
        for make, z, value, gradient in (
            (partial(sigmoid, 1.0), Z, oracle.sigmoid_cross_entropy, oracle.d_sigmoid_cross_entropy),
            (binary, a, oracle.cross_entropy, oracle.d_cross_entropy),
        ):
            loss = make(smoothing)
            loss.check(z, y)
            np.testing.assert_allclose(loss.value(z, y), value(z, softened(y, smoothing)), **TOLERANCE["float64"])
            np.testing.assert_allclose(loss.gradient(z, y), gradient(z, softened(y, smoothing)), **TOLERANCE["float64"])


@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_positive_weight_multiplies_the_term_of_the_smoothed_label(weight, x64):
    loss, p, y = sigmoid(weight, 0.2), 1 / (1 + np.exp(-Z)), softened(BITS, 0.2)
    value = -(weight * y * np.log(p) + (1 - y) * np.log1p(-p)).sum(axis=1)
    np.testing.assert_allclose(loss.value(Z, BITS), value, **TOLERANCE["float64"])
    np.testing.assert_allclose(loss.gradient(Z, BITS), (1 - y) * p - weight * y * (1 - p), **TOLERANCE["float64"])


@pytest.mark.full
def test_class_weights_and_ignored_labels_count_as_without_smoothing(x64):
    """The mean is Σ c_y L' / Σ c_y, with L' of the smoothed label; an ignored one changes nothing."""
    y, weights = np.array([0, 2, -1, 1, 2, -1]), np.array([1.0, 2.0, 4.0])
    loss = softmax(0.2, weights, -1)
    kept = y != -1
    c = np.where(kept, weights[y], 0)
    labels = 0.8 * np.eye(3)[y] + 0.2 / 3
    value = (c * oracle.softmax_cross_entropy(Z, labels)).sum() / c.sum()
    dz = c[:, None] / c.sum() * oracle.d_softmax_cross_entropy(Z, labels)
    objective = jaxnn.objective(identity, loss)
    np.testing.assert_allclose(objective.evaluate((), (), jaxnn.Batch(Z, y)), value, **TOLERANCE["float64"])
    np.testing.assert_allclose(loss.gradient(Z, y) * c[:, None] / c.sum(), dz, **TOLERANCE["float64"])


MAKERS = {
    "sigmoid": (sigmoid, Z, BITS),
    "sigmoid_weighted": (partial(sigmoid, 3.0), Z, BITS),
    "binary": (binary, 1 / (1 + np.exp(-Z)), BITS),
    "softmax": (softmax, Z, BITS[:, 0]),
    "softmax_soft": (softmax, Z, SOFT),
    "softmax_counted": (partial(softmax, class_weights=[1, 2, 3], ignore=-1), Z, BITS[:, 0]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_no_smoothing_adds_nothing_to_the_program(name):
    make, z, y = MAKERS[name]
    for zero in (0, 0.0, np.float32(0), jnp.float32(0)):
        for f, plain in zip(make(smoothing=zero)[:2], make()[:2], strict=True):
            assert str(jax.make_jaxpr(f)(z, y)) == str(jax.make_jaxpr(plain)(z, y))
    if name in ("sigmoid", "binary", "softmax"):
        of_zero, plain = ([f.__wrapped__ for f in loss[:2]] for loss in (make(smoothing=0), make()))
        assert of_zero == plain  # the pure functions themselves


@pytest.mark.full
@pytest.mark.parametrize("name", MAKERS)
def test_smoothing_may_be_traced(name):
    """Also if it is 0, and outputs are so extreme that even labels would have infinite loss."""
    make, z, y = MAKERS[name]
    amounts = np.array([0.0, 0.1, 0.6], np.float32)
    z = jnp.asarray(z, jnp.float32)

    @compiled
    def run(z):
        return jax.vmap(lambda e: (make(smoothing=e).value(z, y), make(smoothing=e).gradient(z, y)))(amounts)

    for got, *expected in zip(run(z), *((make(smoothing=e.item())[:2]) for e in amounts), strict=True):
        np.testing.assert_allclose(got, [f(z, y) for f in expected], rtol=1e-5, atol=1e-6)


EXCLUDED = [[0, -np.inf, 0], [0, -np.inf, 0]]
EXTREMES = {
    "sigmoid": (sigmoid, [np.inf, -np.inf, np.inf], [1, 0, 0], [0, 0, np.inf], [0, 0, 1]),
    "binary": (binary, [1.0, 0.0, 1.0], [1, 0, 0], [0, 0, np.inf], [-1, 1, np.inf]),
    "softmax": (softmax, EXCLUDED, [0, 1], [np.log(2), np.inf], [[-0.5, 0, 0.5], [0.5, -1, 0.5]]),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_traced_smoothing_of_0_at_infinite_losses(name):
    make, z, y, value, gradient = EXTREMES[name]
    z, y = jnp.array(z, jnp.float32), jnp.array(y)
    got = jax.jit(lambda e: (make(smoothing=e).value(z, y), make(smoothing=e).gradient(z, y)))
    np.testing.assert_allclose(got(0.0)[0], value, rtol=1e-6)
    np.testing.assert_allclose(got(0.0)[1], gradient, rtol=1e-6)
    assert np.isinf(got(0.1)[0]).all()  # no label is certain


def test_missing_labels_of_weight_0_change_nothing():
    z, y = jnp.asarray(Z, jnp.float32), SOFT.astype(np.float32)
    missing, weight = np.where(np.arange(6)[:, None] == 2, np.nan, y), np.array([1, 1, 0, 1, 1, 1])
    for loss in (sigmoid(2.0, 0.2), binary(0.2), softmax(0.2)):
        a = jax.nn.sigmoid(z) if loss == binary(0.2) else z
        objective, batch = jaxnn.objective(identity, loss), jaxnn.Batch(a, missing, weight)
        objective.check((), batch)
        got = objective.evaluate((), (), batch)
        np.testing.assert_array_equal(got, objective.evaluate((), (), batch._replace(y=y)))
        assert np.isnan(objective.evaluate((), (), batch._replace(weight=None)))


@pytest.mark.representatives("bfloat16")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_smoothed_labels_are_not_rounded_in_half_precision(dtype):
    """The terms of dz are at most 0.1, and so are their roundings relative to those of a label of 0.9."""
    z, y = jnp.array([np.log(9), -np.log(9), np.log(8)], dtype), jnp.array([1, 0, 1])
    loss = sigmoid(smoothing=0.2)
    exact = 1 / (1 + np.exp(-np.asarray(z, np.float64))) - softened(np.asarray(y), 0.2)
    value, gradient = loss.value(z, y), loss.gradient(z, y)
    assert value.dtype == gradient.dtype == jnp.dtype(dtype)
    np.testing.assert_allclose(np.asarray(gradient, np.float64), exact, rtol=0, atol=0.1 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("make", [sigmoid, binary, softmax])
def test_invalid_smoothing_raises(make):
    for given in (1, -0.1, np.nan, "0.1", None, True, [0.1]):
        with pytest.raises(ValueError, match="^smoothing must be the fraction of a label .* 0 <= ε < 1, got"):
            make(smoothing=given)
    labels = [2, -1] if make is not softmax else [3, -1]
    with pytest.raises(ValueError, match=f"y must be .*, got -1 to {labels[0]}"):
        make(smoothing=0.1).check(np.zeros((2, 3), np.float32) if make is softmax else np.zeros(2), np.array(labels))
