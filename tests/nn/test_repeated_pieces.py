"""`repeat` piece by piece: each copy has its entry of the carry, and outputs and gradients are those of a chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import decoding, nn
from tests.helpers.programs import TOLERANCE, compiled, hand, same
from tests.helpers.registry import LayerCase, normal

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, KEY = 3, jax.random.key(0)


def both(layer, in_shape):
    """A repeated layer and a chain of its copies, each with its params."""
    repeated, chained = jaxnn.repeat(layer, N), jaxnn.chain(*[layer] * N)
    params = LayerCase("", repeated, in_shape).params()
    return repeated, params, chained, tuple(jax.tree.map(lambda a, i=i: a[i], params) for i in range(N))


@pytest.mark.full
def test_training_in_pieces_is_that_of_a_chain():
    """Outputs, dparams, dx, and the carry with its cotangent."""
    layer = jaxnn.chain(nn.recurrent(nn.lstm_cell(4)), nn.each_step(jaxnn.dropout(0.3)))
    repeated, params, chained, of_chain = both(layer, (5, 4))
    x, carry = normal((2, 5, 4)), nn.start_carry(repeated, params, 2)
    assert {leaf.shape for leaf in jax.tree.leaves(carry)} == {(2, N, 4)}
    carry = jax.tree.map(lambda a: normal(a.shape, seed=7), carry)
    apart = tuple(jax.tree.map(lambda a, i=i: a[:, i], carry) for i in range(N))
    dy, dcarry = normal((2, 5, 4), seed=8), jax.tree.map(lambda a: normal(a.shape, seed=9), carry)
    dapart = tuple(jax.tree.map(lambda a, i=i: a[:, i], dcarry) for i in range(N))

    @compiled
    def run():
        return (
            hand(nn.carried(repeated), params, (x, carry), (dy, dcarry), KEY),
            hand(nn.carried(chained), of_chain, (x, apart), (dy, dapart), KEY),
        )

    ((y, after), dparams, (dx, before)), ((y_chain, *_), *_) = got, expected = run()
    (_, after_chain), dparams_chain, (dx_chain, before_chain) = expected
    beside = lambda trees: jax.tree.map(lambda *a: jnp.stack(a, 1), *trees)  # noqa: E731
    first = jax.tree.map(lambda *a: jnp.stack(a), *dparams_chain)
    same((y, after, dparams, dx, before), (y_chain, beside(after_chain), first, dx_chain, beside(before_chain)),
         **TOLERANCE["float32"])  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("name", ["recurrent", "transformer"])
def test_pieces_are_the_whole(name):
    layer = {
        "recurrent": nn.recurrent(nn.gru_cell(4)),
        "transformer": nn.transformer_block(2, 5, causal=True),
    }[name]
    network = jaxnn.chain(nn.each_step(jaxnn.dense(4)), jaxnn.repeat(layer, N))
    params, x = LayerCase("", network, (6, 3)).params(), normal((2, 6, 3))
    carry, outputs, run = nn.start_carry(network, params, 2, length=6), [], jax.jit(nn.carried(network).infer)
    for piece in (x[:, :3], x[:, 3:4], x[:, 4:]):
        y, carry = run(params, (), (piece, carry))
        outputs.append(y)
    np.testing.assert_allclose(jnp.concatenate(outputs, 1), network.infer(params, (), x), rtol=1e-5, atol=1e-5)


@pytest.mark.full
def test_beams_over_a_memory_are_those_of_a_chain():
    block = nn.transformer_block(2, 5, causal=True, memory=True)
    repeated, of_repeat, chained, of_chain = both(block, (jax.ShapeDtypeStruct((6, 4), "float32"),) * 2)
    ends = nn.parallel(nn.each_step(nn.embedding(5, 4)), nn.identity()), nn.select(0), nn.each_step(jaxnn.dense(5))
    of_embedding, of_dense = {"E": 2 * normal((5, 4))}, {"W": 2 * normal((5, 4), seed=1), "b": jnp.zeros(5)}
    found = []
    for blocks, of_blocks in ((repeated, of_repeat), (chained, of_chain)):
        decoder, params = jaxnn.chain(ends[0], blocks, *ends[1:]), ((of_embedding, ()), of_blocks, (), of_dense)

        @jax.jit
        def search(decoder=decoder, params=params):
            begun = decoding.read(decoder, params, jnp.array([[0], [3]]), length=5, memory=normal((2, 6, 4), seed=2))
            return decoding.beam_search(decoding.step_of(decoder, params, memory=True), *begun, 4, 3, 1)

        found.append(search())
    np.testing.assert_array_equal(found[0].tokens, found[1].tokens)
    np.testing.assert_allclose(found[0].scores, found[1].scores, rtol=1e-5)


def test_a_layer_without_pieces_has_none_repeated():
    network = jaxnn.repeat(nn.recurrent(nn.gru_cell(4), reverse=True), 2)
    assert network.carried is None
    with pytest.raises(ValueError, match=r"from an earlier piece, got recurrent\(gru_cell\(4\), reverse=True\)"):
        nn.carried(network)
