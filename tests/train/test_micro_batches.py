"""Batches in parts: the numbers of the whole batch, for every loss, with weights, padding and regularizers."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import losses, nn
from jaxnn.nn.shapes import simplified

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(7, 5)).astype(np.float32)
NETWORK = jaxnn.chain(jaxnn.dense(6), jaxnn.tanh(), jaxnn.dense(3))
LABELS = RANDOM.integers(0, 3, 7)
WEIGHT = np.array([1.0, 0, 2, 1, 3, 1, 0.5])
STEPS = jaxnn.chain(nn.recurrent(nn.simple_cell(4)), nn.each_step(jaxnn.dense(3)))
SEQUENCES = nn.Sequences(RANDOM.normal(size=(7, 4, 5)).astype(np.float32), np.array([4, 1, 0, 3, 4, 2, 4]))
CASES = {
    "softmax": (NETWORK, losses.softmax_cross_entropy(), X, LABELS),
    "ignored": (NETWORK, losses.softmax_cross_entropy(class_weights=[1, 2, 3], ignore=1), X, LABELS),
    "squared": (NETWORK, losses.squared_error(), X, RANDOM.normal(size=(7, 3)).astype(np.float32)),
    "tokens": (
        STEPS,
        losses.each_step_loss(losses.softmax_cross_entropy()),
        SEQUENCES,
        RANDOM.integers(0, 3, (7, 4)),
    ),
    "two_outputs": (
        nn.fan_out(label=NETWORK, size=jaxnn.dense(1)),
        losses.weighted_sum(
            {"label": (losses.softmax_cross_entropy(ignore=1), 1.0), "size": (losses.squared_error(), 0.5)}
        ),
        X,
        {"label": LABELS, "size": X[:, 0]},
    ),
}


def results(case, m=7, weight=None, normalizer=None, way="hand", regularizer=None, **options):
    """The value and the gradient of a case's objective."""
    network, loss, x, y = case
    objective = jaxnn.objective(network, loss, regularizer, **options)
    batch = jax.tree.map(lambda a: jnp.asarray(a)[:m], (x, y))
    example = simplified(jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), batch[0]))
    params, _ = network.init(jax.random.key(0), example)
    weight = None if weight is None else jnp.asarray(weight)[:m]
    run = jax.jit(jaxnn.train.gradients_by(objective, way))
    (value, _), grads = run(params, jaxnn.Batch(*batch, weight, normalizer))
    return value, grads


@cache
def expected(name, m, weighted):
    """The results of a whole batch of m, with which both ways are compared."""
    return results(CASES[name], m, WEIGHT if weighted else None)


def same(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), one, other)


@pytest.mark.representatives("hand-ignored-weighted")
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", ["hand", "auto"])
def test_parts_are_the_batch(way, name, weighted):
    weight = WEIGHT if weighted else None
    for m, n in ((6, 2), (7, 3), (2, 5)):
        same(results(CASES[name], m, weight, way=way, micro_batches=n), expected(name, m, weighted))


@pytest.mark.full
def test_a_normalizer_and_a_regularizer():
    given = dict(weight=WEIGHT, normalizer=4.0, regularizer=jaxnn.l2(0.1))
    same(results(CASES["softmax"], micro_batches=3, **given), results(CASES["softmax"], **given))


@pytest.mark.full
def test_a_batch_normalization_sees_a_part_at_a_time():
    network = jaxnn.chain(nn.batch_norm(), jaxnn.dense(3))
    loss = jaxnn.softmax_cross_entropy()
    params, _ = network.init(jax.random.key(0), (5,))
    whole, parts = (jaxnn.objective(network, loss, micro_batches=n) for n in (1, 2))
    x, y = jnp.asarray(X[:6]), jnp.asarray(LABELS[:6])
    (value, stats), grads = parts.value_and_grad(params, jaxnn.Batch(x, y))
    found = [whole.value_and_grad(params, jaxnn.Batch(x[i::2], y[i::2])) for i in (0, 1)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *found)
    same(((value, stats), grads), mean)
    same(jax.value_and_grad(parts.value, has_aux=True)(params, jaxnn.Batch(x, y))[1], grads)


