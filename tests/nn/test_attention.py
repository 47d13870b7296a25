"""Attention against loops in NumPy; queries that see nothing, padding, causality."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from jaxnn.nn import Sequences
from tests.helpers.oracle.attention import d_dot_attention, dot_attention
from tests.helpers.programs import TOLERANCE, compiled, hand, same
from tests.helpers.sequence_cases import attention_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(12)


@pytest.mark.representatives("any_mask", "causal_and_padding", "no_key_is_visible")
@pytest.mark.parametrize("case", [*attention_cases()], ids=lambda case: case.name)
def test_attention_is_its_loops(case, x64):
    def in_heads(a):
        return jnp.asarray(a).reshape(*a.shape[:2], case.heads, -1)

    y = dot_attention(case.q, case.k, case.v, case.heads, case.visible)
    dy = RNG.normal(size=y.shape)

    @compiled
    def run(q, k, v, visible, dy):
        y, cache = functional.attention_forward(q, k, v, visible)
        return [y, *functional.attention_backward(cache, dy)]

    got = run(*map(in_heads, (case.q, case.k, case.v)), jnp.asarray(case.visible), in_heads(dy))
    expected = [y, *d_dot_attention(case.q, case.k, case.v, case.heads, case.visible, dy)]
    same(got, [in_heads(a) for a in expected], **TOLERANCE["float64"])


def layer_and_params(memory=False, causal=False):
    layer = nn.multi_head_attention(2, causal=causal, memory=memory)
    shape = (jax.ShapeDtypeStruct((5, 4), "float32"),) * 2 if memory else (5, 4)
    params = jax.eval_shape(lambda key: layer.init(key, shape)[0], jax.random.key(0))
    return layer, jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), params)


@pytest.mark.full
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_each_padded_sequence_is_one_of_its_length(causal, fill, x64):
    layer, params = layer_and_params(causal=causal)
    lengths, x, dy = np.array([5, 0, 1, 3]), RNG.normal(size=(4, 5, 4)), RNG.normal(size=(4, 5, 4))
    within = (np.arange(5) < lengths[:, None])[..., None]
    batch = Sequences(jnp.asarray(np.where(within, x, fill)), jnp.asarray(lengths))
    run = compiled(lambda *given: hand(layer, *given))
    y, dparams, dx = run(params, batch, Sequences(jnp.asarray(dy), batch.lengths), None)
    total = jax.tree.map(jnp.zeros_like, params)
    for i, n in enumerate(lengths):
        np.testing.assert_array_equal(y.x[i, n:], 0)
        np.testing.assert_array_equal(dx.x[i, n:], 0)
        if n:
            one = run(params, jnp.asarray(x[i : i + 1, :n]), jnp.asarray(dy[i : i + 1, :n]), None)
            same((y.x[i, :n], dx.x[i, :n]), (one[0][0], one[2][0]), **TOLERANCE["float64"])
            total = jax.tree.map(jnp.add, total, one[1])
    same(dparams, total, **TOLERANCE["float64"])


@pytest.mark.full
def test_a_causal_output_does_not_depend_on_what_follows(x64):
    layer, params = layer_and_params(causal=True)
    x = jnp.asarray(RNG.normal(size=(2, 5, 4)))
    changed = x.at[:, 3:].set(7.0)
    one, other = layer.infer(params, (), x), layer.infer(params, (), changed)
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert (np.abs(one[:, 3:] - other[:, 3:]) > 1e-3).any()


@pytest.mark.representatives("nan-2-True")
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("block", [None, 2])
@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_a_nan_at_a_time_changes_nothing_before_it(fill, block, lengths, x64):
    """Outputs, and gradients of a loss of what is before it, bit for bit; what comes from it is NaN."""
    _, params = layer_and_params(causal=True)
    layer, at = nn.multi_head_attention(2, causal=True, block=block), 3
    x, dy = (jnp.asarray(RNG.normal(size=(3, 7, 4))) for _ in range(2))
    with_nan, early = x.at[1, at, 2].set(fill), dy.at[1, at:].set(0)
    within = jnp.asarray([7, 6, 2])

    @compiled
    def run(x, dy):
        x, dy = (Sequences(a, within) if lengths else a for a in (x, dy))
        return hand(layer, params, x, dy, None)

    def outputs(found):
        y, dparams, dx = found
        return (y.x if lengths else y), dparams, (dx.x if lengths else dx)

    y, dparams, dx = outputs(run(x, early))
    y_nan, dparams_nan, dx_nan = outputs(run(with_nan, early))
    before = np.ones((3, 7), bool)
    before[1, at:] = False
    np.testing.assert_array_equal(y_nan[before], y[before])
    np.testing.assert_array_equal(dx_nan[before], dx[before])
    jax.tree.map(np.testing.assert_array_equal, dparams_nan, dparams)
    live = np.isnan(y_nan[1]).all(-1)
    assert live.tolist() == [False] * 3 + [True] * 3 + [not lengths]
    _, dparams, _ = outputs(run(with_nan, dy))
    assert all(np.isnan(leaf).any() for leaf in jax.tree.leaves(dparams))


@pytest.mark.full
def test_a_nan_of_a_memory_changes_no_query_before_it(x64):
    layer, params = layer_and_params(memory=True, causal=True)
    x, h, dy = (jnp.asarray(RNG.normal(size=(2, n, 4))) for n in (7, 5, 7))
    for at in (2, 4):
        (y, _, _), (y_nan, *_) = (hand(layer, params, (x, one), dy, None) for one in (h, h.at[0, at].set(jnp.nan)))
        np.testing.assert_array_equal(y_nan[1], y[1])
        np.testing.assert_array_equal(y_nan[0, :at], y[0, :at])
        assert np.isnan(y_nan[0, at:]).all()


ATTENTIONS = {
    "plain": nn.multi_head_attention(2, memory=True),
    "plain_causal": nn.multi_head_attention(2, memory=True, causal=True),
    "blocks": nn.multi_head_attention(2, memory=True, block=2),
    "blocks_causal": nn.multi_head_attention(2, memory=True, causal=True, block=2),
    "additive": nn.additive_attention(3),
    "recurrent": nn.recurrent_attention(nn.gru_cell(4), 3),
}


@pytest.mark.full
@pytest.mark.parametrize("name", ATTENTIONS)
def test_nan_in_the_padding_of_queries_memory_and_cotangents_changes_nothing(name, x64):
    layer = ATTENTIONS[name]
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), ((5, 4), (6, 3)))[0])
    params = jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), shapes)
    x, h = RNG.normal(size=(4, 5, 4)), RNG.normal(size=(4, 6, 3))
    lengths, of_memory = np.array([5, 0, 1, 3]), np.array([2, 6, 0, 3])

    def found(fill):
        one, memory = (
            Sequences(jnp.asarray(np.where((np.arange(a.shape[1]) < n[:, None])[..., None], a, fill)), jnp.asarray(n))
            for a, n in ((x, lengths), (h, of_memory))
        )
        y = layer.infer(params, (), (one, memory))
        dy = jnp.asarray(np.where((np.arange(5) < lengths[:, None])[..., None], 1.0 + np.arange(4), fill))
        return y.x, *hand(layer, params, (one, memory), y._replace(x=dy[..., : y.x.shape[-1]]), None)

    clean, dirty = found(0.0), found(np.nan)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean) if leaf.dtype == "float64")
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)


def test_attention_to_a_memory_of_itself_is_that_to_itself(x64):
    of_itself, params = layer_and_params()
    x = jnp.asarray(RNG.normal(size=(2, 5, 4)))
    same(
        nn.multi_head_attention(2, memory=True).infer(params, (), (x, x)),
        of_itself.infer(params, (), x),
        **TOLERANCE["float64"],
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.multi_head_attention(0), "heads must be a whole number of at least 1, got 0"),
        (
            lambda: nn.multi_head_attention(3).init(jax.random.key(0), (5, 4)),
            "a multiple of 3 numbers, one part for each head",
        ),
        (
            lambda: nn.multi_head_attention(2).init(jax.random.key(0), (4,)),
            "the shape of one sequence of floats, (T, n), got (4,)",
        ),
        (
            lambda: functional.attention_forward(
                jnp.ones((1, 2, 1, 3)), jnp.ones((1, 2, 1, 4)), jnp.ones((1, 2, 1, 3))
            ),
            "k must be floats (m=1, keys, heads=1, d=3) for q (1, 2, 1, 3), got float32 (1, 2, 1, 4)",
        ),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.full
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"block": 2}])
def test_no_example_has_no_output(options):
    layer = nn.multi_head_attention(2, **options)
    params, _ = layer.init(jax.random.key(0), (5, 4))
    y, cache = layer.forward(params, jnp.ones((0, 5, 4)))
    dparams, dx = layer.backward(params, cache, y)
    assert y.shape == dx.shape == (0, 5, 4)
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves(dparams))
