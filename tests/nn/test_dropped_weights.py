"""Dropout of the weights of attention: which are dropped, the same ones in blocks, and their loops in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from jaxnn.nn.dropped_weights import kept_weights
from tests.helpers.oracle.attention import d_dot_attention, dot_attention, visible_keys
from tests.helpers.programs import TOLERANCE, compiled, hand, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(21)
KEY = jax.random.key(5)


def mask(rate, m=4, heads=2, queries=7, keys=9, key=KEY):
    return np.asarray(kept_weights(key, rate, m, heads, jnp.arange(queries), jnp.arange(keys)))


@pytest.mark.full
def test_the_share_that_is_dropped_and_where():
    kept = mask(0.3, m=8, heads=4, queries=50, keys=60)
    assert abs(kept.mean() - 0.7) < 4 * (0.3 * 0.7 / kept.size) ** 0.5
    for axis in range(4):  # no axis shares its fate, and neighbors on it are independent
        others = tuple({*range(4)} - {axis})
        assert abs(kept.mean(others) - 0.7).max() < 5 * (0.3 * 0.7 / (kept.size / kept.shape[axis])) ** 0.5
        one, next_one = (
            np.take(kept, range(*ends), axis) - 0.7 for ends in ((kept.shape[axis] - 1,), (1, kept.shape[axis]))
        )
        assert abs((one * next_one).mean()) < 5 * 0.3 * 0.7 / one.size**0.5
    assert mask(0.0).all()
    assert not np.array_equal(mask(0.3), mask(0.3, key=jax.random.key(6)))


@pytest.mark.full
def test_a_weight_is_dropped_by_its_place_alone():
    """So it is the same in a block, in a larger batch and in a longer sequence."""
    whole = mask(0.4, m=5, heads=3, queries=11, keys=13)
    np.testing.assert_array_equal(mask(0.4, m=2, heads=2, queries=5, keys=6), whole[:2, :2, :5, :6])
    block = kept_weights(KEY, 0.4, 5, 3, jnp.arange(4, 8), jnp.arange(9, 13))
    np.testing.assert_array_equal(block, whole[:, :, 4:8, 9:13])


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block", [None, 1, 3, 16])
def test_attention_with_dropped_weights_is_its_loops(block, causal, x64):
    """At once and in blocks, with lengths of 0, 1, some and all."""
    q, k, v, dy = (RNG.normal(size=(4, n, 6)) for n in (7, 9, 9, 7))
    lengths, rate = np.array([0, 1, 5, 9]), 0.4
    visible, factors = visible_keys(4, 7, 9, lengths, causal), mask(rate) / (1 - rate)
    y = dot_attention(q, k, v, 2, visible, factors)
    expected = [y, *d_dot_attention(q, k, v, 2, visible, dy, factors)]
    kept = jnp.asarray(mask(rate))
    in_heads = lambda a: jnp.asarray(a).reshape(*a.shape[:2], 2, -1)  # noqa: E731

    @compiled
    def run(q, k, v, dy):
        if block is None:
            y, cache = functional.attention_forward(q, k, v, jnp.asarray(visible), kept, rate)
            return [y, *functional.attention_backward(cache, dy, kept, rate)]
        seen = jnp.asarray(np.arange(9) < lengths[:, None])
        y, cache = functional.blockwise_attention_forward(q, k, v, block, seen, causal, KEY, rate)
        return [y, *functional.blockwise_attention_backward(cache, dy, block, causal, KEY, rate)]

    same(run(*map(in_heads, (q, k, v, dy))), [in_heads(a) for a in expected], **TOLERANCE["float64"])


def layers(**options):
    return [nn.multi_head_attention(2, block=block, **options) for block in (None, 3)]


def drawn(layer, n_times=7):
    params = jax.eval_shape(lambda: layer.init(jax.random.key(0), (n_times, 4))[0])
    return jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), params)


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
def test_the_layer_drops_the_same_weights_in_blocks_and_none_in_inference(causal, x64):
    plain, in_blocks = layers(causal=causal, dropout=0.4)
    params, x, dy = drawn(plain), *(jnp.asarray(RNG.normal(size=(3, 7, 4))) for _ in range(2))
    one, other = (compiled(partial(hand, layer))(params, x, dy, KEY) for layer in (plain, in_blocks))
    same(one, other, rtol=1e-12, atol=1e-14)
    for layer, without in zip((plain, in_blocks), layers(causal=causal), strict=True):
        np.testing.assert_array_equal(layer.infer(params, (), x), without.infer(params, (), x))
        assert not np.allclose(one[0], without.infer(params, (), x), atol=1e-2)
    other_key = compiled(partial(hand, plain))(params, x, dy, jax.random.key(6))
    assert not np.allclose(one[0], other_key[0], atol=1e-2)


def test_what_is_kept_in_blocks_grows_with_time_and_not_with_its_square():
    def kept(n_times):
        layer = nn.multi_head_attention(2, block=64, dropout=0.1)
        params = jax.eval_shape(lambda: layer.init(KEY, (n_times, 8))[0])
        x = jax.ShapeDtypeStruct((2, n_times, 8), "float32")
        cache = jax.eval_shape(lambda params, x: layer.forward(params, x, KEY)[1], params, x)
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(cache) if a.size > 1)

    assert kept(100_000) == 1000 * kept(100)


@pytest.mark.full
def test_a_block_of_a_transformer_drops_weights_in_training_alone():
    block, without = (nn.transformer_block(2, 8, attention_dropout=rate) for rate in (0.5, 0.0))
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    params, _ = block.init(KEY, (5, 4))
    np.testing.assert_array_equal(block.infer(params, (), x), without.infer(params, (), x))
    one, other = (block.forward(params, x, jax.random.key(seed))[0] for seed in (1, 2))
    assert np.abs(one - other).max() > 1e-3


def test_training_without_a_key_and_other_rates_raise():
    layer = nn.multi_head_attention(2, dropout=0.1)
    with pytest.raises(ValueError, match=r"^key must be one random key, got None: infer\(params, stats, x\) is"):
        layer.forward(drawn(layer), jnp.zeros((1, 7, 4)))
    for make in (
        lambda rate: nn.multi_head_attention(2, dropout=rate),
        lambda rate: nn.transformer_block(2, 3, attention_dropout=rate),
    ):
        for rate in (1.0, -0.1, "0.1", None):
            with pytest.raises(ValueError, match=r"dropout must be the fraction to drop, 0 <= rate < 1, got"):
                make(rate)
