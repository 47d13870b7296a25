"""JAX's configuration options: every computation runs under each of them.

Among them are options that turn what JAX allows by default into an error: promotion of dtypes and ranks, NaN, leaked
tracers, implicit transfers, keys used twice.
"""

import contextlib
import logging
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import gradcheck, graph
from tests.helpers.registry import KIND_CASES, LOSS_CASES, REGULARIZER_CASES, regularized_params

# By a name: options of `jax.config` with values that are not the usual ones, and the programs that run under them
# without `--full` too. Options that only raise are set together, as are those that choose another way to compute the
# same: together they raise, and change, all that each of them does.
SWITCHES = {
    "strict": (
        {
            "jax_numpy_dtype_promotion": "strict",
            "jax_numpy_rank_promotion": "raise",  # as all tests do
            "jax_check_tracer_leaks": True,
            "jax_enable_checks": True,
            "jax_legacy_prng_key": "error",
        },
        ("data_in_parts", "each_penalty", "traced_graph", "predictions"),
    ),
    # Not with the others: JAX's check of keys does not know what its internal checks make of a loop.
    "keys": ({"jax_debug_key_reuse": True}, ("fit_with_max_norm_and_dropout",)),
    "nan": ({"jax_debug_nans": True}, ("traced_graph",)),
    "inf": ({"jax_debug_infs": True}, ("traced_graph",)),
    "transfers": ({"jax_transfer_guard": "disallow"}, ("fit_stream", "traced_graph")),
    "float64": ({"jax_enable_x64": True}, ("fit_stream",)),
    "without_jit": ({"jax_disable_jit": True}, ("each_penalty",)),
    "other_ways": (
        {
            "jax_default_matmul_precision": "highest",
            "jax_default_prng_impl": "rbg",
            "jax_threefry_partitionable": False,
            "jax_softmax_custom_jvp": False,
            "jax_use_direct_linearize": False,
        },
        ("predictions",),
    ),
    "logs": (
        {
            "jax_log_compiles": True,
            "jax_explain_cache_misses": True,
            # Not "fatal", which ends the process: JAX's errors in tracing symbolic sizes hold frames, these the key.
            "jax_array_garbage_collection_guard": "log",
        },
        ("predictions",),
    ),
}
# Where an option itself forbids what a program is made of.
IMPOSSIBLE = {
    # To JAX, any number in eager arithmetic is a transfer, the 1 in `a + 1` too. What trains must do without.
    "transfers": {
        "fit_on_each_schedule",
        *("metrics", "predictions", "slice_params", "each_loss", "each_penalty", "standardized", "data_in_parts"),
    },
    # The search along a line begins at infinity.
    "inf": {"fit_of_each_optimizer"},
}


@contextlib.contextmanager
def switched(values):
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0])
WIDE = np.random.default_rng(1).normal(size=(6, 9)).astype(np.float32)
PROGRAMS = {}

pytestmark = pytest.mark.usefixtures("quick_compilation")


def program(function):
    """A function without arguments that computes something, by its name; what it gives are numbers."""
    PROGRAMS[function.__name__] = function
    return function


def key(seed=0):
    """A random key; it comes to the device as a user's does, before the guarded code."""
    with jax.transfer_guard("allow"):
        return jax.random.key(seed)


@cache
def model(output="binary", dropout_rate=0.0):
    return jaxnn.mlp((3, 4, 2 if output == "softmax" else 1), "tanh", output=output, dropout_rate=dropout_rate)


def trained(optimizer=None, *, fit=jaxnn.fit, net=None, regularizer=None, x=X, y=Y, augment=None, **options):
    net = model() if net is None else net
    objective = jaxnn.objective(net.network, net.loss, regularizer)
    objective = objective if augment is None else jaxnn.train.with_augmentation(objective, augment)
    options = dict(epochs=2, batch_size=4) | options
    return fit(objective, optimizer or optax.sgd(0.1), net.init(key()), x, y, key=key(), **options)


