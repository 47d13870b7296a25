"""One step, and many in one program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.training import (
    DROPPING,
    KEY,
    MODEL,
    OBJECTIVE,
    SGD,
    assert_close,
    assert_equal,
    data,
    fit,
    params_of,
    state_of,
)


def test_step_is_the_update_by_hand():
    batch, params = data(), params_of()
    state, loss = jax.jit(jaxnn.make_step(OBJECTIVE, SGD))(state_of(params), batch)
    x, y = np.asarray(batch.x, np.float64), np.asarray(batch.y)
    W, b = (np.asarray(params[0][name], np.float64) for name in ("W", "b"))
    z = x @ W[0] + b
    dz = (1 / (1 + np.exp(-z)) - y) / 7
    np.testing.assert_allclose(loss, np.mean(np.log1p(np.exp(z)) - y * z), rtol=1e-5)
    np.testing.assert_allclose(state.params[0]["W"], W - 0.5 * (dz @ x)[None], rtol=1e-5)
    np.testing.assert_allclose(state.params[0]["b"], b - 0.5 * dz.sum(), rtol=1e-5)
    assert state.step == 1
    assert_equal(jax.random.key_data(state.key), jax.random.key_data(KEY))


def test_steps_are_step_after_step():
    """Dropout included: step i draws the same mask either way."""
    optimizer, objective, batch = optax.adam(0.1), jaxnn.objective(DROPPING, MODEL.loss), data()
    params = params_of(DROPPING)
    state, losses = jaxnn.train.make_steps(objective, optimizer, 4)(state_of(params, optimizer), batch)
    step, one, each = jax.jit(jaxnn.make_step(objective, optimizer)), state_of(params, optimizer), []
    for _ in range(4):
        one, loss = step(one, batch)
        each.append(loss)
    assert_close(losses, np.array(each))
    assert_close((state.params, state.opt_state, state.step), (one.params, one.opt_state, one.step))


def test_dropout_is_drawn_afresh_each_step():
    objective, frozen = jaxnn.objective(DROPPING, MODEL.loss), optax.set_to_zero()
    _, losses = jaxnn.train.make_steps(objective, frozen, 5)(state_of(params_of(DROPPING), frozen), data())
    assert len(set(losses.tolist())) == 5


@pytest.mark.full
def test_hand_and_auto_train_alike():
    """Thirty steps of each, with dropout and a regularizer; only rounding may differ."""
    objective = jaxnn.objective(DROPPING, MODEL.loss, jaxnn.l2(0.01))
    trained = [
        jaxnn.train.make_steps(objective, SGD, 30, gradients)(state_of(params_of(DROPPING)), data())
        for gradients in ("hand", "auto")
    ]
    (hand, hand_losses), (auto, auto_losses) = trained
    assert_close((hand.params, hand_losses), (auto.params, auto_losses), rtol=1e-4, atol=1e-5)
    assert hand_losses[-1] != hand_losses[0]


@pytest.mark.full
def test_optimizer_that_searches_along_a_line_sees_the_value():
    optimizer = optax.lbfgs()
    objective = jaxnn.objective(MODEL.network, MODEL.loss, jaxnn.l2(0.1))
    result = jaxnn.fit(objective, optimizer, params_of(), *data()[:2], key=KEY, epochs=15, report_every=15)
    gradient = jax.jit(objective.value_and_grad)(result.params, data())[1]
    assert max(abs(leaf).max() for leaf in jax.tree.leaves(gradient)) < 1e-4


# One that keeps the params themselves: the same memory twice in one state could not be given away.
KEEPING = optax.GradientTransformation(lambda params: params, lambda grads, state, params: (grads, params))


@pytest.mark.parametrize("optimizer", [SGD, optax.adam(0.1), KEEPING], ids=["sgd", "adam", "keeping"])
def test_donation_consumes_the_state_and_keeps_the_callers_arrays(optimizer):
    params, key, batch = params_of(), jax.random.key(1), data()
    copy = jax.tree.map(np.array, params)
    state = jaxnn.train_state(params, optimizer, key)
    after, _ = jaxnn.train.make_steps(OBJECTIVE, optimizer, 2)(state, batch)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert_equal(params, copy)
    assert_equal(jax.random.key_data(key), jax.random.key_data(jax.random.key(1)))
    assert_equal(batch, data())
    assert not np.array_equal(after.params[0]["W"], copy[0]["W"])


@pytest.mark.full
def test_vmap_over_seeds_is_separate_trainings():
    objective, batch = jaxnn.objective(DROPPING, MODEL.loss), data()
    keys = jax.random.split(KEY, 2)
    init = jax.jit(lambda key: DROPPING.init(key, (3,))[0])
    steps = jaxnn.train.make_steps(objective, SGD, 5)
    together, losses = jax.vmap(steps, in_axes=(0, None))(
        jax.vmap(lambda key: jaxnn.train_state(init(key), SGD, key))(keys), batch
    )
    for i, key in enumerate(keys):
        alone, alone_losses = steps(jaxnn.train_state(init(key), SGD, key), batch)
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together.params), alone.params)
        assert_close(losses[i], alone_losses)
    assert losses[0, -1] != losses[1, -1]


def test_step_from_an_invalid_state_raises():
    step = jaxnn.make_step(OBJECTIVE, SGD)
    with pytest.raises(ValueError, match=r"state must be a TrainState, got .*: train_state\(params, optimizer, key\)"):
        step(params_of(), data())
    with pytest.raises(ValueError, match=r"batch must be a jaxnn.Batch, got .*: jaxnn.Batch\(x, y\)"):
        step(state_of(params_of()), tuple(data()))
    with pytest.raises(ValueError, match=r"data must be a jaxnn.Batch of arrays, got "):
        jax.eval_shape(
            jaxnn.train.make_epoch(OBJECTIVE, SGD, 2), state_of(params_of()), jaxnn.Batch([[1.0] * 3] * 4, [0, 1, 0, 1])
        )


COMPILED = {"epoch": jaxnn.train.make_epoch(OBJECTIVE, SGD, 2), "steps": jaxnn.train.make_steps(OBJECTIVE, SGD, 2)}


@pytest.mark.parametrize("program", [jaxnn.make_step(OBJECTIVE, SGD), *COMPILED.values()], ids=["step", *COMPILED])
def test_invalid_state_raises_one_line_with_the_fix(program):
    for given, message in (
        (fit(), "state must be a TrainState, got a Fit: result.state is one"),
        (params_of(), r"state must be a TrainState, got a tuple: train_state\(params, optimizer, key\)"),
        (None, r"state must be a TrainState, got None: train_state\(params, optimizer, key\)"),
        (MODEL, r"state must be a TrainState, got a Model: train_state\(params, optimizer, key\)"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            program(given, data())


@pytest.mark.parametrize("program", COMPILED)
def test_compiled_programs_validate_data_as_fit_does(program):
    run, (x, y, *_) = COMPILED[program], data()
    weight = np.arange(1, len(y) + 1)
    _, losses = run(state_of(params_of()), jaxnn.Batch(x, y, weight))
    lists = jaxnn.Batch(np.asarray(x).tolist(), np.asarray(y).tolist(), weight.tolist())
    np.testing.assert_array_equal(run(state_of(params_of()), lists)[1], losses)
    for given in (tuple(data()), {"x": x, "y": y}, x, None):
        with pytest.raises(ValueError, match=r"^data must be a jaxnn.Batch, got .*: jaxnn.Batch\(x, y\)$"):
            run(state_of(params_of()), given)
    with pytest.raises(ValueError, match="^y must be real numbers, got <U.*: words are not numeric"):
        run(state_of(params_of()), jaxnn.Batch(x, np.full(len(y), "a")))


def scaling(backward, cached=lambda x: x):
    """A layer x · s, with a backward of one's own, before a dense layer."""
    init = lambda key, shape: ({"s": jnp.ones((1, *shape))}, shape)  # noqa: E731
    scale = jaxnn.Layer(init, lambda params, x, key=None: (x * params["s"], cached(x)), backward)
    return jaxnn.chain(scale, jaxnn.dense(1))


