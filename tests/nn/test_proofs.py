"""Every layer and regularizer of the registry: hand = autodiff, jit = eager, vmap = loop, dtypes, no recompilation."""

import sys
from functools import cache, partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxnn
from jaxnn import gradcheck
from jaxnn.arrays import add_cotangents, cast_like, zero_cotangent
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.shapes import is_sizes, structs
from tests.helpers.programs import (
    BATCH_SIZES,
    THOROUGH,
    TOLERANCE,
    close_in_bfloat16,
    compiled,
    dtypes,
    hand,
    is_float0,
    numbers,
    same,
    same_in_bfloat16,
    same_in_float32,
)
from tests.helpers.registry import (
    ACTIVATION_CASES,
    CASES,
    KIND_CASES,
    LAYER_CASES,
    LOSS_CASES,
    MODULES,
    PACKAGES,
    REGULARIZER_CASES,
    factories,
    name_of,
    normal,
    regularized_params,
)
from tests.helpers.sources import ROOT

layers = pytest.mark.parametrize("case", LAYER_CASES, ids=name_of)
# gradcheck proves of all layers what these prove in another way of one of each kind: two witnesses of each formula.
kinds = pytest.mark.parametrize("case", KIND_CASES, ids=name_of)


activations = pytest.mark.parametrize("case", ACTIVATION_CASES, ids=name_of)


regularizers = pytest.mark.parametrize("case", REGULARIZER_CASES, ids=name_of)


# A layer of each kind: gradcheck compares it with autodiff and differences. The others, those with each initializer,
# slope and strength, and those whose gradients other tests compare with loops in NumPy, are for --full.
one_of_each_layer = pytest.mark.representatives(
    *"relu softmax dense_lecun dropout residual batch_norm embedding rescale".split()
)


# Of what gradcheck proves too: with params, and with a key.
plain_and_random = pytest.mark.representatives("dense_lecun", "residual_dropout")


# These are proofs, not benchmarks: most of their time is compilation, which this halves.
pytestmark = pytest.mark.usefixtures("quick_compilation")


@cache
def hand_in_a_program(name):
    """`hand` of the named case's layer, compiled once for all tests that use it, and the number of traces."""
    traces, layer = [], next(case.layer for case in LAYER_CASES if case.name == name)

    def run(*given):
        traces.append(1)
        return hand(layer, *given)

    return compiled(run), traces


def auto(layer, params, x, dy, key, rows=None):
    """(y, dparams, dx) by `jax.vjp` of the plain forward, which carries no rule of jaxnn's."""
    y, pullback = jax.vjp(lambda params, x: call_forward(layer, params, x, key, rows)[0], params, x)
    return (y, *pullback(dy))


def arguments(case, m, dtype=jnp.float32, seed=3):
    """(params, x, dy, key, rows), dy a random cotangent of the output."""
    params, x, key, rows = case.params(dtype), case.input(m, dtype, seed), case.key(), case.rows(m)
    y = jax.eval_shape(lambda params, x: call_forward(case.layer, params, x, key, rows)[0], params, x)
    return params, x, cotangent(y, 9 + seed), key, rows


def cotangent(y, seed):
    """Random numbers in the shapes and dtypes of y."""
    leaves, structure = jax.tree.flatten(y)
    return structure.unflatten([normal(a.shape, a.dtype, seed + 100 * i) for i, a in enumerate(leaves)])


def stacked(*trees):
    """The trees as one, each leaf on a new axis."""

    def stack(*leaves):
        return np.zeros((len(leaves), *leaves[0].shape), leaves[0].dtype) if is_float0(leaves[0]) else jnp.stack(leaves)

    return jax.tree.map(stack, *trees)


def check(case, got, expected, dtype="float32"):
    if case.inside == "bfloat16":
        same_in_bfloat16(got, expected)
    elif dtype == "float32":
        same_in_float32(got, expected)
    else:
        same(got, expected, **TOLERANCE[dtype])


@pytest.mark.representatives(
    "dense_lecun-float64",
    "embedding_words-float64",
    "frozen_batch_norm-float32",
    "layer_from_repeated-float64",
    "shared-float64",
)
@dtypes
@kinds
def test_layer_hand_is_autodiff(case, dtype, x64):
    """For every batch size, in one program; no dtype is promoted behind its back."""
    if case.inside and dtype == "float64":
        pytest.skip("computes in a smaller dtype inside: the float32 case says all there is to say")
    batches = [arguments(case, m, jnp.dtype(dtype)) for m in BATCH_SIZES]

    @compiled
    def run(batches):
        return [[way(case.layer, *batch) for batch in batches] for way in (hand, auto)]

    with jax.numpy_dtype_promotion("strict"):
        got, expected = run(batches)
    check(case, got, expected, dtype)


