"""The combinators: values, errors and costs that the generic proofs do not cover."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import gradcheck
from jaxnn.nn.repetition import chain_with_scans
from tests.helpers.programs import TOLERANCE, compiled, hand, same
from tests.helpers.registry import LayerCase, normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
BLOCK = jaxnn.chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dropout(0.5))


def params_of(layer, n_in=4, dtype=jnp.float32):
    return LayerCase("", layer, (n_in,)).params(dtype)


COMBINATORS = {
    "chain": jaxnn.chain,
    "repeat": lambda layer: jaxnn.repeat(layer, 2),
    "residual": jaxnn.residual,
    "remat": jaxnn.remat,
    "with_dtype": lambda layer: jaxnn.with_dtype(layer, jnp.bfloat16),
    "differentiable": jaxnn.differentiable,
}


@pytest.mark.parametrize("name", COMBINATORS)
def test_factory_in_place_of_its_layer_raises(name):
    with pytest.raises(ValueError, match="^(argument 0 of chain|layer) must be a Layer, got .* call the factory"):
        COMBINATORS[name](jaxnn.relu)


@pytest.mark.parametrize("name", COMBINATORS)
def test_no_layer_raises(name):
    with pytest.raises(ValueError, match="pass layers, such as"):
        COMBINATORS[name](3)


def test_chain_of_nothing_raises():
    with pytest.raises(ValueError, match="^arguments of chain must be at least 1 Layer, got 0"):
        jaxnn.chain()


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda p: p[:2], "got a tuple: use those .* .2 entries."),
        (lambda p: (*p, ()), "got a tuple: use those .* .4 entries."),
        (lambda p: p[0], "got a dict"),
        (list, "got a list"),  # it would come back from backward as a tuple
        (lambda p: None, "got None: use those"),
    ],
)
def test_chain_names_wrong_params(wrong, got):
    network = jaxnn.chain(jaxnn.dense(2), jaxnn.tanh(), jaxnn.dense(1))
    with pytest.raises(ValueError, match=rf"^params must be a tuple of 3 entries, .*{got}"):
        network.forward(wrong(params_of(network)), jnp.ones((1, 4)))


def test_chain_is_composition(x64):
    """dparams and dx by hand: y = tanh(x Wᵀ + b) Vᵀ + c."""
    network = jaxnn.chain(jaxnn.dense(3), jaxnn.tanh(), jaxnn.dense(2))
    params, x, dy = params_of(network, dtype=jnp.float64), normal((5, 4), "float64"), normal((5, 2), "float64", 1)
    y, dparams, dx = compiled(partial(hand, network))(params, x, dy, None)
    W, b, V, c = (np.asarray(params[i][name]) for i in (0, 2) for name in ("W", "b"))
    a = np.tanh(x @ W.T + b[None])
    dz = dy @ V * (1 - a**2)
    np.testing.assert_allclose(y, a @ V.T + c[None], **TOLERANCE["float64"])
    np.testing.assert_allclose(dx, dz @ W, **TOLERANCE["float64"])
    expected = ({"W": dz.T @ x, "b": dz.sum(0)}, (), {"W": dy.T @ a, "b": dy.sum(0)})
    same(dparams, jax.tree.map(jnp.asarray, expected), **TOLERANCE["float64"])


def test_layer_added_at_the_end_leaves_earlier_masks():
    short = jaxnn.chain(jaxnn.dropout(0.5), jaxnn.dropout(0.5))
    long = jaxnn.chain(jaxnn.dropout(0.5), jaxnn.dropout(0.5), jaxnn.tanh(), jaxnn.dropout(0.5))
    x = jnp.ones((8, 16))
    masks, longer = compiled(lambda key: [n.forward(((),) * k, x, key)[1] for n, k in ((short, 2), (long, 4))])(KEY)
    np.testing.assert_array_equal(masks, longer[:2])
    assert not np.array_equal(masks[0], masks[1])
    assert not np.array_equal(longer[1], longer[3])


def test_chain_inits_each_layer_from_its_own_key():
    (first, second), out_shape = jax.jit(lambda: jaxnn.chain(jaxnn.dense(4), jaxnn.dense(4)).init(KEY, (4,))[0])(), (4,)
    assert first["W"].shape == second["W"].shape == (4, *out_shape)
    assert not np.array_equal(first["W"], second["W"])


def test_repeat_is_the_unrolled_chain():
    """In value, gradient and randomness: copy i has the key of the chain's layer i."""
    repeated, unrolled = jaxnn.repeat(BLOCK, 3), jaxnn.chain(BLOCK, BLOCK, BLOCK)
    params, x, dy = params_of(repeated), normal((5, 4)), normal((5, 4), seed=1)

    @compiled
    def run(params, x, dy, key):
        copies = tuple(jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(3))
        y, dparams, dx = hand(unrolled, copies, x, dy, key)
        return hand(repeated, params, x, dy, key), (y, jax.tree.map(lambda *g: jnp.stack(g), *dparams), dx)

    same(*run(params, x, dy, KEY), **TOLERANCE["float32"])


