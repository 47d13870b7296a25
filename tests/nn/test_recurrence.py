"""Recurrent layers: lengths, padding, directions, states, pieces of time, own cells, memory, and what does not fit."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.nn import through_time
from tests.helpers.programs import TOLERANCE, compiled, hand, is_float0, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(11)
CELLS = {
    "simple": lambda: nn.simple_cell(3),
    "lstm": lambda: nn.lstm_cell(3),
    "gru": lambda: nn.gru_cell(3),
    "gru_before": lambda: nn.gru_cell(3, "before"),
}
cells = pytest.mark.parametrize("cell", CELLS)
M, T, N_IN = 4, 7, 2
LENGTHS = np.array([0, 1, 7, 4])


def made(layer, in_shape=(T, N_IN)):
    """Params of a layer, away from zeros."""
    params = jax.eval_shape(lambda key: layer.init(key, in_shape)[0], jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), params)


def drawn(*shape):
    return RNG.normal(size=shape)  # of NumPy, which takes parts of it without a program for each


def of_numpy(tree):
    """The tree with arrays of NumPy, which takes parts of them and adds them without a program for each."""
    return jax.tree.map(np.asarray, tree)


# One program for each layer and shapes, whichever numbers it is run on.
run = compiled(hand, static_argnums=0)


@partial(compiled, static_argnums=0)
def infer(layer, params, x):
    return layer.infer(params, (), x)


def padded_shape():
    return nn.Sequences(jax.ShapeDtypeStruct((T, N_IN), "float64"), jax.ShapeDtypeStruct((), "int32"))


@pytest.mark.full
@cells
def test_a_sequence_is_run_step_by_step(cell, x64):
    layer, one = nn.recurrent(CELLS[cell]()), CELLS[cell]()
    params, x = made(layer), drawn(M, T, N_IN)
    state, ys = tuple(jnp.zeros((M, *shape)) for shape in one.state), []
    for t in range(T):
        state, _ = one.step(params, state, one.project(params, x[:, t]))
        ys.append(state[0])
    same(infer(layer, params, x), jnp.stack(ys, 1), **TOLERANCE["float64"])
    same(infer(nn.recurrent(CELLS[cell](), "last"), params, x), ys[-1], **TOLERANCE["float64"])


@pytest.mark.full
@cells
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("remat", [None, "gates"])
def test_each_padded_sequence_is_one_of_its_length(cell, reverse, remat, x64):
    """Values, last outputs and every gradient are those of the sequences one by one, without padding."""
    everything = nn.recurrent(CELLS[cell](), reverse=reverse, remat=remat, state="learned")
    last = nn.recurrent(CELLS[cell](), "last", reverse, "learned", remat)
    params, x = made(everything), drawn(M, T, N_IN)
    dy, dlast = drawn(M, T, 3), drawn(M, 3)
    batch = nn.Sequences(x, jnp.asarray(LENGTHS))
    y, dparams, dx = of_numpy(run(everything, params, batch, nn.Sequences(dy, jnp.asarray(LENGTHS)), None))
    y_last, dparams_last, dx_last = of_numpy(run(last, params, batch, dlast, None))
    assert is_float0(dx.lengths)
    total, total_last = (jax.tree.map(np.zeros_like, params) for _ in range(2))
    for i, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(y.x[i, n:], 0)
        np.testing.assert_array_equal(dx.x[i, n:], 0)
        np.testing.assert_array_equal(dx_last.x[i, n:], 0)
        if n == 0:
            same(y_last[i], np.asarray(params["start"][0]), **TOLERANCE["float64"])
            share = jax.tree.map(np.zeros_like, params["start"])
            total_last["start"] = jax.tree.map(np.add, total_last["start"], (dlast[i], *share[1:]))
            continue
        one = of_numpy(run(everything, params, x[i : i + 1, :n], dy[i : i + 1, :n], None))
        one_last = of_numpy(run(last, params, x[i : i + 1, :n], dlast[i : i + 1], None))
        same((y.x[i, :n], dx.x[i, :n]), (one[0][0], one[2][0]), **TOLERANCE["float64"])
        same((y_last[i], dx_last.x[i, :n]), (one_last[0][0], one_last[2][0]), **TOLERANCE["float64"])
        total, total_last = (
            jax.tree.map(np.add, so_far, share) for so_far, share in ((total, one[1]), (total_last, one_last[1]))
        )
    same((dparams, dparams_last), (total, total_last), **TOLERANCE["float64"])


@pytest.mark.representatives("all-recurrent-nan", "all-recurrent-inf")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("make", [nn.recurrent, nn.bidirectional], ids=["recurrent", "bidirectional"])
@pytest.mark.parametrize("outputs", ["all", "last"])
def test_padding_changes_nothing(make, value, outputs):
    layer = make(nn.lstm_cell(3), outputs)
    shape = nn.Sequences(jax.ShapeDtypeStruct((T, N_IN), "float32"), jax.ShapeDtypeStruct((), "int32"))
    params = layer.init(jax.random.key(0), shape)[0]
    within = np.arange(T)[None, :, None] < LENGTHS[:, None, None]
    x = RNG.normal(size=(M, T, N_IN)).astype("float32")

    def results(filled):
        batch = nn.Sequences(jnp.asarray(np.where(within, x, filled).astype("float32")), jnp.asarray(LENGTHS))
        return run(layer, params, batch, infer(layer, params, batch), None)

    for got, expected in zip(jax.tree.leaves(results(value)), jax.tree.leaves(results(0.0)), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.full
@cells
def test_reverse_is_the_flipped_sequence(cell, x64):
    ahead, back = nn.recurrent(CELLS[cell]()), nn.recurrent(CELLS[cell](), reverse=True)
    params, x, dy = made(ahead), drawn(M, T, N_IN), drawn(M, T, 3)
    y, dparams, dx = run(back, params, x, dy, None)
    expected = run(ahead, params, x[:, ::-1], dy[:, ::-1], None)
    same((y, dparams, dx), (expected[0][:, ::-1], expected[1], expected[2][:, ::-1]), **TOLERANCE["float64"])


@pytest.mark.representatives("lstm")
@cells
def test_a_sequence_in_parts_is_the_whole(cell, x64):
    """The state is handed on; the gradient of the first part's state is that of the second part's start."""
    whole, part = nn.recurrent(CELLS[cell]()), nn.recurrent(CELLS[cell](), state="given")
    params, x, dy = made(whole), drawn(M, T, N_IN), drawn(M, T, 3)
    zeros = tuple(jnp.zeros((M, *shape)) for shape in CELLS[cell]().state)

    @compiled
    def in_parts(params, x, dy):
        (y_1, state), cache_1 = part.forward(params, (x[:, :3], zeros))
        (y_2, end), cache_2 = part.forward(params, (x[:, 3:], state))
        dparams_2, (dx_2, dstate) = part.backward(params, cache_2, (dy[:, 3:], jax.tree.map(jnp.zeros_like, end)))
        dparams_1, (dx_1, _) = part.backward(params, cache_1, (dy[:, :3], dstate))
        dparams = jax.tree.map(jnp.add, dparams_1, dparams_2)
        return jnp.concatenate([y_1, y_2], 1), dparams, jnp.concatenate([dx_1, dx_2], 1)

    same(in_parts(params, x, dy), run(whole, params, x, dy, None), **TOLERANCE["float64"])


@pytest.mark.full
@pytest.mark.parametrize("length", [1, 2, 6, 12])
@pytest.mark.parametrize("cell", ["lstm", "gru_before"])
@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_of_time_change_nothing(monkeypatch, length, cell, reverse, x64):
    layer = nn.recurrent(CELLS[cell](), reverse=reverse, state="learned")
    params, x, lengths = made(layer, (12, N_IN)), drawn(M, 12, N_IN), jnp.array([12, 5, 0, 7])
    given = params, nn.Sequences(x, lengths), nn.Sequences(drawn(M, 12, 3), lengths), None

    def in_pieces(of):
        monkeypatch.setattr(through_time, "_length", lambda n, m: of)
        return jax.jit(lambda *given: hand(layer, *given))(*given)

    same(in_pieces(length), in_pieces(12 if length == 1 else 1), **TOLERANCE["float64"])


@pytest.mark.parametrize("n", [1, 2, 97, 100, 1000])
@pytest.mark.parametrize("m", [1, 3, 64, 500])
def test_a_piece_divides_the_sequence(n, m):
    length = through_time._length(n, m)
    assert n % length == 0
    assert length == 1 or length * m <= 64


def test_gradients_at_all_times_are_those_of_autodiff(x64):
    """50 steps: the cotangent of each x_t, from outputs at the end alone, through all the steps between."""
    layer = nn.recurrent(nn.lstm_cell(4, forget_bias=2.0), "last")
    params, x, dy = made(layer, (50, 3)), drawn(2, 50, 3), drawn(2, 4)
    y, dparams, dx = run(layer, params, x, dy, None)

    @compiled
    def by_autodiff(params, x, dy):
        plain, pull = jax.vjp(lambda params, x: layer.forward(params, x)[0], params, x)
        return (plain, *pull(dy))

    same((y, dparams, dx), by_autodiff(params, x, dy), **TOLERANCE["float64"])
    sizes = np.abs(np.asarray(dx)).max((0, 2))
    assert (sizes > 0).all()
    assert sizes[0] < sizes[-1]


@pytest.mark.full
def test_a_cell_of_ones_own(x64):
    """One step and its backward: a leaky sum, s_t = w s_{t-1} + x_t."""

    def step(params, state, x):
        return (params["w"][None] * state[0] + x,), ()

    def backward(params, states, kept, dstate):
        ((before,), _), (ds,) = states, dstate
        return {"w": (ds * before).sum(0)}, (params["w"][None] * ds,), ds

    cell = nn.Cell(((2,),), lambda key, in_shape: {"w": jax.random.uniform(key, (2,))}, step, backward)
    for layer in (nn.recurrent(cell), nn.recurrent(cell, "last", True, "learned", "gates")):
        assert jaxnn.gradcheck.layer(layer, (5, 2), fast=True).passed
    wrong = cell._replace(backward=lambda *given: ({}, *backward(*given)[1:]))
    assert not jaxnn.gradcheck.layer(nn.recurrent(wrong), (5, 2), fast=True).passed


def kept(f, *given):
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(jax.eval_shape(f, *given)))


def test_what_is_kept():
    """At most 0.65 of what autodiff of the plain scan keeps; with the gates computed again, at most 0.25."""
    layer, small = nn.recurrent(nn.lstm_cell(128)), nn.recurrent(nn.lstm_cell(128), remat="gates")
    params, x = layer.init(jax.random.key(0), (100, 32))[0], jnp.zeros((64, 100, 32))

    def plain(params, x):
        def step(state, u):
            a, c = state
            z = u + a @ params["W_a"].T
            f, i, o = jnp.split(jax.nn.sigmoid(z[:, : 3 * 128]), 3, axis=-1)
            c = f * c + i * jnp.tanh(z[:, 3 * 128 :])
            return (o * jnp.tanh(c), c), o * jnp.tanh(c)

        zeros = jnp.zeros((64, 128))
        us = x.swapaxes(0, 1) @ params["W_x"].T + params["b"][None, None]
        return jax.lax.scan(step, (zeros, zeros), us)[1].swapaxes(0, 1)

    of_params = kept(lambda: params)
    autodiff = kept(lambda params, x: jax.vjp(plain, params, x)[1], params, x) - of_params
    assert kept(lambda params, x: layer.forward(params, x)[1], params, x) <= 0.65 * autodiff
    assert kept(lambda params, x: small.forward(params, x)[1], params, x) <= 0.25 * autodiff


def test_programs_do_not_grow_with_time():
    layer = nn.recurrent(nn.lstm_cell(3))

    def size(n_steps):
        params, x = layer.init(jax.random.key(0), (n_steps, 2))[0], jnp.zeros((4, n_steps, 2))
        return len(str(jax.make_jaxpr(lambda *given: hand(layer, *given))(params, x, jnp.zeros((4, n_steps, 3)), None)))

    assert size(1024) < 1.1 * size(32)


@pytest.mark.full
def test_a_population_is_its_members(x64):
    layer = nn.recurrent(nn.gru_cell(3), "last")
    members = [made(layer) for _ in range(3)]
    x, dy = drawn(M, T, N_IN), drawn(M, 3)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    got = compiled(jax.vmap(lambda params: hand(layer, params, x, dy, None)))(stacked)
    for i, params in enumerate(members):
        same(jax.tree.map(lambda a, i=i: a[i], got), run(layer, params, x, dy, None), **TOLERANCE["float64"])


@pytest.mark.full
def test_training_on_sequences_with_lengths():
    """The sign of the first number, which the last state must remember: solved by every cell with gates."""
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(256, 12, 1)).astype("float32"), rng.integers(1, 13, 256)
    y = (x[:, 0, 0] > 0).astype("int32")
    network = jaxnn.chain(nn.recurrent(nn.lstm_cell(8), "last"), jaxnn.dense(2))
    data = nn.Sequences(x, lengths.astype("int32"))
    objective = jaxnn.objective(network, jaxnn.softmax_cross_entropy())
    params = network.init(jax.random.key(0), nn.shapes_of(data))[0]
    optimizer = jaxnn.optimizer("adam", 0.02)
    fit = jaxnn.fit(objective, optimizer, params, data, y, key=jax.random.key(1), epochs=30, batch_size=32)
    assert fit.losses[-1] < 0.1


@pytest.mark.full
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize(
    ("of_params", "of_x"), [("float32", "float64"), ("float64", "float32"), ("bfloat16", "float32")]
)
def test_params_and_inputs_of_different_dtypes(of_params, of_x, carried, x64):
    """As if both had the wider dtype, which has all numbers of the narrower one."""
    layer, wide = nn.recurrent(nn.lstm_cell(3)), jnp.promote_types(of_params, of_x)
    params = jax.tree.map(lambda a: a.astype(of_params), made(layer))
    x = drawn(M, T, N_IN).astype(of_x)
    if carried:
        x, layer = (x, nn.start_carry(layer, params, M)), nn.carried(layer)
    of_wide = jax.tree.map(lambda a: a.astype(wide), (params, x))
    dy = jax.tree.map(
        lambda a: drawn(*a.shape).astype(a.dtype), jax.eval_shape(layer.infer, *of_wide[:1], (), of_wide[1])
    )
    y, dparams, dx = run(layer, params, x, dy, None)
    expected = run(layer, *of_wide, dy, None)
    same(y, expected[0], **TOLERANCE["float64" if wide == "float64" else "float32"])
    assert [a.dtype for a in jax.tree.leaves((dparams, dx))] == [a.dtype for a in jax.tree.leaves((params, x))]
    for got, one in zip(jax.tree.leaves((dparams, dx)), jax.tree.leaves(expected[1:]), strict=True):
        eps = float(jnp.finfo(got.dtype).eps)
        np.testing.assert_allclose(got.astype("float64"), one, rtol=4 * eps, atol=4 * eps)


@pytest.mark.representatives("5-0-0")
@pytest.mark.parametrize(("m", "n_steps"), [(0, 5), (3, 0), (0, 0)])
@pytest.mark.parametrize("length", [None, 5])
def test_nothing_is_a_sequence_too(m, n_steps, length, monkeypatch):
    if length:  # of a piece, as where one piece is the whole sequence
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    layer = nn.recurrent(nn.gru_cell(3))
    params, x = layer.init(jax.random.key(0), (5, 2))[0], jnp.ones((m, n_steps, 2))
    y, cache = layer.forward(params, x)
    dparams, dx = layer.backward(params, cache, y)
    assert y.shape == (m, n_steps, 3) and dx.shape == x.shape
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves(dparams))


def in_pieces(layer, params, x):
    """The outputs of the layer for three pieces, each of which continues the one before."""
    carry, ys = nn.start_carry(layer, params, len(x)), []
    forward = jax.jit(lambda *given: nn.carried(layer).forward(*given)[0])
    for of_piece in jnp.split(x, [2, 3], axis=1):
        y, carry = forward(params, (of_piece, carry))
        ys.append(y)
    return jnp.concatenate(ys, axis=1)


@pytest.mark.representatives("meet1")
@pytest.mark.parametrize("meet", [nn.fan_in_sum(), nn.fan_in_concat()])
def test_pieces_through_branches_are_the_whole(meet, x64):
    layer = jaxnn.chain(nn.fan_out(nn.recurrent(nn.gru_cell(3)), nn.each_step(jaxnn.dense(3))), meet)
    params, x = made(layer), drawn(M, T, N_IN)
    same(in_pieces(layer, params, x), jax.jit(layer.infer)(params, (), x), **TOLERANCE["float64"])


def test_branches_that_meet_along_time_have_no_pieces():
    assert nn.fan_in_concat(0).carried is None


@pytest.mark.full
@pytest.mark.parametrize("held", [False, True])
def test_pieces_through_combinators_are_the_whole(held, x64):
    inner = nn.recurrent(nn.gru_cell(N_IN))
    layer = jaxnn.chain(jaxnn.residual(nn.frozen(inner) if held else inner), nn.each_step(jaxnn.dense(2)))
    params, x = made(layer), drawn(M, T, N_IN)
    same(in_pieces(layer, params, x), jax.jit(layer.infer)(params, (), x), **TOLERANCE["float64"])
    dy, start = drawn(M, T, 2), nn.start_carry(layer, params, M)
    dparams, (dx, _) = run(nn.carried(layer), params, (x, start), (dy, start), None)[1:]
    same((dparams, dx), run(layer, params, x, dy, None)[1:], **TOLERANCE["float64"])
    assert held == (not any(jnp.any(leaf) for leaf in jax.tree.leaves(dparams[0])))


def test_the_summary_of_a_network_of_sequences():
    network = jaxnn.chain(nn.each_step(nn.embedding(6, 4)), nn.recurrent(nn.gru_cell(3)), nn.each_step(jaxnn.dense(2)))
    lines = [re.split(r"  +", line) for line in nn.summary(network, jax.ShapeDtypeStruct((7,), "int32")).splitlines()]
    assert [line[1:3] for line in lines[1:4]] == [
        ["embedding(6, 4)", "(4,)"],
        ["recurrent(gru_cell(3))", "(7, 3)"],
        ["dense(2)", "(2,)"],
    ]
    padded = nn.Sequences(jax.ShapeDtypeStruct((7, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))
    assert "dense(2)  (2,)         8     84" in nn.summary(nn.each_step(jaxnn.dense(2)), padded)
    carried, carry = nn.carried(nn.each_step(jaxnn.dense(2))), ()
    assert "dense(2)  (2,)         8     84" in nn.summary(carried, (jax.ShapeDtypeStruct((7, 3), "float32"), carry))


def shape_of(*axes):
    return jax.ShapeDtypeStruct(axes, "float32")


RECURRENT = nn.recurrent(nn.gru_cell(3))
GIVEN = nn.recurrent(nn.gru_cell(3), state="given")
PAIR = jaxnn.chain(nn.recurrent(nn.gru_cell(3)), nn.each_step(nn.identity()))
X = np.ones((4, T, N_IN), "float32")
PARAMS = jax.jit(lambda key: RECURRENT.init(key, (T, N_IN))[0])(jax.random.key(0))
PARAMS_OF_PAIR = (PARAMS, ())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.recurrent(3), "cell must be a Cell, got 3: nn.lstm_cell(n), nn.gru_cell(n)"),
        (lambda: nn.recurrent(nn.lstm_cell(3), "first"), "outputs must be one of ['all', 'last'], got 'first'"),
        (lambda: nn.recurrent(nn.lstm_cell(3), state="zero"), "did you mean 'zeros'?"),
        (lambda: nn.lstm_cell(0), "n must be a whole number of at least 1, got 0"),
        (lambda: nn.gru_cell(3, "befor"), "did you mean 'before'?"),
        (lambda: nn.recurrent(nn.lstm_cell(3)).init(jax.random.key(0), (4,)), "the shape of one sequence of floats"),
        (
            lambda: RECURRENT.infer(PARAMS, (), X[0]),
            "x must be sequences (m, T, n_in), got float32 (7, 2): one sequence",
        ),
        (
            lambda: RECURRENT.infer(PARAMS, (), X[..., :1]),
            "x must be floats (m, n_in=2) for W_x (9, 2) and b (9,)",
        ),
        (lambda: GIVEN.init(jax.random.key(0), (5, 3)), "in_shape must be (x, state), with the state before the first"),
        (lambda: GIVEN.infer(PARAMS, (), X), "x must be (x, state), with the state before the first step, got float32"),
        (lambda: GIVEN.infer(PARAMS, (), (X, jnp.ones((4, 3)))), "state must be a tuple of arrays of floats ((4, 3),)"),
        (lambda: GIVEN.infer(PARAMS, (), (X, (jnp.ones((1, 3)),))), "got ((1, 3),): a state belongs to one cell"),
        (lambda: GIVEN.infer(PARAMS, (), (X, (jnp.ones((4, 3), int),))), "state must be a tuple of arrays of floats"),
        (lambda: nn.carried(PAIR).infer(PARAMS_OF_PAIR, (), X), "x must be (x, carry), got float32 (4, 7, 2): start"),
        (lambda: nn.carried(PAIR).infer(PARAMS_OF_PAIR, (), nn.Sequences(X, LENGTHS)), "(x, carry), got a Sequences"),
        (lambda: nn.carried(PAIR).infer(PARAMS_OF_PAIR, (), (X, ())), "carry must be a tuple of 2 entries, one per"),
        (
            lambda: nn.carried(PAIR).init(jax.random.key(0), (5, 3)),
            "in_shape must be (x, carry), got (5, 3): start",
        ),
        (lambda: nn.start_carry(PAIR, PARAMS, 2), "params must be a tuple of 2 entries, one per layer, got a dict"),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lengths", [[8, 2], [-1, 2]])
def test_lengths_outside_the_axis_of_time_raise(lengths):
    layer = nn.recurrent(nn.lstm_cell(3), "last")
    batch = nn.Sequences(jnp.ones((2, T, N_IN)), jnp.array(lengths))
    params = layer.init(jax.random.key(0), nn.shapes_of(batch))[0]
    with pytest.raises(ValueError, match=rf"^lengths must be whole numbers from 0 to {T}, got "):
        layer.forward(params, batch)
    objective = jaxnn.objective(jaxnn.chain(layer, jaxnn.dense(2)), jaxnn.softmax_cross_entropy())
    network_params = jaxnn.chain(layer, jaxnn.dense(2)).init(jax.random.key(0), nn.shapes_of(batch))[0]
    with pytest.raises(ValueError, match=rf"lengths must be whole numbers from 0 to {T}, got "):
        jaxnn.fit(
            objective,
            jaxnn.optimizer("sgd", 0.1),
            network_params,
            batch,
            np.array([0, 1]),
            key=jax.random.key(0),
            epochs=1,
            batch_size=2,
        )