@program
def fit_by_hand():
    return trained(optax.adam(0.1), regularizer=jaxnn.regularizers.elastic_net(0.1, 0.1)).losses


@program
def fit_by_jax():
    return trained(optax.adamw(0.1), gradients="auto").losses


@program
def fit_with_whole_weights():
    return trained(weight=np.arange(6)).losses


@program
def fit_with_evaluation():
    @jax.jit
    def evaluate(params):
        return {"accuracy": jaxnn.accuracy(model().predict(params, X), Y)}

    result = trained(evaluate=evaluate, early_stopping=jaxnn.EarlyStopping("accuracy", 3, mode="max"), epochs=3)
    return result.losses, result.best_epoch


@program
def fit_skipping():
    return trained(optax.rmsprop(0.1), on_nan="skip").losses


@program
def fit_with_loss_scale():
    net = model()
    half = jaxnn.with_dtype(net.network, jnp.float16)
    return trained(jaxnn.optim.with_loss_scale(optax.adam(0.1)), net=net._replace(network=half)).losses


@program
def fit_of_each_optimizer():
    def step(name):
        objective, optimizer = jaxnn.objective(model().network, model().loss), jaxnn.optimizer(name, 0.1)
        state = jaxnn.train_state(model().init(jax.random.key(0)), optimizer, jax.random.key(1))
        return jaxnn.make_step(objective, optimizer)(state, jaxnn.Batch(X, Y))[0].params

    return jax.jit(lambda: [step(name) for name in jaxnn.optim.OPTIMIZERS])()


@program
def fit_on_each_schedule():
    rates = [jaxnn.optim.schedule(name, 0.1, 4, warmup=warmup) for name in jaxnn.optim.SCHEDULES for warmup in (0, 2)]
    inside = trained(jaxnn.optimizer("adam", rates[-1], clip_norm=0.5)).losses
    return inside, jax.jit(lambda step: [rate(step) for rate in rates])(jnp.array(3))


@program
def fit_with_max_norm_and_dropout():
    return trained(optax.chain(optax.sgd(0.1), jaxnn.optim.max_norm(1.0)), net=model(dropout_rate=0.4)).losses


@program
def fit_softmax_and_linear():
    return [trained(net=model("softmax")).losses, trained(net=model("linear"), y=X[:, 0]).losses]


@program
def fit_smoothed():
    return trained(net=model("softmax")._replace(loss=jaxnn.softmax_cross_entropy(0.1))).losses


@program
def fit_deep():
    return trained(net=jaxnn.mlp((3, 4, 4, 4, 1), ["relu", "gelu", "relu"]), x=X).losses


@program
def fit_scanned():
    return trained(net=jaxnn.mlp((3, 4, 4, 4, 1), scan=True)).losses


@program
def fit_augmented():
    images = np.random.default_rng(3).uniform(size=(6, 5, 5)).astype(np.float32)
    fields = (
        jaxnn.data.random_shift(1),
        jaxnn.data.random_rotation(9),
        jaxnn.data.random_scale(0.1),
        jaxnn.data.random_shear(9),
        jaxnn.data.elastic_deformation(2, 2),
    )
    augment = jaxnn.data.compose(
        jaxnn.data.random_flip(), jaxnn.data.warp(*fields), jaxnn.data.gaussian_noise(0.1), jaxnn.data.random_crop(2, 2)
    )
    network = jaxnn.chain(jaxnn.flatten(), jaxnn.dense(1))
    net = jaxnn.Model(network, (2, 2), jaxnn.sigmoid_cross_entropy(), jax.nn.sigmoid, lambda z: z)
    return trained(net=net, x=images, augment=augment).losses


@program
def fit_stream():
    def fit(*given, key, epochs, batch_size):
        *given, x, y = given
        return jaxnn.fit_stream(*given, jaxnn.data.host_batches(x, y, batch_size, seed=0), key=key, epochs=epochs)

    return trained(fit=fit).losses