def test_repeat_draws_each_copy_afresh():
    params, _ = jax.jit(lambda: jaxnn.repeat(jaxnn.dense(4), 3).init(KEY, (4,)))()
    W = np.asarray(params["W"])
    assert len({w.tobytes() for w in W}) == 3


def test_repeat_program_does_not_grow_with_n():
    def equations(layer):
        params, x = params_of(layer), jnp.ones((2, 4))
        return str(jax.make_jaxpr(partial(hand, layer))(params, x, x, KEY)).count(" = ")

    assert equations(jaxnn.repeat(BLOCK, 2)) == equations(jaxnn.repeat(BLOCK, 50))
    assert equations(jaxnn.chain(*[BLOCK] * 4)) > 1.5 * equations(
        jaxnn.chain(*[BLOCK] * 2)
    )  # what is counted does grow


def kept(layer, x, key=None):
    """Return the shapes of the cache."""
    params = params_of(layer, x.shape[1])
    return sorted(leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(layer.forward, params, x, key)[1]))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            (jaxnn.dense(4), jaxnn.tanh()),
            [(2, 4), (9, 2, 4)],
        ),  # the last output, and each copy's input: the one before's output
        ((jaxnn.tanh(), jaxnn.dense(4)), [(9, 2, 4)]),  # the input of the weights is tanh's output
        ((jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(4), jaxnn.tanh()), [(2, 4), (9, 2, 4), (9, 2, 4)]),
        ((jaxnn.dense(4), jaxnn.gelu()), [(9, 2, 4), (9, 2, 4)]),  # its input and gelu's
        ((jaxnn.nn.identity(),), []),
        ((jaxnn.tanh(),), [(9, 2, 4)]),  # outputs alone
    ],
)
def test_repeat_keeps_an_array_once(parts, expected):
    assert kept(jaxnn.repeat(jaxnn.chain(*parts), 9), jnp.ones((2, 4))) == expected


def test_repeats_caches_may_cross_programs():
    """Forward and backward compiled apart: the cache determines which arrays were the same."""
    layer = jaxnn.repeat(jaxnn.chain(jaxnn.dense(4), jaxnn.tanh()), 3)
    params, x, dy = params_of(layer), normal((5, 4)), normal((5, 4), seed=1)
    y, cache = jax.jit(layer.forward)(params, x)
    apart = jax.jit(layer.backward)(params, cache, dy)
    same((y, *apart), compiled(partial(hand, layer))(params, x, dy, None), **TOLERANCE["float32"])


