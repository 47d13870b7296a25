"""The networks for sequences of the speed benchmark: every library computes what NumPy does, and learns."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.networks import weights
from scripts.benchmarks.speed.peers.initial import arrays
from scripts.benchmarks.speed.roofline import Limits, share
from scripts.benchmarks.speed.workloads import WORKLOADS, losses_of, mean_loss, shortfall

SMALL = {"lstm": (6, 3, 4, 5), "lstm-layer": (6, 3, 4), "transformer": (5, 6, 2, 7, 2, 5)}
FEW = {
    name: WORKLOADS[name]._replace(sizes=sizes, batch=16, laps=2, steps=10, rate=0.03) for name, sizes in SMALL.items()
}
FEW["lstm-layer"] = FEW["lstm-layer"]._replace(rate=1.0)
TARGETS = {"lstm": 1.45, "lstm-layer": 0.45, "transformer": 1.0}
LIBRARIES = {"jaxnn": "jaxnn_fit", "jax": "raw", "flax": "with_flax", "keras": "with_keras"}
LIBRARIES |= {"equinox": "with_equinox", "torch": "with_torch"}


def noise(rng, shape):
    return 0.5 * rng.normal(size=shape).astype(np.float32)


def made(workload, rng, m):
    """Return characters, or numbers, and the next character after each, which follows from it."""
    after = rng.permutation(workload.sizes[-1])
    x = rng.integers(0, workload.sizes[-1], (m, workload.sizes[0])).astype(np.int32)
    y = after[x].astype(np.int32)
    if workload.network == "lstm layer":
        x = rng.normal(size=(workload.sizes[-1], workload.sizes[1]))[y].astype(np.float32)
    return x, y


def peer(library):
    pytest.importorskip(library)
    return importlib.import_module(f"scripts.benchmarks.speed.peers.{LIBRARIES[library]}")


def with_noise(library, workload, rng, x):
    """Return the outputs of a library's network with noise added to all params, and their arrays."""
    module = peer(library)
    if library == "jaxnn":
        model, _ = module._model(workload, jnp.float32)
        params = jax.tree.map(lambda a: a + noise(rng, a.shape), model.init(jax.random.key(0)))
        return model.outputs(params, x), module._arrays(model, params)
    if library == "jax":
        params = [a + noise(rng, a.shape) for a in arrays(workload)]
        return module.of_sequences.forward(workload)(params, x)[0], params
    if library == "flax":
        model = module.of_sequences.network(workload, module.nnx.Rngs(0))
        state = module.nnx.state(model, module.nnx.Param)
        module.nnx.update(model, jax.tree.map(lambda a: a + noise(rng, a.shape), state))
        return model(x), model.arrays()
    if library == "equinox":
        model, _ = module.of_sequences.network(workload, jax.random.key(0))
        changed = lambda a: a + noise(rng, a.shape) if module.eqx.is_inexact_array(a) else a  # noqa: E731
        model = jax.tree.map(changed, model)
        return jax.vmap(lambda x: model(x)[0])(x), model.arrays()
    if library == "keras":
        of_sequences = importlib.import_module("scripts.benchmarks.speed.peers.sequences.with_keras")
        model, layers = of_sequences.network(workload)
        for variable in model.trainable_weights:
            variable.assign_add(noise(rng, variable.shape))
        return model(x), [a for layer in layers for a in of_sequences.arrays(layer)]
    model = module.of_sequences.network(workload)
    with module.torch.no_grad():
        for p in model.parameters():
            p += module.torch.from_numpy(noise(rng, tuple(p.shape)))
        return model(module.torch.from_numpy(x)).numpy(), model.arrays()


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("library", LIBRARIES)
def test_outputs_are_those_of_numpy(library, name, no_rank_promotion_rule):
    """The same params give the same outputs in each library, so that the loss which NumPy computes is that of all."""
    workload, rng = FEW[name], np.random.default_rng(0)
    x, y = made(workload, rng, 7)
    z, params = with_noise(library, workload, rng, x)
    expected = sequences.outputs(workload.network, [np.asarray(a) for a in params], x, workload.sizes)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)
    shapes = [shape for layer in weights(workload.network, workload.sizes) for shape in layer.shapes]
    assert [np.shape(a) for a in params] == shapes
    assert mean_loss(workload, [np.asarray(a) for a in params], x, y) > 0


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
def test_mean_loss_of_sequences_agrees_with_jaxnn(name):
    workload, rng = FEW[name], np.random.default_rng(1)
    x, y = made(workload, rng, 7)
    module = peer("jaxnn")
    model, objective = module._model(workload, jnp.float32)
    params = jax.tree.map(lambda a: a + noise(rng, a.shape), model.init(jax.random.key(0)))
    value = jax.jit(objective.value)(params, jaxnn.Batch(x, y))[0]
    np.testing.assert_allclose(mean_loss(workload, module._arrays(model, params), x, y), value, rtol=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("library", ["jaxnn", "keras", "torch"])
def test_squared_error_to_the_class_is_the_same(library):
    """Half the squared distance to the row of the class, as each library writes it, and the derived gradient."""
    module, rng = peer(library), np.random.default_rng(2)
    a, y = noise(rng, (3, 4, 5)), rng.integers(0, 5, (3, 4)).astype(np.int32)
    expected = ((a - np.eye(5)[y]) ** 2).sum(-1) / 2
    if library == "jaxnn":
        got = module._squared(a, y)
        np.testing.assert_allclose(module._squared_gradient(a, y), a - np.eye(5)[y], rtol=1e-6)
    elif library == "keras":
        of_sequences = importlib.import_module("scripts.benchmarks.speed.peers.sequences.with_keras")
        got = of_sequences.squared(y, a)
    else:
        tensors = module.torch.from_numpy(a), module.torch.from_numpy(y).long()
        got, expected = module.of_sequences.loss(FEW["lstm-layer"])(*tensors), expected.mean()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("library", LIBRARIES)
def test_entries_reach_the_loss_of_sequences(library, name, quick_compilation, no_rank_promotion_rule):
    workload, laps = FEW[name]._replace(target=TARGETS[name], steps=20), []
    x, y = made(workload, np.random.default_rng(3), 160)
    module = peer(library)
    assert workload.network in module.NETWORKS
    losses = losses_of(workload, module.train(workload, x, y, lambda: laps.append(1)), x, y)
    assert len(laps) == 2
    assert shortfall(workload, losses) is None, losses
    assert shortfall(workload, losses_of(workload, arrays(workload), x, y)) is not None


@pytest.mark.parametrize("name", SMALL)
def test_weights_of_sequences_are_those_of_jaxnn(name):
    """111361 params of the characters' LSTM, 98816 of its layer alone, and 842305 of the Transformer."""
    workload = WORKLOADS[name]
    model, _ = peer("jaxnn")._model(workload, jnp.float32)
    shaped = jax.eval_shape(model.init, jax.random.key(0))
    expected = [leaf.shape for part in model.network.parts(shaped) for leaf in jax.tree.leaves(part)]
    found = [shape for layer in weights(workload.network, workload.sizes) for shape in layer.shapes]
    assert found == expected
    counts = {"lstm": 111361, "lstm-layer": 98816, "transformer": 842305}
    assert sum(map(np.prod, found)) == counts[name]


def test_floor_counts_the_products_at_each_time():
    machine = Limits(1e12, 1e12, 1e12)
    # 6400 tokens: 3 products of W_a and W_x, and for characters of the dense layer; x alone needs no gradient.
    of_lstm, of_dense, of_input = 512 * 128 + 512 * 64, 65 * 128, 512 * 64
    assert f"{2 * 6400 * 3 * (of_lstm + of_dense):.2g} operations" in share(WORKLOADS["lstm"], machine, 0.1)
    assert f"{2 * 6400 * (3 * of_lstm - of_input):.2g} operations" in share(WORKLOADS["lstm-layer"], machine, 0.1)
    # 4096 tokens, 4 blocks: 12 width² of weights, and q k and P v of the times up to each, 128.5 on average.
    tokens = 4 * (12 * 128**2 + 2 * 128 * 128.5) + 65 * 128
    assert f"{2 * 4096 * 3 * tokens:.2g} operations" in share(WORKLOADS["transformer"], machine, 0.1)
