"""What overflowed first: trainings that overflow at a known step, layer and quantity."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.train.divergence import first_not_finite
from jaxnn.train.programs import all_finite
from tests.helpers.registry import LayerCase

# That they diverge is meant; the warning has tests of its own at the end.
pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning"),
]

KEY = jax.random.key(3)
SGD = optax.sgd(1.0)
X, Y = np.ones((4, 3), np.float32), np.zeros(4, np.float32)
SQUARE = jaxnn.stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy)
ROOT = jaxnn.stateless(lambda x: (jnp.sqrt(x), x), lambda x, dy: dy / (2 * jnp.sqrt(x)))


SQUARED = jaxnn.squared_error()
TINY = optax.sgd(1e-9)
objective_of = cache(jaxnn.objective)  # one object, so that `fit` compiles once for it


def fit(network, params, x=X, y=Y, loss=SQUARED, optimizer=SGD, regularizer=None, **options):
    objective = objective_of(network, loss, regularizer)
    return jaxnn.fit(objective, optimizer, params, x, y, **{"key": KEY, "epochs": 1} | options)


def params_of(network, n_in=3, **changes):
    """Return the params of the registry case; `leaf_2=1e38` sets all numbers of the third array to 1e38."""
    params = jax.tree.map(np.array, LayerCase("", network, (n_in,)).params())
    views = jaxnn.models.params_to_arrays(network, params)
    for name, value in changes.items():
        views[int(name.removeprefix("leaf_"))][...] = value
    return params


# In which layer the activations overflow

FULL = pytest.mark.full
DEEP = jaxnn.mlp((3, 4, 4, 4, 4, 1), "relu", scan=False).network
SCANNED = jaxnn.mlp((3, 4, 4, 4, 4, 1), "relu", scan=True).network
NESTED = jaxnn.chain(
    jaxnn.chain(jaxnn.dense(4), jaxnn.relu()), jaxnn.remat(jaxnn.chain(jaxnn.dense(4), jaxnn.relu())), jaxnn.dense(1)
)
REPEATED = jaxnn.chain(
    jaxnn.dense(4), jaxnn.repeat(jaxnn.residual(jaxnn.chain(jaxnn.dense(4), jaxnn.relu())), 3), jaxnn.dense(1)
)


@pytest.mark.representatives("network6-2-3-5-params[1][0]")
@pytest.mark.parametrize(
    ("network", "leaf", "layer", "layers", "path"),
    [
        (DEEP, 6, 7, 9, "params[6]"),
        *[pytest.param(DEEP, 2 * k, 2 * k + 1, 9, f"params[{2 * k}]", marks=FULL) for k in (0, 4)],
        (SCANNED, 6, 7, 9, "params[1][1], copy 3"),
        pytest.param(SCANNED, 2, 3, 9, "params[1][1], copy 1", marks=FULL),
        pytest.param(SCANNED, 8, 9, 9, "params[2][1]", marks=FULL),
        (NESTED, 2, 3, 5, "params[1][0]"),
        (REPEATED, 4, 4, 8, "params[1][0], copy 2"),
        (jaxnn.dense(1), 0, 1, 1, "params"),
    ],
)
def test_activations_overflow_in_the_layer_with_huge_weights(network, leaf, layer, layers, path):
    # All positive, so that no ReLU stops what is to grow.
    params = jax.tree.map(lambda a: np.abs(a) + 0.5, params_of(network))
    jaxnn.models.params_to_arrays(network, params)[leaf][...] = 3e38
    result = fit(network, params)
    assert result.diverged_at == 0 and result.stopped_by == "divergence"
    largest = result.divergence.largest
    np.testing.assert_allclose(largest, 3e38, rtol=1e-6)
    assert result.divergence == jaxnn.train.Divergence(0, "activations", layer, layers, path, largest)


@pytest.mark.full
def test_overflow_of_a_residual_sum_is_reported_as_the_next_layers_input():
    network = jaxnn.chain(jaxnn.residual(jaxnn.dense(3)), jaxnn.dense(1))
    params = params_of(network, leaf_0=0.0, leaf_1=3e38)
    result = fit(network, params, x=np.full((4, 3), 3e38, np.float32))
    assert result.divergence[:5] == (0, "inputs", 2, 2, "params[1]")
    assert "the inputs of layer 2 of 2 (params[1]) overflowed first" in str(result.divergence)


# What else can overflow


@pytest.mark.full
def test_gradient_of_a_finite_forward():
    """√x at 0 has the value 0 and an infinite slope: the layer before it is given an infinite gradient."""
    network = jaxnn.chain(jaxnn.dense(1), ROOT, jaxnn.dense(1))
    result = fit(network, params_of(network, leaf_0=0.0, leaf_1=0.0))
    assert result.divergence[:5] == (0, "gradient", 2, 3, "params[1]")


def test_only_the_gradient_with_respect_to_the_weights():
    """dW = dzᵀ x = 1e10 · 1e30."""
    network = jaxnn.dense(1)
    params = {"W": np.full((1, 1), 1e-30, np.float32), "b": np.zeros(1, np.float32)}
    result = fit(network, params, x=np.full((1, 1), 1e30, np.float32), y=np.full(1, 1e10, np.float32))
    assert result.divergence[:5] == (0, "gradient", 1, 1, "params")
    np.testing.assert_allclose(result.divergence.largest, 1e30, rtol=1e-6)


def test_loss():
    """z = 1e25 squared is 1e50; the gradient, z - y, is finite."""
    result = fit(jaxnn.dense(1), params_of(jaxnn.dense(1)), y=np.full(4, 1e25, np.float32))
    assert result.divergence[:2] == (0, "loss")


@pytest.mark.full
def test_loss_of_the_penalty():
    params = params_of(jaxnn.dense(1), leaf_0=1e25)
    result = fit(jaxnn.dense(1), params, loss=jaxnn.sigmoid_cross_entropy(), regularizer=jaxnn.l2(1.0))
    assert result.divergence[:2] == (0, "loss")
    assert result.divergence.largest == pytest.approx(1e25)


def test_update():
    params = params_of(jaxnn.dense(1), leaf_0=1.0)
    result = fit(jaxnn.dense(1), params, y=np.full(4, 100, np.float32), optimizer=optax.sgd(3e38))
    assert result.divergence[:2] == (0, "update") and result.divergence.path == "params['W']"
    assert str(result.divergence).startswith(
        "step 0: the update of params['W'] overflowed first, computed from numbers"
    )


def test_params_that_were_not_finite_from_the_start():
    result = fit(jaxnn.dense(1), params_of(jaxnn.dense(1), leaf_1=np.inf))
    assert str(result.divergence) == "step 0: params['b'] not finite at the start"


@pytest.mark.full
def test_examples_that_an_augmentation_broke():
    objective = jaxnn.train.with_augmentation(
        jaxnn.objective(jaxnn.dense(1), jaxnn.squared_error()), lambda key, x: x / 0
    )
    result = jaxnn.fit(objective, SGD, params_of(jaxnn.dense(1)), X, Y, key=KEY, epochs=1)
    assert str(result.divergence) == "step 0: the inputs not finite at the start"


@pytest.mark.full
def test_automatic_gradient_overflows_and_the_hand_derived_one_is_finite():
    """Of |z| written as √z², JAX's slope at 0 is NaN."""
    loss = jaxnn.Loss(lambda z, y: jnp.sqrt(z * z)[:, 0], lambda z, y: jnp.sign(z))
    params = params_of(jaxnn.dense(1), leaf_0=0.0, leaf_1=0.0)
    assert fit(jaxnn.dense(1), params, loss=loss).divergence is None
    result = fit(jaxnn.dense(1), params, loss=loss, gradients="auto")
    assert result.divergence[:2] == (0, "gradient") and result.divergence.path in ("params['W']", "params['b']")