@pytest.mark.parametrize(
    ("dparams", "message"),
    [
        (
            lambda x, dy: {"s": dy * x},
            r"params\[0\]\['s'\] must have its shape, \(1, 3\), got \(4, 3\): does the backward sum",
        ),
        (
            lambda x, dy: {"t": (dy * x).sum(0, keepdims=True)},
            "gradients must have the structure of params, .*'s'.*, got .*'t'",
        ),
        (lambda x, dy: None, "gradients must have the structure of params, .*, got .None"),
    ],
)
@pytest.mark.parametrize("train", ["fit", "step"])
def test_gradients_of_another_structure_or_shape_raise(dparams, message, train):
    network = scaling(lambda params, x, dy: (dparams(x, dy), dy * params["s"]))
    objective, params = jaxnn.objective(network, jaxnn.squared_error()), network.init(KEY, (3,))[0]
    x, y = np.ones((4, 3), np.float32), np.zeros(4, np.float32)

    def step():
        state = jaxnn.train_state(params, optax.sgd(0.1), KEY)
        jaxnn.make_step(objective, optax.sgd(0.1))(state, jaxnn.Batch(jnp.asarray(x), jnp.asarray(y)))

    def fit():
        jaxnn.fit(objective, optax.sgd(0.1), params, x, y, key=KEY, epochs=1)

    with pytest.raises(ValueError, match=message) as caught:
        {"fit": fit, "step": step}[train]()
    assert "\n" not in str(caught.value)


def test_a_cache_may_hold_other_things_than_arrays():
    x, y = np.ones((4, 3), np.float32), np.zeros(4, np.float32)
    plain = scaling(lambda params, x, dy: ({"s": (dy * x).sum(0, keepdims=True)}, dy * params["s"]))
    other = scaling(
        lambda params, cache, dy: ({"s": (dy * cache[0]).sum(0, keepdims=True)}, dy * params["s"]),
        lambda x: (x, "name"),
    )
    losses = [
        jaxnn.fit(
            jaxnn.objective(network, jaxnn.squared_error()),
            optax.sgd(0.1),
            plain.init(KEY, (3,))[0],
            x,
            y,
            key=KEY,
            epochs=3,
        ).losses
        for network in (plain, other)
    ]
    np.testing.assert_array_equal(*losses)
