"""Tied params against the untied layer with equal arrays, alone, and inside and around every other combinator."""

import pickle
import re
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import graph, nn
from jaxnn.models import load, params_from_arrays, params_to_arrays, save
from jaxnn.models.calls_as_json import network_from_json, network_to_json
from jaxnn.nn.boundaries import call_forward
from tests.helpers.programs import TOLERANCE, compiled, hand, same, same_in_bfloat16
from tests.helpers.registry import LayerCase, normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(3)
WORDS = jax.ShapeDtypeStruct((6,), "int32")
LANGUAGE = jaxnn.chain(nn.each_step(nn.embedding(5, 3)), nn.recurrent(nn.gru_cell(3)), nn.each_step(jaxnn.dense(5)))
SQUARE = jaxnn.chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(4))
NORMED = jaxnn.chain(nn.batch_norm(0.1), jaxnn.dense(4), nn.batch_norm(), jaxnn.dense(4))
DROPPING = jaxnn.chain(jaxnn.dense(4), jaxnn.dropout(0.5), jaxnn.dense(4))


def params_of(layer, in_shape, dtype="float64"):
    return LayerCase("", layer, in_shape).params(dtype)


def square(params):
    """Return the params of `SQUARE` with W at both of its places, written out by hand."""
    return {"W": params[0]["W"], "b": params[0]["b"]}, (), {"W": params[0]["W"], "b": params[2]["b"]}


def by_jax(layer, untied, params, x, dy, key=None, rows=None):
    """Return y, dparams and dx of the layer with untied params, as a function of those that are tied, by `jax.vjp`."""
    y, pull = jax.vjp(lambda params, x: call_forward(layer, untied(params), x, key, rows)[0], params, x)
    return (y, *pull(dy))


class Case(NamedTuple):
    layer: jaxnn.Layer
    paths: tuple
    in_shape: object
    untied: object


CASES = {
    "two": Case(SQUARE, ("0/W", "2/W"), (4,), square),
    "the other first": Case(
        SQUARE, ("2/W", "0/W"), (4,), lambda p: ({"W": p[2]["W"], "b": p[0]["b"]}, (), {"W": p[2]["W"], "b": p[2]["b"]})
    ),
    "three": Case(
        jaxnn.chain(jaxnn.dense(3), jaxnn.dense(3), jaxnn.dense(3)),
        ("1/b", "0/b", "2/b"),
        (3,),
        lambda p: tuple({"W": p[i]["W"], "b": p[1]["b"]} for i in range(3)),
    ),
    "words": Case(
        LANGUAGE, ("0/E", "2/W"), WORDS, lambda p: ({"E": p[0]["E"]}, p[1], {"W": p[0]["E"], "b": p[2]["b"]})
    ),
    "by name": Case(
        nn.fan_out(a=jaxnn.chain(jaxnn.dense(2)), b=jaxnn.dense(2)),
        ("b/W", "a/0/W"),
        (3,),
        lambda p: {"a": ({"W": p["b"]["W"], "b": p["a"][0]["b"]},), "b": p["b"]},
    ),
    "in one dictionary": Case(
        nn.layer_from(
            lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"],
            lambda key, shape: {"a": jnp.ones((3, 3)), "b": jnp.ones((3, 3))},
        ),
        ("a", "b"),
        (3,),
        lambda p: {"a": p["a"], "b": p["a"]},
    ),
    "stacked": Case(
        jaxnn.repeat(SQUARE, 2),
        ("0/W", "2/W"),
        (4,),
        square,
    ),
    "tied twice": Case(
        nn.tied(jaxnn.chain(*[jaxnn.dense(3)] * 4), "0/W", "1/W"),
        ("0/W", "3/W"),
        (3,),
        lambda p: ({"W": p[0]["W"], "b": p[0]["b"]}, {"b": p[1]["b"]}, p[2], {"W": p[0]["W"], "b": p[3]["b"]}),
    ),
}


