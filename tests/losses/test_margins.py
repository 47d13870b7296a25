"""Hinge losses: labels, kinks, ties, extremes and second derivatives; optax and JAX's gradients as other oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled, curvatures, value_and_slopes

RNG = np.random.default_rng(0)
Z, BITS = RNG.normal(size=(6, 3)) * 2, RNG.integers(0, 2, (6, 3))
CLASSES = RNG.integers(0, 3, 6)
hinge, squared_hinge, multiclass_hinge = (
    getattr(jaxnn.losses, name) for name in ("hinge", "squared_hinge", "multiclass_hinge")
)
INF = np.inf


def test_hinge_is_optaxs_of_signs(x64):
    for y in (BITS, BITS.astype(bool), BITS.astype(float), BITS.astype(np.uint8)):
        expected = optax.losses.hinge_loss(jnp.asarray(Z), jnp.asarray(2 * BITS - 1)).sum(axis=1)
        np.testing.assert_allclose(hinge().value(Z, y), expected, **TOLERANCE["float64"])
    expected = optax.losses.multiclass_hinge_loss(jnp.asarray(Z), CLASSES)
    np.testing.assert_allclose(multiclass_hinge().value(Z, CLASSES), expected, **TOLERANCE["float64"])


def test_slope_at_the_kink_is_that_of_relu():
    z, y = jnp.array([1.0, -1.0, 0.5]), jnp.array([1, 0, 1])
    for loss, slopes in ((hinge(), [0, 0, -1]), (squared_hinge(), [0, 0, -1])):
        for slope in value_and_slopes(loss, z, y)[1:]:
            np.testing.assert_array_equal(slope, slopes)
    z, y, loss = jnp.array([[1.0, 2.0, -1.0]]), jnp.array([1]), multiclass_hinge()
    value, *slopes = value_and_slopes(loss, z, y)
    assert value == 0
    for slope in slopes:
        np.testing.assert_array_equal(slope, [[0, 0, 0]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_extreme_scores(dtype):
    """A wrong label costs |z|, a right one nothing, however far; never NaN."""
    far = {"float16": 3e4}.get(dtype, 1e38)
    z = jnp.array([far, -far, INF, -INF], dtype)
    for loss, power in ((hinge(), 1), (squared_hinge(), 2)):
        for y, sizes, sign in ((0, [far, 0, INF, 0], 1), (1, [0, far, 0, INF], -1)):
            labels = np.full(4, y, np.int32)
            with np.errstate(over="ignore"):
                expected = (np.array(sizes, np.float64) ** power).astype(jnp.dtype(dtype)).astype(np.float64)
            value, *slopes = value_and_slopes(loss, z, labels)
            np.testing.assert_allclose(np.asarray(value, np.float64), expected, rtol=0.01)
            for slope in slopes:
                assert slope.dtype == jnp.dtype(dtype)
                right = sign * (np.sign(sizes) if power == 1 else 2 * np.array(sizes))
                np.testing.assert_allclose(np.asarray(slope, np.float64), right, rtol=0.01)


@pytest.mark.representatives("bfloat16")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_extreme_scores_of_classes(dtype):
    far = {"float16": 3e4}.get(dtype, 1e38)
    z = jnp.array([[far, -far, 0], [far, -far, 0], [0, -INF, 0], [0, -INF, -INF], [INF, 1, 2], [INF, 1, 2]], dtype)
    y, loss = jnp.array([0, 1, 1, 0, 0, 1]), multiclass_hinge()
    value, *slopes = value_and_slopes(loss, z, y)
    np.testing.assert_allclose(np.asarray(value, np.float64), [0, 2 * far, INF, 0, 0, INF], rtol=0.01)
    expected = [[0, 0, 0], [1, -1, 0], [0.5, -1, 0.5], [0, 0, 0], [0, 0, 0], [1, -1, 0]]
    for slope in slopes:
        np.testing.assert_array_equal(np.asarray(slope, np.float64), expected)


def test_a_score_that_is_nan_is_seen():
    z, y = jnp.array([np.nan, 1.0]), jnp.array([1, np.nan])
    for loss in (hinge(), squared_hinge()):
        assert np.isnan(loss.value(z, y)).all()
        assert np.isnan(loss.gradient(z, y)).all()
    assert np.isnan(multiclass_hinge().value(jnp.array([[np.nan, 0], [0, np.nan]]), jnp.array([0, 0]))).all()


def test_scores_that_tie_share_the_slope():
    """As in JAX's gradient of a maximum: the order of the classes does not matter."""
    z, y, loss = jnp.array([[2.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]), jnp.array([1, 3]), multiclass_hinge()
    third = 1 / 3
    expected = [[third, -1, third, third], [third, third, third, -1]]
    for slope in value_and_slopes(loss, z, y)[1:]:
        np.testing.assert_allclose(slope, expected, rtol=1e-6)


@pytest.mark.full
def test_each_position_of_a_sequence_is_a_row(x64):
    z, y = RNG.normal(size=(4, 5, 3)) * 2, RNG.integers(0, 3, (4, 5))
    for labels in (y, y[..., None], y.astype(np.uint8)):
        value = oracle.multiclass_hinge(z.reshape(-1, 3), y.ravel()).reshape(4, 5)
        np.testing.assert_allclose(multiclass_hinge().value(z, labels), value, **TOLERANCE["float64"])
        dz = oracle.d_multiclass_hinge(z.reshape(-1, 3), y.ravel()).reshape(z.shape)
        np.testing.assert_allclose(multiclass_hinge().gradient(z, labels), dz, **TOLERANCE["float64"])


def test_second_derivatives(x64):
    """2 within the margin of the squared hinge, else 0, by autodiff of the gradient and of the value."""
    z, y = jnp.array([0.5, 3.0, -2.0, 0.0]), jnp.array([1, 1, 0, 0])
    for loss, expected in ((hinge(), [0, 0, 0, 0]), (squared_hinge(), [2, 0, 0, 2])):
        for second in curvatures(loss, z, y):
            np.testing.assert_array_equal(second, expected)
    second = compiled(jax.grad(lambda z: (multiclass_hinge().gradient(z, CLASSES) ** 2).sum()))(jnp.asarray(Z))
    np.testing.assert_array_equal(second, np.zeros((6, 3)))


def test_missing_labels_of_weight_0_change_nothing():
    x, weight, network = jnp.asarray(Z, jnp.float32), np.array([1, 2, 0, 1, 1, 1]), jaxnn.dense(3)
    missing, given = (np.where(np.arange(6)[:, None] == 2, a, BITS).astype(np.float32) for a in (np.nan, 1))
    params, _ = network.init(jax.random.key(0), (3,))
    for loss in (hinge(), squared_hinge()):
        objective = jaxnn.objective(network, loss)
        objective.check(params, jaxnn.Batch(x, missing, weight))
        run = compiled(lambda y, objective=objective: objective.value_and_grad(params, jaxnn.Batch(x, y, weight)))
        jax.tree.map(np.testing.assert_array_equal, run(missing), run(given))


@pytest.mark.parametrize("make", [hinge, squared_hinge])
def test_labels_other_than_0_and_1_raise(make):
    for labels, got in (
        ([-1, 1], r"-1: \(y \+ 1\) / 2 for labels -1 and 1$"),
        ([0.0, 0.5], r"0.5$"),
        ([1, 2], r"2$"),
        ([np.inf, 1], r"inf$"),
    ):
        with pytest.raises(ValueError, match=f"^y must be binary labels, 0 or 1, got {got}"):
            make().check(np.zeros((2, 1), np.float32), np.array(labels))
    make().check(np.zeros(3, np.float32), np.array([0, 1, np.nan]))
    make().check(np.zeros(2, np.float32), np.array([False, True]))


def test_invalid_classes_raise_and_are_nan_in_a_program():
    loss, z = multiclass_hinge(), np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="^y must be labels of 4 classes, from 0 to 3, got -1 to 4"):
        loss.check(z, np.array([-1, 4, 0]))
    value = compiled(loss.value)(z, jnp.array([-1, 4, 0]))
    np.testing.assert_array_equal(value, [np.nan, np.nan, 1])
    for y, message in (
        (np.eye(4)[:3], r"integer class numbers \(3,\), got float64 \(3, 4\): use y.argmax\(-1\)"),
        (np.zeros(3), r"integer class numbers \(3,\), got float64 \(3,\): convert float class numbers"),
        (np.zeros((3, 2), int), r"integer class numbers \(3,\), got int64 \(3, 2\)"),
    ):
        for function in (loss.value, loss.gradient, loss.check):
            with pytest.raises(ValueError, match=f"^y must be {message}"):
                function(z, y)
    with pytest.raises(ValueError, match="z must be an array of floats, logits .* with k >= 2 classes"):
        loss.value(z[:, :1], np.zeros(3, int))