@pytest.mark.representatives("dense_lecun", "gelu")
@kinds
def test_layer_bfloat16(case):
    """Against autodiff in the same precision; elements, and what it adds up badly, against autodiff in float32."""
    given = arguments(case, 2, jnp.bfloat16)
    params, x, dy, key, rows = given
    wide = [jax.tree.map(in_float32, tree) for tree in (params, x, dy)]

    @compiled
    def run(given, wide):
        return hand(case.layer, *given), auto(case.layer, *given), auto(case.layer, *wide, key, rows)

    got, narrow, exact = run(given, wide)
    exact = jax.tree.map(cast_like, narrow, exact)
    if case.random or jax.tree.leaves(params):
        # Layers in a row round as autodiff does; but it also adds up in bfloat16, where sums over places lose digits.
        alike = jax.tree.map(lambda one, other: is_float0(one) or close_in_bfloat16(one, other), got, narrow)
        exact = jax.tree.map(lambda alike, one, other: one if alike else other, alike, narrow, exact)
    same_in_bfloat16(got, exact)


def in_float32(a):
    return a.astype("float32") if jnp.issubdtype(a.dtype, jnp.floating) else a


@pytest.mark.representatives(
    "elu_flat-float32",
    "identity-float32",
    "leaky_relu-float32",
    "leaky_relu_flat-float32",
    "leaky_relu_steep-float32",
    "relu-float32",
    "sigmoid-float32",
    "tanh-float32",
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@activations
def test_activation_at_kinks_and_saturated(case, dtype, x64):
    z = jnp.asarray(np.array([[0.0, -0.0, 1e-30, -1e-30, 10, -10, 100, -100, 1e4, -1e4]]), dtype)
    wide = np.asarray(z, np.float64)

    @compiled
    def run(z, wide):
        return hand(case.layer, (), z, jnp.ones_like(z), None), auto(case.layer, (), wide, jnp.ones_like(wide), None)

    (a, _, dz), (expected_a, _, expected_dz) = run(z, wide)
    assert a.dtype == dz.dtype == z.dtype
    eps = float(jnp.finfo(dtype).eps)
    for got, expected in ((a, expected_a), (dz, expected_dz)):
        np.testing.assert_allclose(np.asarray(got, np.float64), expected, rtol=8 * eps, atol=8 * eps)


# Networks made of layers that have cases of their own: checked at the given arguments alone, as all their programs are
# large, and their layers in every situation.
OF_LAYERS = """lenet resnet mlp mlp_scanned mlp_dropout logistic_regression model_from transformer_block_causal_lengths
    transformer_block_norm_last transformer_block_memory transformer_block_attention_dropout""".split()


@one_of_each_layer
@layers
def test_layer_by_gradcheck(case, full):
    fast = case.name in OF_LAYERS or not full and case.name not in THOROUGH
    gradcheck.layer(case.layer, case.in_shape, key=case.key(), fast=fast).raise_if_failed()


@pytest.mark.representatives("no_regularizer", "l2", "l1", "elastic_net")
@regularizers
def test_penalty_by_gradcheck(case, full):
    fast = not full and case.name not in THOROUGH
    gradcheck.regularizer(case.regularizer, regularized_params(), fast=fast).raise_if_failed()


@pytest.mark.representatives("dense_lecun")
@layers
def test_layer_numerical_float64(case, x64):
    """An independent witness: finite differences of the plain forward, on shapes small enough to be trusted."""
    if case.inside:
        pytest.skip("computes in a smaller dtype inside, where a difference quotient is noise")
    params, x, _, key, rows = arguments(case, 2, jnp.float64)
    if not any(jnp.issubdtype(a.dtype, jnp.floating) for a in jax.tree.leaves((params, x))):
        pytest.skip("a layer of whole numbers without params has no derivative")
    apply = jaxnn.differentiable(case.layer)
    leaves, structure = jax.tree.flatten(x)
    is_float = [jnp.issubdtype(a.dtype, jnp.floating) for a in leaves]

    @jax.jit
    def function(params, floats):
        floats = iter(floats)
        x = structure.unflatten([next(floats) if given else a for given, a in zip(is_float, leaves, strict=True)])
        return apply(params, x, key, rows)

    floats = [a for given, a in zip(is_float, leaves, strict=True) if given]
    of, given = (partial(function, params), (floats,)) if case.held else (function, (params, floats))
    # The quotient is off by the step's square times the third derivative, which is large for a whole network: JAX's own
    # step, 1e-4, is too long.
    check_grads(of, given, order=1, modes=("rev",), atol=1e-6, rtol=1e-6, eps=1e-6)


@pytest.mark.representatives("dense_lecun")
@plain_and_random
@kinds
def test_layer_jit_is_eager(case, x64):
    """In float64: fused operations round otherwise, which the sums of a whole network add up."""
    run, _ = hand_in_a_program(case.name)
    dtype = "float32" if case.inside else "float64"
    given = arguments(case, 2, jnp.dtype(dtype))
    check(case, run(*given), hand(case.layer, *given), dtype)


@pytest.mark.representatives("dense_lecun")
@plain_and_random
@kinds
def test_layer_vmap_is_loop(case):
    given = [arguments(case, 2, seed=seed)[:3] for seed in range(3)]
    given = [(jax.tree.map(lambda p, i=i: p * (1 + i), params), x, dy) for i, (params, x, dy) in enumerate(given)]
    keys, rows = jax.random.split(jax.random.key(0), 3) if case.random else None, case.rows(2)

    @compiled
    def run(given, keys):
        loop = [hand(case.layer, *one, None if keys is None else keys[i], rows) for i, one in enumerate(given)]
        return jax.vmap(partial(hand, case.layer, rows=rows))(*stacked(*given), keys), stacked(*loop)

    check(case, *run(given, keys))


@pytest.mark.representatives(
    *"dense_lecun dropout flatten chain repeat residual remat mask_units with_dtype_bfloat16 mlp group_norm".split(),
    *"fan_out parallel shared fan_in_sum fan_in_concat batch_norm embedding frozen layer_from relu softmax".split(),
    *"conv_strided depthwise_conv conv_transpose max_pool avg_pool global_max_pool upsample pad_pairs rescale".split(),
    *"recurrent_lengths bidirectional_last multi_head_attention_lengths each_step_batch_norm".split(),
)
@layers
def test_layer_contract(case):
    """`init` returns the output's shape; dparams and dx have the structure, shapes and dtypes of params and x."""
    shapes = []

    def init(key):
        params, out_shape = case.layer.init(key, case.in_shape)
        shapes.append(out_shape)
        return params

    params, (out_shape,) = jax.eval_shape(init, jax.random.key(0)), shapes
    _, x, _, key, rows = arguments(case, 7)
    dy = cotangent(jax.tree.map(lambda a: jax.ShapeDtypeStruct((7, *a.shape), a.dtype), structs(out_shape)), 9)
    y, dparams, dx = jax.eval_shape(partial(hand, case.layer), params, x, dy, key, rows)
    assert jaxnn.nn.shapes_of(y) == out_shape
    assert not is_sizes(out_shape) or all(type(n) is int for n in out_shape)
    assert all(a.shape[0] == 7 for a in jax.tree.leaves(y))
    chex.assert_trees_all_equal_shapes_and_dtypes((dparams, dx), (params, jax.tree.map(zero_cotangent, x)))


@pytest.mark.representatives(
    "batch_norm",
    "dense_lecun",
    "embedding",
    "fan_in_concat",
    "frozen_batch_norm",
    "layer_from",
    "mask_units",
    "with_dtype_batch_norm",
)
@layers
def test_layer_infers_what_it_learned(case):
    """With what it observed in a batch, `infer` is `forward` on that batch, example by example; it has a gradient."""
    params, x, dy, key, _ = arguments(case, 7)

    @compiled
    def run(params, x, dy, key):
        y, cache = case.layer.forward(params, x, key)
        stats = case.layer.observe(cache)
        inferred, pull = jax.vjp(lambda params, x: case.layer.infer(params, stats, x), params, x)
        of_three = case.layer.infer(params, stats, jax.tree.map(lambda a: a[:3], x))
        return y, inferred, of_three, pull(dy)

    y, inferred, of_three, gradient = run(params, x, dy, key)
    chex.assert_trees_all_equal_shapes_and_dtypes(inferred, y)
    if not case.random:
        check(case, inferred, y)
    check(case, of_three, jax.tree.map(lambda a: a[:3], inferred))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(numbers((inferred, gradient))))