@pytest.mark.representatives("two", "tied twice", "by name")
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_those_of_equal_arrays(name, x64):
    layer, paths, in_shape, untied = CASES[name]
    tied = nn.tied(layer, *paths)
    params, x = params_of(tied, in_shape), LayerCase("", tied, in_shape).input(5, "float64")
    y = jax.eval_shape(lambda: tied.forward(params, x)[0])
    dy = jax.tree.map(lambda a: normal(a.shape, a.dtype, 8), y)
    got, expected = compiled(lambda *given: (hand(tied, *given, None), by_jax(layer, untied, *given)))(params, x, dy)
    same(got, expected, **TOLERANCE["float64"])
    inferred, as_untied = tied.infer(params, (), x), layer.infer(untied(params), (), x)
    jax.tree.map(np.testing.assert_array_equal, inferred, as_untied)


def test_the_gradient_is_the_sum_of_those_of_the_parts(x64):
    tied = nn.tied(LANGUAGE, "0/E", "2/W")
    params, x, dy = params_of(tied, WORDS), jnp.array([[1, 1, 4, 0, 2, 2]]), normal((1, 6, 5), "float64")
    untied = params[0], params[1], {"W": params[0]["E"], "b": params[2]["b"]}
    of_parts = compiled(jax.grad(lambda params: (LANGUAGE.forward(params, x)[0] * dy).sum()))(untied)
    dE = of_parts[0]["E"] + of_parts[2]["W"]
    assert np.abs(of_parts[0]["E"]).max() > 1e-2 < np.abs(of_parts[2]["W"]).max()
    _, dparams, _ = compiled(lambda *given: hand(tied, *given, None))(params, x, dy)
    same(dparams, ({"E": dE}, of_parts[1], {"b": of_parts[2]["b"]}), **TOLERANCE["float64"])


def test_init_is_that_of_the_layer():
    params, out_shape = nn.tied(LANGUAGE, "0/E", "2/W").init(KEY, WORDS)
    (of_words, of_cell, of_logits), expected = LANGUAGE.init(KEY, WORDS)
    jax.tree.map(np.testing.assert_array_equal, params, (of_words, of_cell, {"b": of_logits["b"]}))
    assert out_shape == expected
    other, _ = nn.tied(LANGUAGE, "2/W", "0/E").init(KEY, WORDS)
    np.testing.assert_array_equal(other[2]["W"], of_logits["W"])
    assert other[0] == {}


@pytest.mark.full
def test_statistics_and_weights_of_examples_are_those_of_the_layer(x64):
    tied, x, rows = nn.tied(NORMED, "1/W", "3/W"), normal((5, 4), "float64"), jnp.array([1.0, 2, 0, 0.5, 1])
    params, dy = params_of(tied, (4,)), normal((5, 4), "float64", 1)

    def untied(params):
        return *params[:3], {"W": params[1]["W"], "b": params[3]["b"]}

    assert tied.across
    got, expected = compiled(
        lambda: (hand(tied, params, x, dy, None, rows), by_jax(NORMED, untied, params, x, dy, rows=rows))
    )()
    same(got, expected, **TOLERANCE["float64"])
    stats = tied.observe(tied.forward(params, x, None, rows)[1])
    jax.tree.map(np.testing.assert_array_equal, stats, NORMED.observe(NORMED.forward(untied(params), x, None, rows)[1]))
    assert len(jax.tree.leaves(stats)) == 4
    np.testing.assert_array_equal(tied.infer(params, stats, x), NORMED.infer(untied(params), stats, x))


def test_the_key_is_that_of_the_layer(x64):
    tied = nn.tied(DROPPING, "0/W", "2/W")
    params, x, dy = params_of(tied, (4,)), normal((9, 4), "float64"), normal((9, 4), "float64", 1)
    got, expected = compiled(lambda: (hand(tied, params, x, dy, KEY), by_jax(DROPPING, square, params, x, dy, KEY)))()
    same(got, expected, **TOLERANCE["float64"])
    assert not np.allclose(got[0], tied.forward(params, x, jax.random.key(9))[0])


@pytest.mark.full
def test_pieces_are_the_whole():
    tied = nn.tied(LANGUAGE, "0/E", "2/W")
    params, x = params_of(tied, WORDS, "float32"), jnp.array([[1, 1, 4, 0, 2, 2], [3, 0, 0, 1, 4, 2]])
    carry, pieces = nn.start_carry(tied, params, 2), []
    infer_piece = compiled(nn.carried(tied).infer)
    for piece in (x[:, :1], x[:, 1:5], x[:, 5:]):
        y, carry = infer_piece(params, (), (piece, carry))
        pieces.append(y)
    np.testing.assert_allclose(jnp.concatenate(pieces, 1), compiled(tied.infer)(params, (), x), rtol=1e-5, atol=1e-6)
    untied = nn.untie(tied, params)
    _, expected = compiled(nn.carried(LANGUAGE).infer)(untied, (), (x, carry0(x)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), carry, expected)
    assert nn.tied(SQUARE, "0/W", "2/W").carried is None