@pytest.mark.full
def test_automatic_gradient_in_the_layer_where_it_overflowed():
    """As the hand-derived gradient of the same network: the marks are transposed with the program."""
    network = jaxnn.chain(jaxnn.dense(1), ROOT, jaxnn.dense(1))
    result = fit(network, params_of(network, leaf_0=0.0, leaf_1=0.0), gradients="auto")
    assert result.divergence[:5] == (0, "gradient", 2, 3, "params[1]")


@pytest.mark.full
@pytest.mark.parametrize("gradients", ["hand", pytest.param("auto", marks=pytest.mark.full)])
def test_gradient_in_a_copy(gradients):
    """Of three copies, √x is at 0 in the second."""
    network = jaxnn.chain(jaxnn.repeat(jaxnn.remat(jaxnn.chain(jaxnn.dense(1), ROOT)), 3), jaxnn.dense(1))
    params = params_of(network, n_in=1, leaf_0=1.0, leaf_1=0.0, leaf_2=0.0, leaf_3=0.0, leaf_4=0.0, leaf_5=1.0)
    result = fit(network, params, x=X[:, :1], gradients=gradients)
    assert result.divergence[:5] == (0, "gradient", 4, 7, "params[0][1], copy 2")


@pytest.mark.full
def test_a_line_search_computes_losses_after_the_gradient():
    network = jaxnn.chain(jaxnn.dense(1), ROOT, jaxnn.dense(1))
    finite = fit(network, params_of(network, leaf_0=1.0), optimizer=optax.lbfgs())
    assert finite.divergence is None
    result = fit(network, params_of(network, leaf_0=0.0, leaf_1=0.0), optimizer=optax.lbfgs())
    assert result.divergence[:5] == (0, "gradient", 2, 3, "params[1]")


