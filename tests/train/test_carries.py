"""Truncated backpropagation through time: each batch begins where the one before ended, and no gradient goes back."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.losses import each_step_loss
from jaxnn.train import Checkpointer

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
BATCH, T = 4, 5
TEXT = RNG.integers(0, 6, 122)
X, Y = jaxnn.data.pieces(TEXT[:-1], BATCH, T), jaxnn.data.pieces(TEXT[1:], BATCH, T)
NETWORK = jaxnn.chain(nn.each_step(nn.embedding(6, 3)), nn.recurrent(nn.lstm_cell(4)), nn.each_step(jaxnn.dense(6)))
LOSS = each_step_loss(jaxnn.softmax_cross_entropy())
OBJECTIVE = jaxnn.objective(NETWORK, LOSS, carry=True)
PARAMS = jax.jit(lambda key: NETWORK.init(key, nn.shapes_of(X))[0])(jax.random.key(0))
ADAM = jaxnn.optimizer("adam", 0.02)


def fit(epochs=3, objective=OBJECTIVE, params=PARAMS, optimizer=ADAM, x=X, y=Y, **options):
    options = dict(key=KEY, epochs=epochs, batch_size=BATCH, shuffle=False) | options
    return jaxnn.fit(objective, optimizer, params, x, y, **options)


def assert_equal(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_pieces_continue_each_other():
    pieces = jaxnn.data.pieces(np.arange(26), 2, 4).reshape(-1, 2, 4)
    assert pieces[:, 0].reshape(-1).tolist() == list(range(12))
    assert pieces[:, 1].reshape(-1).tolist() == list(range(12, 24))
    assert jaxnn.data.pieces(np.zeros((8, 3)), 2, 4).shape == (2, 4, 3)


@pytest.mark.parametrize("sizes", [(2, 14), (28, 1)])
def test_a_sequence_shorter_than_a_batch_raises(sizes):
    with pytest.raises(
        ValueError, match=r"^sequence must have at least batch_size · n_steps = 28 elements, got 26: .*"
    ):
        jaxnn.data.pieces(np.arange(26), *sizes)


def test_one_number_is_no_sequence():
    with pytest.raises(ValueError, match=r"^sequence must be an array \(n, ...\), got .*: one long sequence$"):
        jaxnn.data.pieces(np.float32(3.0), 1, 1)


@pytest.mark.parametrize("y", [Y[:, 0], Y[:, :4]])
def test_targets_are_at_each_time(y):
    with pytest.raises(ValueError, match=r"^y must be targets at each time, \(24, 5\) and further axes, got int64"):
        fit(y=y)


@pytest.mark.full
def test_the_losses_of_all_batches_are_the_loss_of_whole_sequences():
    losses = fit(epochs=2, optimizer=optax.sgd(0.0)).losses
    steps = len(X) // BATCH
    whole = (a.reshape(steps, BATCH, T).swapaxes(0, 1).reshape(BATCH, -1) for a in (X, Y))
    expected = jax.jit(jaxnn.objective(NETWORK, LOSS).evaluate)(PARAMS, (), jaxnn.Batch(*whole))
    np.testing.assert_allclose(losses[:steps].mean(), expected, rtol=1e-6)
    np.testing.assert_array_equal(losses[:steps], losses[steps:])  # an epoch begins at zeros again
    assert (
        abs(
            losses[1] - jax.jit(OBJECTIVE.evaluate)(PARAMS, (), jaxnn.Batch(X[BATCH : 2 * BATCH], Y[BATCH : 2 * BATCH]))
        )
        > 1e-5
    )


def test_the_gradient_stops_where_a_piece_begins(x64):
    """Against a loop in JAX: a simple recurrence with `jax.grad` of each piece, the state passed on as a number."""
    network = jaxnn.chain(nn.recurrent(nn.simple_cell(3)), nn.each_step(jaxnn.dense(2)))
    x, y = RNG.normal(size=(2, 12, 2)), RNG.normal(size=(2, 12, 2))
    params = jax.tree.map(lambda a: a.astype("float64"), network.init(KEY, (4, 2))[0])
    cut = [np.concatenate(np.split(a, 3, axis=1)) for a in (x, y)]
    objective = jaxnn.objective(network, each_step_loss(jaxnn.squared_error()), carry=True)
    ours = jaxnn.fit(objective, optax.sgd(0.1), params, *cut, key=KEY, epochs=2, batch_size=2, shuffle=False)

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def slopes(params, x, y, a):
        total, (cell, dense) = 0.0, (params[0], params[1])
        for t in range(x.shape[1]):
            a = jnp.tanh(x[:, t] @ cell["W_x"].T + a @ cell["W_a"].T + cell["b"][None])
            total += ((a @ dense["W"].T + dense["b"][None] - y[:, t]) ** 2).sum(axis=1) / 2
        return total.mean() / x.shape[1], a

    losses = []
    for _ in range(2):
        a = np.zeros((2, 3))
        for at in range(3):
            of_piece = x[:, 4 * at : 4 * at + 4], y[:, 4 * at : 4 * at + 4]
            (value, a), grads = slopes(params, *of_piece, a)
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
            losses.append(value)
    np.testing.assert_allclose(ours.losses, losses, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), ours.params, params)


@pytest.mark.full
@pytest.mark.parametrize(("of_params", "of_x"), [("float32", "float64"), ("bfloat16", "float32")])
def test_inputs_wider_than_params(of_params, of_x, x64):
    """The carry keeps the dtype of params in the loop over steps, and its rounding is the only difference."""
    network = jaxnn.chain(nn.recurrent(nn.simple_cell(3)), nn.each_step(jaxnn.dense(1)))
    objective = jaxnn.objective(network, each_step_loss(jaxnn.squared_error()), carry=True)
    params = jax.tree.map(lambda a: a.astype(of_params), network.init(KEY, (4, 2))[0])
    wide = jax.tree.map(lambda a: a.astype("float64"), params)
    x, y = RNG.normal(size=(6, 4, 2)).astype(of_x), RNG.normal(size=(6, 4, 1)).astype(of_x)
    options = dict(optimizer=optax.sgd(0.0), epochs=1, x=x, y=y, batch_size=2)
    got, expected = (fit(objective=objective, params=one, **options) for one in (params, wide))
    np.testing.assert_allclose(got.losses, expected.losses, rtol=4 * float(jnp.finfo(of_params).eps))
    assert jax.tree.leaves(got.state.carry)[0].dtype == of_params


@pytest.mark.full
def test_hand_is_autodiff():
    np.testing.assert_allclose(fit(gradients="auto").losses, fit().losses, rtol=1e-5)


@pytest.mark.full
def test_a_stream_and_a_population_train_as_fit():
    whole = fit()
    batches = [(X[i : i + BATCH], Y[i : i + BATCH]) for i in range(0, len(X), BATCH)]
    streamed = jaxnn.fit_stream(OBJECTIVE, ADAM, PARAMS, batches, key=KEY, epochs=3, steps_per_call=4)
    np.testing.assert_allclose(streamed.losses, whole.losses, rtol=1e-6)
    assert jax.tree.map(jnp.shape, streamed.state.carry) == ((), ((BATCH, 4), (BATCH, 4)), ())

    def member(h):
        return jaxnn.Member(OBJECTIVE, optax.adam(h["rate"]), PARAMS, KEY)

    rates = {"rate": np.array([0.02, 0.5], "float32")}
    members = jaxnn.fit_population(member, rates, X, Y, epochs=3, batch_size=BATCH, shuffle=None)
    np.testing.assert_allclose(members.losses[0].reshape(-1), whole.losses, rtol=1e-5)
    assert np.abs(members.losses[1] - members.losses[0]).max() > 0.1


@pytest.mark.full
def test_a_resumed_training_is_bit_for_bit_the_whole_one():
    saved, whole = [], fit(epochs=4)
    checkpoints = Checkpointer(lambda start: saved[-1] if saved else None, lambda make, ended: saved.append(make()))
    fit(epochs=2, checkpoints=checkpoints)
    resumed = fit(epochs=4, checkpoints=checkpoints)
    assert_equal((resumed.params, resumed.losses, resumed.state.carry), (whole.params, whole.losses, whole.state.carry))
    epoch = jaxnn.train.make_epoch(OBJECTIVE, ADAM, BATCH, shuffle=False)
    state, losses = epoch(fit(epochs=3).state, jaxnn.Batch(X, Y))
    assert_equal((state.params, losses), (whole.params, whole.losses[-len(losses) :]))


@pytest.mark.full
def test_steps_on_all_data_begin_at_zeros():
    data = jaxnn.Batch(X[:BATCH], Y[:BATCH])
    state = jaxnn.train_state(PARAMS, ADAM, KEY, carry=OBJECTIVE.start(PARAMS, data))
    _, losses = jaxnn.train.make_steps(OBJECTIVE, ADAM, 3)(state, data)
    np.testing.assert_allclose(losses, fit(x=data.x, y=data.y).losses, rtol=1e-6)


@pytest.mark.full
def test_a_batch_that_is_not_finite_leaves_the_carry():
    network = jaxnn.chain(nn.recurrent(nn.gru_cell(3)), nn.each_step(jaxnn.dense(1)))
    objective = jaxnn.objective(network, each_step_loss(jaxnn.squared_error()), carry=True)
    optimizer = jaxnn.optim.skip_nonfinite(optax.sgd(0.1))
    x, y = RNG.normal(size=(2, 4, 2)).astype("float32"), np.zeros((2, 4, 1), "float32")
    params = network.init(KEY, (4, 2))[0]
    step = jax.jit(jaxnn.make_step(objective, optimizer))
    state = jaxnn.train_state(params, optimizer, KEY, carry=objective.start(params, jaxnn.Batch(x, y)))
    before, _ = step(state, jaxnn.Batch(x, y))
    after, loss = step(before, jaxnn.Batch(np.where(np.arange(2)[:, None, None] == 1, np.nan, x), y))
    assert np.isnan(loss)
    assert_equal(after.params, before.params)
    (carry, _), (old, _) = after.carry, before.carry
    assert_equal(carry[0][1], old[0][1])
    assert np.isfinite(carry[0]).all() and np.abs(carry[0][0] - old[0][0]).max() > 1e-3  # the other example went on
    assert np.isfinite(step(after, jaxnn.Batch(x, y))[1])


@pytest.mark.full
def test_statistics_and_a_carry():
    network = jaxnn.chain(nn.recurrent(nn.simple_cell(3)), nn.each_step(nn.batch_norm()), nn.each_step(jaxnn.dense(1)))
    x, y = RNG.normal(size=(6, 4, 2)).astype("float32"), np.zeros((6, 4, 1), "float32")
    objective = jaxnn.objective(network, each_step_loss(jaxnn.squared_error()), carry=True)
    params = network.init(KEY, (4, 2))[0]
    result = jaxnn.fit(objective, ADAM, params, x, y, key=KEY, epochs=2, batch_size=2, shuffle=False)
    assert np.isfinite(objective.evaluate(result.params, result.stats, jaxnn.Batch(x, y)))
    assert result.stats[1]["mean"].shape == (3,) and np.abs(result.stats[1]["mean"]).max() > 0


CAUSAL = "attention that is either causal or to a memory can$"
FORWARD = r"recurrent\(cell\), forward in time and from zeros, can$"


@pytest.mark.parametrize(
    ("layer", "part", "fix"),
    [
        (jaxnn.chain(nn.embedding(6, 3), nn.recurrent(nn.lstm_cell(4))), "embedding(6, 3)", "put"),
        (jaxnn.chain(nn.recurrent(nn.lstm_cell(4), reverse=True)), "recurrent(lstm_cell(4), reverse=True)", FORWARD),
        (
            jaxnn.residual(nn.recurrent(nn.lstm_cell(4), state="learned")),
            "recurrent(lstm_cell(4), state='learned')",
            FORWARD,
        ),
        (jaxnn.chain(nn.bidirectional(nn.gru_cell(4))), "bidirectional(gru_cell(4))", FORWARD),
        (nn.repeat(nn.recurrent(nn.gru_cell(4), reverse=True), 2), "recurrent(gru_cell(4), reverse=True)", FORWARD),
        (nn.multi_head_attention(2), "multi_head_attention(2)", CAUSAL),
        (jaxnn.chain(nn.transformer_block(2, 4)), "transformer_block(2, 4)", CAUSAL),
        (
            nn.multi_head_attention(2, causal=True, memory=True),
            "multi_head_attention(2, causal=True, memory=True)",
            CAUSAL,
        ),
    ],
)
def test_what_cannot_continue_raises_with_its_name(layer, part, fix):
    for make in (nn.carried, lambda layer: jaxnn.objective(layer, LOSS, carry=True)):
        with pytest.raises(ValueError, match=rf"can continue from an earlier piece, got {re.escape(part)}: {fix}"):
            make(layer)


def test_shuffled_batches_raise():
    message = r"^shuffle must be False for an objective with a carry, got True: jaxnn.data.pieces"
    with pytest.raises(ValueError, match=message):
        fit(shuffle=True)
    with pytest.raises(ValueError, match=message):
        jaxnn.train.make_epoch(OBJECTIVE, ADAM, BATCH)
    with pytest.raises(ValueError, match=message.replace("False", "None").replace("True", "'shared'")):
        jaxnn.fit_population(
            lambda h: jaxnn.Member(OBJECTIVE, ADAM, PARAMS, KEY), np.arange(2), X, Y, epochs=1, batch_size=BATCH
        )


@pytest.mark.parametrize("carry", [(), OBJECTIVE.start(PARAMS, jaxnn.Batch(X[:2], Y[:2]))])
def test_a_state_with_another_carry_raises(carry):
    step = jaxnn.make_step(OBJECTIVE, ADAM)
    with pytest.raises(ValueError, match=r"^carry of the state must be .*\(4, 4\).*: train_state\(.*carry="):
        step(jaxnn.train_state(PARAMS, ADAM, KEY, carry=carry), jaxnn.Batch(X[:BATCH], Y[:BATCH]))


@pytest.mark.parametrize("name", ["spectral_norm", "batch_renorm"])
def test_layers_whose_training_needs_a_state_are_missing_with_a_reason(name):
    with pytest.raises(AttributeError, match=f"^jaxnn.nn has no {name}: .* state that training itself updates"):
        getattr(nn, name)
    assert not hasattr(nn, "no_such_layer")


@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_a_token_outside_the_vocabulary_raises_with_the_layer(asarray):
    x = asarray(np.where(X == 5, 9, X))
    message = r"^layer 1 of 3, each_step\(embedding\(6, 3\)\): x must be whole numbers from 0 to 5, got 0 to 9"
    for objective in (OBJECTIVE, jaxnn.objective(NETWORK, LOSS)):
        with pytest.raises(ValueError, match=message):
            fit(objective=objective, x=x)
