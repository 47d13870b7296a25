"""Populations where a mesh is set, or data and params lie on one: the numbers of a process without a mesh."""

import jax
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.population import learning_curve
from tests.parallel.meshes import kinds, mesh, split, whole

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(56, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 56)
WEIGHT = RANDOM.integers(0, 4, 56)
NETWORK = jaxnn.chain(jaxnn.dense(8), nn.batch_norm(), jaxnn.relu(), jaxnn.dropout(0.2), jaxnn.dense(3))
OBJECTIVE = jaxnn.objective(NETWORK, jaxnn.softmax_cross_entropy(), jaxnn.l2(0.01))
SGD = jaxnn.optimizer("momentum", 0.1)
PARAMS = NETWORK.init(jax.random.key(7), (6,))[0]
PLAN = dict(epochs=2, batch_size=8)
CLOSE = dict(rtol=1e-4, atol=1e-5)


def member(h, params=None, weight=None):
    key = jax.random.key(h["seed"])
    params = NETWORK.init(key, (6,))[0] if params is None else params
    return jaxnn.Member(OBJECTIVE, SGD, params, key, weight)


def measure(params, stats, batch):
    z = NETWORK.infer(params, stats, batch.x)
    return {"accuracy": jaxnn.accuracy(z.argmax(axis=1), batch.y, batch.weight), "sum": z.sum()}


def population(member, x, y):
    def evaluate(params, stats, h):
        return {"sum": NETWORK.infer(params, stats, X).sum()}

    found = jaxnn.fit_population(member, jaxnn.grid(seed=[0, 1, 2]), x, y, evaluate=jax.jit(evaluate), **PLAN)
    return found.losses, [report["sum"] for report in found.history], found.params


def folds(member, x, y):
    seeds = jaxnn.grid(seed=[0, 1])
    return jaxnn.cross_validate(member, seeds, x, y, k=3, seed=0, measure=measure, **PLAN).measured


def sizes(member, x, y):
    dev = jaxnn.Batch(X[:16], Y[:16])
    found = learning_curve(member, jaxnn.grid(seed=[0]), x, y, [20, 50], dev=dev, seeds=[0], measure=measure, **PLAN)
    return found.train, found.dev


ways = pytest.mark.parametrize("way", [population, folds, sizes])


def same(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), found, expected)


@pytest.mark.representatives("population-explicit")
@kinds
@ways
def test_a_mesh_that_is_set_changes_nothing(way, kind):
    expected = way(member, X, Y)
    with jax.set_mesh(mesh(4, kind)):
        same(way(member, X, Y), expected)
        same(way(member, *split((X, Y), mesh(4, kind))), expected)


@pytest.mark.full
@ways
def test_data_that_lie_on_devices(way):
    expected = way(member, X, Y)
    same(way(member, *split((X, Y), mesh(4))), expected)
    same(way(member, X, whole(Y, mesh(2))), expected)


@pytest.mark.full
def test_measuring_on_data_of_a_mesh_that_is_set():
    """What the caller computes sees the mesh of the caller."""
    four = mesh(4)
    x = split(X, four)

    def population(x):
        def evaluate(params, stats, h):
            return {"sum": NETWORK.infer(params, stats, x).sum()}

        found = jaxnn.fit_population(member, jaxnn.grid(seed=[0, 1]), X, Y, evaluate=jax.jit(evaluate), **PLAN)
        assert jax.sharding.get_abstract_mesh().empty == (x is X)
        return [report["sum"] for report in found.history]

    expected = population(X)
    with jax.set_mesh(four):
        same(population(x), expected)


ARRAYS = [(population, "params"), (population, "key"), (population, "weight"), (folds, "params"), (sizes, "params")]
arrays = pytest.mark.parametrize(("way", "name"), ARRAYS, ids=[f"{way.__name__}-{name}" for way, name in ARRAYS])


def made_of(way, name, place):
    """A member of which one array is placed."""
    one = member({"seed": 0}, PARAMS, WEIGHT if name == "weight" else None)
    one = one._replace(**{name: place(getattr(one, name))})
    return way(lambda h: one, X, Y)


@pytest.mark.full
@arrays
def test_members_made_of_arrays_on_automatic_axes(way, name):
    expected = made_of(way, name, lambda a: a)
    same(made_of(way, name, lambda a: whole(a, mesh(4, "auto"))), expected)
    same(made_of(way, name, lambda a: jax.device_put(a, jax.devices()[3])), expected)


@pytest.mark.representatives("population-params")
@arrays
def test_members_made_of_arrays_on_explicit_axes(way, name):
    """JAX cannot close over them in the program of members."""
    message = f"^{name} of a member must be on no mesh with explicit axes, got .*jax.device_put"
    with pytest.raises(ValueError, match=message):
        made_of(way, name, lambda a: whole(a, mesh(4)))


@pytest.mark.full
def test_a_divergence_where_a_mesh_is_set():
    wild = member({"seed": 0})._replace(optimizer=jaxnn.optimizer("sgd", 1e30))

    def found():
        with pytest.warns(jaxnn.train.DivergenceWarning):
            return jaxnn.fit_population(lambda h: wild, jaxnn.grid(seed=[0]), X, Y, **PLAN)

    expected = found()
    with jax.set_mesh(mesh(4)):
        assert list(map(str, found().divergences)) == list(map(str, expected.divergences))