def carry0(x):
    return nn.start_carry(LANGUAGE, LANGUAGE.init(KEY, WORDS)[0], len(x))


COMBINATORS = {
    "remat": jaxnn.remat,
    "residual": jaxnn.residual,
    "repeat": lambda layer: jaxnn.repeat(layer, 3),
    "repeat of remat": lambda layer: jaxnn.repeat(jaxnn.remat(layer), 2),
    "with_dtype": lambda layer: jaxnn.with_dtype(layer, jnp.float64),
    "layer_from": lambda layer: nn.layer_from(
        lambda params, x: layer.forward(params, x)[0], lambda key, shape: layer.init(key, shape)[0]
    ),
}


@pytest.mark.representatives("repeat of remat-around", "layer_from-inside", "with_dtype-around")
@pytest.mark.parametrize("inside", [False, True], ids=["around", "inside"])
@pytest.mark.parametrize("name", COMBINATORS)
def test_other_combinators_around_and_inside(name, inside, x64):
    combine = COMBINATORS[name]
    tied = combine(nn.tied(SQUARE, "0/W", "2/W")) if inside else nn.tied(combine(SQUARE), "0/W", "2/W")
    params, x, dy = params_of(tied, (4,)), normal((5, 4), "float64"), normal((5, 4), "float64", 1)
    got, expected = compiled(
        lambda *given: (hand(tied, *given, None), by_jax(combine(SQUARE), square, *given))
    )(params, x, dy)  # fmt: skip
    same(got, expected, **TOLERANCE["float64"])


@pytest.mark.full
@pytest.mark.parametrize("inside", [False, True], ids=["around", "inside"])
def test_another_dtype_around_and_inside(inside):
    half = partial(jaxnn.with_dtype, dtype=jnp.bfloat16)
    tied = half(nn.tied(SQUARE, "0/W", "2/W")) if inside else nn.tied(half(SQUARE), "0/W", "2/W")
    params, x, dy = params_of(tied, (4,), "float32"), normal((5, 4)), normal((5, 4), seed=1)
    same_in_bfloat16(hand(tied, params, x, dy, None), by_jax(half(SQUARE), square, params, x, dy))


def test_shared_chained_and_frozen(x64):
    """Each of two entries has a gradient, and they add up; what is held has none."""
    tied = nn.tied(SQUARE, "0/W", "2/W")
    twins, x = nn.shared(tied), (normal((5, 4), "float64"), normal((5, 4), "float64", 2))
    params = params_of(tied, (4,))
    got = hand(twins, params, x, x, None)
    same(got, by_jax(nn.shared(SQUARE), square, params, x, x), **TOLERANCE["float64"])
    held = nn.tied(jaxnn.chain(nn.frozen(jaxnn.dense(4)), jaxnn.tanh(), jaxnn.dense(4)), "0/W", "2/W")
    _, dparams, _ = hand(held, params, x[0], x[1], None)
    a = np.tanh(np.asarray(x[0]) @ np.asarray(params[0]["W"]).T + np.asarray(params[0]["b"]))
    np.testing.assert_allclose(dparams[0]["W"], np.asarray(x[1]).T @ a, rtol=1e-12)
    assert not dparams[0]["b"].any()


@pytest.mark.full
def test_jit_and_vmap():
    tied = nn.tied(SQUARE, "0/W", "2/W")
    params = [jax.tree.map(lambda a, i=i: a * i, params_of(tied, (4,), "float32")) for i in (1, 2, 3)]
    x, dy = normal((5, 4)), normal((5, 4), seed=1)
    loop = [hand(tied, one, x, dy, None) for one in params]
    stack = lambda *trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)  # noqa: E731
    run = lambda params: hand(tied, params, x, dy, None)  # noqa: E731
    same(jax.vmap(run)(stack(*params)), stack(*loop), **TOLERANCE["float32"])
    same(jax.jit(run)(params[1]), loop[1], **TOLERANCE["float32"])


