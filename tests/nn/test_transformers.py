"""Transformer blocks against their formula in NumPy loops; lengths, dropout, and a memory for the next block."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.nn import Sequences
from tests.helpers.oracle.activations import relu
from tests.helpers.oracle.attention import dot_attention, visible_keys
from tests.helpers.oracle.normalization import LAYER_NORM, normalization
from tests.helpers.programs import compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(16)
HEADS, HIDDEN = 2, 3


def drawn(layer, in_shape):
    params = jax.eval_shape(lambda key: layer.init(key, in_shape)[0], jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), params)


def dense(params, x):
    return x @ np.asarray(params["W"]).T + np.asarray(params.get("b", 0))


def attention(params, x, other, visible):
    q, k, v = dense(params["query"], x), dense(params["key"], other), dense(params["value"], other)
    return dense(params["output"], dot_attention(q, k, v, HEADS, visible))


def layer_norm(params, x):
    return normalization(LAYER_NORM, x, np.asarray(params["gamma"]), np.asarray(params["beta"]))


def feed(params, x):
    (first, _), second = params
    return dense(second, relu(dense(first, x)))


def by_formula(norm, params, x, visible, memory=None, of_memory=None):
    """y of a block, from its parts; params are taken apart as the layer packs them."""
    first = norm == "first"

    def skip(params, x, f):
        if first:
            of_norm, (of_f, *_) = params
            return x + f(of_f, layer_norm(of_norm, x))
        (of_f, *_), of_norm = params
        return layer_norm(of_norm, x + f(of_f, x))

    if memory is None:
        of_attention, of_feed = params
    else:
        (of_attention, _), of_read, (of_feed, _) = params
    of_attention = of_attention[1] if first else of_attention
    x = skip(of_attention, x, lambda params, x: attention(params, x, x, visible))
    if memory is not None:
        of_read = (of_read[0][0], of_read[1]) if first else (of_read[0], of_read[1][0])
        x = skip(of_read, x, lambda params, x: attention(params, x, memory, of_memory))
    return skip(of_feed, x, feed)


@pytest.mark.representatives("last-False")
@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("norm", ["first", "last"])
def test_a_block_is_its_formula(norm, memory, x64):
    layer = nn.transformer_block(HEADS, HIDDEN, True, norm, activation="relu", memory=memory)
    x, other, lengths, of_memory = RNG.normal(size=(3, 4, 6)), RNG.normal(size=(3, 5, 2)), [4, 1, 2], [5, 0, 3]
    within, seen = ((np.arange(n) < np.array(ends)[:, None])[..., None] for n, ends in ((4, lengths), (5, of_memory)))
    given = Sequences(jnp.asarray(np.where(within, x, np.nan)), jnp.asarray(lengths))
    other = np.where(seen, other, np.nan)
    given = (given, Sequences(jnp.asarray(other), jnp.asarray(of_memory))) if memory else given
    params = drawn(layer, nn.shapes_of(given))
    y = compiled(lambda params, x: layer.infer(params, (), x))(params, given)
    if memory:
        y, passed_on = y
        np.testing.assert_array_equal(passed_on.x, other)
    np.testing.assert_array_equal(y.lengths, lengths)
    of_pairs, other = visible_keys(3, 4, 5, of_memory), np.where(seen, other, 0)
    expected = by_formula(norm, params, x, visible_keys(3, 4, 4, lengths, True), other if memory else None, of_pairs)
    np.testing.assert_allclose(y.x, np.where(within, expected, 0), rtol=1e-10, atol=1e-10)


@pytest.mark.full
def test_a_skip_connection_leaves_lengths_as_they_are():
    layer = jaxnn.chain(nn.residual(nn.multi_head_attention(2)), nn.residual(nn.each_step(jaxnn.dense(4))))
    x = Sequences(jnp.ones((2, 5, 4)), jnp.array([5, 2]))
    params, _ = layer.init(jax.random.key(0), nn.shapes_of(x))
    y, cache = layer.forward(params, x)
    np.testing.assert_array_equal(y.lengths, [5, 2])
    dx = layer.backward(params, cache, Sequences(jnp.ones((2, 5, 4)), np.zeros(2, jax.dtypes.float0)))[1]
    assert dx.lengths.dtype == jax.dtypes.float0


@pytest.mark.full
def test_dropout_is_in_training_alone():
    block = nn.transformer_block(2, 8, dropout_rate=0.5)
    x = jnp.asarray(RNG.normal(size=(2, 5, 4)), "float32")
    params, _ = block.init(jax.random.key(0), (5, 4))
    of_keys = [block.forward(params, x, jax.random.key(seed))[0] for seed in (1, 2)]
    assert np.abs(of_keys[0] - of_keys[1]).max() > 1e-2
    without = nn.transformer_block(2, 8)
    reordered = jax.tree.unflatten(
        jax.tree.structure(without.init(jax.random.key(0), (5, 4))[0]), jax.tree.leaves(params)
    )
    np.testing.assert_allclose(block.infer(params, (), x), without.infer(reordered, (), x), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.transformer_block(0, 4), "heads must be a whole number of at least 1, got 0"),
        (lambda: nn.transformer_block(2, 4, norm="before"), "norm must be one of ['first', 'last'], got 'before'"),
        (lambda: nn.transformer_block(2, 4, dropout_rate=1), "dropout_rate must be the fraction to drop"),
        (lambda: nn.transformer_block(3, 4).init(jax.random.key(0), (5, 4)), "a multiple of 3 numbers"),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