@plain_and_random
@kinds
def test_layer_inside_grad_and_scan(case):
    """`differentiable` gives the layer's own backward to `jax.grad`, also under `scan`."""
    params, x, dy, key, rows = arguments(case, 2)
    apply = jaxnn.differentiable(case.layer)

    def total(params, x):
        def add(s, _):
            products = jax.tree.map(lambda y, dy: (y * dy).sum(), apply(params, x, key, rows), dy)
            return s + sum(jax.tree.leaves(products)), None

        return jax.lax.scan(add, 0.0, length=2)[0]

    @compiled
    def run(params, x):
        return jax.grad(total, argnums=(0, 1), allow_int=True)(params, x), hand(case.layer, params, x, dy, key, rows)[
            1:
        ]

    got, once = run(params, x)
    check(case, got, add_cotangents(once, once))


@pytest.mark.representatives("dense_lecun", "batch_norm", "max_pool")
@layers
def test_layer_second_derivatives(case, x64):
    """The derivative of the layer's own backward is that of autodiff's."""
    if case.inside or case.held:
        pytest.skip("computes in a smaller dtype inside, or has no gradient by definition")
    params, x, dy, key, rows = arguments(case, 2, jnp.float64)
    _, dparams, dx = jax.eval_shape(partial(hand, case.layer), params, x, dy, key, rows)
    along = numbers(cotangent(numbers((dparams, dx)), 5))

    def second(way):
        def slope(params, x, dy):
            got = numbers(way(case.layer, params, x, dy, key, rows)[1:])
            return sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), got, along)), 0.0)

        return jax.grad(slope, (0, 1, 2), allow_int=True)

    got, expected = compiled(lambda *given: (second(hand)(*given), second(auto)(*given)))(params, x, dy)
    same(got, expected, **TOLERANCE["float64"])