@pytest.mark.full
def test_equal_layers_of_a_chain_start_by_one_draw_that_changes_no_number():
    """As if each were drawn separately from its key, also if a layer has several shapes."""
    dense = jaxnn.dense(4, "he")
    together, n_in = jaxnn.chain(*[jaxnn.dense(4, "he") for _ in range(4)]), (6, 4, 4, 4)
    drawn = jax.jit(lambda key: together.init(key, (6,))[0])(KEY)
    each = tuple(dense.init(jax.random.fold_in(KEY, i), (n,))[0] for i, n in enumerate(n_in))
    jax.tree.map(np.testing.assert_array_equal, drawn, each)
    assert [p["W"].shape for p in drawn] == [(4, 6), (4, 4), (4, 4), (4, 4)]
    assert together.init(KEY, (6,))[1] == (4,)

    def draws(layers):
        return str(jax.make_jaxpr(lambda key: jaxnn.chain(*layers).init(key, (4,))[0])(KEY)).count(
            "name=_truncated_normal"
        )

    assert (draws([dense] * 2), draws([dense] * 20)) == (draws([dense]), draws([dense]))
    assert draws([jaxnn.dense(4, "he"), jaxnn.dense(4, "he")]) == draws([dense])  # equal, not one object
    assert draws([dense, jaxnn.dense(4, "lecun")]) == 2 * draws([dense])


RUNS = {
    "dense": (((jaxnn.dense(4),), 1), ((jaxnn.relu(), jaxnn.dense(4)), 3), ((jaxnn.relu(), jaxnn.dense(2)), 1)),
    "dropout": (((jaxnn.dense(4), jaxnn.dropout(0.5)), 3), ((jaxnn.tanh(), jaxnn.dropout(0.5)), 1)),
    "two_each": (((jaxnn.dropout(0.5), jaxnn.dense(5), jaxnn.silu(), jaxnn.dense(4)), 2),),
    "two_runs": (
        ((jaxnn.dense(4), jaxnn.gelu()), 2),
        ((jaxnn.dense(3),), 1),
        ((jaxnn.dropout(0.3), jaxnn.dense(3)), 2),
    ),
    "one_layer": (((jaxnn.dense(4, "zeros"),), 4),),
    "nested": (
        ((jaxnn.residual(jaxnn.chain(jaxnn.dense(4), jaxnn.dropout(0.5))),), 2),
        ((jaxnn.repeat(jaxnn.dense(4), 2),), 3),
    ),
}


@pytest.mark.full
@pytest.mark.parametrize(("name", "dtype"), [*[(name, "float64") for name in RUNS], ("two_runs", "float32")])
def test_chain_with_scans_is_the_chain(name, dtype):
    """The numbers it starts from exactly; values, gradients and what dropout drops up to rounding."""
    runs = RUNS[name]
    scanned, plain = (
        chain_with_scans(*runs),
        jaxnn.chain(*[layer for block, n in runs for _ in range(n) for layer in block]),
    )
    with jax.enable_x64(dtype == "float64"):
        x = normal((5, 4), dtype)

        @compiled
        def run(key):
            results = []
            for network in (scanned, plain):
                params, out_shape = network.init(key, (4,))
                parts = jaxnn.models.params_to_arrays(network, params)
                y, dparams, dx = hand(network, params, x, jnp.ones((5, *out_shape), dtype), key)
                results.append((parts, (y, dx, jaxnn.models.params_to_arrays(network, dparams))))
            return results

        (start, found), (plain_start, expected) = run(KEY)
        assert found[0].dtype == dtype
        for a, b in zip(start, plain_start, strict=True):
            np.testing.assert_array_equal(a, b)
        same(found, expected, **TOLERANCE[dtype])


def test_parts_are_the_single_layers_in_order():
    network = jaxnn.remat(
        jaxnn.chain(
            jaxnn.dense(4), jaxnn.repeat(jaxnn.chain(jaxnn.dense(4), jaxnn.tanh()), 2), jaxnn.residual(jaxnn.dense(4))
        )
    )
    params = params_of(network)
    first, (stacked, _), last = params
    expected = [first, {k: a[0] for k, a in stacked.items()}, (), {k: a[1] for k, a in stacked.items()}, (), last]
    jax.tree.map(np.testing.assert_array_equal, network.parts(params), expected)
    assert jaxnn.dense(3).parts({"W": 1}) == [{"W": 1}]


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_repeat_without_copies_raises(n):
    with pytest.raises(ValueError, match=f"n must be a whole number of at least 1, got {n}"):
        jaxnn.repeat(BLOCK, n)