@program
def fit_in_row_space():
    net = jaxnn.mlp((9, 2, 1))
    return trained(
        optax.sgd(0.1, momentum=0.9), fit=jaxnn.contrib.fit_in_row_space, net=net, x=WIDE, regularizer=jaxnn.l2(0.1)
    ).losses


def member(h, net=None, optimizer=optax.adam):
    own, net = jax.random.key(h["seed"]), net or model()
    objective = jaxnn.objective(net.network, net.loss, jaxnn.l2(h["l2"]))
    return jaxnn.Member(objective, optimizer(h["rate"]), net.init(own), own)


def grid():
    return jaxnn.grid(rate=[0.1], l2=[0.0, 0.1], seed=[0])


@program
def fit_population():
    @jax.jit
    def evaluate(params, h):
        return {"accuracy": jaxnn.accuracy(model().predict(params, X), Y)}

    return jaxnn.fit_population(member, grid(), X, Y, epochs=1, batch_size=4, evaluate=evaluate).losses


# Without jit, JAX compiles each operation of a population each time: the fewer there are, the sooner it is done.
simple_member = partial(member, net=jaxnn.logistic_regression(3), optimizer=optax.sgd)


def measure(params, batch):
    predicted = jaxnn.logistic_regression(3).predict(params, batch.x)
    return {"error": jaxnn.metrics.error_rate(predicted, batch.y, batch.weight)}


@program
def cross_validation():
    return jaxnn.cross_validate(simple_member, grid(), X, Y, k=2, seed=0, measure=measure, epochs=1).measured["error"]


@program
def learning_curve():
    dev = jaxnn.Batch(X, Y)
    given, options = (simple_member, grid(), X, Y, [3, 6]), dict(dev=dev, seeds=[0], measure=measure, epochs=1)
    return jaxnn.population.learning_curve(*given, **options).dev["error"]


@program
def steps_and_epochs():
    objective, optimizer = jaxnn.objective(model().network, model().loss), optax.sgd(0.1)
    data = jaxnn.Batch(*jax.device_put((X, Y)))

    def state():
        return jaxnn.train_state(model().init(key()), optimizer, key())

    stepped = jax.jit(jaxnn.make_step(objective, optimizer))(state(), data)[1]
    steps, epoch = jaxnn.train.make_steps(objective, optimizer, 2), jaxnn.train.make_epoch(objective, optimizer, 4)
    return stepped, steps(state(), data)[1], epoch(state(), data)[1]


@program
def standardized():
    stats = jaxnn.data.fit_standardizer(X)
    return jaxnn.standardize(stats, X), jax.jit(lambda x: jaxnn.standardize(stats, x))(jax.device_put(X))


@program
def data_in_parts():
    train, dev = jaxnn.split(X, Y, (0.5, 0.5), seed=0, stratify=True)
    return (
        train.x,
        dev.y,
        jaxnn.data.one_hot(Y, 2),
        jaxnn.data.k_folds(Y, 2, seed=0),
        jaxnn.data.batch_indices(key(), 6, 4)[1],
    )


@program
def metrics():
    p, labels = np.array([0.2, 0.7, 0.5, 0.1, 0.9, 0.4], np.float32), np.array([0, 1, 0, 0, 1, 1])
    weight = np.arange(6)
    found = [jaxnn.accuracy(labels, Y, weight), jaxnn.metrics.error_rate(labels, Y), jaxnn.metrics.log_loss(p, Y)]
    found += [jaxnn.metrics.log_loss(np.stack([1 - p, p], 1), Y), jaxnn.metrics.confusion_matrix(labels, Y, 2)]
    return [*found, jaxnn.metrics.reliability_curve(p, Y, bins=2), jaxnn.metrics.expected_calibration_error(p, Y)]


@program
def predictions():
    params = model("softmax").init(key())
    given = [model("softmax").predict_proba(params, x) for x in (X, X.tolist(), X[0])]
    return [*given, model("softmax").predict(params, X)]


@program
def params_as_arrays():
    net = model()
    arrays = jaxnn.models.params_to_arrays(net.network, net.init(key()))
    return jaxnn.models.params_from_arrays(net.network, net.in_shape, [np.asarray(a) for a in arrays])


