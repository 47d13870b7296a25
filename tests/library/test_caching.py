"""Programs are cached by their static arguments and dropped: memory does not grow in a loop."""

import ctypes
import gc
import weakref
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.caching import bounded_cache
from jaxnn.optim.layout import laid_out

pytestmark = pytest.mark.usefixtures("quick_compilation")

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
KEY = jax.random.key(0)
PLAN = {"key": KEY, "epochs": 2}
TRACED = []


@jaxnn.factory
def counted():
    def forward(x):
        TRACED.append(x.shape)
        return x, ()

    return jaxnn.stateless(forward, lambda cache, dy: dy)


def new_model():
    return jaxnn.mlp((3, 2, 1), counted())


def new_objective(strength=0.1):
    model = new_model()
    return jaxnn.objective(model.network, model.loss, jaxnn.l2(strength))


def fresh_sgd():
    """An optimizer that equals no other one, as those that optax makes."""
    sgd = optax.sgd(0.1)
    return optax.GradientTransformation(lambda params: sgd.init(params), lambda *given: sgd.update(*given))


def fit(objective, optimizer, **options):
    return jaxnn.fit(objective, optimizer, new_model().init(KEY), X, Y, **PLAN, **options)


def fit_stream(objective, optimizer):
    return jaxnn.fit_stream(objective, optimizer, new_model().init(KEY), [(X, Y)], steps_per_call=1, **PLAN)


def fit_with_statistics():
    """Of a network of branches, with batch normalization."""
    branches = jaxnn.nn.fan_out(jaxnn.dense(2), jaxnn.chain(jaxnn.dense(2), jaxnn.nn.batch_norm()))
    network = jaxnn.chain(branches, jaxnn.nn.fan_in_sum(), counted(), jaxnn.dense(1))
    params, _ = network.init(KEY, (3,))
    objective = jaxnn.objective(network, jaxnn.sigmoid_cross_entropy())
    return jaxnn.fit(objective, jaxnn.optimizer("adam", 0.1), params, X, Y, **PLAN)


def fit_in_row_space(objective, optimizer):
    return jaxnn.contrib.fit_in_row_space(objective, optimizer, new_model().init(KEY), X, Y, **PLAN)


def fit_population(objective, optimizer):
    params = new_model().init(KEY)
    member = MEMBERS.setdefault((objective, optimizer), lambda h: jaxnn.Member(objective, optimizer, params, KEY))
    return jaxnn.fit_population(member, {"seed": np.arange(2)}, X, Y, epochs=2)


MEMBERS = {}
TRAININGS = {"fit": fit, "skip": partial(fit, on_nan="skip"), "stream": fit_stream, "span": fit_in_row_space}


@pytest.mark.full
def test_equal_networks_with_statistics_are_traced_once(full):
    fit_with_statistics()
    TRACED.clear()
    for _ in range(50 if full else 3):
        fit_with_statistics()
    assert not TRACED


@pytest.mark.representatives("fit")
@pytest.mark.parametrize("train", TRAININGS.values(), ids=TRAININGS)
def test_equal_networks_objectives_and_optimizers_are_traced_once(train):
    train(new_objective(), jaxnn.optimizer("sgd", 0.1))
    before = len(TRACED)
    for _ in range(3):
        train(new_objective(), jaxnn.optimizer("sgd", 0.1))
    again = [shape for shape in TRACED[before:] if train is not fit_in_row_space or shape[0] == len(X)]
    assert again == []


@pytest.mark.full
def test_another_strength_or_rate_is_another_program():
    losses = {
        (strength, rate): fit(new_objective(strength), jaxnn.optimizer("sgd", rate)).losses[-1]
        for strength in (0.1, 1.0)
        for rate in (0.1, 1.0)
    }
    assert len(set(losses.values())) == 4


@pytest.mark.full
@pytest.mark.parametrize("train", [fit, fit_stream, fit_in_row_space, fit_population])
def test_programs_and_what_they_close_over_are_dropped(train):
    alive = []
    for _ in range(11):
        optimizer = fresh_sgd()
        alive.append(weakref.ref(optimizer.update))
        train(new_objective(), optimizer)
        MEMBERS.clear()
    del optimizer
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 8


@pytest.mark.full
def test_init_functions_are_dropped():
    alive = []
    for width in range(2, 13):
        network = jaxnn.chain(jaxnn.dense(width), jaxnn.stateless(lambda x: (x, ()), lambda cache, dy: dy))
        model = jaxnn.mlp((3, 1))._replace(network=network)
        alive.append(weakref.ref(network.forward))
        model.init(KEY)
    del network, model
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 8


@pytest.mark.full
def test_a_divergence_is_explained_once():
    plan = {"optimizer": jaxnn.optimizer("sgd", 1e30), "batch_size": 4}
    with pytest.warns(jaxnn.train.DivergenceWarning):
        first = fit(new_objective(), **plan)
    before = len(TRACED)
    with pytest.warns(jaxnn.train.DivergenceWarning):
        assert fit(new_objective(), **plan).divergence == first.divergence
    assert len(TRACED) == before