def language_data(m=12):
    words = np.random.default_rng(0).integers(0, 5, (m, 6))
    return words, np.roll(words, 1, 1)


@pytest.mark.full
def test_a_population_trains_as_its_members_alone():
    tied = nn.tied(LANGUAGE, "0/E", "2/W")
    objective = jaxnn.objective(tied, jaxnn.losses.each_step_loss(jaxnn.softmax_cross_entropy()))
    (x, y), init = language_data(), jax.jit(lambda key: tied.init(key, WORDS)[0])

    def member(h):
        key = jax.random.key(h["seed"])
        return jaxnn.Member(objective, optax.sgd(0.3), init(key), key)

    whole = jaxnn.fit_population(member, {"seed": np.arange(2)}, x, y, epochs=3, batch_size=5, shuffle="own")
    for i in range(2):
        one = member({"seed": i})
        alone = jaxnn.fit(
            objective, one.optimizer, one.params, x, y, key=one.key, epochs=3, batch_size=5, gradients="auto"
        )
        assert [*alone.params[2]] == ["b"]
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), whole.member(i).params, alone.params)


def test_it_is_stored_and_compared_as_the_call_that_made_it(tmp_path):
    tied = nn.tied(SQUARE, "0/W", "2/W")
    assert repr(tied) == "tied(chain(dense(4), tanh(), dense(4)), '0/W', '2/W')"
    again = pickle.loads(pickle.dumps(tied))
    assert again == tied == network_from_json(network_to_json(tied)) and hash(again) == hash(tied)
    assert tied != nn.tied(SQUARE, "2/W", "0/W") and tied != nn.tied(SQUARE, "0/b", "2/b") and tied != SQUARE
    params, _ = tied.init(KEY, (4,))
    save(tmp_path / "net.safetensors", tied, params)
    loaded = load(tmp_path / "net.safetensors")
    assert loaded.model == tied
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def test_its_arrays_are_listed_once():
    tied = nn.tied(SQUARE, "0/W", "2/W")
    params = params_of(tied, (4,), "float32")
    arrays = params_to_arrays(tied, params)
    assert [a.shape for a in arrays] == [(4, 4), (4,), (4,)]
    jax.tree.map(np.testing.assert_array_equal, params_from_arrays(tied, (4,), arrays), params)


@pytest.mark.full
def test_untie_returns_params_for_the_parts():
    tied = nn.tied(LANGUAGE, "0/E", "2/W")
    params, x = params_of(tied, WORDS, "float32"), jnp.array([[1, 1, 4, 0, 2, 2]])
    untied = nn.untie(tied, params)
    assert jax.tree.structure(untied) == jax.tree.structure(LANGUAGE.init(KEY, WORDS)[0])
    assert untied[2]["W"] is untied[0]["E"] is params[0]["E"]
    np.testing.assert_array_equal(LANGUAGE.infer(untied, (), x), tied.infer(params, (), x))
    assert [*params[2]] == ["b"]  # it was not changed


def test_a_summary_counts_an_array_once():
    network = jaxnn.chain(nn.tied(LANGUAGE, "0/E", "2/W"), jaxnn.tanh())
    got = [re.split(r"  +", line) for line in nn.summary(network, WORDS).splitlines()]
    params, _ = network.init(KEY, WORDS)
    assert sum(a.size for a in jax.tree.leaves(params)) == 86
    assert [(line[0], line[-2]) for line in got[1:-1]] == [
        ("params[0][0]", "15"),
        ("params[0][1]", "66"),
        ("params[0][2]", "5"),
        ("params[1]", "0"),
        ("in all", "86"),
    ]
    assert got[-1][0].startswith(f"bytes: {4 * 86} of params")


def size_in(summary):
    """The number of params in the line of the sums."""
    return int(summary.splitlines()[-2].split()[-2])