@pytest.mark.full
def test_one_objective_of_two_branches():
    """Layers inside of a `cond` are found in the branch that ran."""
    inner = objective_of(SQUARES, SQUARED)

    def value_and_grad(params, batch, key=None):
        small = lambda: ((params[1]["b"].sum(), ()), jax.tree.map(jnp.zeros_like, params))  # noqa: E731
        return jax.lax.cond(batch.x.max() > 1, lambda: inner.value_and_grad(params, batch, key), small)

    objective = jaxnn.Objective(lambda *given: value_and_grad(*given)[0], value_and_grad)
    x = np.full((4, 3), 1e30, np.float32)
    result = jaxnn.fit(objective, SGD, params_of(SQUARES), x, Y, key=KEY, epochs=1)
    assert result.divergence[:5] == (0, "activations", 1, 2, "params[0]")


@pytest.mark.parametrize(("value", "slope", "what"), [(np.nan, 1.0, "loss"), (1.0, np.inf, "gradient")])
def test_custom_objective(value, slope, what):
    def value_and_grad(params, batch, key=None):
        return (params["w"] * value, ()), {"w": params["w"] * slope}

    objective = jaxnn.Objective(lambda *given: value_and_grad(*given)[0], value_and_grad)
    result = jaxnn.fit(objective, SGD, {"w": jnp.ones(())}, X, Y, key=KEY, epochs=1)
    assert result.divergence[:2] == (0, what)
    assert result.divergence.path == (None if what == "loss" else "params['w']")


# Half precision


@pytest.mark.full
def test_float16_overflows_where_float32_does_not():
    """300 · 300 is more than 65504: in the second layer, forward."""
    network = jaxnn.chain(jaxnn.dense(1), jaxnn.dense(1), jaxnn.relu())
    params = params_of(network, leaf_0=100.0, leaf_1=0.0, leaf_2=300.0)
    assert fit(network, params, optimizer=TINY).divergence is None
    result = fit(jaxnn.with_dtype(network, jnp.float16), params)
    assert result.divergence == jaxnn.train.Divergence(0, "activations", 2, 3, "params[1]", 300.0)


@pytest.mark.full
def test_float16_gradient_overflows_first():
    """dz = 100, by weights of 1000: in the backward of the second layer, on activations of 0.1."""
    network = jaxnn.with_dtype(jaxnn.chain(jaxnn.dense(1), jaxnn.dense(1)), jnp.float16)
    params = params_of(network, leaf_0=0.0, leaf_1=0.1, leaf_2=1000.0)
    result = fit(network, params, x=X[:1], y=np.zeros(1, np.float32))
    assert result.divergence == jaxnn.train.Divergence(0, "gradient", 2, 2, "params[1]", 1000.0)


# Which step, which batch, which mask


SQUARES = jaxnn.chain(SQUARE, jaxnn.dense(1))