@pytest.mark.full
def test_copies_by_a_scan_are_not_traced_at_each_call():
    layer = jaxnn.repeat(jaxnn.chain(jaxnn.dense(3), counted()), 3)
    params, _ = layer.init(KEY, (3,))
    y, cache = layer.forward(params, X)
    before = len(TRACED)
    np.testing.assert_array_equal(layer.forward(params, X)[0], y)
    assert len(TRACED) == before
    for again in (layer.forward(params, X, key=None), jax.jit(layer.forward)(params, X)):
        np.testing.assert_allclose(again[0], y, rtol=1e-6)
    _, vjp = jax.vjp(lambda params, x: layer.forward(params, x)[0], params, X)
    for d, expected in zip(jax.tree.leaves(layer.backward(params, cache, y)), jax.tree.leaves(vjp(y)), strict=True):
        np.testing.assert_allclose(d, expected, rtol=1e-5, atol=1e-6)


def test_unhashable_arguments_are_not_cached():
    made = bounded_cache(lambda value: [value])
    assert made(1) is made(1)
    assert made([1]) == [[1]] and made([1]) is not made([1])


def megabytes():
    """Return the resident memory without what was freed and the allocator keeps: compilation leaves it in pieces."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def cross_validate():
    model = new_model()

    def member(h):
        objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
        return jaxnn.Member(objective, optax.sgd(0.1), model.init(KEY), KEY)

    def measure(params, batch):
        return {"loss": new_objective().evaluate(params, (), batch)}

    jaxnn.cross_validate(member, {"l2": [0.1]}, X, Y, k=2, seed=0, measure=measure, epochs=1)


def predict():
    model = jaxnn.mlp((3, 2, 1))
    params = model.init(KEY)
    for look in (model.outputs, model.predict_proba, model.predict):
        look(params, X)


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux")
def test_layouts_of_fresh_optimizers_are_dropped():
    """Each is traced with symbolic sizes; with sizes made anew, JAX kept 0.1 MB of each."""
    params = ({"W": jax.ShapeDtypeStruct((2, 3), jnp.float32), "b": jax.ShapeDtypeStruct((2,), jnp.float32)},)
    for i in range(20):
        laid_out(optax.adam(1e-3 * (i + 1)), params)
    before = megabytes()
    for i in range(20, 140):
        laid_out(optax.adam(1e-3 * (i + 1)), params)
    assert megabytes() - before < 5


# Rounds of each loop with --full: none compiles after its first ones, so that the resident memory is level.
LOOPS = {
    "init": (2000, lambda i: jaxnn.mlp((3, 2, 1)).init(KEY)),
    "predict": (2000, lambda i: predict()),
    "fit": (2000, lambda i: fit(new_objective(), jaxnn.optimizer("adam", 0.1))),
    "fit with statistics": (2000, lambda i: fit_with_statistics()),
    "fit_stream": (2000, lambda i: fit_stream(new_objective(), jaxnn.optimizer("adam", 0.1))),
    "fit_in_row_space": (400, lambda i: fit_in_row_space(new_objective(), jaxnn.optimizer("sgd", 0.1))),
}
# Each compiles in every round, which moves the resident memory by more than an object kept would.
COMPILING = {
    "fit of fresh optimizers": lambda i: fit(new_objective(1e-3 * (i + 1)), optax.adam(1e-3 * (i + 1))),
    "fit_stream of fresh optimizers": lambda i: fit_stream(new_objective(), optax.adam(0.1)),
    "fit_population": lambda i: fit_population(new_objective(), optax.sgd(0.1)) and MEMBERS.clear(),
    "cross_validate": lambda i: cross_validate(),
}


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux")
@pytest.mark.parametrize("name", LOOPS)
def test_memory_does_not_grow_with_objects_made_in_a_loop(name):
    """By less than 20 MB in 1800 rounds: at that rate, but for the 5 MB by which the allocator alone may differ."""
    n, once = LOOPS[name]
    first = n // 10
    for i in range(first):
        once(i)
    before = megabytes()
    for i in range(first, n):
        once(i)
    assert megabytes() - before < max(5, 20 * (n - first) / 1800)


def objects_and_programs():
    gc.collect()
    programs = jax.local_devices()[0].client.live_executables()
    return {"objects": len(gc.get_objects()), "programs": len(programs), "arrays": len(jax.live_arrays())}


@pytest.mark.full
@pytest.mark.parametrize("name", COMPILING)
def test_no_objects_or_programs_are_kept_in_a_loop_that_compiles(name):
    """Of Python and of XLA, once the caches hold their eight programs: fewer than an objective has in every round."""
    for i in range(20):
        COMPILING[name](i)
    before = objects_and_programs()
    for i in range(20, 40):
        COMPILING[name](i)
    after = objects_and_programs()
    kept = {kind: after[kind] - before[kind] for kind in before}
    assert kept["objects"] < 5 * 20 and kept["programs"] <= 0 and kept["arrays"] <= 0, f"kept of 20 rounds: {kept}"