@pytest.mark.representatives("two", "tied twice")
@pytest.mark.parametrize("name", [name for name in CASES if name != "in one dictionary"])
def test_the_sum_of_a_summary_is_the_number_of_params(name):
    layer, paths, in_shape, _ = CASES[name]
    for network in (nn.tied(layer, *paths), jaxnn.chain(nn.tied(layer, *paths))):
        params, _ = network.init(KEY, in_shape)
        size = sum(a.size for a in jax.tree.leaves(params))
        assert size_in(nn.summary(network, in_shape)) == size
    if name == "two":
        repeated = jaxnn.repeat(nn.tied(SQUARE, "0/W", "2/W"), 3)
        assert size_in(nn.summary(repeated, (4,))) == 3 * (16 + 4 + 4)


@pytest.mark.full
def test_a_graph_and_the_flow_of_gradients_show_its_layers():
    tied = nn.tied(SQUARE, "0/W", "2/W")
    params, x = params_of(tied, (4,), "float32"), normal((5, 4))
    cost = jaxnn.objective(jaxnn.chain(tied), jaxnn.squared_error()).value
    traced = graph.trace(cost)((params,), jaxnn.Batch(x, np.zeros((5, 4), np.float32)), None)
    assert traced.svg().startswith("<svg") and str(traced)
    assert traced.first_nonfinite() is None
    assert [one.name for one in traced.layers][:2] == ["params[0][0]", "params[0][2]"]
    assert [line.split()[0] for line in str(traced.flow()).splitlines()] == ["layer", "params[0][0]", "params[0][2]"]


@pytest.mark.full
@pytest.mark.parametrize("gradients", ["hand", "auto"])
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
def test_a_divergence_names_the_layer(gradients):
    """With W = 1e20 and inputs of 1e19, the first layer overflows; with inputs of 1e-10, the second, by the same W."""
    network = jaxnn.chain(nn.tied(jaxnn.chain(jaxnn.dense(1), jaxnn.dense(1)), "0/W", "1/W"))
    objective, params = (
        jaxnn.objective(network, jaxnn.squared_error()),
        (({"W": jnp.full((1, 1), 1e20), "b": jnp.zeros(1)}, {"b": jnp.zeros(1)}),),
    )
    optimizer = optax.sgd(0.1)
    for x, layer in ((1e19, 1), (1e-1, 2)):
        result = jaxnn.fit(
            objective, optimizer, params, np.full((2, 1), x, np.float32), np.zeros((2, 1), np.float32),
            key=KEY, epochs=1, gradients=gradients,
        )  # fmt: skip
        assert result.divergence[:5] == (0, "activations", layer, 2, f"params[0][{layer - 1}]")


def of(params, function=lambda params, x: x):
    return nn.layer_from(function, lambda key, shape: params)


class Pair(NamedTuple):
    a: object
    b: object


ONE = jnp.ones((2, 2))
ENTRY = {"w": ONE}


