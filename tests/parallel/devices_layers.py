"""Every layer and loss on a mesh of four devices: the numbers of one device, and each gradient where its array lies."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.nn.boundaries import call_forward
from tests.helpers.programs import compiled, is_float0, numbers, same_in_bfloat16, same_in_float32
from tests.helpers.registry import LAYER_CASES, LOSS_CASES
from tests.parallel.meshes import mesh, specs, split, whole

M = 8
FEW = ("dense_lecun", "conv_strided", "batch_norm", "embedding")
FEW_LOSSES = ("softmax_cross_entropy", "ctc_lengths")
QUICK = ("dense_lecun", "batch_norm", "softmax_cross_entropy")


def pytest_generate_tests(metafunc):
    """Without --full: a few layers and losses, on explicit axes. On automatic ones a few suffice: XLA does the rest."""
    full = metafunc.config.getoption("--full")
    for argument, every, few in (("layer", LAYER_CASES, FEW), ("loss", LOSS_CASES, FEW_LOSSES)):
        if argument in metafunc.fixturenames:
            assert {*map(name, every)} >= {*few}
            cases = [(one, "explicit") for one in every if full or name(one) in QUICK]
            cases += [(one, "auto") for one in every if full and name(one) in few]
            ids = [f"{name(one)}-{kind}" for one, kind in cases]
            metafunc.parametrize((argument, "kind"), cases, ids=ids)


def name(case):
    return case.name


def cosines(y):
    """A cotangent of y that depends on its place in no other way than y does."""

    def cotangent(a):
        return jnp.cos(a) if jnp.issubdtype(a.dtype, jnp.inexact) else np.zeros(a.shape, jax.dtypes.float0)

    return jax.tree.map(cotangent, y)


def by_hand(layer, params, x, key, rows):
    y, cache = call_forward(layer, params, x, key, rows)
    return y, *layer.backward(params, cache, cosines(y))


def by_autodiff(layer, params, x, key, rows):
    y, pullback = jax.vjp(lambda params, x: call_forward(layer, params, x, key, rows)[0], params, x)
    return y, *pullback(cosines(y))


def by_its_rule(layer, params, x, key, rows):
    y, pullback = jax.vjp(lambda params, x: jaxnn.differentiable(layer)(params, x, key, rows), params, x)
    return y, *pullback(cosines(y))


def given(case):
    rows = None if case.rows(M) is None else np.resize(np.asarray(case.rows(M), np.float32), M)
    return case.params("float32"), case.input(M, "float32", 3), case.key(), rows


def placed(arguments, mesh):
    params, x, key, rows = arguments
    return whole(params, mesh), split(x, mesh), whole(key, mesh), split(rows, mesh)


def test_a_layer_computes_the_same(layer, kind):
    """By hand, by JAX, and by JAX with the rule of the layer, in one program."""
    arguments, four = given(layer), mesh(4, kind)

    @compiled
    def run(*arguments):
        return [way(layer.layer, *arguments) for way in (by_hand, by_autodiff, by_its_rule)]

    for expected, got in zip(run(*arguments), run(*placed(arguments, four)), strict=True):
        if layer.inside == "bfloat16":
            same_in_bfloat16(got, expected)
        else:
            same_in_float32(got, expected)
        if kind == "explicit":
            y, dparams, dx = (numbers(tree) for tree in got)
            assert {*specs(dparams)} <= {()}
            assert {*specs(dx)} == {("data",)} or not jax.tree.leaves(dx)
            lying = zip(specs(y), jax.tree.leaves(y), strict=True)
            assert all(spec == ("data",) for spec, a in lying if a.shape[0] == M)


def test_a_loss_computes_the_same(loss, kind):
    z, y = loss.make(M, "float32")
    four = mesh(4, kind)

    @compiled
    def run(z, y):
        return loss.loss.value(z, y), loss.loss.gradient(z, y)

    expected, got = run(z, y), run(split(z, four), split(y, four))
    same_in_float32(got, expected)
    if kind == "explicit":
        assert {*specs(numbers(got))} == {("data",)}


@pytest.mark.full
@pytest.mark.parametrize("use", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_a_mesh_that_is_set_changes_nothing(use):
    four, layer = mesh(4), jaxnn.dense(3)
    params, _ = layer.init(jax.random.key(0), (5,))
    x = np.random.default_rng(0).normal(size=(M, 5)).astype(np.float32)
    expected = by_hand(layer, params, x, None, None)
    with jax.set_mesh(four):
        got = use(partial(by_hand, layer))(whole(params, four), split(x, four), None, None)
    same_in_float32(got, expected)


def test_weights_that_are_split_have_gradients_that_are():
    """Each along its longest axis, of outputs or of inputs."""
    four = mesh(4)
    layer = jaxnn.chain(jaxnn.dense(8), jaxnn.relu(), jaxnn.dense(4))
    params, _ = layer.init(jax.random.key(0), (8,))
    x = np.random.default_rng(0).normal(size=(M, 8)).astype(np.float32)
    expected = by_hand(layer, params, x, None, None)
    lying = jaxnn.parallel.split_evenly(params, four)
    got = jax.jit(partial(by_hand, layer))(lying, split(x, four), None, None)
    same_in_float32(got, expected)
    assert specs(got[1]) == specs(lying)
    assert {*specs(lying)} == {("data",), (None, "data")}


@pytest.mark.full
def test_whole_numbers_have_no_cotangent():
    layer, four = jaxnn.nn.embedding(5, 3), mesh(4)
    params, _ = layer.init(jax.random.key(0), jax.ShapeDtypeStruct((2,), "int32"))
    x = np.arange(2 * M).reshape(M, 2) % 5
    _, dparams, dx = by_hand(layer, whole(params, four), split(x, four), None, None)
    assert is_float0(dx)
    assert specs(dparams) == [()]
