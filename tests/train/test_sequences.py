"""Training of networks whose outputs are sequences with lengths, in every loop, hand-derived and by autodiff."""

import jax
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.losses import ctc, each_step_loss
from jaxnn.nn import Sequences

RNG = np.random.default_rng(0)
M, T = 12, 6
X = Sequences(RNG.normal(size=(M, T, 2)).astype("float32"), np.array([6, 1, 5, 4] * 3, "int32"))
LABELS = Sequences(np.array([[1, 2], [1, 1], [2, 2], [1, 2]] * 3, "int32"), np.array([2, 2, 2, 1] * 3, "int32"))
NETWORK = jaxnn.chain(nn.recurrent(nn.gru_cell(4)), nn.each_step(jaxnn.dense(3)))
LOSSES = {
    "ctc": (ctc(skip_impossible=True), LABELS),
    "each_step": (each_step_loss(jaxnn.softmax_cross_entropy()), RNG.integers(0, 3, (M, T))),
    "each_step_of_sequences": (
        each_step_loss(jaxnn.softmax_cross_entropy()),
        Sequences(np.where(np.arange(T) < X.lengths[:, None], 1, -1), X.lengths),
    ),
}
losses = pytest.mark.parametrize("name", LOSSES)


@jax.jit
def initial_params(key):
    return NETWORK.init(key, nn.shapes_of(X))[0]


def arguments(name):
    loss, y = LOSSES[name]
    return jaxnn.objective(NETWORK, loss), jaxnn.optimizer("adam", 0.05), initial_params(jax.random.key(0)), y


def test_the_mean_over_times_is_by_what_each_counts(x64):
    """J = Σ c L / Σ c over all times within the lengths; the gradient of a term that counts is p - y."""
    weights, ignored = np.array([1.0, 2.0, 5.0]), 2
    z, y, lengths = RNG.normal(size=(3, 4, 3)), RNG.integers(0, 3, (3, 4)), np.array([4, 0, 3])
    counts = np.where((np.arange(4) < lengths[:, None]) & (y != ignored), weights[y], 0)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    terms = -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0])
    loss = each_step_loss(jaxnn.softmax_cross_entropy(class_weights=weights, ignore=ignored))
    objective = jaxnn.objective(nn.identity(), loss)
    batch = jaxnn.Batch(Sequences(jax.numpy.asarray(z), jax.numpy.asarray(lengths)), jax.numpy.asarray(y))
    np.testing.assert_allclose(objective.evaluate((), (), batch), (counts * terms).sum() / counts.sum(), rtol=1e-12)
    expected = np.where(counts[..., None] > 0, p - np.eye(3)[y], 0)
    np.testing.assert_allclose(loss.gradient(*batch[:2]).x, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.full
@losses
def test_fit_by_hand_is_fit_by_autodiff(name):
    objective, optimizer, params, y = arguments(name)
    by_hand, by_jax = (
        jaxnn.fit(
            objective, optimizer, params, X, y, key=jax.random.key(1), epochs=20, batch_size=4, gradients=gradients
        )
        for gradients in ("hand", "auto")
    )
    np.testing.assert_allclose(by_hand.losses, by_jax.losses, rtol=1e-3, atol=1e-4)
    assert by_hand.losses[-3:].mean() < 0.8 * by_hand.losses[:3].mean()


@pytest.mark.full
@losses
def test_a_stream_and_a_population_train_as_fit(name):
    objective, optimizer, params, y = arguments(name)
    whole = jaxnn.fit(objective, optimizer, params, X, y, key=jax.random.key(1), epochs=3)
    streamed = jaxnn.fit_stream(
        objective, optimizer, params, lambda epoch: [jaxnn.Batch(X, y)], key=jax.random.key(1), epochs=3
    )
    members = jaxnn.fit_population(
        lambda seed: jaxnn.Member(objective, optimizer, params, jax.random.key(1)), np.arange(2), X, y, epochs=3
    )
    for got in (streamed.params, members.member(0).params):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, whole.params)


def test_labels_beyond_a_label_length_are_not_checked_and_others_are():
    loss, y = LOSSES["each_step_of_sequences"]
    network, params = NETWORK, arguments("each_step_of_sequences")[2]
    objective = jaxnn.objective(network, loss)
    objective.check(params, jaxnn.Batch(X, y))
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got 0 to 7"):
        objective.check(params, jaxnn.Batch(X, y._replace(x=np.where(y.x == 1, 7, y.x))))