@plain_and_random
@layers
def test_layer_second_call_does_not_trace(case, x64):
    run, traces = hand_in_a_program(case.name)
    for seed in (0, 1):
        run(*arguments(case, 2, jnp.dtype("float32" if case.inside else "float64"), seed))
    assert len(traces) == 1


@pytest.mark.full
@dtypes
@regularizers
def test_penalty_hand_is_autodiff(case, dtype, x64):
    params = regularized_params(jnp.dtype(dtype))
    value, gradient = case.regularizer
    got = compiled(lambda p: (value(p), gradient(p)))(params)
    expected = compiled(jax.value_and_grad(value))(params)
    chex.assert_trees_all_equal_shapes_and_dtypes(got[1], params)
    same(got, expected, **TOLERANCE[dtype])
    same((value(params), gradient(params)), got, **TOLERANCE[dtype])


@pytest.mark.representatives("elastic_net")
@regularizers
def test_penalty_vmap_is_loop(case):
    params = [jax.tree.map(lambda p, i=i: p * i, regularized_params()) for i in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    many = compiled(jax.vmap(lambda p: (case.regularizer.value(p), case.regularizer.gradient(p))))(stacked)
    loop = [(case.regularizer.value(p), case.regularizer.gradient(p)) for p in params]
    expected = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *loop)
    same(many, expected, **TOLERANCE["float32"])


EXPORTED = [factory for package in PACKAGES for factory in factories(package)]


@pytest.mark.parametrize("factory", EXPORTED, ids=lambda factory: factory.__name__)
def test_every_exported_factory_has_cases_in_its_file(factory):
    """By their names, and, if results record their call, as calls of this factory."""
    cases = sys.modules[factory.__module__].CASES
    names = [name for name in cases if name == factory.__name__ or name.startswith(f"{factory.__name__}_")]
    assert names, f"{factory.__name__} has no case among the CASES of {factory.__module__}"
    made = [cases[name][0]() for name in names]
    calls = [one.factory_call.factory for one in made if one.factory_call is not None]
    assert factory in calls if calls else all(isinstance(one, jaxnn.Model) for one in made)


def test_networks_of_layers_are_cases():
    assert {*OF_LAYERS} <= {case.name for case in LAYER_CASES}


def test_every_case_is_run():
    """All files with CASES are collected, and names are unique."""
    written = [path for path in (ROOT / "jaxnn").rglob("*.py") if "\nCASES = {" in path.read_text(encoding="utf-8")]
    assert {Path(module.__file__) for module in MODULES} == {*written}
    assert len(LAYER_CASES) + len(LOSS_CASES) + len(REGULARIZER_CASES) == len(CASES)
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(EXPORTED) >= 31
