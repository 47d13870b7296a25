"""Additive attention against loops in NumPy; lengths, padding, pieces, and one query at a time."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from jaxnn.nn import Sequences, alignments
from tests.helpers.oracle.attention import additive_attention, d_additive_attention, visible_keys
from tests.helpers.programs import TOLERANCE, compiled, hand, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(15)
N, N_Q, N_K = 3, 2, 4


def drawn(m, queries, keys):
    """Queries, a memory, and params."""
    W_q, W_k, w = (RNG.normal(size=size) for size in ((N, N_Q), (N, N_K), (1, N)))
    params = {"query": {"W": W_q}, "key": {"W": W_k}, "score": {"W": w}}
    return RNG.normal(size=(m, queries, N_Q)), RNG.normal(size=(m, keys, N_K)), params


def by_loops(params, s, h, visible, dy):
    """(y, dparams, (ds, dh)) by the oracle, in which the memory is both keys and values."""
    W_q, W_k, w = params["query"]["W"], params["key"]["W"], params["score"]["W"][0]
    y = additive_attention(s, h, h, W_q, W_k, w, visible)
    ds, dk, dv, dW_q, dW_k, dw = d_additive_attention(s, h, h, W_q, W_k, w, visible, dy)
    return y, {"query": {"W": dW_q}, "key": {"W": dW_k}, "score": {"W": dw[None]}}, (ds, dk + dv)


@pytest.mark.representatives("50")
@pytest.mark.parametrize("elements", [1, 50, 2**22])
def test_additive_attention_is_its_loops(elements, monkeypatch, x64):
    """All queries at once, or in pieces of some and of one."""
    monkeypatch.setattr(alignments, "_ELEMENTS", elements)
    s, h, params = drawn(2, 4, 3)
    dy = RNG.normal(size=(2, 4, N_K))
    got = compiled(partial(hand, nn.additive_attention(N)))(*jax.tree.map(jnp.asarray, (params, (s, h), dy)), None)
    expected = by_loops(params, s, h, visible_keys(2, 4, 3), dy)
    same(got, jax.tree.map(jnp.asarray, expected), **TOLERANCE["float64"])


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_what_is_beyond_a_length_changes_nothing(fill, x64):
    s, h, params = drawn(4, 5, 6)
    dy, lengths, of_memory = RNG.normal(size=(4, 5, N_K)), np.array([5, 2, 0, 3]), np.array([6, 1, 4, 0])
    within, seen = (np.arange(n) < ends[:, None] for n, ends in ((5, lengths), (6, of_memory)))
    padded = [np.where(mask[..., None], a, fill) for mask, a in ((within, s), (seen, h))]
    x = tuple(Sequences(jnp.asarray(a), jnp.asarray(n)) for a, n in zip(padded, (lengths, of_memory), strict=True))
    given = jax.tree.map(jnp.asarray, (params, x, Sequences(dy, lengths)))
    y, dparams, (ds, dh) = compiled(partial(hand, nn.additive_attention(N)))(*given, None)
    visible = visible_keys(4, 5, 6, of_memory) & within[:, :, None]
    expected = by_loops(params, s, h, visible, dy)
    same((y.x, dparams, (ds.x, dh.x)), jax.tree.map(jnp.asarray, expected), **TOLERANCE["float64"])
    np.testing.assert_array_equal(np.where(seen[..., None], 0, dh.x), 0)


@pytest.mark.full
def test_one_query_after_another_is_all_at_once(x64):
    """A decoder multiplies the keys by W_k once, and its shares of dk and dv are added."""
    s, h, params = drawn(2, 5, 6)
    q, k = jnp.asarray(s @ params["query"]["W"].T), jnp.asarray(h @ params["key"]["W"].T)
    h, dy, score = jnp.asarray(h), jnp.asarray(RNG.normal(size=(2, 5, N_K))), jax.tree.map(jnp.asarray, params["score"])

    @compiled
    def run(q, k, h, dy):
        y, cache = functional.additive_attention_forward(score, q, k, h)
        return y, *functional.additive_attention_backward(score, cache, dy)

    y, dparams, (dq, dk, dv) = run(q, k, h, dy)
    steps = [run(q[:, t : t + 1], k, h, dy[:, t : t + 1]) for t in range(5)]
    one_by_one = [
        jnp.concatenate(of_steps, 1) for of_steps in zip(*((y, dq) for y, _, (dq, _, _) in steps), strict=True)
    ]
    summed = jax.tree.map(lambda *shares: sum(shares), *((dparams, dk, dv) for _, dparams, (_, dk, dv) in steps))
    same((*one_by_one, summed), (y, dq, (dparams, dk, dv)), **TOLERANCE["float64"])


@pytest.mark.full
def test_a_query_that_sees_no_key_gives_zeros_and_passes_no_gradient():
    s, h, params = drawn(1, 2, 3)
    visible = jnp.array([[[False] * 3, [True, False, True]]])
    q, k = jnp.ones((1, 2, N)), jnp.ones((1, 3, N))
    y, cache = functional.additive_attention_forward(params["score"], q, k, h, visible)
    dparams, (dq, dk, dv) = functional.additive_attention_backward(params["score"], cache, jnp.ones((1, 2, N_K)))
    np.testing.assert_array_equal(y[0, 0], 0)
    np.testing.assert_array_equal(dq[0, 0], 0)
    np.testing.assert_array_equal(dv[0, 1], 0)
    np.testing.assert_array_equal(dk[0, 1], 0)
    assert np.isfinite(np.concatenate([np.ravel(a) for a in (y, dparams["W"], dq, dk, dv)])).all()


def test_the_hidden_units_are_not_kept():
    like = (jax.ShapeDtypeStruct((2, 50, 8), "float32"), jax.ShapeDtypeStruct((2, 60, 8), "float32"))
    layer = nn.additive_attention(16)
    params = jax.eval_shape(
        lambda key: layer.init(key, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), like))[0],
        jax.random.key(0),
    )
    cache = jax.eval_shape(lambda params, x: layer.forward(params, x)[1], params, like)
    kept = sum(leaf.size for leaf in jax.tree.leaves(cache))
    assert kept == 2 * (50 * 60 + 50 * (8 + 16) + 60 * (8 + 16))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.additive_attention(0), "n must be a whole number of at least 1, got 0"),
        (
            lambda: nn.additive_attention(2).init(jax.random.key(0), (5, 4)),
            "the shape of one sequence of floats, (T, n), got 5",
        ),
        (
            lambda: nn.additive_attention(2).init(jax.random.key(0), (5, 4, 3)),
            "in_shape must be a pair of shapes, of the queries and of the memory, got",
        ),
        (
            lambda: functional.additive_attention_forward(
                {"W": jnp.ones((1, 3))}, jnp.ones((1, 2, 3)), jnp.ones((1, 2, 4)), jnp.ones((1, 2, 3))
            ),
            "k must be floats (m=1, keys, n=3) for",
        ),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
