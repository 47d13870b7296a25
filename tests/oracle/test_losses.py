"""The oracle's losses and regularizers."""

from functools import partial

import numpy as np

from tests.helpers.oracle import losses
from tests.helpers.oracle.differences import central, complex_step
from tests.helpers.oracle_cases import BY_DIFFERENCES, EXACT, assert_same, binary


def loss_cases(rng):
    """(value, gradient, first argument, labels) of each loss, with (m, k) and (m,) where both are allowed."""
    m, k = 6, 3
    z, a = 3 * rng.normal(size=(m, k)), rng.uniform(0.02, 0.98, size=(m, k))
    labels, soft = binary(rng, m, k), rng.uniform(size=(m, k))
    return [
        (losses.sigmoid_cross_entropy, losses.d_sigmoid_cross_entropy, z, soft),
        (losses.sigmoid_cross_entropy, losses.d_sigmoid_cross_entropy, z[:, 0], labels[:, 0]),
        (losses.cross_entropy, losses.d_cross_entropy, a, soft),
        (losses.cross_entropy, losses.d_cross_entropy, a[:, 0], labels[:, 0]),
        (losses.softmax_cross_entropy_integer, losses.d_softmax_cross_entropy_integer, z, np.array([0, 2, 1, 1, 0, 2])),
        (losses.softmax_cross_entropy, losses.d_softmax_cross_entropy, z, soft),
        (losses.squared_error, losses.d_squared_error, a, soft),
        (losses.squared_error, losses.d_squared_error, a[:, 0], soft[:, 0]),
        (losses.absolute_error, losses.d_absolute_error, z, soft),
        (losses.absolute_error, losses.d_absolute_error, z[:, 0], soft[:, 0]),
        (losses.huber, losses.d_huber, z, soft),
        (partial(losses.huber, delta=0.5), partial(losses.d_huber, delta=0.5), z[:, 0], soft[:, 0]),
        (losses.hinge, losses.d_hinge, z, labels),
        (losses.hinge, losses.d_hinge, z[:, 0], labels[:, 0]),
        (losses.squared_hinge, losses.d_squared_hinge, z, labels),
        (losses.multiclass_hinge, losses.d_multiclass_hinge, z, np.array([0, 2, 1, 1, 0, 2])),
        (losses.kl_divergence, losses.d_kl_divergence, z, soft),
    ]


def test_loss_gradients(rng):
    for value, gradient, z, y in loss_cases(rng):
        assert value(z, y).shape == (6,)
        expected = complex_step(lambda z, y, value=value: np.sum(value(z, y)), (z, y), (0,))
        assert_same([gradient(z, y)], expected, **EXACT)


def test_loss_values(rng):
    z, y = rng.normal(size=(5, 3)), binary(rng, 5, 3)
    a, p = 1 / (1 + np.exp(-z)), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum(axis=1)
    np.testing.assert_allclose(losses.sigmoid_cross_entropy(z, y), expected, **EXACT)
    np.testing.assert_allclose(losses.cross_entropy(a, y), expected, **EXACT)
    np.testing.assert_allclose(losses.softmax_cross_entropy(z, y), -(y * np.log(p)).sum(axis=1), **EXACT)
    integer = np.array([2, 0, 1, 1, 2])
    expected = [-np.log(p[i, integer[i]]) for i in range(5)]
    np.testing.assert_allclose(losses.softmax_cross_entropy_integer(z, integer), expected, **EXACT)
    np.testing.assert_allclose(losses.softmax_cross_entropy(z, np.eye(3)[integer]), expected, **EXACT)
    np.testing.assert_array_equal(losses.squared_error(np.array([[3.0, 1.0]]), np.array([[1.0, 0.0]])), [2.5])
    np.testing.assert_array_equal(losses.absolute_error(np.array([[3.0, 1.0]]), np.array([[1.0, 1.5]])), [2.5])
    np.testing.assert_array_equal(losses.huber(np.array([[3.0, 1.0]]), np.array([[1.0, 0.5]])), [1.625])
    np.testing.assert_array_equal(
        losses.hinge(np.array([[0.5, -2.0], [0.5, 2.0]]), np.array([[1, 0], [0, 0]])), [0.5, 4.5]
    )
    np.testing.assert_array_equal(losses.squared_hinge(np.array([0.5, 3.0]), np.array([1, 0])), [0.25, 16])
    np.testing.assert_array_equal(losses.multiclass_hinge(np.array([[3.0, 1.0, 2.5]] * 2), [0, 1]), [0.5, 3])
    np.testing.assert_allclose(losses.kl_divergence(np.zeros((2, 2)), np.eye(2)), [np.log(2)] * 2, **EXACT)
    np.testing.assert_allclose(losses.kl_divergence(np.log(p), p), np.zeros(5), atol=1e-15)


def test_conventions_at_kinks():
    assert losses.d_absolute_error(np.array([1.0]), np.array([1.0])) == 0
    np.testing.assert_array_equal(losses.d_hinge(np.array([1.0, -1.0]), np.array([1, 0])), [0, 0])


def test_losses_far_from_zero():
    z, y = np.array([1e4, 1e4, -1e4, -1e4]), np.array([1.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(losses.sigmoid_cross_entropy(z, y), [0, 1e4, 1e4, 0])
    np.testing.assert_array_equal(losses.d_sigmoid_cross_entropy(z, y), [0, 1, -1, 0])
    np.testing.assert_array_equal(losses.softmax_cross_entropy_integer(np.array([[1e4, -1e4]] * 2), [0, 1]), [0, 2e4])
    np.testing.assert_array_equal(losses.cross_entropy(np.array([0.0, 1.0]), np.array([0.0, 1.0])), [0, 0])
    np.testing.assert_array_equal(losses.d_cross_entropy(np.array([0.0, 1.0]), np.array([0.0, 1.0])), [1, -1])


def test_penalties(rng):
    def regularizer(value, strengths, *weights):
        return value(weights, *strengths)

    weights = [array + 0.1 * np.sign(array) for array in (rng.normal(size=(2, 3)), rng.normal(size=4))]
    for value, gradient, strengths in [
        (losses.l2, losses.d_l2, (0.3,)),
        (losses.l1, losses.d_l1, (0.3,)),
        (losses.elastic_net, losses.d_elastic_net, (0.3, 0.7)),
    ]:
        expected = central(partial(regularizer, value, strengths), tuple(weights), (0, 1))
        assert_same(gradient(weights, *strengths), expected, **BY_DIFFERENCES)
    small = [np.array([[3.0, -4.0]]), np.array([0.0])]
    assert (losses.l2(small, 0.5), losses.l1(small, 0.5)) == (6.25, 3.5)
    assert losses.elastic_net(small, 0.5, 0.5) == 9.75
    assert losses.d_l1(small, 0.5)[1][0] == 0
