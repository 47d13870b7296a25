"""Training on several devices: the numbers of one, with the gradients as the only thing that is sent."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import nn, parallel
from jaxnn.train.statistics import empty_averages
from tests.parallel.meshes import kinds, mesh, specs, split, whole

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(61, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 61)
WEIGHT = RANDOM.integers(0, 4, 61)
NETWORK = jaxnn.chain(jaxnn.dense(16), nn.batch_norm(), jaxnn.relu(), jaxnn.dropout(0.2), jaxnn.dense(4))
PLAIN = jaxnn.chain(jaxnn.dense(16), jaxnn.relu(), jaxnn.dense(4))
SGD = jaxnn.optimizer("momentum", 0.1)
CLOSE = dict(rtol=1e-4, atol=1e-5)


def objective_of(network=NETWORK):
    return jaxnn.objective(network, jaxnn.softmax_cross_entropy(), jaxnn.l2(0.01))


def params_of(network=NETWORK):
    return network.init(jax.random.key(0), (6,))[0]


def fit(m=61, network=NETWORK, optimizer=SGD, params=None, weight=None, **plan):
    params = params_of(network) if params is None else params
    plan = dict(epochs=3, batch_size=16, key=jax.random.key(1)) | plan
    weight = None if weight is None else weight[:m]
    return jaxnn.fit(objective_of(network), optimizer, params, X[:m], Y[:m], weight=weight, **plan)


def same(one, other):
    np.testing.assert_allclose(one.losses, other.losses, **CLOSE)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), (one.params, one.stats), (other.params, other.stats)
    )


@pytest.mark.representatives("4-explicit-61-weighted")
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize("m", [64, 61, 8])
@kinds
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_plan_trains_the_same_on_any_number_of_devices(n, kind, m, weight):
    m = min(m, 61) if m != 64 else 56
    plan = dict(m=m, weight=weight, shards=4, batch_size=8)
    found = fit(mesh=mesh(n, kind), **plan)
    same(found, fit(**plan))
    assert {len(a.sharding.device_set) for a in jax.tree.leaves(found.params)} == {n}


@pytest.mark.full
@kinds
def test_data_that_lie_on_devices_train_as_on_one(kind):
    """Without shards, every batch is drawn from all rows."""
    four = mesh(4, kind)
    x, y = split((X[:56], Y[:56]), four)
    plan = dict(epochs=2, batch_size=16, key=jax.random.key(1))
    found = jaxnn.fit(objective_of(), SGD, params_of(), x, y, **plan)
    same(found, fit(m=56, epochs=2))


# With one device, where examples of docstrings are searched for, the file is only imported.
FIRST, SECOND, THIRD = (jax.devices() * 4)[1:4]
PLACES = {
    "inputs and targets on two devices": dict(x=FIRST, y=SECOND),
    "params and inputs on two devices": dict(params=FIRST, x=SECOND),
    "key and params on two devices": dict(key=THIRD, params=FIRST),
    "two meshes": dict(x=mesh(2), params=mesh(4)),
    "meshes of two kinds": dict(x=mesh(2), y=mesh(2, "auto"), key=mesh(4)),
    "weights on a mesh": dict(weight=mesh(4)),
    "a mesh and a device": dict(x=mesh(2), params=FIRST, key=SECOND, weight=THIRD),
    "another mesh that is stated": dict(x=mesh(4), y=mesh(4), params=mesh(4), mesh=mesh(2)),
}


@pytest.mark.representatives("another mesh that is stated")
@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_a_training_lies_in_one_place(places):
    """That of the mesh, of the data or of the params, in this order; all else is sent there."""

    def placed(name, tree):
        at = places.get(name)
        if at is None:
            return tree
        return whole(tree, at) if isinstance(at, jax.sharding.Mesh) else jax.device_put(tree, at)

    def train(placed, **plan):
        x, y, weight = placed("x", X[:58]), placed("y", Y[:58]), placed("weight", WEIGHT[:58])
        start, key = placed("params", params_of()), placed("key", jax.random.key(1))
        plan = dict(key=key, weight=weight, epochs=2, batch_size=16) | plan
        batches = [jaxnn.Batch(x[:16], y[:16], weight[:16])] * 3
        streamed = jaxnn.fit_stream(objective_of(), SGD, start, batches, key=key, epochs=2, mesh=plan.get("mesh"))
        return jaxnn.fit(objective_of(), SGD, start, x, y, **plan), streamed

    stated = places.get("mesh")
    found = train(placed, mesh=stated)
    for one, expected in zip(found, train(lambda _, tree: tree, shards=stated and 2), strict=True):
        same(one, expected)
    given = (stated, *map(places.get, ("x", "y", "weight", "params", "key")), jax.devices()[0])
    first = next(at for at in given if at is not None)
    devices = {first} if isinstance(first, jax.Device) else {*first.devices.flat}
    assert {one for a in jax.tree.leaves(found[0].params) for one in a.sharding.device_set} == devices


@pytest.mark.full
@pytest.mark.parametrize(
    ("state", "data", "message"),
    [
        (FIRST, SECOND, r"^data.x must lie on cpu:1 as state.params\[0\]\['W'\] does, got cpu:2: jax.device_put"),
        (mesh(2), FIRST, r"^data.x must lie on cpu:0, cpu:1 as state.params.* does, got cpu:1: .*place_rows"),
        (mesh(2), mesh(4), r"^data.x must lie on cpu:0, cpu:1 as state.* does, got cpu:0, cpu:1, cpu:2, cpu:3: "),
    ],
    ids=["devices", "a mesh and a device", "meshes"],
)
def test_a_program_takes_arrays_of_one_place(state, data, message):
    def at(place, tree):
        return jax.device_put(tree, place) if isinstance(place, jax.Device) else whole(tree, place)

    objective = objective_of(PLAIN)
    for program in (jaxnn.train.make_epoch(objective, SGD, 8), jaxnn.train.make_steps(objective, SGD, 2)):
        start = jaxnn.train_state(params_of(PLAIN), SGD, jax.random.key(0))
        with pytest.raises(ValueError, match=message):
            program(at(state, start), at(data, jaxnn.Batch(X, Y)))
        program(at(state, start), jax.device_put(jaxnn.Batch(X, Y)))


@pytest.mark.full
def test_evaluating_on_data_of_another_place():
    dev = jax.device_put(X, SECOND)
    measure = jax.jit(lambda params, x: {"sum": PLAIN.infer(params, (), x).sum()})
    message = "^evaluate must use arrays that lie where params do, got others: jaxnn.parallel.place_whole"
    with pytest.raises(ValueError, match=message):
        fit(network=PLAIN, mesh=mesh(4), shards=4, evaluate=lambda params: measure(params, dev))


@pytest.mark.full
@kinds
def test_uneven_data_on_devices_in_shards(kind):
    two = mesh(2, kind)
    x, y = split((X[:58], Y[:58]), two)
    plan = dict(epochs=2, batch_size=16, key=jax.random.key(1), shards=4)
    same(jaxnn.fit(objective_of(), SGD, params_of(), x, y, **plan), fit(m=58, epochs=2, shards=4))


@pytest.mark.full
@kinds
def test_a_full_batch(kind):
    plan = dict(network=PLAIN, batch_size=None, epochs=4)
    same(fit(mesh=mesh(4, kind), **plan), fit(**plan))


@pytest.mark.representatives("momentum-explicit")
@kinds
@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop"])
def test_params_and_what_the_optimizer_keeps_stay_split(name, kind):
    """Over the data axis: each device has a quarter of both."""
    four, optimizer = mesh(4, kind), jaxnn.optimizer(name, 0.01)
    lying = parallel.split_evenly(params_of(PLAIN), four)
    found = fit(network=PLAIN, optimizer=optimizer, params=lying, mesh=four)
    expected = fit(network=PLAIN, optimizer=optimizer, shards=4)
    np.testing.assert_allclose(found.losses, expected.losses, **CLOSE)
    assert specs(found.params) == specs(lying)
    assert specs(found.state.params) == specs(lying)
    kept = {
        spec
        for spec, a in zip(specs(found.state.opt_state), jax.tree.leaves(found.state.opt_state), strict=True)
        if a.ndim
    }
    assert kept == {*specs(lying)}


@pytest.mark.full
@pytest.mark.parametrize("transform", [optax.adafactor(0.01), optax.contrib.muon(0.01), optax.lbfgs()], ids=str)
def test_optimizers_of_other_states(transform):
    four = mesh(4)
    lying = parallel.split_evenly(params_of(PLAIN), four)
    found = fit(network=PLAIN, optimizer=transform, params=lying, mesh=four, batch_size=None)
    np.testing.assert_allclose(found.losses, fit(network=PLAIN, optimizer=transform, batch_size=None).losses, **CLOSE)


@pytest.mark.full
@kinds
def test_a_stream(kind):
    """Also where the rows of a batch cannot be split into equal parts."""
    batches = jaxnn.data.host_batches(X, Y, 10, seed=0, weight=WEIGHT)
    plan = dict(key=jax.random.key(1), epochs=2, steps_per_call=4)
    one, four = (
        jaxnn.fit_stream(objective_of(), SGD, params_of(), batches, **plan, mesh=on) for on in (None, mesh(4, kind))
    )
    same(four, one)


@pytest.mark.full
@kinds
def test_steps_on_the_same_data(kind):
    four, objective = mesh(4, kind), objective_of(PLAIN)
    data = jaxnn.Batch(X[:56], Y[:56])
    steps = jaxnn.train.make_steps(objective, SGD, 3)

    def state():
        return jaxnn.train_state(params_of(PLAIN), SGD, jax.random.key(0))

    expected, losses = steps(state(), data)
    found, on_four = steps(whole(state(), four), split(data, four))
    np.testing.assert_allclose(on_four, losses, **CLOSE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), found.params, expected.params)


@pytest.mark.representatives("explicit")
@kinds
def test_an_epoch_sends_the_gradients_alone(kind):
    """One reduction, and nothing is gathered; a batch normalization adds its means and variances."""
    four = mesh(4, kind)
    epoch = jaxnn.train.make_epoch(objective_of(PLAIN), SGD, 8, shards=8)
    state = whole(jaxnn.train_state(params_of(PLAIN), SGD, jax.random.key(0)), four)
    program = epoch.lower(state, split(jaxnn.Batch(X[:56], Y[:56]), four)).compile().as_text()
    sent = {
        kind: program.count(f" {kind}(") for kind in ("all-reduce", "all-gather", "all-to-all", "collective-permute")
    }
    assert sent == {"all-reduce": 1, "all-gather": 0, "all-to-all": 0, "collective-permute": 0}


@pytest.mark.full
@pytest.mark.parametrize("then", [1, 2])
def test_resumed_on_another_number_of_devices(then):
    saved = []
    keeping = jaxnn.Checkpointer(lambda start: None, lambda make, ended: saved.append(jax.device_get(make())))
    fit(shards=4, mesh=mesh(4), epochs=2, checkpoints=keeping)
    going = jaxnn.Checkpointer(lambda start: saved[-1], lambda make, ended: None)
    same(fit(shards=4, mesh=mesh(then), epochs=4, checkpoints=going), fit(shards=4, epochs=4))


@pytest.mark.full
@kinds
def test_a_divergence_is_explained(kind):
    with pytest.warns(jaxnn.train.DivergenceWarning):
        found = fit(network=PLAIN, optimizer=optax.sgd(1e30), shards=4, mesh=mesh(4, kind))
    with pytest.warns(jaxnn.train.DivergenceWarning):
        expected = fit(network=PLAIN, optimizer=optax.sgd(1e30), shards=4)
    assert (found.diverged_at, str(found.divergence)) == (expected.diverged_at, str(expected.divergence))


@pytest.mark.full
def test_a_step_under_automatic_differentiation():
    four = mesh(4)
    objective = objective_of(PLAIN)
    batch = jaxnn.Batch(X[:56], Y[:56])
    params = params_of(PLAIN)
    (value, _), grads = objective.value_and_grad(params, batch)
    on_four = whole(params, four), split(batch, four)
    for way in (objective.value_and_grad, jax.value_and_grad(objective.value, has_aux=True)):
        (found, _), found_grads = jax.jit(way)(*on_four)
        np.testing.assert_allclose(found, value, rtol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), found_grads, grads)
        assert {*specs(found_grads)} == {()}


@pytest.mark.full
def test_a_carry_trains_on_rows_that_are_whole():
    network = jaxnn.chain(nn.recurrent(nn.simple_cell(3)), nn.each_step(jaxnn.dense(2)))
    loss = jaxnn.losses.each_step_loss(jaxnn.softmax_cross_entropy())
    objective, params = jaxnn.objective(network, loss, carry=True), network.init(jax.random.key(0), (5, 6))[0]
    x, y = X[:40].reshape(8, 5, 6), Y[:40].reshape(8, 5) % 2
    plan = dict(key=jax.random.key(1), epochs=2, batch_size=4, shuffle=False)
    one, four = (jaxnn.fit(objective, SGD, params, x, y, **plan, mesh=on) for on in (None, mesh(4)))
    same(four, one)


WRAPPED = {
    "plain": lambda layer: layer,
    "remat": jaxnn.remat,
    "bfloat16": lambda layer: jaxnn.with_dtype(layer, jnp.bfloat16),
    "remat and bfloat16": lambda layer: jaxnn.remat(jaxnn.with_dtype(layer, jnp.bfloat16)),
}
wrapped = pytest.mark.parametrize("name", WRAPPED)


def in_pairs(name, width, pairs):
    """Pairs of dense layers, each wrapped, and one at the end."""
    layer = WRAPPED[name](jaxnn.chain(jaxnn.dense(width), jaxnn.relu(), jaxnn.dense(width), jaxnn.relu()))
    return jaxnn.chain(*[layer] * pairs, jaxnn.dense(4))


@pytest.mark.full
@wrapped
def test_params_that_are_split_take_a_quarter_of_the_memory(name):
    """As the compiled program reports it: of state and data, of what it returns, and of what it computes between."""
    network, optimizer, four = in_pairs(name, 256, 4), jaxnn.optimizer("adam", 0.01), mesh(4)
    params, _ = network.init(jax.random.key(0), (256,))
    data = split(jaxnn.Batch(np.zeros((64, 256), np.float32), np.zeros(64, int)), four)
    epoch = jaxnn.train.make_epoch(objective_of(network), optimizer, 32, shards=4)

    def memory(params):
        state = parallel.place_whole(jaxnn.train_state(params, optimizer, jax.random.key(0)), four)
        found = epoch.lower(state, data).compile().memory_analysis()
        return np.array([found.argument_size_in_bytes, found.output_size_in_bytes, found.temp_size_in_bytes])

    of_all, of_a_part = (memory(place(params, four)) for place in (parallel.place_whole, parallel.split_evenly))
    assert of_all[0] > 3 * sum(a.nbytes for a in jax.tree.leaves(params))  # Adam keeps two numbers for each
    assert (of_a_part <= 0.27 * of_all).all()


@pytest.mark.full
@wrapped
def test_params_that_are_split_train_as_on_one_device(name):
    """In bfloat16 to its precision, 2⁻⁸, of losses, and twice that of the largest number of each array of params."""
    network, optimizer, four = in_pairs(name, 16, 2), jaxnn.optimizer("adam", 0.01), mesh(4)
    lying = parallel.split_evenly(params_of(network), four)
    expected = fit(network=network, optimizer=optimizer, shards=4)
    found = fit(network=network, optimizer=optimizer, shards=4, params=lying, mesh=four)
    assert specs(found.params) == specs(lying) and {a.dtype.name for a in jax.tree.leaves(found.params)} == {"float32"}
    if "bfloat16" not in name:
        same(found, expected)
        return
    np.testing.assert_allclose(found.losses, expected.losses, rtol=2**-8)
    for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2**-7 * np.abs(b).max())
    in_float32 = fit(network=in_pairs("plain", 16, 2), optimizer=optimizer, shards=4)
    assert np.abs(found.losses - in_float32.losses).max() > 1e-4  # so it did compute in bfloat16


@pytest.mark.full
@kinds
def test_micro_batches(kind):
    objective = jaxnn.objective(PLAIN, jaxnn.softmax_cross_entropy(), micro_batches=2)
    plan = dict(key=jax.random.key(1), epochs=2, batch_size=16, shards=4)
    one, four = (
        jaxnn.fit(objective, SGD, params_of(PLAIN), X, Y, weight=WEIGHT, **plan, mesh=on)
        for on in (None, mesh(4, kind))
    )
    same(four, one)


@pytest.mark.full
def test_statistics_are_whole():
    four = mesh(4)
    step = jax.jit(jaxnn.make_step(objective_of(), SGD))
    averages = empty_averages(objective_of(), params_of(), jaxnn.Batch(X[:56], Y[:56]))
    state = jaxnn.train_state(params_of(), SGD, jax.random.key(0), stats=averages)
    batch = jaxnn.Batch(X[:56], Y[:56])
    expected, _ = step(state, batch)
    found, _ = step(whole(state, four), split(batch, four))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), found.stats, expected.stats)
    assert {*specs(found.stats)} == {()}


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            dict(shards=3, batch_size=9),
            "^shards must be 1, or a multiple of the 4 devices that rows are split over, got 3",
        ),
        (dict(batch_size=10), "^batch_size must be a multiple of the 4 shards, got 10: each .*: 8, or another number"),
        (dict(shards=64, batch_size=None), "^shards must be at most the number of examples, 61, got 64"),
        (dict(shards=0), "^shards must be a whole number of at least 1, got 0"),
        (dict(mesh=jnp.ones), "^mesh must be a jax.sharding.Mesh or None, got .*: jaxnn.parallel.make_mesh()"),
    ],
    ids=["devices", "batch", "rows", "none", "mesh"],
)
def test_what_cannot_be_split_raises(plan, message):
    with pytest.raises(ValueError, match=message):
        fit(**dict(mesh=mesh(4)) | plan)