@pytest.mark.parametrize("name", ["repeat", "residual"])
def test_layer_that_changes_the_shape_raises(name):
    with pytest.raises(ValueError, match=rf"layer of {name} must keep .* got \(4,\) -> \(3,\)"):
        COMBINATORS[name](jaxnn.dense(3)).init(KEY, (4,))


def test_residual_adds_its_input(x64):
    layer = jaxnn.residual(jaxnn.dense(4))
    params, x, dy = params_of(layer, dtype=jnp.float64), normal((5, 4), "float64"), normal((5, 4), "float64", 1)
    y, dparams, dx = compiled(partial(hand, layer))(params, x, dy, None)
    W, b = np.asarray(params["W"]), np.asarray(params["b"])
    np.testing.assert_allclose(y, x + x @ W.T + b[None], **TOLERANCE["float64"])
    np.testing.assert_allclose(dx, dy + dy @ W, **TOLERANCE["float64"])
    np.testing.assert_allclose(dparams["W"], dy.T @ x, **TOLERANCE["float64"])


def test_recompute_remembers_its_input_and_key_alone():
    params, x = params_of(BLOCK), normal((2, 4))
    cache = jaxnn.remat(BLOCK).forward(params, x, KEY)[1]
    assert cache[0] is x
    assert cache[1] is KEY
    assert len(jax.tree.leaves(cache)) == 2


def products_and_memory(layer):
    """Return the number of products before and after compilation by XLA, and the temporary bytes."""
    given = params_of(layer, 8), normal((256, 8)), normal((256, 8)), None
    lowered = jax.jit(partial(hand, layer)).lower(*given)
    built = lowered.compile()
    return (
        lowered.as_text().count("dot_general"),
        built.as_text().count(" dot("),
        built.memory_analysis().temp_size_in_bytes,
    )


@pytest.mark.full
def test_recompute_under_repeat_computes_again_and_saves_memory(optimized):
    """In the compiled program: a forward of four products more, and the caches of 16 copies fall to their inputs."""
    block = jaxnn.chain(*[part for _ in range(4) for part in (jaxnn.dense(8), jaxnn.tanh())])
    plain, again = (products_and_memory(jaxnn.repeat(wrapped, 16)) for wrapped in (block, jaxnn.remat(block)))
    assert plain[:2] == (12, 12)
    assert again[:2] == (16, 16)
    assert again[2] < plain[2] / 3


def test_remat_of_straight_line_code_recomputes_in_xla():
    """Behind an optimization barrier. On a CPU, XLA merges the two computations, as for `jax.checkpoint`."""
    deep = jaxnn.chain(jaxnn.dense(8), jaxnn.tanh(), jaxnn.dense(8), jaxnn.tanh())
    given = params_of(deep, 8), normal((2, 8)), normal((2, 8)), None
    texts = [jax.jit(partial(hand, layer)).lower(*given).as_text() for layer in (deep, jaxnn.remat(deep))]
    assert [text.count("dot_general") for text in texts] == [6, 8]
    assert [text.count("optimization_barrier") for text in texts] == [0, 1]


def test_recompute_drops_the_same_units_again():
    layer = jaxnn.remat(jaxnn.dropout(0.5))
    x = jnp.ones((8, 16))
    y, _, dx = compiled(partial(hand, layer))((), x, x, KEY)
    np.testing.assert_array_equal(y, dx)
    assert 0 < np.count_nonzero(y) < y.size


def test_with_dtype_computes_in_it_on_params_that_keep_theirs():
    layer = jaxnn.with_dtype(jaxnn.chain(jaxnn.dense(4), jaxnn.tanh()), jnp.bfloat16)
    params, x = params_of(layer), normal((5, 4))
    y, cache = jax.jit(layer.forward)(params, x)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(cache)} == {"bfloat16"}
    half = jax.tree.map(lambda p: np.asarray(p.astype(jnp.bfloat16), np.float64), params[0])
    exact = np.tanh(np.asarray(x.astype(jnp.bfloat16), np.float64) @ half["W"].T + half["b"][None])
    assert y.dtype == jnp.float32
    assert 1e-5 < np.abs(y - exact).max() < 2**-6  # neither float32's error nor more than bfloat16's