@pytest.mark.full
@pytest.mark.parametrize(
    ("shuffle", "weight"),
    [
        (True, np.ones(10)),
        (False, None),
        *(pytest.param(*case, marks=FULL) for case in ((True, None), (False, np.ones(10)))),
    ],
)
def test_the_batch_is_that_of_the_step(shuffle, weight):
    """One example of ten overflows, in whichever batch it comes."""
    x = np.ones((10, 3), np.float32)
    x[7] = 1e30
    options = dict(batch_size=3, epochs=2, shuffle=shuffle, weight=weight, optimizer=TINY)
    steps = set()
    for seed in range(3):
        result = fit(SQUARES, params_of(SQUARES), x, np.zeros(10), key=jax.random.key(seed), **options)
        assert result.divergence[:5] == (result.diverged_at, "activations", 1, 2, "params[0]")
        np.testing.assert_allclose(result.divergence.largest, 1e30, rtol=1e-6)
        steps.add(result.diverged_at)
    assert len(steps) > 1 if shuffle else steps == {2}


TOSSED = jaxnn.chain(jaxnn.dropout(0.7), SQUARE, jaxnn.dense(1))


@pytest.mark.full
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=FULL) for seed in (1, 2, 3))])
def test_the_mask_is_that_of_the_step(seed):
    """A coin decides at each step whether the one feature, which overflows, is dropped."""
    x = np.full((1, 1), 1e30, np.float32)
    result = fit(TOSSED, params_of(TOSSED, 1), x, Y[:1], key=jax.random.key(seed), epochs=40, report_every=40)
    assert result.divergence[:5] == (result.diverged_at, "activations", 2, 3, "params[1]")


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["own", pytest.param("shared", marks=FULL)])
def test_members_of_a_population(shuffle):
    """Members that diverge in different ways and steps have the same reports as from `fit`."""
    x = np.full((10, 3), 10, np.float32)
    x[7] = 1e18
    objective, start = jaxnn.objective(SQUARES, jaxnn.sigmoid_cross_entropy()), params_of(SQUARES)

    def member(h):
        params = jax.tree.map(lambda leaf: leaf * h["scale"], start)
        return jaxnn.Member(objective, optax.sgd(h["rate"]), params, jax.random.key(h["seed"]))

    h = {"rate": [1e-3, 3e38, 1e-3, 3e38], "scale": [1e-3, 1e-3, 1e4, 1e-3], "seed": [0, 1, 0, 0]}
    plan = dict(epochs=2, batch_size=3)
    population = jaxnn.fit_population(member, h, x, np.zeros(10), shuffle=shuffle, **plan)
    assert population.divergences[0] is None and population.member(0).divergence is None
    assert {one.what for one in population.divergences[1:]} == {"update", "activations"}
    # Of a shared order, the key is the first member's.
    i = 1 if shuffle == "own" else 2
    made = member({name: values[i] for name, values in h.items()})
    alone = jaxnn.fit(made.objective, made.optimizer, made.params, x, np.zeros(10), key=made.key, **plan)
    assert population.divergences[i] == pytest.approx(alone.divergence)
    assert population.member(i).divergence == population.divergences[i]


@pytest.mark.full
def test_stream():
    x = np.ones((10, 3), np.float32)
    x[7] = 1e30
    batches = jaxnn.data.host_batches(x, np.zeros(10), 3, seed=0, shuffle=False)
    objective = objective_of(SQUARES, SQUARED)
    result = jaxnn.fit_stream(objective, TINY, params_of(SQUARES), batches, key=KEY, epochs=2, steps_per_call=4)
    assert result.divergence[:5] == (2, "activations", 1, 2, "params[0]")
    np.testing.assert_allclose(result.divergence.largest, 1e30, rtol=1e-6)


@pytest.mark.full
def test_a_second_divergence_compiles_nothing():
    """For the same training or population: one program explains every step."""
    objective, optimizer, params = objective_of(SQUARES, SQUARED), optax.sgd(3e38), params_of(SQUARES)

    def member(h):
        return jaxnn.Member(objective, optax.sgd(h["rate"]), params, KEY)

    def train():
        alone = jaxnn.fit(objective, optimizer, params, X, Y, key=KEY, epochs=1)
        return alone.divergence, *jaxnn.fit_population(member, {"rate": [3e38]}, X, Y, epochs=1).divergences

    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    assert [found.what for found in train()] == ["update", "update"]
    before = sum("backend_compile" in name for name in compiled)
    assert before > 0
    train()
    assert sum("backend_compile" in name for name in compiled) == before