@pytest.mark.representatives(
    "<lambda>-^path must be .*, got '-1/W'$",
    "<lambda>-^path must be .*, got '2'$",
    "<lambda>-^path must be .*, got '3/W'$",
)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.tied(SQUARE, "0/W"), r"^paths must be at least two, all different, got \('0/W',\): each is"),
        (lambda: nn.tied(SQUARE), r"^paths must be at least two, all different, got \(\)"),
        (lambda: nn.tied(SQUARE, "0/W", "0/W"), "^paths must be at least two, all different, got"),
        (lambda: nn.tied(SQUARE, "0/W", "2/W", "0/W"), "^paths must be at least two, all different, got"),
        (lambda: nn.tied(SQUARE, "0/W", 2), "^argument 1 of tied must be the path .* such as '0/E', got 2: its keys"),
        (lambda: nn.tied(SQUARE, ["0/W", "2/W"]), "^argument 0 of tied must be the path of an array"),
        (lambda: nn.tied(SQUARE, "0/W", "2/"), "^argument 1 of tied must be the path of an array .*, got '2/'"),
        (lambda: nn.tied(SQUARE, "", "2/W"), "^argument 0 of tied must be the path of an array .*, got ''"),
        (lambda: nn.tied("0/W", "2/W"), "^layer must be a Layer, got '0/W'"),
        (lambda: nn.tied(jaxnn.relu, "0/W", "2/W"), r"^layer must be a Layer, .*call the factory"),
        (
            lambda: nn.tied(SQUARE, "0/W", "2/w").init(KEY, (4,)),
            "^path must be that of an array in a dictionary, one of 0/W, 0/b, 2/W, 2/b, got '2/w'$",
        ),
        (lambda: nn.tied(SQUARE, "0/W", "02/W").init(KEY, (4,)), "^path must be .*, got '02/W'$"),
        (lambda: nn.tied(SQUARE, "0/W", "-1/W").init(KEY, (4,)), "^path must be .*, got '-1/W'$"),
        (lambda: nn.tied(SQUARE, "0/W", "3/W").init(KEY, (4,)), "^path must be .*, got '3/W'$"),
        (lambda: nn.tied(SQUARE, "0/W", "1/W").init(KEY, (4,)), "^path must be .*, got '1/W'$"),
        (lambda: nn.tied(SQUARE, "0/W", "2").init(KEY, (4,)), "^path must be .*, got '2'$"),
        (lambda: nn.tied(SQUARE, "0/W", "2/W/x").init(KEY, (4,)), "^path must be .*, got '2/W/x'$"),
        (
            lambda: nn.tied(SQUARE, "0/W", "2/b").init(KEY, (4,)),
            r"^arrays at the paths must be of one shape, got \[\('0/W', \(4, 4\)\), \('2/b', \(4,\)\)\]: W of dense",
        ),
        (  # an array in a tuple
            lambda: nn.tied(of({"a": (ONE, ONE)}), "a/0", "a/1").init(KEY, (2,)),
            "^path must be that of an array in a dictionary, of which the params of the layer have none, got 'a/0'$",
        ),
        (lambda: nn.tied(of([ENTRY, ENTRY]), "0/w", "1/w").init(KEY, (2,)), "^path must be .* have none, got '0/w'$"),
        (lambda: nn.tied(of(Pair(ENTRY, ENTRY)), "0/w", "1/w").init(KEY, (2,)), "^path must be .*, got '0/w'$"),
        (lambda: nn.tied(of({0: ENTRY, 1: ENTRY}), "0/w", "1/w").init(KEY, (2,)), "^path must be .*, got '0/w'$"),
        (
            lambda: nn.tied(of({"a/b": ENTRY, "c": ENTRY}), "c/w", "a/b/w").init(KEY, (2,)),
            "^path must be .*, one of c/w, got 'a/b/w'$",
        ),
        (lambda: nn.untie(SQUARE, ()), "^layer must be a layer that tied made, got"),
        (lambda: nn.untie(nn.tied(SQUARE, "0/W", "2/W"), ()), "^params must be those of tied, with an array at"),
    ],
)  # fmt: skip
def test_wrong_paths_raise_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_keys_of_dictionaries_may_be_numbers_in_words():
    tied = nn.tied(of({"0": ENTRY, "1": ENTRY}, lambda p, x: x @ p["0"]["w"] @ p["1"]["w"]), "0/w", "1/w")
    params, _ = tied.init(KEY, (2,))
    assert jax.tree.map(jnp.shape, params) == {"0": {"w": (2, 2)}, "1": {}}
    np.testing.assert_array_equal(tied.infer(params, (), jnp.ones((1, 2))), [[4, 4]])


@cache
def run_once():
    tied = nn.tied(LANGUAGE, "0/E", "2/W")
    params, x = params_of(tied, WORDS, "float32"), jnp.ones((1, 6), int)
    return tied, params, x, *tied.forward(params, x)


@pytest.mark.parametrize("wrong", ["untied", "none", "short", "without", "a list", "of others"])
@pytest.mark.parametrize("method", ["forward", "infer", "backward", "start"])
def test_params_of_another_layer_raise_in_one_line(wrong, method):
    tied, params, x, y, cache = run_once()
    given = {
        "untied": nn.untie(tied, params),
        "none": (),
        "short": params[:2],
        "without": (*params[:2], ()),
        "a list": [*params],
        "of others": {"W": jnp.ones(2)},
    }[wrong]
    calls = {
        "forward": lambda: tied.forward(given, x),
        "infer": lambda: tied.infer(given, (), x),
        "backward": lambda: tied.backward(given, cache, y),
        "start": lambda: tied.carried.start(given, 1, None),
    }
    message = "^params must be those of tied, with an array at '0/E' and none at '2/W', got"
    with pytest.raises(ValueError, match=message) as error:
        calls[method]()
    assert "\n" not in str(error.value)
