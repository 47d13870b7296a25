"""Loss scaling: float16 gradients do not underflow, and the dynamic scale avoids overflow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.registry import LAYER_CASES, LayerCase, name_of, normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
NETWORK = jaxnn.chain(jaxnn.dense(6), jaxnn.tanh(), jaxnn.dense(5), jaxnn.tanh(), jaxnn.dense(1))
HALF = jaxnn.with_dtype(NETWORK, jnp.float16)
PARAMS = LayerCase("", NETWORK, (4,)).params()
SQUARED = jaxnn.squared_error()
X = normal((8, 4))
# The slope is the target itself, the same in any precision: dz = -y/m, below float16's smallest number.
LINEAR = jaxnn.Loss(lambda z, y: -(z * y)[:, 0], lambda z, y: -y * jnp.ones_like(z))
FAINT = jaxnn.Batch(X, 1e-7 * normal((8, 1), seed=1))


def norms(tree):
    return np.array([np.abs(leaf).max() for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("gradients", ["hand", pytest.param("auto", marks=pytest.mark.full)])
def test_float16_loses_the_gradient_and_a_scale_brings_it_back(gradients):
    """By a scale, the gradient of float16 is that of float32, up to half precision's rounding; without, it is 0."""
    single, half = (
        jaxnn.train.gradients_by(jaxnn.objective(network, LINEAR), gradients) for network in (NETWORK, HALF)
    )
    expected, lost = (jax.jit(by)(PARAMS, FAINT)[1] for by in (single, half))
    kept = jax.jit(half)(PARAMS, FAINT, KEY, jnp.float32(2.0**20))[1]
    assert (norms(expected) > 1e-9).all()
    assert (norms(lost) == 0).all()
    for got, want in zip(jax.tree.leaves(kept), jax.tree.leaves(expected), strict=True):
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, want, atol=5e-3 * np.abs(want).max())


# Of one output, computed in float32: of each kind one.
SCALED = (
    "batch_norm chain_dropout leaky_relu silu embedding_words fan_in_concat frozen layer_norm remat_dropout".split()
)
SCALED += "repeat_dropout mlp_dropout".split()


@pytest.mark.representatives("layer_norm-hand", "silu-auto")
@pytest.mark.parametrize("gradients", ["hand", "auto"])
@pytest.mark.parametrize("case", [case for case in LAYER_CASES if case.name in SCALED], ids=name_of)
def test_a_scale_changes_nothing_in_float32(case, gradients):
    """A power of 2 is exact on the way in and out; the value, and a regularizer's gradient, are not scaled."""
    if gradients == "auto" and case.random:
        pytest.skip("JAX's own gradient is the same function either way")
    loss = jaxnn.Loss(lambda z, y: (z**2).reshape(z.shape[0], -1).sum(1), lambda z, y: 2 * z)
    objective = jaxnn.objective(case.layer, loss, jaxnn.l2(0.1, where=jaxnn.regularizers.all_leaves))
    by = jaxnn.train.gradients_by(objective, gradients)
    batch = jaxnn.Batch(case.input(4), jnp.zeros(4))
    plain, scaled = (jax.jit(by)(case.params(), batch, case.key(), *scale) for scale in ((), (jnp.float32(1024),)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, scaled)


@pytest.mark.full
def test_an_augmented_objective_is_scaled_too():
    objective = jaxnn.train.with_augmentation(jaxnn.objective(HALF, LINEAR), lambda key, x: x)
    lost, kept = (objective.value_and_grad(PARAMS, FAINT, KEY, *scale)[1] for scale in ((), (jnp.float32(2.0**20),)))
    assert (norms(lost) == 0).all() and (norms(kept) > 1e-9).all()


# The scale that adapts, against a model of it in Python


def steps(optimizer, grads_at, n):
    """The states after each of n steps on one param, whose gradient at step i is `grads_at(i)`."""
    w = jnp.ones(2)
    state, states = optimizer.init(w), []
    update = jax.jit(optimizer.update)
    for i in range(n):
        updates, state = update(jnp.full(2, grads_at(i), jnp.float32), state, w)
        w = w + updates
        states.append((w, state))
    return states


def test_the_scale_doubles_and_halves_as_published():
    bad = {3, 4, 9, 20}
    expected, scale, sound = [], 8.0, 0
    for i in range(30):
        if i in bad:
            scale, sound = max(scale / 2, 1), 0
        else:
            sound += 1
            if sound == 3:
                scale, sound = 2 * scale, 0
        expected.append(scale)
    optimizer = jaxnn.optim.with_loss_scale(optax.sgd(0.1), 8.0, growth_interval=3)
    states = steps(optimizer, lambda i: np.inf if i in bad else 1.0, 30)
    assert [float(jaxnn.optim.loss_scale(state)) for _, state in states] == expected
    np.testing.assert_allclose(states[-1][0], 1 - 0.1 * (30 - len(bad)), rtol=1e-5)
    assert int(jaxnn.optim.skipped_updates(states[-1][1])) == len(bad)


def test_the_scale_stays_between_1_and_its_highest():
    grown = steps(jaxnn.optim.with_loss_scale(optax.sgd(0.0), 2.0**23, growth_interval=1), lambda i: 1.0, 4)
    assert [float(jaxnn.optim.loss_scale(state)) for _, state in grown] == [2.0**24] * 4
    fallen = steps(jaxnn.optim.with_loss_scale(optax.sgd(1.0), 4.0), lambda i: np.nan, 27)
    assert [float(jaxnn.optim.loss_scale(state)) for _, state in fallen[:4]] == [2, 1, 1, 1]
    # 25 are skipped; then it is no matter of scale.
    assert np.isfinite(fallen[24][0]).all() and np.isnan(fallen[25][0]).all()


def test_a_scale_that_stays_skips_nothing():
    states = steps(jaxnn.optim.with_loss_scale(optax.sgd(1.0), 4.0, growth_interval=None), lambda i: np.inf, 1)
    assert float(jaxnn.optim.loss_scale(states[0][1])) == 4 and np.isinf(states[0][0]).all()
    assert jaxnn.optim.skipped_updates(states[0][1]) is None


def test_no_loss_scale_without_scaling():
    assert jaxnn.optim.loss_scale(optax.adam(0.1).init(jnp.ones(2))) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "scale must be from 1 to 2"),
        ((2.0**25,), "scale must be from 1 to 2"),
        ((np.nan,), "scale must be from 1 to 2"),
        ((8.0, 0), "growth_interval must be a whole number of at least 1"),
        ((8.0, 1.5), "growth_interval must be a whole number of at least 1"),
        (("8",), "scale must be from 1 to 2.*, got '8'"),
        ((None,), "scale must be from 1 to 2.*, got None"),
        ((8.0, True), "growth_interval must be a whole number of at least 1.*, got True"),
    ],
)
def test_invalid_loss_scale_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.optim.with_loss_scale(
            optax.sgd(0.1), arguments[0], growth_interval=dict(enumerate(arguments)).get(1, 2000)
        )