def test_step_that_is_finite_when_recomputed_alone_is_reported():
    assert "recomputed alone it is" in str(first_not_finite(3, []))


@pytest.mark.representatives("nan-float32-True")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found(bad, dtype, compiled):
    found = jax.jit(all_finite) if compiled else all_finite
    largest = jnp.full((3, 4), jnp.finfo(dtype).max, dtype)
    sound = [largest, -largest, jnp.zeros((0, 3)), jnp.full((5,), jnp.finfo(dtype).tiny, dtype), jnp.arange(3)]
    assert found(sound)
    assert found([])
    assert not found([*sound, largest.at[1, 2].set(bad)])
    assert not found([jnp.asarray(bad, dtype), *sound])


# The warning


def warning_of(train):
    """Return the only warning of a training, and its result."""
    with pytest.warns(jaxnn.train.DivergenceWarning) as caught:
        result = train()
    (warning,) = caught
    assert warning.filename == __file__  # the line that trained, not one of the library's
    return str(warning.message), result


LINEAR = jaxnn.dense(1)
STANDARD = "; try a smaller learning rate, clipping (jaxnn.optimizer(..., clip_norm=1.0)) or standardized inputs"


def test_diverged_fit_warns_once_with_what_overflowed():
    far = dict(y=np.full(4, 100, np.float32), optimizer=optax.sgd(3e38), epochs=3)
    message, result = warning_of(lambda: fit(LINEAR, params_of(LINEAR, leaf_0=1.0), **far))
    assert message == f"the training diverged at {result.divergence}{STANDARD}"


@pytest.mark.full
def test_a_stream_that_diverges_warns_once():
    params = params_of(LINEAR, leaf_0=1.0)
    far = [(X, np.full(4, 100, np.float32))]
    message, result = warning_of(
        lambda: jaxnn.fit_stream(objective_of(LINEAR, SQUARED), optax.sgd(3e38), params, far, key=KEY, epochs=3)
    )
    assert message == f"the training diverged at {result.divergence}{STANDARD}"


@pytest.mark.full
def test_a_training_in_the_span_that_diverges_warns_once():
    model, x = jaxnn.logistic_regression(6), np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(1.0))
    start, y = model.init(KEY), np.array([0, 1, 1, 0])
    message, _ = warning_of(
        lambda: jaxnn.contrib.fit_in_row_space(objective, optax.sgd(1e20), start, x, y, key=KEY, epochs=9)
    )
    assert message.startswith("the training diverged at step ") and message.endswith(STANDARD)


@pytest.mark.full
def test_float16_params_under_adam_report_the_fix():
    """Adam's ε of 1e-8 is 0 in float16, and of a feature that is always 0 so is the gradient."""
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float16), params_of(LINEAR))
    x = (X * [[0, 1, 1]]).astype(np.float16)
    message, result = warning_of(lambda: fit(LINEAR, params, x=x, optimizer=optax.adam(0.01)))
    assert result.diverged_at == 0
    assert message.endswith(
        "; keep params in float32 and compute in float16: jaxnn.with_dtype(network, jnp.float16) under "
        "jaxnn.optim.with_loss_scale(optimizer)"
    )


def test_divergence_of_initial_params_suggests_fixing_them():
    message, _ = warning_of(lambda: fit(LINEAR, params_of(LINEAR, leaf_1=np.inf)))
    assert message == "the training diverged at step 0: params['b'] not finite at the start; start from finite params"


def test_finite_training_does_not_warn(recwarn):
    fit(LINEAR, params_of(LINEAR), optimizer=TINY)
    assert not recwarn.list


def test_divergence_before_any_update_does_not_blame_the_learning_rate():
    params = params_of(LINEAR)
    message, result = warning_of(lambda: fit(LINEAR, params, y=np.full(4, 1e30, np.float32)))
    assert result.divergence[:2] == (0, "loss")
    assert message.endswith("; no update was made yet: standardize inputs and targets, or begin with smaller params")
