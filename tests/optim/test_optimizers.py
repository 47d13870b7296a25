"""Optimizers by name follow their papers: 20 steps compared with the oracle in float64."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import optimizers as oracle
from tests.helpers.oracle.slips import OPTIMIZER_SLIPS
from tests.helpers.programs import TOLERANCE, compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")


def decayed(optimizer, share):
    """Loshchilov and Hutter's decoupled decay: the share of each param is subtracted besides the optimizer's step."""

    def step(state, params, grad):
        state, after = optimizer.step(state, params, grad)
        return state, after - share * params

    return optimizer._replace(step=step)


CASES = {
    "sgd": (lambda: jaxnn.optimizer("sgd", 0.1), oracle.gradient_descent(0.1)),
    "momentum": (lambda: jaxnn.optimizer("momentum", 0.1), oracle.momentum(0.1)),
    "rmsprop": (lambda: jaxnn.optimizer("rmsprop", 0.01), oracle.rmsprop(0.01)),
    "adagrad": (lambda: jaxnn.optimizer("adagrad", 0.1), oracle.adagrad(0.1)),
    "adam": (lambda: jaxnn.optimizer("adam", 0.01), oracle.adam(0.01)),
    "nesterov": (lambda: jaxnn.optimizer("nesterov", 0.1), oracle.nesterov(0.1)),
    "adamw": (lambda: jaxnn.optimizer("adamw", 0.01), decayed(oracle.adam(0.01), 0.01 * 1e-4)),
}


def test_every_name_has_a_case():
    assert set(jaxnn.optim.OPTIMIZERS) == {*CASES, "lbfgs"}


def assert_twenty_steps(make, paper):
    """Compare the params after each step, with gradients that are large, small, 0 and of changing sign."""
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(20, 6)) * np.array([[1, 1e-6, 1e3, 1, 1, 0]])
    params = rng.normal(size=6)
    optimizer = make()

    @compiled
    def run(params, grads):
        def step(carry, grad):
            params, state = carry
            updates, state = optimizer.update(grad, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (params, optimizer.init(params)), grads)[1]

    got = run(jnp.asarray(params), jnp.asarray(grads))
    state = paper.init(params)
    for i, grad in enumerate(grads):
        state, params = paper.step(state, params, grad)
        np.testing.assert_allclose(got[i], params, **TOLERANCE["float64"])


@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_are_the_papers(name, x64):
    assert_twenty_steps(*CASES[name])


@pytest.mark.parametrize("slip", OPTIMIZER_SLIPS, ids=lambda slip: slip.name)
def test_slip_raises(slip, x64):
    """The check of the papers' steps fails for adam's slips."""
    make, _ = CASES["adam"]
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_twenty_steps(make, slip.function(0.01))


def test_schedule_is_a_rate_too():
    sgd = jaxnn.optimizer("sgd", lambda step: 1.0 / (1 + step))
    state, grads = sgd.init(jnp.zeros(1)), jnp.ones(1)
    first, state = sgd.update(grads, state)
    second, _ = sgd.update(grads, state)
    assert (first.item(), second.item()) == (-1, -0.5)


def test_traced_rate_is_a_hyperparameter():
    def one_step(rate):
        sgd = jaxnn.optimizer("sgd", rate)
        return sgd.update(jnp.ones(2), sgd.init(jnp.ones(2)))[0]

    np.testing.assert_allclose(jax.jit(jax.vmap(one_step))(jnp.array([0.1, 0.2])), [[-0.1] * 2, [-0.2] * 2], rtol=1e-6)


def test_unknown_name_raises():
    with pytest.raises(ValueError, match=r"name must be one of the optimizers \['adagrad', 'adam'.*, got 'Adam'"):
        jaxnn.optimizer("Adam", 0.1)


def ridge_problem():
    """Logistic regression under L2, and its minimum by scikit-learn: w (3,) and b."""
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + 0.3 * np.random.default_rng(4).normal(size=40) > 0.2).astype(int)
    # scikit-learn minimises C Σ L + |w|²/2, which is m C times the mean of L + |w|²/(2 m C).
    fitted = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(x.astype(np.float64), y)
    model = jaxnn.logistic_regression(3)
    return jaxnn.objective(model.network, model.loss, jaxnn.l2(1 / 40)), model, x, y, fitted


@pytest.mark.full
def test_lbfgs_finds_the_minimum_in_few_steps():
    """In about fifteen full-batch steps, where gradient descent needs hundreds; `fit` passes the objective."""
    objective, model, x, y, fitted = ridge_problem()
    start, key = model.init(jax.random.key(0)), jax.random.key(1)
    ends = {
        name: jaxnn.fit(objective, jaxnn.optimizer(name, 1.0), start, x, y, key=key, epochs=15, report_every=15)
        for name in ("lbfgs", "sgd")
    }
    assert (np.diff(ends["lbfgs"].losses) <= 1e-7).all()
    gaps = {name: abs(end.params[0]["W"][0] - fitted.coef_[0]).max() for name, end in ends.items()}
    assert gaps["lbfgs"] < 1e-3 < 0.1 < gaps["sgd"]
    np.testing.assert_allclose(ends["lbfgs"].params[0]["b"], fitted.intercept_, atol=1e-3)


@pytest.mark.full
def test_lbfgs_members_of_a_population_equal_single_trainings():
    objective, model, x, y, _ = ridge_problem()
    lbfgs, key = jaxnn.optimizer("lbfgs", 1.0), jax.random.key(0)

    def member(start):
        return jaxnn.Member(objective, lbfgs, ({"W": start["W"], "b": start["b"]},), key)

    starts = {"W": np.random.default_rng(0).normal(size=(3, 1, 3)), "b": np.zeros((3, 1))}
    population = jaxnn.fit_population(member, starts, x, y, epochs=6, report_every=6)
    for i in range(3):
        alone = jaxnn.fit(objective, lbfgs, population_start(starts, i), x, y, key=key, epochs=6, report_every=6)
        np.testing.assert_allclose(population.losses[i], alone.losses, rtol=1e-4)


def population_start(starts, i):
    return (jax.tree.map(lambda leaf: jnp.asarray(leaf[i], jnp.float32), starts),)


def test_clipping_is_by_the_norm_of_all_params_together():
    grads = {"W": jnp.array([[3.0, 0.0]]), "b": jnp.array([4.0])}
    for limit, share in ((1.0, 0.2), (4.999, 0.9998), (5.001, 1.0)):
        clipped = jaxnn.optimizer("sgd", 0.1, clip_norm=limit)
        updates, _ = clipped.update(grads, clipped.init(grads))
        np.testing.assert_allclose(updates["W"], [[-0.3 * share, 0.0]], rtol=1e-6)
        np.testing.assert_allclose(updates["b"], [-0.4 * share], rtol=1e-6)


def test_clipping_raises_for_lbfgs():
    with pytest.raises(ValueError, match="clip_norm must be positive and finite, got 0"):
        jaxnn.optimizer("sgd", 0.1, clip_norm=0)
    with pytest.raises(ValueError, match="clip_norm must be None for lbfgs, got"):
        jaxnn.optimizer("lbfgs", 1.0, clip_norm=1.0)


# Schedules

FORMULAS = {
    "constant": lambda t, T: 1.0,
    "step": lambda t, T: 10.0 ** -math.floor(Fraction(3 * t, T)),
    "cosine": lambda t, T: (1 + math.cos(math.pi * t / T)) / 2,
    "inverse": lambda t, T: 1 / (1 + 9 * t / T),
}


@pytest.mark.parametrize("steps", [1, 2, 9, 100])
@pytest.mark.parametrize("name", jaxnn.optim.SCHEDULES)
def test_schedule_is_its_formula(name, steps):
    rates = jax.jit(jax.vmap(jaxnn.optim.schedule(name, 0.3, steps)))(jnp.arange(steps))
    expected = [0.3 * FORMULAS[name](t, steps) for t in range(steps)]
    np.testing.assert_allclose(np.broadcast_to(rates, steps), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", jaxnn.optim.SCHEDULES)
def test_warm_up_leads_up_to_any_schedule(name):
    rate = jaxnn.optim.schedule(name, 0.3, 24, warmup=4)
    expected = [0.3 * (t + 1) / 5 if t < 4 else 0.3 * FORMULAS[name](t - 4, 20) for t in range(24)]
    np.testing.assert_allclose([rate(t) for t in range(24)], expected, rtol=1e-5)


@pytest.mark.representatives("inverse")
@pytest.mark.parametrize("name", jaxnn.optim.SCHEDULES)
def test_schedules_of_traced_rates_train_a_population(name):
    """With a gradient of 1, each member's change is the sum of its schedule."""
    objective = jaxnn.Objective(
        lambda params, batch, key=None: (params["W"].sum(), ()), None, lambda params, batch: None
    )

    def member(h):
        sgd = jaxnn.optimizer("sgd", jaxnn.optim.schedule(name, h["rate"], 10, warmup=2))
        return jaxnn.Member(objective, sgd, {"W": jnp.zeros((1, 1))}, jax.random.key(0))

    x, y = np.zeros((1, 1), np.float32), np.zeros(1)
    rates = np.array([0.1, 0.2])
    population = jaxnn.fit_population(member, {"rate": rates}, x, y, epochs=10, report_every=10, gradients="auto")
    total = sum((t + 1) / 3 if t < 2 else FORMULAS[name](t - 2, 8) for t in range(10))
    np.testing.assert_allclose(population.params["W"].ravel(), -rates * total, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cosin"}, r"name must be one of the schedules \['constant', 'cosine'.*, got 'cosin'"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite, got 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"steps": 2.5}, "steps must be a whole number of at least 1, got 2.5"),
        ({"warmup": 10}, "warmup must be below the number of steps, 10, got 10"),
        ({"warmup": -1}, "warmup must be a whole number of at least 0, got -1"),
        ({"name": "Cosine"}, "did you mean 'cosine'"),
        ({"name": ["cosine"]}, r"name must be one of the schedules .*, got \['cosine'\]"),
        ({"learning_rate": "0.1"}, "learning_rate must be positive and finite, got '0.1'"),
        ({"learning_rate": optax.constant_schedule(0.1)}, "must be positive and finite, got the function"),
        ({"steps": True}, "steps must be a whole number of at least 1, got True"),
    ],
)
def test_invalid_schedule_raises(options, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.optim.schedule(**{"name": "cosine", "learning_rate": 0.1, "steps": 10, **options})


# Max-norm


def projected(params, update, limit):
    """In NumPy, row by row."""
    after = np.asarray(params, np.float64) + update
    for row in after.reshape(-1, after.shape[-1]):
        row *= min(1, limit / max(np.linalg.norm(row), 1e-300))
    return after


@pytest.mark.representatives("shape0")
@pytest.mark.parametrize("shape", [(5, 4), (3, 5, 4), (1, 1)])
def test_max_norm_projects_each_row(shape):
    rng = np.random.default_rng(1)
    W, dW = rng.normal(size=(2, *shape)).astype(np.float32)
    params = ({"W": jnp.asarray(W), "b": jnp.full(shape[:-1], 9.0)}, ())
    grads = ({"W": jnp.asarray(dW), "b": jnp.ones(shape[:-1])}, ())
    optimizer = optax.chain(optax.sgd(0.5), jaxnn.optim.max_norm(1.2))
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    after = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after[0]["W"], projected(W, -0.5 * dW, 1.2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after[0]["b"], 8.5)


def test_max_norm_leaves_short_rows_to_the_bit_and_rows_of_zeros_at_zero():
    params = {"W": jnp.array([[0.1, 0.2], [0.0, 0.0]])}
    updates = {"W": jnp.array([[0.1234567, -0.3], [0.0, 0.0]])}
    kept, _ = jaxnn.optim.max_norm(1.0).update(updates, optax.EmptyState(), params)
    np.testing.assert_array_equal(kept["W"], updates["W"])


def test_max_norm_does_not_hide_a_divergence():
    updates = {"W": jnp.array([[jnp.nan, 0.0], [jnp.inf, 0.0]])}
    after, _ = jaxnn.optim.max_norm(1.0).update(updates, optax.EmptyState(), {"W": jnp.zeros((2, 2))})
    assert not np.isfinite(after["W"]).all(axis=1).any()


@pytest.mark.full
def test_max_norm_with_a_limit_for_each_member():
    """In a population's scan and vmap, each member ends with its longest row at its limit, or as without one."""
    objective, model, x, y, _ = ridge_problem()
    network = jaxnn.mlp((3, 6, 1), "tanh")

    def member(h):
        optimizer = optax.chain(optax.sgd(0.5), jaxnn.optim.max_norm(h["limit"]))
        key = jax.random.key(0)
        return jaxnn.Member(jaxnn.objective(network.network, network.loss), optimizer, network.init(key), key)

    limits = np.array([0.5, 1.0, 1e6], np.float32)
    population = jaxnn.fit_population(member, {"limit": limits}, x, y, epochs=60, batch_size=10)
    norms = [
        max(np.linalg.norm(layer["W"][i], axis=-1).max() for layer in population.params if layer) for i in range(3)
    ]
    np.testing.assert_allclose(norms[:2], limits[:2], rtol=1e-5)
    start = network.init(jax.random.key(0))
    free = jaxnn.fit(
        *(jaxnn.objective(network.network, network.loss), optax.sgd(0.5), start, x, y),
        **{"key": jax.random.key(0), "epochs": 60, "batch_size": 10},
    )
    assert norms[1] < norms[2]
    np.testing.assert_allclose(population.params[0]["W"][2], free.params[0]["W"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("limit", [0, -1.0, np.inf, np.nan])
def test_max_norm_takes_a_positive_limit(limit):
    with pytest.raises(ValueError, match="limit must be positive and finite, got"):
        jaxnn.optim.max_norm(limit)


@pytest.mark.parametrize("params", [None, {"w": jnp.ones((2, 2))}, jnp.ones((2, 2)), ()])
def test_max_norm_without_weights_raises(params):
    updates = {"w": jnp.ones((2, 2))} if params is None else params
    with pytest.raises(ValueError, match="params must have weights for max_norm, got"):
        jaxnn.optim.max_norm(1.0).update(updates, optax.EmptyState(), params)


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, -1, np.nan, np.inf, np.float32(-1), np.float64(0), np.int64(-1)])
@pytest.mark.parametrize("name", jaxnn.optim.OPTIMIZERS)
def test_rate_must_be_positive_and_finite(name, rate):
    with pytest.raises(ValueError, match="^learning_rate must be positive and finite, got"):
        jaxnn.optimizer(name, rate)


class Torchlike:
    def step(self):
        pass


@pytest.mark.parametrize(
    ("optimizer", "fix"),
    [
        (optax.adam, r"must be .*, got the function adam: call the factory, adam\(0.01\)"),
        ("Adam", r"must be an optax optimizer, .*, got 'Adam': jaxnn.optimizer\('adam', 0.01\) makes one"),
        (Torchlike(), "must be an optax optimizer, .*, got a Torchlike"),
        (optax.GradientTransformation, "must be an optax optimizer, .*, got the class GradientTransformation"),
        (0.1, "must be an optax optimizer, .*, got 0.1"),
        (None, "must be an optax optimizer, .*, got None"),
    ],
)
def test_an_invalid_optimizer_raises_in_every_function(optimizer, fix):
    model = jaxnn.logistic_regression(2)
    objective, params, key = (
        jaxnn.objective(model.network, model.loss),
        model.init(jax.random.key(0)),
        jax.random.key(0),
    )
    data, plan = (np.ones((4, 2)), np.zeros(4)), dict(key=key, epochs=1)
    for take in (
        lambda: jaxnn.fit(objective, optimizer, params, *data, **plan),
        lambda: jaxnn.fit_stream(objective, optimizer, params, [data], **plan),
        lambda: jaxnn.contrib.fit_in_row_space(objective, optimizer, params, *data, **plan),
        lambda: jaxnn.train_state(params, optimizer, key),
        lambda: jaxnn.make_step(objective, optimizer),
        lambda: jaxnn.train.make_epoch(objective, optimizer, 2),
        lambda: jaxnn.optim.skip_nonfinite(optimizer),
        lambda: jaxnn.optim.with_loss_scale(optimizer),
        lambda: jaxnn.optim.with_loss_scale(optimizer, growth_interval=None),
        lambda: jaxnn.fit_population(
            lambda h: jaxnn.Member(objective, optimizer, params, key), {"a": [0.0]}, *data, epochs=1
        ),
    ):
        with pytest.raises(ValueError, match=f"optimizer {fix}"):
            take()


@pytest.mark.parametrize("rate", ["0.1", None, [0.1], np.array([0.1, 0.2]), True, "cosine"])
def test_invalid_learning_rate_raises(rate):
    asks = [lambda: jaxnn.optimizer("adam", rate), lambda: jaxnn.optim.max_norm(rate)]
    asks += [lambda: jaxnn.optimizer("adam", 0.1, clip_norm=rate)] if rate is not None else []
    for ask in asks:
        with pytest.raises(ValueError, match="must be positive and finite( or a function| or None)?, got"):
            ask()
    with pytest.raises(
        ValueError, match=r"learning_rate must be a function learning_rate\(step\), got a function of \(name, "
    ):
        jaxnn.optimizer("adam", jaxnn.optim.schedule)


# Coefficients by name

GIVEN = {
    "momentum": ({"beta": 0.7}, oracle.momentum(0.1, 0.7)),
    "momentum, the average": ({"beta": 0.7, "average": True}, oracle.momentum(0.03, 0.7)),  # (1 - 0.7) 0.1
    "nesterov": ({"beta": 0.7}, oracle.nesterov(0.1, 0.7)),
    "rmsprop": ({"decay": 0.7, "eps": 1e-3}, oracle.rmsprop(0.1, 0.7, 1e-3)),
    "adagrad": ({"initial_accumulator_value": 0.5, "eps": 1e-3}, oracle.adagrad(0.1, 0.5, 1e-3)),
    "adam": ({"b1": 0.7, "b2": 0.8, "eps": 1e-3}, oracle.adam(0.1, 0.7, 0.8, 1e-3)),
    "adamw": ({"b1": 0.7, "weight_decay": 0.2}, decayed(oracle.adam(0.1, 0.7), 0.1 * 0.2)),
}


@pytest.mark.parametrize("case", GIVEN)
def test_coefficients_are_the_papers(case, x64):
    coefficients, paper = GIVEN[case]
    optimizer = jaxnn.optimizer(case.split(",")[0], 0.1, **coefficients)
    rng = np.random.default_rng(0)
    grads, params = rng.normal(size=(5, 6)), rng.normal(size=6)
    state, ours, theirs = optimizer.init(jnp.asarray(params)), jnp.asarray(params), params
    paper_state, update = paper.init(params), jax.jit(optimizer.update)
    for grad in grads:
        updates, state = update(jnp.asarray(grad), state, ours)
        ours = ours + updates
        paper_state, theirs = paper.step(paper_state, theirs, grad)
        np.testing.assert_allclose(ours, theirs, **TOLERANCE["float64"])


@pytest.mark.parametrize(
    ("name", "coefficients", "message"),
    [
        (
            "momentum",
            {"bata": 0.9},
            "must be of learning_rate, beta, average, clip_norm, got bata: did you mean beta",
        ),
        (
            "adam",
            {"beta1": 0.9},
            "must be of learning_rate, b1, b2, eps, clip_norm, got beta1: did you mean b1",
        ),
        (
            "sgd",
            {"momentum": 0.9},
            "of learning_rate, clip_norm, got momentum: 'momentum' and 'nesterov' take beta",
        ),
        ("sgd", {"beta": 0.9}, "of learning_rate, clip_norm, got beta: 'momentum' and 'nesterov' take it"),
        ("adam", {"weight_decay": 0.1}, "b1, b2, eps, clip_norm, got weight_decay: 'adamw' takes it"),
        ("adam", {"betas": (0.9, 0.99)}, "b1, b2, eps, clip_norm, got betas$"),
        ("adam", {"clip": 1.0}, "b1, b2, eps, clip_norm, got clip: did you mean clip_norm"),
        ("momentum", {"beta": 1}, "beta must be a number from 0 to below 1, got 1"),
        ("momentum", {"average": 1}, "average must be True or False, got 1"),
        ("rmsprop", {"decay": "0.9"}, "decay must be a number from 0 to below 1, got '0.9'"),
        ("adam", {"eps": -1.0}, "eps must be a finite number of at least 0, got -1.0"),
        ("adamw", {"weight_decay": np.inf}, "weight_decay must be a finite number of at least 0, got inf"),
        ("lbfgs", {"memory_size": 0}, "memory_size must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_coefficients_raise(name, coefficients, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.optimizer(name, 0.1, **coefficients)


def test_a_traced_coefficient_is_a_hyperparameter():
    def second_step(beta):
        momentum = jaxnn.optimizer("momentum", 0.1, beta=beta)
        _, state = momentum.update(jnp.ones(2), momentum.init(jnp.ones(2)))
        return momentum.update(jnp.ones(2), state)[0]

    steps = jax.jit(jax.vmap(second_step))(jnp.array([0.0, 0.5]))
    np.testing.assert_allclose(steps, [[-0.1] * 2, [-0.15] * 2], rtol=1e-6)