@pytest.mark.full
def test_a_training_with_dropout_and_a_loss_scale():
    network = jaxnn.chain(jaxnn.dense(6), jaxnn.dropout(0.3), jaxnn.dense(3))
    objective = jaxnn.objective(network, jaxnn.softmax_cross_entropy(), micro_batches=3)
    optimizer = jaxnn.optim.with_loss_scale(optax.sgd(0.3))
    params, _ = network.init(jax.random.key(0), (5,))
    found = jaxnn.fit(objective, optimizer, params, X, LABELS, key=jax.random.key(1), epochs=40, batch_size=6)
    assert found.losses[-10:].mean() < found.losses[:10].mean() / 2


@pytest.mark.full
def test_what_is_kept_is_that_of_a_part(optimized):
    """As the compiled program reports its memory."""
    network = jaxnn.chain(*[jaxnn.dense(64), jaxnn.tanh()] * 6, jaxnn.dense(3))
    params, _ = network.init(jax.random.key(0), (5,))
    batch = jaxnn.Batch(jnp.zeros((4096, 5)), jnp.zeros(4096, "int32"))

    def temporary(n):
        objective = jaxnn.objective(network, jaxnn.softmax_cross_entropy(), micro_batches=n)
        return jax.jit(objective.value_and_grad).lower(params, batch).compile().memory_analysis().temp_size_in_bytes

    assert temporary(8) < temporary(1) / 4


def test_parts_and_a_carry_exclude_each_other():
    with pytest.raises(ValueError, match="^micro_batches must be 1 for an objective with a carry, got 2"):
        jaxnn.objective(STEPS, CASES["tokens"][1], carry=True, micro_batches=2)
    with pytest.raises(ValueError, match="^micro_batches must be a whole number of at least 1, got 0"):
        jaxnn.objective(NETWORK, jaxnn.softmax_cross_entropy(), micro_batches=0)


@pytest.mark.representatives("1e+38-activations-1-hand")
@pytest.mark.parametrize("way", ["hand", "auto"])
@pytest.mark.parametrize(("large", "what", "layer"), [(1e38, "activations", 1), (1e30, "activations", 3)])
def test_a_divergence_names_the_micro_batch(large, what, layer, way):
    """Example 5 is in the second of four; the others are finite. With the weights doubled, layers grow from there."""
    network = jaxnn.chain(jaxnn.dense(6, "zeros"), jaxnn.relu(), jaxnn.dense(3, "zeros"))
    params = jax.tree.map(lambda a: a + (10.0 if large == 1e38 else 1e5), network.init(jax.random.key(0), (5,))[0])
    x = np.abs(X)
    x[5] = large
    objective = jaxnn.objective(network, losses.squared_error(), micro_batches=4)
    with pytest.warns(jaxnn.train.DivergenceWarning, match="micro-batch 2"):
        found = jaxnn.fit(
            objective, optax.sgd(0.1), params, x, x[:, :3], key=jax.random.key(1), epochs=1, gradients=way
        )
    assert found.divergence[:5] == (0, what, layer, 3, f"params[{layer - 1}], micro-batch 2")


@pytest.mark.full
def test_a_divergence_in_a_copy_of_a_micro_batch():
    copies = jaxnn.repeat(jaxnn.residual(jaxnn.dense(5)), 3)
    network = jaxnn.chain(copies, jaxnn.dense(3))
    params = jax.tree.map(jnp.ones_like, network.init(jax.random.key(0), (5,))[0])
    x = np.ones((7, 5), np.float32)
    x[2] = 1e37  # 6e37 after one copy, and 3.6e38 after two is infinite
    objective = jaxnn.objective(network, losses.squared_error(), micro_batches=4)
    with pytest.warns(
        jaxnn.train.DivergenceWarning, match=r"the inputs of layer 3 of 4 \(params\[0\], copy 3, micro-batch 3\)"
    ):
        jaxnn.fit(objective, optax.sgd(0.1), params, x, x[:, :3], key=jax.random.key(1), epochs=1)
