"""`select`: one entry passed on, the others with a cotangent of zeros, of any kind and any number of examples."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.nn import Sequences
from tests.helpers.programs import TOLERANCE, compiled, hand, is_float0, same
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
FLOAT0 = jax.dtypes.float0


def words(m, *sizes):
    return jnp.asarray(np.random.default_rng(0).integers(0, 5, (m, *sizes)), "int32")


def padded(m):
    return Sequences(normal((m, 5, 4), seed=2), words(m))


ENTRIES = {
    "floats": lambda m: normal((m, 3)),
    "one number each": lambda m: normal((m,)),
    "whole numbers": lambda m: words(m, 2),
    "booleans": lambda m: words(m, 2) > 2,
    "half": lambda m: normal((m, 3), jnp.bfloat16),
    "sequences": padded,
    "sequences of words": lambda m: Sequences(words(m, 5), words(m)),
    "a tuple": lambda m: (normal((m, 2)), {"a": words(m)}),
}


def cotangent(a):
    return normal(a.shape, a.dtype, 7) if jnp.issubdtype(a.dtype, jnp.floating) else np.zeros(a.shape, FLOAT0)


def by_jax(layer, x, dy):
    y, pull = jax.vjp(lambda x: layer.forward((), x)[0], x)
    return (y, (), *pull(dy))


@pytest.mark.representatives("floats-1", "whole numbers-1", "sequences-3")
@pytest.mark.parametrize("m", [0, 1, 3])
@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_of_a_tuple_by_hand_and_by_jax(name, m):
    chosen = [*ENTRIES].index(name)
    layer, x = nn.select(chosen), tuple(make(m) for make in ENTRIES.values())
    dy = jax.tree.map(cotangent, x[chosen])
    got = hand(layer, (), x, dy, None)
    same(got, by_jax(layer, x, dy), **TOLERANCE["float32"])
    y, _, dx = got
    jax.tree.map(np.testing.assert_array_equal, y, x[chosen])
    for i, entry in enumerate(dx):
        for leaf, given in zip(jax.tree.leaves(entry), jax.tree.leaves(x[i]), strict=True):
            assert leaf.shape == given.shape
            if jnp.issubdtype(given.dtype, jnp.floating):
                assert leaf.dtype == given.dtype
                assert i == chosen or not leaf.any()
            else:
                assert is_float0(leaf)
    same(jax.jit(lambda x: layer.infer((), (), x))(x), y, **TOLERANCE["float32"])


def test_a_name_selects_an_entry_of_a_dictionary():
    layer, x = nn.select("b"), {"a": padded(3), "b": normal((3, 2)), "c": (words(3),)}
    same(hand(layer, (), x, x["b"] * 2, None), by_jax(layer, x, x["b"] * 2), **TOLERANCE["float32"])
    assert layer.init(KEY, nn.shapes_of(x)) == ((), (2,))


@pytest.mark.parametrize("of_lengths", ["float0", "whole numbers"])
def test_the_cotangent_of_lengths_is_a_float0(of_lengths):
    """Also if dy is `Sequences` with the lengths themselves."""
    x = (padded(3), words(3))
    dy = x[0]._replace(lengths=np.zeros(3, FLOAT0) if of_lengths == "float0" else x[0].lengths)
    _, (dx, dwords) = nn.select(0).backward((), nn.select(0).forward((), x)[1], dy)
    np.testing.assert_array_equal(dx.x, dy.x)
    assert is_float0(dx.lengths) and is_float0(dwords)


def test_the_shape_after_it_is_that_of_the_entry():
    x = nn.shapes_of((padded(2), normal((2, 3)), words(2, 4)))
    assert [nn.select(i).init(KEY, x)[1] for i in range(3)] == [x[0], (3,), x[2]]


def test_nothing_is_kept_of_the_numbers():
    _, cache = nn.select(0).forward((), (padded(7), normal((7, 9)), {"a": words(7)}))
    assert [leaf.size for leaf in jax.tree.leaves(cache)] == [0, 0]


@pytest.mark.full
def test_a_decoder_without_its_memory_in_a_chain(x64):
    """Its memory has the gradient of the layer before, that of y alone."""
    memory, x = normal((2, 6, 3), "float64"), normal((2, 5, 2), "float64", 1)
    attention = nn.recurrent_attention(nn.gru_cell(3), 2)
    network = jaxnn.chain(
        nn.fan_out(attention, jaxnn.chain(nn.parallel(nn.identity(), nn.identity()))),
        nn.select(0),
        nn.each_step(jaxnn.dense(1)),
    )
    params = jax.jit(lambda: network.init(KEY, nn.shapes_of((x, memory)))[0])()
    params = jax.tree.map(lambda a: a.astype("float64"), params)
    alone = jaxnn.chain(attention, nn.each_step(jaxnn.dense(1)))

    @compiled
    def by_hand(params, pair):
        y, cache = network.forward(params, pair)
        return network.backward(params, cache, jnp.cos(y))

    dparams, dx = by_hand(params, (x, memory))

    def loss(params, pair):
        return jnp.sin(alone.forward(params, pair)[0]).sum()

    expected, dpair = compiled(jax.grad(loss, (0, 1)))((params[0][0], params[2]), (x, memory))
    same(((dparams[0][0], dparams[2]), dx), (expected, dpair), **TOLERANCE["float64"])


@pytest.mark.full
def test_pieces_and_populations():
    network = jaxnn.chain(nn.fan_out(nn.recurrent(nn.gru_cell(3)), nn.identity()), nn.select(0))
    params, _ = network.init(KEY, (6, 2))
    x, carry = normal((2, 6, 2)), nn.start_carry(network, params, 2)
    first, carry = nn.carried(network).infer(params, (), (x[:, :4], carry))
    second, _ = nn.carried(network).infer(params, (), (x[:, 4:], carry))
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), network.infer(params, (), x), rtol=1e-5, atol=1e-6)
    mapped = jax.vmap(lambda x: hand(nn.select(0), (), (x, 2 * x), x, None))(x[None])
    same(mapped, jax.tree.map(lambda a: a[None], hand(nn.select(0), (), (x, 2 * x), x, None)), **TOLERANCE["float32"])


def test_it_is_the_call_that_made_it():
    assert repr(nn.select(1)) == "select(1)" and repr(nn.select("a")) == "select('a')"
    assert pickle.loads(pickle.dumps(nn.select("a"))) == nn.select("a") != nn.select(0)
    assert nn.select(0) != nn.select(1)


PAIR = (jnp.ones((2, 3)), jnp.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.select(-1), "^entry must be the number of an entry, from 0, or its name, got -1$"),
        (lambda: nn.select(True), "^entry must be .*, got True$"),
        (lambda: nn.select(0.0), r"^entry must be .*, got 0\.0$"),
        (lambda: nn.select(None), "^entry must be .*, got None$"),
        (lambda: nn.select((0,)), r"^entry must be .*, got \(0,\)$"),
        (lambda: nn.select(2).forward((), PAIR), "^x must be a tuple with an entry 2, got a tuple: combinators"),
        (lambda: nn.select(0).forward((), PAIR[0]), r"^x must be a tuple with an entry 0, got float32 \(2, 3\)"),
        (lambda: nn.select(0).forward((), ()), r"^x must be a tuple with an entry 0, got \(\)"),
        (lambda: nn.select(0).forward((), [*PAIR]), "^x must be a tuple with an entry 0, got "),
        (lambda: nn.select(0).forward((), padded(2)), "^x must be a tuple with an entry 0, got a Sequences"),
        (lambda: nn.select(0).forward((), {"a": PAIR[0]}), "^x must be a tuple with an entry 0, got "),
        (lambda: nn.select("a").forward((), PAIR), "^x must be a dictionary with an entry 'a', got a tuple"),
        (lambda: nn.select("c").forward((), {"a": PAIR[0]}), "^x must be a dictionary with an entry 'c', got "),
        (lambda: nn.select(0).infer((), (), PAIR[0]), "^x must be a tuple with an entry 0"),
        (lambda: nn.select(0).init(KEY, (3,)), r"^in_shape must be a tuple with an entry 0, got \(3,\)"),
        (lambda: nn.select(0).init(KEY, (3, 4)), r"^in_shape must be a tuple with an entry 0, got \(3, 4\)"),
        (lambda: nn.select(0).init(KEY, ({}, (4,))), r"^in_shape\[0\] must be one array or several, got {}: select"),
        (lambda: nn.select(0).forward((), ((), PAIR[0])), r"^x\[0\] must be one array or several, got \(\): select"),
        (lambda: nn.select("a").forward((), {"a": None}), r"^x\['a'\] must be one array or several, got None: select"),
        (lambda: nn.select(0).infer((), (), ([], PAIR[0])), r"^x\[0\] must be one array or several, got \[\]"),
        (lambda: nn.select(2).init(KEY, ((3,), (4,))), "^in_shape must be a tuple with an entry 2"),
        (lambda: nn.select("a").init(KEY, {"b": (3,)}), "^in_shape must be a dictionary with an entry 'a'"),
    ],
)  # fmt: skip
def test_no_such_entry_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