@program
def slice_params():
    wide = jaxnn.contrib.traced_width_mlp((3, 8, 1), 2).init(key())
    return jaxnn.contrib.slice_params(jaxnn.mlp((3, 2, 1)).network, (3,), wide)


@program
def each_layer():
    def run(case):
        params, x, key = case.params(), case.input(2), case.key()
        y, cache = case.layer.forward(params, x, key)
        return y, case.layer.backward(params, cache, y)

    return jax.jit(lambda: [run(case) for case in KIND_CASES])()


@program
def each_loss():
    # Impossible labels have an infinite loss, which counts 0.
    cases = [case for case in LOSS_CASES if case.name != "ctc_skip_impossible"]
    made = [(case.loss, *case.make(2, "float32")) for case in cases]

    def run():
        return [(loss.value(z, y), loss.gradient(z, y)) for loss, z, y in made]

    # What searches for NaN looks at each operation by itself; otherwise one program has them all.
    return run() if jax.config.jax_debug_nans or jax.config.jax_debug_infs else jax.jit(run)()


@program
def each_penalty():
    params = regularized_params()
    return [(case.regularizer.value(params), case.regularizer.gradient(params)) for case in REGULARIZER_CASES]


@program
def gradcheck_layer():
    return gradcheck.layer(jaxnn.dense(2), (3,)).raise_if_failed().passed


@program
def gradcheck_gradient():
    return gradcheck.gradient(lambda x: (x**2).sum(), lambda x: 2 * x, X[0]).raise_if_failed().passed


@program
def gradcheck_custom_rule():
    square = jax.custom_vjp(lambda x: x * x)
    square.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))
    return gradcheck.custom(square, square.fun, X[0]).raise_if_failed().passed


@program
def traced_graph():
    return [float(np.asarray(node.value).sum()) for node in graph.trace(lambda x: (x**2).sum())(X[0]).nodes]


@program
def diagnosed():
    return jaxnn.metrics.analyze_errors(train_error=0.01, dev_error=0.11)[:2]


def pairs():
    for switch, (values, quick) in SWITCHES.items():
        for name in PROGRAMS:
            if name not in IMPOSSIBLE.get(switch, ()):
                slow = [] if name in quick else [pytest.mark.full]
                yield pytest.param(values, name, marks=slow, id=f"{switch}-{name}")


@pytest.mark.representatives(
    "inf-traced_graph", "logs-predictions", "strict-data_in_parts", "strict-predictions", "transfers-fit_stream"
)
@pytest.mark.parametrize(("values", "name"), list(pairs()))
def test_runs_under_the_switch(values, name, caplog):
    with caplog.at_level(logging.CRITICAL), switched(values):
        found = PROGRAMS[name]()
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
    assert leaves and all(np.isfinite(leaf).all() for leaf in leaves if leaf.dtype.kind == "f")


# Those that are to change nothing at all but what is checked.
@pytest.mark.full
@pytest.mark.parametrize("switch", ["strict", "nan", "transfers"])
def test_checks_change_no_values(switch):
    plain = fit_by_hand()
    with switched(SWITCHES[switch][0]):
        np.testing.assert_array_equal(fit_by_hand(), plain)


@pytest.mark.full
def test_divergence_raises_under_debug_nans():
    with switched({"jax_debug_nans": True}), pytest.raises(FloatingPointError, match="invalid value"):
        trained(optax.sgd(1e30), net=model("linear"), y=X[:, 0], epochs=5, report_every=5)


def test_a_graph_shows_nan_under_debug_nans():
    with switched({"jax_debug_nans": True}):
        found = graph.trace(lambda x: jnp.log(x - 1.0) * 2.0)(0.5).first_nonfinite()
    assert "log" in str(found)


def test_every_switch_is_one_of_jaxs():
    assert {name for values, _ in SWITCHES.values() for name in values} <= set(jax.config.values)