@pytest.mark.parametrize("dtype", [jnp.int32, bool, jnp.complex64])
def test_with_dtype_raises_for_a_non_float_dtype(dtype):
    with pytest.raises(ValueError, match=f"a floating dtype, such as jnp.bfloat16, got {jnp.dtype(dtype).name}"):
        jaxnn.with_dtype(jaxnn.tanh(), dtype)


def test_with_dtype_leaves_integers():
    layer = jaxnn.with_dtype(jaxnn.stateless(lambda x: (x, x), lambda x, dy: dy), jnp.bfloat16)
    y, (cache, _) = layer.forward((), jnp.arange(3))
    assert y.dtype == cache.dtype == layer.infer((), (), jnp.arange(3)).dtype == jnp.int32


def test_differentiable_uses_the_layers_backward():
    """A backward that is wrong on purpose shows in `jax.grad` of the rule, and not in that of the plain forward."""
    wrong = jaxnn.stateless(lambda x: (x * x, x), lambda x, dy: 7 * dy)
    x = jnp.ones((1, 2))
    assert jax.grad(lambda x: jaxnn.differentiable(wrong)((), x).sum())(x).tolist() == [[7, 7]]
    assert jax.grad(lambda x: wrong.forward((), x)[0].sum())(x).tolist() == [[2, 2]]


def test_differentiable_has_no_forward_mode():
    apply = jaxnn.differentiable(jaxnn.tanh())
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: apply((), x), (jnp.ones((1, 2)),), (jnp.ones((1, 2)),))


@pytest.mark.representatives("plain")
@pytest.mark.parametrize("wrapped", [lambda layer: layer, jaxnn.remat], ids=["plain", "remat"])
def test_second_derivatives_through_the_rule(wrapped, x64):
    layer = wrapped(jaxnn.chain(jaxnn.dense(2), jaxnn.tanh(), jaxnn.dense(1), jaxnn.sigmoid()))
    params, x = params_of(layer, n_in=2, dtype=jnp.float64), normal((3, 2), "float64")
    apply = jaxnn.differentiable(layer)

    @compiled
    def run(params):
        by_rule = jax.jacrev(jax.grad(lambda params: (apply(params, x) ** 2).sum()))(params)
        return by_rule, jax.hessian(lambda params: (layer.forward(params, x)[0] ** 2).sum())(params)

    same(*run(params), **TOLERANCE["float64"])


@pytest.mark.full
def test_vmap_of_vmap_is_a_loop():
    """Populations of populations: params over one axis, data over the other."""
    layer = jaxnn.chain(BLOCK, jaxnn.residual(jaxnn.repeat(BLOCK, 2)))
    one = params_of(layer)
    params = [jax.tree.map(lambda p, i=i: p * (1 + i), one) for i in range(2)]
    xs, keys = [normal((2, 4), seed=i) for i in range(3)], jax.random.split(KEY, 3)

    @compiled
    def run(params, xs, keys):
        stack = partial(jax.tree.map, lambda *leaves: jnp.stack(leaves))
        loop = stack(*[stack(*[hand(layer, p, x, x, keys[i]) for i, x in enumerate(xs)]) for p in params])
        inner = jax.vmap(lambda p, x, key: hand(layer, p, x, x, key), in_axes=(None, 0, 0))
        return jax.vmap(inner, in_axes=(0, None, None))(stack(*params), stack(*xs), keys), loop

    same(*run(params, xs, keys), **TOLERANCE["float32"])


def test_models_and_lists_instead_of_layers_raise():
    with pytest.raises(ValueError, match="^layer must be a Layer, got a Model: pass its network, model.network"):
        jaxnn.remat(jaxnn.mlp((3, 1)))
    with pytest.raises(
        ValueError, match=r"argument 0 of chain must be a Layer, got .*: pass them one by one, chain\(\*layer"
    ):
        jaxnn.chain([jaxnn.dense(3), jaxnn.relu()])


