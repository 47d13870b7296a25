"""The rules of the contract of a layer: what each promises, over the table of cases and through every combinator."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.contrib import mask_units
from jaxnn.nn.shapes import is_sizes, structs
from tests.helpers.programs import compiled, hand
from tests.helpers.registry import LAYER_CASES, LayerCase, name_of, normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(1)


def shaped(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, dtype)


OF_SIZES = [case for case in LAYER_CASES if is_sizes(case.in_shape)]


@pytest.mark.parametrize("case", OF_SIZES, ids=name_of)
def test_a_shape_of_floats_is_its_sizes(case):
    """As in a tree of shapes, of which combinators pass the parts on."""

    def init(shape):
        made = []
        params = jax.eval_shape(lambda key: made.append(case.layer.init(key, shape)) or made[0][0], KEY)
        return params, structs(made[0][1])

    assert init(shaped(*case.in_shape)) == init(case.in_shape)


# What a combinator must hand on.


def probe(observed=False):
    """Training is NaN, inference the identity; it observes the mean of x, which nothing else does."""
    return jaxnn.Layer(
        init=lambda key, in_shape: ((), in_shape),
        forward=lambda params, x, key=None: (x * jnp.nan, x),
        backward=lambda params, cache, dy: ((), dy * jnp.nan),
        infer=lambda params, stats, x: x,
        observe=(lambda cache: {"mean": cache.mean(0)}) if observed else lambda cache: (),
    )


COMBINATORS = {
    "chain": (lambda layer: jaxnn.chain(layer, layer), lambda x: x),
    "residual": (jaxnn.residual, lambda x: 2 * x),
    "remat": (jaxnn.remat, lambda x: x),
    "repeat": (lambda layer: jaxnn.repeat(layer, 3), lambda x: x),
    "repeat_remat_residual": (lambda layer: jaxnn.repeat(jaxnn.remat(jaxnn.residual(layer)), 2), lambda x: 4 * x),
    "with_dtype": (lambda layer: jaxnn.with_dtype(layer, jnp.bfloat16), lambda x: x),
    "fan_out": (lambda layer: jaxnn.chain(nn.fan_out(layer, layer), nn.fan_in_sum()), lambda x: 2 * x),
    "fan_out_named": (lambda layer: jaxnn.chain(nn.fan_out(a=layer, b=layer), nn.fan_in_sum()), lambda x: 2 * x),
    "parallel": (
        lambda layer: jaxnn.chain(nn.fan_out(nn.identity(), nn.identity()), nn.parallel(layer, layer), nn.fan_in_sum()),
        lambda x: 2 * x,
    ),
    "shared": (
        lambda layer: jaxnn.chain(nn.fan_out(nn.identity(), nn.identity()), nn.shared(layer), nn.fan_in_sum()),
        lambda x: 2 * x,
    ),
    "mask_units": (lambda layer: mask_units(layer, 2), lambda x: x.at[:, 2:].set(0)),
}

combinators = pytest.mark.parametrize("name", COMBINATORS)


@combinators
def test_infer_goes_through_every_combinator(name):
    combine, expected = COMBINATORS[name]
    network, x = combine(probe()), jnp.array([[1.0, -2.0, 3.0], [0.5, 0.25, 8.0]])
    params, _ = network.init(KEY, (3,))
    np.testing.assert_array_equal(network.infer(params, (), x), expected(x))
    assert np.isnan(network.forward(params, x, KEY)[0]).any()


@combinators
def test_statistics_go_through_every_combinator(name):
    """What each part observed comes out, in one structure for observe and infer; with repeat, stacked by copy."""
    combine, _ = COMBINATORS[name]
    network, x = combine(probe(observed=True)), jnp.array([[1.0, -2.0, 3.0], [0.5, 0.25, 8.0]])
    params, _ = network.init(KEY, (3,))
    stats = network.observe(network.forward(params, x, KEY)[1])
    leaves = jax.tree.leaves(stats)
    assert leaves
    assert all(leaf.shape[-1] == 3 for leaf in leaves)
    first = leaves[0] if leaves[0].ndim == 1 else leaves[0][0]
    np.testing.assert_allclose(first, x.mean(0), rtol=1e-2)
    network.infer(params, stats, x)
    assert combine(probe()).observe(combine(probe()).forward(params, x, KEY)[1]) == ()


@pytest.mark.representatives("repeat")
@combinators
def test_rows_go_through_every_combinator_to_layers_across_alone(name):
    combine, _ = COMBINATORS[name]
    network, x = combine(nn.batch_norm()), normal((4, 3))
    params, _ = network.init(KEY, (3,))
    assert network.across
    assert not combine(jaxnn.tanh()).across
    padded, rows = jnp.concatenate([x, jnp.full((2, 3), 7.0)]), jnp.array([1.0, 1, 1, 1, 0, 0])
    run = compiled(lambda x, rows: network.forward(params, x, KEY, rows)[0])
    np.testing.assert_allclose(run(padded, rows)[:4], run(x, jnp.ones(4)), rtol=1e-5, atol=1e-6)
    assert not np.allclose(network.forward(params, padded, KEY)[0][:4], run(x, jnp.ones(4)), atol=1e-3)


def test_layers_that_do_not_look_across_compile_as_without_rows():
    network = jaxnn.chain(jaxnn.dense(3), jaxnn.residual(jaxnn.tanh()))
    params, _ = network.init(KEY, (5,))
    x = jnp.ones((4, 5))
    rows = jnp.ones(4)
    with_rows = jax.make_jaxpr(lambda p, x: network.forward(p, x, None, rows)[0])(params, x)
    assert str(jax.make_jaxpr(lambda p, x: network.forward(p, x)[0])(params, x)) == str(with_rows)


# Weights of examples, for every layer.

WEIGHTS = np.array([1.0, 0.0, 2.0, 1.0], np.float32)
REPEATED = np.array([0, 2, 2, 3])


# Those that look across examples, in which weights have code of their own, and one of each sort of the others.
@pytest.mark.representatives(
    "batch_norm",
    "each_step_batch_norm_full",
    "repeat_batch_norm",
    "with_dtype_batch_norm",
    "dense_lecun",
    "recurrent_lengths",
)
@pytest.mark.parametrize("case", [case for case in LAYER_CASES if not case.random], ids=name_of)
def test_weight_0_is_no_row_and_weight_2_the_row_twice(case):
    """The gradient of Σ w_i f(y_i), at weights of 0 and 2, is that of the rows as often as they count."""
    params, x = case.params(), case.input(4)

    @compiled
    def gradient(x, weight):
        rows = (weight,) if case.layer.across else ()
        y, cache = case.layer.forward(params, x, None, *rows)
        dy = jax.tree.map(lambda a: jnp.cos(a.astype(jnp.float32)) * weight.reshape(-1, *[1] * (a.ndim - 1)), y)
        dy = jax.tree.map(lambda d, a: d.astype(a.dtype), dy, y)
        dparams, _ = case.layer.backward(params, cache, dy)
        return y, dparams, case.layer.observe(cache)

    y, *weighted = gradient(x, WEIGHTS)
    of_rows, *repeated = gradient(jax.tree.map(lambda a: np.asarray(a)[REPEATED], x), np.ones(4, np.float32))
    near = partial(
        np.testing.assert_allclose,
        rtol=2e-2 if case.inside == "bfloat16" else 1e-4,
        atol=1e-2 if case.inside == "bfloat16" else 1e-5,
    )
    jax.tree.map(near, weighted, repeated)
    kept, once = np.array([0, 2, 3]), np.array([0, 1, 3])
    jax.tree.map(lambda a, b: near(np.asarray(a)[kept], np.asarray(b)[once]), y, of_rows)


# Whole numbers and trees.


@pytest.mark.full
def test_the_cotangent_of_whole_numbers_is_a_float0_through_fan_out_and_with_dtype():
    words = jnp.array([[1, 2], [2, 0]])
    for network in (
        jaxnn.chain(nn.fan_out(nn.embedding(3, 4), nn.embedding(3, 4)), nn.fan_in_sum()),
        jaxnn.with_dtype(nn.embedding(3, 4), jnp.bfloat16),
        jaxnn.remat(nn.embedding(3, 4)),
        nn.shared(nn.embedding(3, 4)),
    ):
        x = (words, words) if network.factory_call.factory is nn.shared else words
        params, _ = network.init(KEY, nn.shapes_of(x))
        y, cache = network.forward(params, x)
        dparams, dx = network.backward(params, cache, jax.tree.map(jnp.ones_like, y))
        expected = jax.vjp(lambda p, x, layer=network: layer.forward(p, x)[0], params, x)[1](
            jax.tree.map(jnp.ones_like, y)
        )
        assert [leaf.dtype for leaf in jax.tree.leaves(dx)] == [leaf.dtype for leaf in jax.tree.leaves(expected[1])]
        assert all(leaf.dtype == jax.dtypes.float0 for leaf in jax.tree.leaves(dx))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-2), dparams, expected[0])


@pytest.mark.full
def test_with_dtype_casts_only_floats_and_back_to_the_dtype_of_each_input():
    layer = jaxnn.with_dtype(nn.parallel(a=jaxnn.dense(2), b=nn.embedding(5, 2)), jnp.bfloat16)
    x = {"a": jnp.ones((3, 4)), "b": jnp.array([0, 4, 4])}
    params, _ = layer.init(KEY, nn.shapes_of(x))
    y, cache = layer.forward(params, x)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(y)} == {"float32"}
    dparams, dx = layer.backward(params, cache, y)
    assert dx["a"].dtype == jnp.float32
    assert dx["b"].dtype == jax.dtypes.float0
    assert {leaf.dtype.name for leaf in jax.tree.leaves(dparams)} == {"float32"}


def test_a_shape_is_a_tuple_for_one_array_of_floats_and_a_tree_else():
    assert nn.shapes_of(jnp.ones((2, 3, 4))) == (3, 4)
    assert nn.shapes_of(jnp.ones(2)) == ()
    assert nn.shapes_of((jnp.ones((2, 3)),)) == (shaped(3),)
    assert nn.shapes_of(jnp.ones((2, 3), int)) == shaped(3, dtype="int32")
    assert nn.fan_out(jaxnn.dense(2), nn.identity()).init(KEY, (3,))[1] == (shaped(2), shaped(3))


def test_an_embedding_starts_by_name():
    """Near 0, so that rows that are never looked up add little; a name can be stored, a function cannot."""
    layer = nn.embedding(5000, 4, "normal")
    E = np.asarray(layer.init(KEY, shaped(dtype="int32"))[0]["E"])
    assert abs(E.std() - 0.01) < 5e-4 and abs(E.mean()) < 5e-4
    assert not np.any(nn.embedding(5, 4, "zeros").init(KEY, shaped(dtype="int32"))[0]["E"])
    as_dense = np.asarray(nn.embedding(500, 64, "lecun").init(KEY, shaped(dtype="int32"))[0]["E"])
    assert abs(as_dense.std() - 1 / 8) < 2e-3
    assert jaxnn.models.calls_as_json.network_from_json(jaxnn.models.calls_as_json.network_to_json(layer)) == layer
    with pytest.raises(ValueError, match=r"init must be one of \['lecun', 'normal', 'zeros'\] or a function, got 'he'"):
        nn.embedding(5, 4, "he")


@pytest.mark.parametrize(
    ("layer", "in_shape", "message"),
    [
        (jaxnn.dense(2), shaped(3, dtype="int32"), r"got int32 \(3,\): it takes floats: put embedding"),
        (nn.batch_norm(), shaped(3, dtype="int32"), "it takes floats"),
        (nn.embedding(4, 2), (3,), r"shape of whole numbers.*got \(3,\)"),
        (jaxnn.dense(2), (shaped(3), shaped(3)), "it takes one array: put fan_in_concat"),
        (nn.parallel(jaxnn.dense(2), jaxnn.dense(2)), (3,), "a tuple of 2 entries, one per layer"),
        (nn.parallel(a=jaxnn.dense(2)), {"b": shaped(3)}, r"a dictionary of \['a'\], one entry per layer"),
        (nn.shared(jaxnn.dense(2)), (shaped(3), shaped(4)), "must keep the shape of the first entry"),
        (nn.fan_in_sum(), (shaped(3), shaped(4)), r"arrays of one shape, got \[\(3,\), \(4,\)\]"),
        (nn.fan_in_concat(0), (shaped(3, 2), shaped(3, 4)), "arrays of one shape but for axis 0"),
        (nn.fan_in_concat(2), (shaped(3, 2), shaped(3, 2)), "arrays of one shape but for axis 2"),
    ],
)
def test_a_layer_rejects_shapes_and_dtypes_that_it_cannot_take(layer, in_shape, message):
    with pytest.raises(ValueError, match=message):
        layer.init(KEY, in_shape)


# Statistics.


def test_statistics_that_are_missing_or_of_another_network_raise():
    network = jaxnn.chain(jaxnn.dense(3), nn.batch_norm())
    params, _ = network.init(KEY, (2,))
    x = jnp.ones((4, 2))
    for stats, message in (
        ((), r"layer 2 of 2, batch_norm\(\): stats must be .* got tuple: result.stats of fit"),
        (((), {"mean": jnp.ones(4), "var": jnp.ones(4)}), r"mean: float32 \(4,\).*result.stats of fit"),
        (({"mean": jnp.ones(3), "var": jnp.ones(3)}, ()), r"layer 1 of 2, dense\(3\): stats must be \(\) for a layer"),
        (({"mean": jnp.ones(3)},), "a tuple of 2 entries.*statistics are those of another network"),
    ):
        with pytest.raises(ValueError, match=message):
            network.infer(params, stats, x)


def test_batch_norm_infers_with_what_it_observed_in_the_same_batch():
    layer, x = nn.batch_norm(), 3 + 2 * normal((6, 4))
    params, _ = layer.init(KEY, (4,))
    y, cache = layer.forward(params, x)
    np.testing.assert_allclose(layer.infer(params, layer.observe(cache), x), y, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(layer.observe(cache)["mean"], np.mean(x, 0), rtol=1e-6)
    np.testing.assert_allclose(layer.observe(cache)["var"], np.var(x, 0), rtol=1e-5)


@pytest.mark.full
def test_batch_norm_of_a_row_that_counts_0_may_be_nan():
    layer, x = nn.batch_norm(), np.array([[1.0, 2.0], [3.0, 5.0], [np.nan, np.inf]], np.float32)
    params, _ = layer.init(KEY, (2,))
    y, cache = layer.forward(params, jnp.asarray(x), None, jnp.array([1.0, 1.0, 0.0]))
    expected, _ = layer.forward(params, jnp.asarray(x[:2]))
    np.testing.assert_allclose(y[:2], expected, rtol=1e-6)
    dparams, dx = layer.backward(params, cache, jnp.array([[1.0, 0.0], [0.5, 1.0], [0.0, 0.0]]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, dparams, dx)))
    assert not dx[2].any()


def test_dropout_infers_the_mean_of_its_forward():
    layer, x = jaxnn.dropout(0.3), normal((1, 5))
    keys = jax.random.split(KEY, 20_000)
    mean = jax.vmap(lambda key: layer.forward((), x, key)[0])(keys).mean(0)
    # The standard error of the mean is |x| √(r/(1 - r)/n).
    np.testing.assert_allclose(mean, layer.infer((), (), x), atol=5 * 3 * np.sqrt(0.3 / 0.7 / 20_000))
    np.testing.assert_array_equal(layer.infer((), (), x), x)


def test_frozen_is_inference_in_training_without_a_gradient_for_its_params():
    inner = jaxnn.chain(jaxnn.dense(3), nn.batch_norm(), jaxnn.dropout(0.5))
    stats = ((), {"mean": np.full(3, 0.5, np.float32), "var": np.full(3, 2.0, np.float32)}, ())
    layer, x = nn.frozen(inner, stats), normal((4, 2))
    params, _ = layer.init(KEY, (2,))
    y, cache = layer.forward(params, x)
    np.testing.assert_array_equal(y, inner.infer(params, stats, x))
    dparams, dx = layer.backward(params, cache, jnp.ones_like(y))
    assert not any(leaf.any() for leaf in jax.tree.leaves(dparams))
    expected = jax.grad(lambda x: inner.infer(params, stats, x).sum())(x)
    np.testing.assert_allclose(dx, expected, rtol=1e-6)
    assert layer.observe(cache) == ()
    assert nn.frozen(inner, stats) == layer


# Plain functions.


def test_layer_from_caches_nothing_of_params_alone():
    """Under `repeat`, a cache that held the weights, transposed or not, would be a copy of them for each layer."""
    layer = nn.layer_from(
        lambda p, x: jnp.tanh(x @ p["W"].T + p["b"][None]) * p["b"][None],
        lambda key, shape: {"W": jax.random.normal(key, (3, 3)), "b": jnp.ones(3)},
    )
    network = jaxnn.repeat(layer, 4)
    params, _ = network.init(KEY, (3,))
    cache = jax.eval_shape(lambda p: network.forward(p, jnp.ones((2, 3)))[1], params)
    assert all(leaf.shape == (4, 2, 3) for leaf in jax.tree.leaves(cache))
    assert "layer_from(" in repr(network)


def test_differentiable_returns_what_was_observed():
    network = jaxnn.chain(jaxnn.dense(3), nn.batch_norm())
    params, _ = network.init(KEY, (2,))
    x = normal((5, 2))
    y, stats = jaxnn.differentiable(network, observe=True)(params, x)
    expected, cache = network.forward(params, x)
    jax.tree.map(np.testing.assert_array_equal, (y, stats), (expected, network.observe(cache)))
    grads = jax.grad(lambda p: jaxnn.differentiable(network, observe=True)(p, x)[0].sum())(params)
    by_hand, _ = network.backward(params, cache, jnp.ones_like(y))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), grads, by_hand)
    of_stats = jax.grad(lambda p: jaxnn.differentiable(network, observe=True)(p, x)[1][1]["mean"].sum())(params)
    assert not any(leaf.any() for leaf in jax.tree.leaves(of_stats))


# What is equal, and what is stored.


def test_named_branches_in_another_order_are_the_same_layer():
    one = nn.fan_out(a=jaxnn.dense(3), b=jaxnn.dense(3))
    other = nn.fan_out(b=jaxnn.dense(3), a=jaxnn.dense(3))
    assert one == other
    jax.tree.map(np.testing.assert_array_equal, one.init(KEY, (2,))[0], other.init(KEY, (2,))[0])


def test_frozen_layers_of_equal_statistics_are_equal():
    stats = {"mean": np.ones(3, np.float32), "var": np.ones(3, np.float32)}
    assert nn.frozen(nn.batch_norm(), stats) == nn.frozen(nn.batch_norm(), jax.tree.map(jnp.asarray, stats))


def test_narrow_whole_numbers_index_a_wide_vocabulary():
    layer = nn.embedding(300, 2)
    params, _ = layer.init(KEY, shaped(dtype="int8"))
    words = np.array([127, 0, 5], np.int8)
    y, cache = layer.forward(params, jnp.asarray(words))
    np.testing.assert_array_equal(y, np.asarray(params["E"])[[127, 0, 5]])
    dE = layer.backward(params, cache, jnp.ones_like(y))[0]["E"]
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(dE).any(1)), [0, 5, 127])


def test_activations_reject_whole_numbers_and_what_moves_numbers_takes_them():
    words = shaped(4, dtype="int32")
    for layer in (jaxnn.relu(), jaxnn.softmax(), nn.fan_in_sum(), nn.fan_in_concat()):
        with pytest.raises(ValueError, match="it takes floats: put embedding"):
            layer.init(KEY, words)
    assert nn.identity().init(KEY, words)[1] == words
    assert jaxnn.flatten().init(KEY, shaped(2, 3, dtype="uint8"))[1] == shaped(6, dtype="uint8")
    assert jaxnn.flatten().init(KEY, (2, 3))[1] == (6,)


def test_residual_compares_shapes_and_not_the_precision_of_trees():
    half = (shaped(3, dtype="bfloat16"),) * 2
    nn.residual(nn.parallel(jaxnn.dense(3), jaxnn.dense(3))).init(KEY, half)
    with pytest.raises(ValueError, match="layer of residual must keep the shape"):
        nn.residual(nn.parallel(jaxnn.dense(3), jaxnn.dense(4))).init(KEY, half)


def test_units_are_masked_in_each_branch():
    layer = mask_units(nn.fan_out(jaxnn.dense(4), jaxnn.dense(5)), 2)
    params, _ = layer.init(KEY, (3,))
    assert [int((y != 0).sum()) for y in layer.infer(params, (), jnp.ones((1, 3)))] == [2, 2]


@pytest.mark.parametrize("function", [lambda p, x: x.mean(), lambda p, x: x.mean(0)])
def test_layer_from_needs_the_axis_of_examples_in_its_result(function):
    with pytest.raises(ValueError, match=r"must be arrays \(m, ...\), for x of m = 2 examples"):
        nn.layer_from(function).init(KEY, (5,))


# No examples, no times.


def traced_zeros(layer, in_shape, m):
    """Shapes of forward and backward, and of inference, of m examples."""

    def run(params):
        x = jax.tree.map(lambda a: jnp.zeros((m, *a.shape), a.dtype), structs(in_shape))
        y, cache = layer.forward(params, x, KEY)
        dparams, dx = layer.backward(params, cache, jax.tree.map(cotangent, y))
        return y, layer.infer(params, layer.observe(cache), x), dparams, jax.tree.map(without_float0, dx)

    params = jax.eval_shape(lambda: layer.init(KEY, in_shape)[0])
    return params, jax.eval_shape(run, params)


def cotangent(a):
    return a if jnp.issubdtype(a.dtype, jnp.floating) else np.zeros(a.shape, jax.dtypes.float0)


def without_float0(a):
    return jnp.zeros(a.shape, bool) if a.dtype == jax.dtypes.float0 else a


@pytest.mark.representatives(
    "carried_with_dtype",
    "chain_images",
    "fan_out",
    "frozen",
    "frozen_batch_norm",
    "layer_norm",
    "layer_norm_eps",
    "layer_norm_rows",
    "max_pool",
    "max_pool_whole",
    "mlp_scanned",
    "multi_head_attention",
    "multi_head_attention_lengths",
    "recurrent",
    "recurrent_given",
    "recurrent_learned",
    "recurrent_lengths",
    "recurrent_lstm",
    "recurrent_lstm_lengths",
    "recurrent_one_step",
    "recurrent_reverse",
    "remat",
    "repeat_batch_norm",
    "repeat_nested",
    "tied",
)
@pytest.mark.parametrize("case", LAYER_CASES, ids=name_of)
def test_of_no_examples_all_is_empty(case):
    params, (y, inferred, dparams, dx) = traced_zeros(case.layer, case.in_shape, 0)
    assert {a.shape[0] for a in jax.tree.leaves((y, inferred, dx))} == {0}
    assert jax.tree.map(jnp.shape, dparams) == jax.tree.map(jnp.shape, params)


ATTENTIONS = {
    "multi_head_attention": nn.multi_head_attention(2, memory=True),
    "multi_head_attention_blocks": nn.multi_head_attention(2, memory=True, block=2),
    "additive_attention": nn.additive_attention(3),
    "recurrent_attention": nn.recurrent_attention(nn.gru_cell(4), 3),
}


@pytest.mark.full
@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_memory_of_no_times_is_one_of_which_nothing_is_seen(name):
    layer, x = ATTENTIONS[name], normal((3, 5, 4))
    params = LayerCase(name, layer, (shaped(5, 4), shaped(6, 4))).params()
    unseen = nn.Sequences(normal((3, 6, 4), seed=1), jnp.zeros(3, int))
    (y, _, dx), (expected, _, dexpected) = (
        hand(layer, params, (x, memory), x, None) for memory in (jnp.zeros((3, 0, 4)), unseen)
    )
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    np.testing.assert_allclose(dx[0], dexpected[0], rtol=1e-6)
    assert dx[1].shape == (3, 0, 4)
    _, (of_no_queries, *_) = traced_zeros(layer, (shaped(0, 4), shaped(6, 4)), 2)
    assert of_no_queries.shape == (2, 0, 4)


MEMORY = (normal((2, 5, 4)), normal((2, 6, 4)))


NO_PAIRS = [(), MEMORY[0], MEMORY[:1], MEMORY * 2, [*MEMORY], nn.Sequences(MEMORY[0], [1, 2])]


@pytest.mark.parametrize("x", NO_PAIRS, ids=["empty", "array", "one", "four", "list", "sequences"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_what_is_not_a_pair_of_sequence_and_memory_raises(name, x):
    layer = ATTENTIONS[name]
    params = LayerCase(name, layer, (shaped(5, 4), shaped(6, 4))).params()
    with pytest.raises(ValueError, match=r"^x must be a pair \(x, memory\), got .*: the memory is another sequence"):
        layer.forward(params, x)
    for in_shape in ((), ((5, 4),), ((5, 4),) * 3, None):
        with pytest.raises(ValueError, match="^in_shape must be a pair of shapes, of the queries and of the memory"):
            layer.init(KEY, in_shape)


@pytest.mark.parametrize("x", [(), {}, [], None])
def test_one_layer_for_no_entry_raises(x):
    for call in (lambda: nn.shared(nn.identity()).init(KEY, x), lambda: nn.shared(nn.identity()).forward((), x)):
        with pytest.raises(ValueError, match="must be a tuple, a list or a dictionary of at least one entry, got"):
            call()


@pytest.mark.parametrize("layer", [nn.each_step(jaxnn.dense(2)), nn.recurrent(nn.gru_cell(2)), nn.positions()], ids=str)
def test_a_layer_of_one_sequence_takes_no_other(layer):
    params, _ = layer.init(KEY, (5, 4))
    with pytest.raises(ValueError, match="^x must be one array of sequences, or Sequences of it, got a tuple: a layer"):
        layer.infer(params, (), MEMORY)
