"""The table of a network: params, operations and bytes of each layer, counted by hand and from the whole network."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.operation_counts import flops_of_products
from tests.helpers.registry import LAYER_CASES, name_of


def rows(layer, in_shape):
    """(place, layer, output, params, FLOPs) of each line, the last one the sums."""
    *lines, _ = nn.summary(layer, in_shape).splitlines()[1:]
    return [re.split(r"  +", line) for line in lines]


def flops(layer, in_shape):
    return int(rows(layer, in_shape)[-1][-1].replace(",", ""))


def bytes_in(layer, in_shape):
    _, params, outputs = re.split(r"bytes: | of params, ", nn.summary(layer, in_shape).splitlines()[-1])
    return [int(text.split()[0].replace(",", "")) for text in (params, outputs)]


def test_lenet_as_on_paper():
    """Each layer from its definition: the first convolution keeps 28 x 28 places, the second one leaves 10 x 10."""
    network = jaxnn.models.lenet((28, 28, 1), 10).network
    expected = 2 * (28 * 28 * 6 * 25 + 10 * 10 * 16 * 25 * 6 + 400 * 120 + 120 * 84 + 84 * 10)
    assert flops(network, (28, 28, 1)) == expected
    assert int(rows(network, (28, 28, 1))[-1][-2].replace(",", "")) == 61706


@pytest.mark.parametrize(
    ("layer", "in_shape", "expected"),
    [
        (jaxnn.dense(4), (3,), 2 * 3 * 4),
        (jaxnn.repeat(jaxnn.dense(3), 5), (3,), 5 * 2 * 9),
        (nn.each_step(jaxnn.dense(4)), (7, 3), 7 * 2 * 12),
        (nn.each_step(jaxnn.repeat(jaxnn.dense(3), 2)), (7, 3), 7 * 2 * 2 * 9),
        (nn.recurrent(nn.lstm_cell(5)), (7, 3), 7 * 2 * 4 * 5 * (3 + 5)),
        (nn.conv(8, 3, stride=2), (9, 9, 4), 2 * 5 * 5 * 8 * 9 * 4),
        (nn.conv(8, 3, groups=2), (9, 9, 4), 2 * 81 * 8 * 9 * 2),
        (nn.depthwise_conv(3), (9, 9, 4), 2 * 81 * 4 * 9),
        (jaxnn.chain(nn.fan_out(jaxnn.dense(2), jaxnn.dense(5)), nn.fan_in_concat()), (3,), 2 * 3 * 7),
        (nn.embedding(9, 4), jax.ShapeDtypeStruct((6,), "int32"), 0),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_operations_of_one_example(layer, in_shape, expected):
    assert flops(layer, in_shape) == expected


@pytest.mark.representatives("mlp_scanned", "each_step_batch_norm", "recurrent_lstm_lengths", "shared", "tied")
@pytest.mark.parametrize("case", LAYER_CASES, ids=name_of)
def test_the_sums_are_those_of_the_whole_network(case):
    """Operations as in the program of the whole network, params as `init` makes them."""
    params, x = case.params(), case.input(4)
    whole = flops_of_products(
        lambda params, x: call_forward(case.layer, params, x, case.key(), case.rows(4))[0], params, x
    )
    assert 4 * flops(case.layer, case.in_shape) == whole
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params)]
    assert bytes_in(case.layer, case.in_shape)[0] == sum(sizes)


def test_xla_counts_the_same_products():
    """What XLA counts in the compiled program has the activations too, few beside wide products."""
    network = jaxnn.mlp((256, 256, 256, 10)).network
    params, x = network.init(jax.random.key(0), (256,))[0], jnp.ones((64, 256))
    analysis = jax.jit(lambda params, x: network.infer(params, (), x)).lower(params, x).compile().cost_analysis()
    np.testing.assert_allclose(64 * flops(network, (256,)), analysis["flops"], rtol=0.01)


def test_of_branches_the_most_expensive_counts_and_of_a_loop_one_step():
    W = jnp.ones((3, 3))

    def branches(x):
        return jax.lax.cond(x[0] > 0, lambda x: W @ (W @ x), lambda x: W @ x, x)

    def loop(x):
        return jax.lax.while_loop(lambda x: x[0] < 9, lambda x: W @ x, x)

    assert [flops_of_products(f, jnp.ones(3)) for f in (branches, loop)] == [36, 18]


def test_bytes_of_params_and_outputs():
    assert bytes_in(jaxnn.chain(jaxnn.dense(4), jaxnn.relu()), (3,)) == [4 * 16, 4 * 8]
    words = jax.ShapeDtypeStruct((6,), "int32")
    assert bytes_in(nn.embedding(9, 4), words) == [4 * 36, 4 * 24]
    assert bytes_in(nn.each_step(jaxnn.dense(4)), (7, 3)) == [4 * 16, 7 * 4 * 4]


def test_a_model_shows_the_table_of_its_network():
    model = jaxnn.mlp((3, 4, 1))
    assert model.summary() == nn.summary(model.network, (3,))