@pytest.mark.parametrize("dtype", [None, "bf16", 16, "fp32"])
def test_with_dtype_raises_for_other_dtypes(dtype):
    with pytest.raises(ValueError, match="dtype must be a floating dtype, such as jnp.bfloat16, got"):
        jaxnn.with_dtype(jaxnn.tanh(), dtype)


def test_a_residual_of_another_shape_raises_without_init():
    """A single output would be broadcast to every input."""
    params, _ = jaxnn.dense(1).init(KEY, (4,))
    with pytest.raises(ValueError, match=r"layer of residual must keep .*, got \(2, 4\) -> \(2, 1\)"):
        jaxnn.residual(jaxnn.dense(1)).forward(params, jnp.ones((2, 4)))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.int32])
def test_inputs_that_change_their_dtype_on_the_way_raise(dtype):
    network = jaxnn.repeat(jaxnn.dense(4), 2)
    params, _ = network.init(KEY, (4,))
    with pytest.raises(
        ValueError, match=r"layer of repeat must keep shape and dtype of its input, got .* -> float32 \(2, 4\)"
    ):
        network.forward(params, jnp.ones((2, 4), dtype))


@pytest.mark.parametrize(
    "network", [jaxnn.chain(jaxnn.dropout(0.5)), jaxnn.repeat(jaxnn.dropout(0.5), 2), jaxnn.dropout(0.5)]
)
def test_invalid_random_key_raises(network):
    params, _ = network.init(KEY, (4,))
    for key in (0, True, jnp.stack([KEY, KEY])):
        with pytest.raises(ValueError, match="^key must be (a|one) random key, got"):
            network.forward(params, jnp.ones((2, 4)), key)
    old, new = (network.forward(params, jnp.ones((2, 4)), key)[0] for key in (jax.random.PRNGKey(3), jax.random.key(3)))
    np.testing.assert_array_equal(old, new)


def test_a_cache_of_something_else_raises():
    network = jaxnn.chain(jaxnn.dense(4), jaxnn.tanh())
    params, _ = network.init(KEY, (4,))
    for cache in ((), jnp.ones((2, 4)), None):
        with pytest.raises(
            ValueError, match="^cache must be those that this layer's forward returned, got .*: call backward"
        ):
            network.backward(params, cache, jnp.ones((2, 4)))


def test_layers_of_functions_without_a_hash():
    class Double:
        __hash__ = None

        def __call__(self, params, x, key=None):
            return 2 * x, ()

    double = jaxnn.Layer(lambda key, shape: ((), shape), Double(), lambda params, cache, dy: ((), 2 * dy))
    network = jaxnn.chain(double, double, jaxnn.dense(1))
    params, out_shape = network.init(jax.random.key(0), (3,))
    assert out_shape == (1,)
    np.testing.assert_allclose(
        network.forward(params, jnp.ones((1, 3)))[0], 4 * params[2]["W"].sum(keepdims=True), rtol=1e-6
    )


def wrong_layer(**wrong):
    functions = dict(
        init=lambda key, in_shape: ((), in_shape),
        forward=lambda params, x, key=None: (x, ()),
        backward=lambda params, cache, dy: (params, dy),
    )
    return jaxnn.Layer(**(functions | wrong))


@pytest.mark.parametrize("use", [lambda layer: gradcheck.layer(layer, (3,)), lambda layer: network_of(layer)])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"init": lambda key, in_shape: {"a": jnp.ones(in_shape)}},
            r"init of .* must return \(params, out_shape\), got",
        ),
        ({"forward": lambda params, x, key=None: x}, r"forward of .* must return \(y, cache\), got"),
    ],
)
def test_a_function_that_returns_no_pair_is_named(wrong, message, use):
    with pytest.raises(ValueError, match=message):
        use(wrong_layer(**wrong))


def network_of(layer):
    network = jaxnn.chain(jaxnn.dense(2), layer, jaxnn.dense(3))
    params, _ = network.init(jax.random.key(0), (3,))
    return network.forward(params, jnp.ones((2, 3)))
