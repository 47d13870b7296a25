"""Attention in blocks against loops in NumPy and against attention of all pairs at once; memory that grows with T."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from jaxnn.nn import Sequences
from tests.helpers.oracle.attention import d_dot_attention, dot_attention, visible_keys
from tests.helpers.programs import TOLERANCE, compiled, hand, same
from tests.helpers.sequence_cases import attention_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(13)
BY_RULES = [case for case in attention_cases() if case.name not in ("any_mask", "one_row_sees_nothing")]


def in_heads(a, heads):
    return jnp.asarray(a).reshape(*a.shape[:2], heads, -1)


def in_blocks(q, k, v, dy, block, seen=None, causal=False):
    y, cache = functional.blockwise_attention_forward(q, k, v, block, seen, causal)
    return [y, *functional.blockwise_attention_backward(cache, dy, block, causal)]


def at_once(q, k, v, dy, visible=None):
    y, cache = functional.attention_forward(q, k, v, visible)
    return [y, *functional.attention_backward(cache, dy)]


@pytest.mark.representatives("padding_with_lengths_0_1_and_T-3")
@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("case", BY_RULES, ids=lambda case: case.name)
def test_attention_in_blocks_is_its_loops(case, block, x64):
    y = dot_attention(case.q, case.k, case.v, case.heads, case.visible)
    dy = RNG.normal(size=y.shape)
    expected = [y, *d_dot_attention(case.q, case.k, case.v, case.heads, case.visible, dy)]
    seen = None if case.key_lengths is None else jnp.arange(case.k.shape[1])[None] < case.key_lengths[:, None]
    given = [in_heads(a, case.heads) for a in (case.q, case.k, case.v, dy)]
    got = compiled(partial(in_blocks, block=block, causal=case.causal))(*given, seen=seen)
    same(got, [in_heads(a, case.heads) for a in expected], **TOLERANCE["float64"])


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys", "block"), [(13, 13, 4), (13, 13, 5), (7, 13, 4), (13, 7, 3), (11, 11, 11)])
def test_attention_in_blocks_is_that_at_once(queries, keys, block, causal, x64):
    """Lengths that no block divides, examples of length 0, 1, some and all."""
    q, k, v, dy = (jnp.asarray(RNG.normal(size=(4, n, 2, 3))) for n in (queries, keys, keys, queries))
    lengths = np.array([0, 1, keys // 2, keys])
    visible = jnp.asarray(visible_keys(4, queries, keys, lengths, causal))
    seen = jnp.arange(keys)[None] < lengths[:, None]

    @compiled
    def run(*given):
        return in_blocks(*given, block, seen, causal), at_once(*given, visible)

    got, expected = run(q, k, v, dy)
    same(got, expected, rtol=1e-12, atol=1e-14)
    for a in got:
        np.testing.assert_array_equal(a[0], 0)


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(0, 0), (0, 3), (3, 0)])
def test_no_queries_or_no_keys(queries, keys, causal):
    """A query without keys has y = 0, and nothing has a gradient."""
    q, k = (np.ones((2, n, 1, 4), "float32") for n in (queries, keys))
    v, dy = (np.ones((2, n, 1, 5), "float32") for n in (keys, queries))
    for got, like in zip(in_blocks(q, k, v, dy, 2, causal=causal), (dy, q, k, v), strict=True):
        np.testing.assert_array_equal(got, np.zeros_like(like))


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_large_scores_neither_overflow_nor_lose_the_weights(dtype):
    """The weights of scores of about 1e6, of one key each, are one-hot; so each y is that key's value, and dv is 1."""
    q = 1e3 * np.eye(9)[:, ::-1].reshape(1, 9, 1, 9)
    k, v, dy = 1e3 * np.eye(9).reshape(1, 9, 1, 9), np.arange(9.0).reshape(1, 9, 1, 1), np.ones((1, 9, 1, 1))
    y, dq, dk, dv = in_blocks(*(jnp.asarray(a, dtype) for a in (q, k, v, dy)), 4)
    np.testing.assert_array_equal(np.ravel(y), np.arange(9)[::-1])
    np.testing.assert_array_equal(np.ravel(dv), 1)
    np.testing.assert_array_equal(np.ravel(dq), 0)
    np.testing.assert_array_equal(np.ravel(dk), 0)


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_a_layer_in_blocks_is_the_layer_without_them(causal, fill, x64):
    """Of padding with NaN and lengths of 0, 1, some and all."""
    plain, layer = (nn.multi_head_attention(2, causal=causal, block=block) for block in (None, 3))
    params = jax.eval_shape(lambda key: plain.init(key, (7, 4))[0], jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), params)
    lengths, x, dy = np.array([7, 0, 1, 4]), RNG.normal(size=(4, 7, 4)), RNG.normal(size=(4, 7, 4))
    within = (np.arange(7) < lengths[:, None])[..., None]
    batch, dy = (
        Sequences(jnp.asarray(np.where(within, x, fill)), jnp.asarray(lengths)),
        Sequences(jnp.asarray(dy), lengths),
    )
    got, expected = (compiled(partial(hand, one))(params, batch, dy, None) for one in (layer, plain))
    same(got, expected, **TOLERANCE["float64"])
    np.testing.assert_array_equal(np.where(within, 0, got[0].x), 0)
    np.testing.assert_array_equal(np.where(within, 0, got[2].x), 0)


