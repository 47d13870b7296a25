"""Transformers piece by piece: keys and values are kept, and the outputs are those of the whole sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import decoding, nn
from jaxnn.nn import Sequences

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
VOCABULARY, WIDTH = 6, 8


def params_of(network, in_shape):
    """Return params of some size, so that attention is far from even."""
    shapes = jax.eval_shape(lambda key: network.init(key, in_shape)[0], KEY)
    return jax.tree.map(lambda a: RNG.normal(scale=0.7, size=a.shape).astype("float32"), shapes)


NETWORK = jaxnn.chain(
    nn.each_step(nn.embedding(VOCABULARY, WIDTH)),
    nn.positions(),
    nn.learned_positions(16),
    nn.transformer_block(2, 5, causal=True),
    nn.transformer_block(4, 5, causal=True, norm="last", dropout_rate=0.3),
    nn.each_step(jaxnn.dense(VOCABULARY)),
)
PARAMS = params_of(NETWORK, jax.ShapeDtypeStruct((10,), "int32"))
TOKENS = RNG.integers(0, VOCABULARY, (3, 10))
# Compiled: alone, each operation compiles.
infer, infer_piece = jax.jit(NETWORK.infer), jax.jit(nn.carried(NETWORK).infer)


@pytest.mark.full
@pytest.mark.parametrize("sizes", [(10,), (1,) * 10, (4, 1, 1, 3, 1)])
def test_pieces_are_the_whole(sizes):
    carry, outputs, at = nn.start_carry(NETWORK, PARAMS, 3, length=12), [], 0
    for n in sizes:
        y, carry = infer_piece(PARAMS, (), (TOKENS[:, at : at + n], carry))
        outputs.append(y)
        at += n
    whole = infer(PARAMS, (), TOKENS)
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), whole, rtol=2e-5, atol=2e-5)


@pytest.mark.full
def test_a_nan_within_a_piece_changes_nothing_before_it():
    layer, x = nn.multi_head_attention(2, causal=True), RNG.normal(size=(2, 6, 4)).astype("float32")
    params = params_of(layer, (6, 4))
    with_nan = x.copy()
    with_nan[0, 3] = np.nan
    (y, _), (y_nan, carry) = (
        nn.carried(layer).infer(params, (), (one[:, :5], nn.start_carry(layer, params, 2, length=6)))
        for one in (x, with_nan)
    )
    np.testing.assert_array_equal(y_nan[0, :3], y[0, :3])
    np.testing.assert_array_equal(y_nan[1], y[1])
    later, _ = nn.carried(layer).infer(params, (), (x[:, 5:], carry))
    assert np.isnan(y_nan[0, 3:]).all() and np.isnan(later[0]).all() and np.isfinite(later[1]).all()


@pytest.mark.full
def test_a_piece_longer_than_the_carry_raises():
    carry = nn.start_carry(NETWORK, PARAMS, 3, length=4)
    with pytest.raises(ValueError, match=r"must be at most 4 times, the length that the carry was made for, got 5: "):
        nn.carried(NETWORK).infer(PARAMS, (), (TOKENS[:, :5], carry))


@pytest.mark.full
def test_samples_are_those_of_whole_prefixes():
    n, step = 6, decoding.step_of(NETWORK, PARAMS)

    @jax.jit
    def drawn(prompt):
        begun = decoding.read(NETWORK, PARAMS, prompt, length=4 + n)
        return decoding.sample(step, *begun, n, key=KEY, temperature=4.0).tokens

    run = jax.jit(lambda tokens: jax.nn.log_softmax(NETWORK.infer(PARAMS, (), tokens)))
    tokens = np.pad(TOKENS[:, :4], ((0, 0), (0, n)))
    for i in range(n):
        log_p = run(tokens)[:, 3 + i]  # what comes later has no influence
        tokens[:, 4 + i] = jax.random.categorical(jax.random.fold_in(KEY, i), log_p / 4)
    np.testing.assert_array_equal(drawn(TOKENS[:, :4]), tokens[:, 4:])
    assert len(set(tokens[:, 4:].ravel().tolist())) > 2


@pytest.mark.full
def test_a_decoder_reads_its_memory_at_each_step():
    block = nn.transformer_block(2, 5, causal=True, memory=True)
    shapes = jax.ShapeDtypeStruct((7, WIDTH), "float32"), jax.ShapeDtypeStruct((4, WIDTH), "float32")
    params = params_of(block, shapes)
    x, memory = (RNG.normal(size=(2, *shape.shape)).astype("float32") for shape in shapes)
    carry, outputs = nn.start_carry(block, params, 2, length=7), []
    run = jax.jit(nn.carried(block).infer)
    for t in range(7):
        (y, _), carry = run(params, (), ((x[:, t : t + 1], memory), carry))
        outputs.append(y)
    whole, _ = jax.jit(block.infer)(params, (), (x, memory))
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), whole, rtol=2e-5, atol=2e-5)


def test_without_room_the_outputs_are_nan():
    layer = nn.multi_head_attention(2, causal=True)
    params = params_of(layer, (5, WIDTH))
    x = RNG.normal(size=(1, 5, WIDTH)).astype("float32")
    run = jax.jit(nn.carried(layer).infer)
    y, carry = run(params, (), (x[:, :3], nn.start_carry(layer, params, 1, length=4)))
    assert np.isfinite(y).all()
    y, carry = run(params, (), (x[:, 3:4], carry))
    assert np.isfinite(y).all()
    assert np.isnan(run(params, (), (x[:, 4:], carry))[0]).all()


@pytest.mark.parametrize("layer", [nn.multi_head_attention(2, causal=True), nn.positions(), nn.learned_positions(9)])
def test_training_with_a_carry_raises(layer):
    loss = jaxnn.losses.each_step_loss(jaxnn.squared_error())
    objective = jaxnn.objective(layer, loss, carry=True)
    x = np.zeros((2, 5, WIDTH), "float32")
    params = layer.init(KEY, (5, WIDTH))[0]
    with pytest.raises(
        ValueError, match=r"with a carry must be in inference, got a training: train on whole|^length must"
    ):
        objective.value(params, jaxnn.Batch(x, x))


def decode_with_lengths(layer):
    params, x = params_of(layer, (5, WIDTH)), Sequences(jnp.zeros((1, 2, WIDTH)), jnp.array([1]))
    return nn.carried(layer).infer(params, (), (x, nn.start_carry(layer, params, 1, length=3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoding.read(NETWORK, PARAMS, TOKENS), r"^length must be that of the whole sequence, got None: "),
        (
            lambda: nn.carried(nn.multi_head_attention(2)),
            r"from an earlier piece, got multi_head_attention\(2\): attention that is either causal or to a memory can",
        ),
        (
            lambda: nn.carried(nn.multi_head_attention(2, causal=True)).infer(
                params_of(nn.multi_head_attention(2, causal=True), (5, WIDTH)),
                (),
                (
                    Sequences(jnp.zeros((1, 2, WIDTH)), jnp.array([1])),
                    (jnp.zeros((1, 3, 2, 4)),) * 2 + (jnp.zeros(1, int),),
                ),
            ),
            r"^x must be an array \(m, T, n\), got",
        ),
    ],
)
def test_bad_input_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
