"""Recurrent decoders that read a memory, against loops in NumPy; padding and what is kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import nn
from jaxnn.nn import Sequences
from tests.helpers.oracle.attention import d_read_memory, read_memory, visible_keys
from tests.helpers.oracle.cells import weight_shapes
from tests.helpers.programs import TOLERANCE, compiled, hand, same
from tests.nn.test_recurrence_oracle import CELLS, stored

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, N_IN, N_K, UNITS = 3, 2, 4, 3


@pytest.mark.full
@pytest.mark.parametrize("fill", [0.0, np.nan])
@pytest.mark.parametrize("cell", CELLS)
def test_a_decoder_is_its_loops(cell, fill, x64):
    """Outputs and every gradient, at lengths of 0, 1, some and all; 30 times are several pieces."""
    (oracle, make, gates), rng, n_times = CELLS[cell], np.random.default_rng(17), 30
    weights = {name: rng.normal(size=shape) for name, shape in weight_shapes(oracle, N_IN + N_K, UNITS).items()}
    W_q, W_k, v = (rng.normal(size=size) for size in ((N, UNITS), (N, N_K), (N,)))
    x, h, dy = (rng.normal(size=(4, *size)) for size in ((n_times, N_IN), (5, N_K), (n_times, UNITS)))
    lengths, of_memory = np.array([n_times, 1, 0, 7]), np.array([5, 0, 3, 1])
    within, seen = ((np.arange(n) < ends[:, None])[..., None] for n, ends in ((n_times, lengths), (5, of_memory)))
    given = oracle, weights, x, h, W_q, W_k, v, lengths, visible_keys(4, 1, 5, of_memory)
    dweights, dx, dh, dW_q, dW_k, dv = d_read_memory(*given, dy)
    expected = read_memory(*given), params_of(dweights, gates, dW_q, dW_k, dv), dx, dh

    padded = [np.where(mask, a, fill) for mask, a in ((within, x), (seen, h))]
    pair = tuple(Sequences(jnp.asarray(a), jnp.asarray(n)) for a, n in zip(padded, (lengths, of_memory), strict=True))
    layer, params = nn.recurrent_attention(make(UNITS), N), params_of(weights, gates, W_q, W_k, v)
    run = compiled(partial(hand, layer))
    y, dparams, (dx, dh) = run(params, pair, Sequences(jnp.asarray(dy), pair[0].lengths), None)
    same((y.x, dparams, dx.x, dh.x), jax.tree.map(jnp.asarray, expected), **TOLERANCE["float64"])


def params_of(weights, gates, W_q, W_k, v):
    of_attention = {"query": {"W": W_q}, "key": {"W": W_k}, "score": {"W": v[None]}}
    return jax.tree.map(jnp.asarray, of_attention) | {"cell": stored(weights, gates)}


def test_the_memory_is_not_kept_for_each_time():
    layer, h = nn.recurrent_attention(nn.gru_cell(8), 8), jax.ShapeDtypeStruct((2, 50, 8), "float32")

    def kept(n_times):
        x = jax.ShapeDtypeStruct((2, n_times, 8), "float32")
        params = jax.eval_shape(
            lambda key: layer.init(key, (x.update(shape=x.shape[1:]), h.update(shape=(50, 8))))[0], jax.random.key(0)
        )
        cache = jax.eval_shape(lambda params, pair: layer.forward(params, pair)[1], params, (x, h))
        return sum(leaf.size for leaf in jax.tree.leaves(cache))

    of_one_time = (kept(40) - kept(20)) / 20
    assert of_one_time < 2 * (50 + 100) < 2 * 50 * 8  # the weights of all keys and a few vectors, of 2 examples


# From a state that is given, in pieces


GIVEN = nn.recurrent_attention(nn.lstm_cell(UNITS), N, state="given")
FROM_ZEROS = nn.recurrent_attention(nn.lstm_cell(UNITS), N)
given_state = compiled(GIVEN.infer)


def drawn(dtype="float64", m=3, n_times=6):
    """Params, (x, h) and a state of random numbers."""
    rng = np.random.default_rng(8)
    like = jax.eval_shape(lambda: FROM_ZEROS.init(jax.random.key(0), ((n_times, N_IN), (5, N_K)))[0])
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape).astype(dtype)), like)
    x, h, *state = (
        jnp.asarray(rng.normal(size=(m, *size)).astype(dtype))
        for size in ((n_times, N_IN), (5, N_K), (UNITS,), (UNITS,))
    )
    return params, (x, h), tuple(state)


@pytest.mark.full
def test_pieces_from_the_state_before_are_the_whole(x64):
    params, (x, h), _ = drawn()
    whole = compiled(FROM_ZEROS.infer)(params, (), (x, h))
    zeros = (jnp.zeros((3, UNITS)),) * 2
    state, pieces = zeros, []
    for piece in (slice(0, 1), slice(1, 4), slice(4, 6)):
        y, state = given_state(params, (), ((x[:, piece], h), state))
        pieces.append(y)
    same(jnp.concatenate(pieces, 1), whole, **TOLERANCE["float64"])
    same(state, given_state(params, (), ((x, h), zeros))[1], **TOLERANCE["float64"])
    np.testing.assert_array_equal(state[0], pieces[-1][:, -1])
    carry = nn.start_carry(FROM_ZEROS, params, 3)
    y, (last, _) = compiled(nn.carried(FROM_ZEROS).infer)(params, (), ((x, h), carry))
    same((y, last), (whole, state), **TOLERANCE["float64"])
    training = partial(hand, nn.carried(FROM_ZEROS), params, ((x, h), carry), (whole, carry), None)
    (_, (last, _)), dparams, (dpair, (dstate, _)) = training()
    expected = hand(GIVEN, params, ((x, h), carry[0]), (whole, carry[0]), None)
    same(((y, last), dparams, (dpair, dstate)), expected, **TOLERANCE["float64"])


@pytest.mark.full
def test_the_last_state_is_that_at_each_length(x64):
    """Of a sequence of length 0, it is the state that was given."""
    params, (x, h), state = drawn()
    padded = nn.Sequences(x, jnp.array([4, 0, 6])), nn.Sequences(h, jnp.array([5, 2, 0]))
    _, last = given_state(params, (), (padded, state))
    for i, (n, keys) in enumerate([(4, 5), (0, 2), (6, 0)]):
        of_one = tuple(a[i : i + 1] for a in state)
        if n:
            memory = nn.Sequences(h[i : i + 1], jnp.array([keys]))
            _, of_one = given_state(params, (), ((x[i : i + 1, :n], memory), of_one))
        same(tuple(a[i : i + 1] for a in last), of_one, **TOLERANCE["float64"])


@pytest.mark.full
def test_the_gradient_goes_through_the_state(x64):
    """Two pieces, by hand one after the other, against `jax.grad` of the loop over single times by NumPy's formulas."""
    params, (x, h), state = drawn()
    dy, dlast = jnp.cos(jnp.arange(54.0).reshape(3, 6, UNITS)), tuple(jnp.sin(a) for a in state)

    def loss(params, x, h, state):
        """Written out: an LSTM whose input is [x, c], c by additive attention of the output before."""
        (a, c), cell, total = state, params["cell"], 0.0
        for t in range(6):
            scores = (
                jnp.tanh((a @ params["query"]["W"].T)[:, None] + h @ params["key"]["W"].T) @ params["score"]["W"][0]
            )
            context = jnp.einsum("mk,mkn->mn", jax.nn.softmax(scores), h)
            z = jnp.concatenate([x[:, t], context], 1) @ cell["W_x"].T + a @ cell["W_a"].T + cell["b"][None]
            f, i, o = (jax.nn.sigmoid(z[:, k * UNITS : (k + 1) * UNITS]) for k in range(3))
            c = f * c + i * jnp.tanh(z[:, 3 * UNITS :])
            a = o * jnp.tanh(c)
            total = total + (a * dy[:, t]).sum()
        return total + (a * dlast[0]).sum() + (c * dlast[1]).sum()

    @compiled
    def by_hand(params, x, h, state):
        (_, between), first = GIVEN.forward(params, ((x[:, :2], h), state))
        _, second = GIVEN.forward(params, ((x[:, 2:], h), between))
        dparams_2, ((dx_2, dh_2), dbetween) = GIVEN.backward(params, second, (dy[:, 2:], dlast))
        dparams_1, ((dx_1, dh_1), dstate) = GIVEN.backward(params, first, (dy[:, :2], dbetween))
        return jax.tree.map(jnp.add, dparams_1, dparams_2), jnp.concatenate([dx_1, dx_2], 1), dh_1 + dh_2, dstate

    expected = compiled(jax.grad(loss, (0, 1, 2, 3)))(params, x, h, state)
    same(by_hand(params, x, h, state), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inputs", ["bfloat16", "float32"])
@pytest.mark.parametrize("params", ["bfloat16", "float32"])
@pytest.mark.parametrize("state", ["bfloat16", "float32"])
def test_dtypes_widen_as_in_a_sum_and_cotangents_have_those_of_what_was_given(inputs, params, state):
    weights, pair, start = drawn("float32")
    weights, pair, start = (
        jax.tree.map(lambda a, dtype=dtype: a.astype(dtype), tree)
        for tree, dtype in ((weights, params), (pair, inputs), (start, state))
    )
    wide = "float32" if "float32" in (inputs, params, state) else "bfloat16"

    def run(weights, pair, start):
        y, cache = GIVEN.forward(weights, (pair, start))
        return y, GIVEN.backward(weights, cache, y)

    (y, last), (dparams, (dpair, dstart)) = jax.eval_shape(run, weights, pair, start)
    assert {a.dtype.name for a in (y, *last)} == {wide}
    for tree, dtype in ((dparams, params), (dpair, inputs), (dstart, state)):
        assert {a.dtype.name for a in jax.tree.leaves(tree)} == {dtype}
    y, _ = jax.eval_shape(FROM_ZEROS.forward, weights, pair)
    assert y.dtype == ("float32" if "float32" in (inputs, params) else "bfloat16")


@pytest.mark.parametrize(
    "name", ["none", "empty", "short", "units", "examples", "whole numbers", "one array", "a list"]
)
@pytest.mark.parametrize(
    "layer", [GIVEN, nn.recurrent(nn.lstm_cell(UNITS), state="given")], ids=["attention", "recurrent"]
)
def test_a_wrong_state_raises_in_one_line(layer, name):
    params, pair, state = drawn("float32")
    wrong = {
        "none": None,
        "empty": (),
        "short": state[:1],
        "units": (state[0], jnp.zeros((3, 9))),
        "examples": tuple(a[:1] for a in state),
        "whole numbers": tuple(a.astype(int) for a in state),
        "one array": state[0],
        "a list": [*state],
    }[name]
    x = pair if layer is GIVEN else pair[0]
    with pytest.raises(
        ValueError, match=r"^state must be a tuple of arrays of floats \(\(3, 3\), \(3, 3\)\), got"
    ) as error:
        layer.forward(params if layer is GIVEN else params["cell"], (x, wrong))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("m", [1, 2, 6])
def test_a_memory_of_other_examples_raises(m):
    """Half as many memories would be read by the wrong sequences."""
    params, (x, _), _ = drawn("float32", m=4)
    message = rf"^h must be numbers \(m=4, keys, n_k=4\) for W_k .* and x .*, got float32 \({m}, 5, 4\)"
    with pytest.raises(ValueError, match=message):
        FROM_ZEROS.forward(params, (x, jnp.zeros((m, 5, N_K))))


def test_another_start_raises():
    with pytest.raises(ValueError, match=r"^state must be one of \['given', 'zeros'\], got 'learned'"):
        nn.recurrent_attention(nn.gru_cell(2), 2, state="learned")
    with pytest.raises(ValueError, match=r"^x must be \(x, state\), with the state before the first step, got"):
        GIVEN.forward(drawn()[0], drawn()[1][0])


@pytest.mark.parametrize("n", [16, 64])
def test_lecun_vectors_have_the_deviation_of_a_dense_layer_of_n_inputs(n):
    E = nn.embedding(4000, n, "lecun").init(jax.random.key(0), jax.ShapeDtypeStruct((), "int32"))[0]["E"]
    W = nn.dense(4000, "lecun").init(jax.random.key(1), (n,))[0]["W"]
    assert E.shape == W.shape
    np.testing.assert_allclose([E.std(), W.std()], n**-0.5, rtol=0.02)
    np.testing.assert_allclose(E.mean(), 0, atol=0.02 * n**-0.5)