# Trainings


def overflowing():
    """Gradients of about 100 under a scale of 2**15 are more than 65504; under one of 2**9 or so they are not."""
    return jaxnn.objective(HALF, SQUARED), X, 300 * X[:, 0]


@pytest.mark.full
def test_a_scale_that_overflows_recovers():
    objective, x, y = overflowing()
    start = dict(key=KEY, epochs=60, report_every=60)
    fixed = jaxnn.optim.with_loss_scale(optax.sgd(1e-3), 2.0**15, growth_interval=None)
    with pytest.warns(jaxnn.train.DivergenceWarning):
        assert jaxnn.fit(objective, fixed, PARAMS, x, y, **start).divergence.what == "gradient"
    result = jaxnn.fit(objective, jaxnn.optim.with_loss_scale(optax.sgd(1e-3), 2.0**15), PARAMS, x, y, **start)
    assert result.diverged_at is None and 0 < result.skipped < 15
    assert float(jaxnn.optim.loss_scale(result.state.opt_state)) == 2.0 ** (15 - result.skipped)
    single = jaxnn.fit(
        jaxnn.objective(NETWORK, SQUARED), optax.sgd(1e-3), PARAMS, x, y, **start | {"epochs": 60 - result.skipped}
    )
    np.testing.assert_allclose(result.losses[-1], single.losses[-1], rtol=0.02)
    assert result.losses[-1] < 0.9 * result.losses[0]


@pytest.mark.full
def test_populations_and_streams_carry_a_scale_each():
    """As `fit` does, also with on_nan='skip': the scale still halves, since the wrapper skips."""
    (objective, x, y), on_nan = overflowing(), "skip"

    def optimizer(rate, scale):
        return jaxnn.optim.with_loss_scale(optax.sgd(rate), scale, growth_interval=5)

    def member(h):
        return jaxnn.Member(objective, optimizer(h["rate"], h["scale"]), PARAMS, KEY)

    h = {"rate": np.array([1e-3, 1e-3]), "scale": np.array([2.0**15, 4.0])}
    population = jaxnn.fit_population(member, h, x, y, epochs=20, on_nan=on_nan)
    scales = jaxnn.optim.loss_scale(population.state.opt_state)
    for i in range(2):
        alone = jaxnn.fit(
            objective, optimizer(1e-3, h["scale"][i]), PARAMS, x, y, key=KEY, epochs=20, on_nan=on_nan, report_every=20
        )
        assert population.member(i).skipped == alone.skipped and alone.history[-1]["skipped"] == alone.skipped
        assert float(scales[i]) == float(jaxnn.optim.loss_scale(alone.state.opt_state))
    assert population.member(0).skipped > 0 and population.member(1).skipped == 0
    stream = jaxnn.fit_stream(objective, optimizer(1e-3, 2.0**15), PARAMS, [(x, y)], key=KEY, epochs=20, on_nan=on_nan)
    assert stream.skipped == population.member(0).skipped


@pytest.mark.full
def test_digits_in_float16():
    """With a loss so small that float16 underflows, digits are learned as in float32 if it is scaled."""
    from sklearn.datasets import load_digits

    x, y = (a[:600] for a in load_digits(return_X_y=True))
    x = (x / 16).astype(np.float32)
    model = jaxnn.mlp((64, 32, 10), "relu", output="softmax", init="he")
    part = 1e-6
    loss = jaxnn.Loss(lambda z, y: part * model.loss.value(z, y), lambda z, y: part * model.loss.gradient(z, y))
    params = model.init(jax.random.key(1))

    def accuracy(network, optimizer):
        objective = jaxnn.objective(network, loss)
        result = jaxnn.fit(objective, optimizer, params, x, y, key=KEY, epochs=20, batch_size=50, report_every=20)
        assert result.diverged_at is None
        return float(jaxnn.accuracy(model.predict(result.params, x), y))

    sgd = optax.sgd(0.3 / part)
    single, half = accuracy(model.network, sgd), jaxnn.with_dtype(model.network, jnp.float16)
    scaled, lost = accuracy(half, jaxnn.optim.with_loss_scale(sgd, 2.0**24)), accuracy(half, sgd)
    assert single > 0.97 and abs(scaled - single) < 0.01 and lost < 0.95, (single, scaled, lost)