def kept(layer, n_times):
    x = jax.ShapeDtypeStruct((2, n_times, 8), "float32")
    params = jax.eval_shape(lambda key: layer.init(key, (n_times, 8))[0], jax.random.key(0))
    cache = jax.eval_shape(lambda params, x: layer.forward(params, x)[1], params, x)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(cache))


def test_what_is_kept_grows_with_time_and_not_with_its_square():
    in_blocks, plain = nn.multi_head_attention(2, block=64), nn.multi_head_attention(2)
    once, twice, thousand = (kept(in_blocks, n) for n in (100, 200, 100_000))
    assert twice == 2 * once
    assert thousand == 1000 * once
    assert kept(plain, 200) > 2.5 * kept(plain, 100)


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
def test_scratch_at_2048_times_is_below_that_of_all_pairs(causal):
    """Of forward and backward in one program; less than a tenth of the weights P alone."""
    x = jax.ShapeDtypeStruct((1, 2048, 32), "float32")

    def scratch(block):
        layer = nn.multi_head_attention(4, causal=causal, block=block)
        params = jax.eval_shape(lambda key: layer.init(key, (2048, 32))[0], jax.random.key(0))
        program = jax.jit(partial(hand, layer, key=None)).lower(params, x, x).compile()
        return program.memory_analysis().temp_size_in_bytes

    weights = 4 * 2048**2 * 4
    assert scratch(128) < weights / 10 < weights < scratch(None)


def equations(jaxpr):
    """The number of equations of a jaxpr and of those in it."""
    inner = [p for eqn in jaxpr.eqns for p in jax.tree.leaves(list(eqn.params.values()), is_leaf=is_jaxpr)]
    return len(jaxpr.eqns) + sum(equations(getattr(p, "jaxpr", p)) for p in inner if is_jaxpr(p))


def is_jaxpr(a):
    return hasattr(a, "eqns")


def traced(n_times, causal, block=32):
    a = jax.ShapeDtypeStruct((1, n_times, 2, 4), "float32")
    return jax.make_jaxpr(partial(in_blocks, block=block, causal=causal))(a, a, a, a)


@pytest.mark.parametrize("causal", [False, True])
def test_the_program_does_not_grow_with_time(causal):
    few, many = traced(64, causal), traced(64_000, causal)
    assert equations(few.jaxpr) == equations(many.jaxpr) > 50
    assert sum(np.size(a) for a in many.consts) < 100


@pytest.mark.parametrize(("causal", "steps"), [(False, 64), (True, 36)])
def test_a_causal_loop_leaves_out_pairs_that_see_nothing(causal, steps):
    jaxpr = traced(256, causal).jaxpr
    assert [eqn.params["length"] for eqn in loops(jaxpr)] == [steps] * 2


def loops(jaxpr):
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "scan":
            yield eqn
        for p in filter(is_jaxpr, eqn.params.values()):
            yield from loops(getattr(p, "jaxpr", p))


@pytest.mark.parametrize("block", [0, -1, 2.5, "128"])
def test_a_block_that_is_not_a_count_raises(block):
    with pytest.raises(ValueError, match="block must be a whole number of at least 1"):
        nn.multi_head_attention(2, block=block)
