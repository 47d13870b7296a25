"""Networks to exchange: dense ones of given arrays, and networks of all layers, on odd sizes and images not square."""

from functools import cache

import jax
import numpy as np

import jaxnn
from experiments.interchange.channels_first import starts_last
from experiments.interchange.formats import module
from experiments.interchange.layers import layers_of
from experiments.networks.spec import LayersSpec, NetworkSpec
from experiments.networks.storage import StoredNetwork
from jaxnn import models
from jaxnn.nn import (
    avg_pool,
    batch_norm,
    bidirectional,
    chain,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    dropout,
    each_step,
    elu,
    embedding,
    fan_in_concat,
    fan_in_sum,
    fan_out,
    flatten,
    gelu,
    global_avg_pool,
    global_max_pool,
    group_norm,
    gru_cell,
    identity,
    layer_norm,
    leaky_relu,
    learned_positions,
    lstm_cell,
    max_pool,
    multi_head_attention,
    pad,
    positions,
    recurrent,
    relu,
    remat,
    repeat,
    rescale,
    residual,
    rms_norm,
    sigmoid,
    silu,
    simple_cell,
    softmax,
    softplus,
    tanh,
    tied,
    transformer_block,
    upsample,
)


def dense_network(layers, activation, output):
    """The network of dense layers (W, b) with an activation between them."""
    sizes = (layers[0][0].shape[1], *(len(W) for W, _ in layers))
    spec = NetworkSpec(sizes, activation, output)
    arrays = [np.asarray(a) for layer in layers for a in layer]
    params = jaxnn.models.params_from_arrays(spec.model().network, spec.in_shape, arrays)
    return StoredNetwork(spec, params, tuple(map(str, range(max(2, sizes[-1])))))


NETWORKS = {
    "lenet": (models.lenet((13, 12, 2), 3, "tanh").network, (13, 12, 2)),
    "same_strided": (chain(conv(4, (3, 2), (2, 3)), relu(), flatten(), dense(3)), (7, 8, 2)),
    "pairs_dilated": (
        chain(conv(4, 3, padding=((1, 0), (0, 2)), dilation=(2, 1)), gelu(), flatten(), dense(3)),
        (9, 6, 2),
    ),
    "groups": (chain(conv(6, 3, 2, groups=2), silu(), conv(4, 2, padding=1, groups=2), flatten(), dense(2)), (7, 5, 4)),
    "depthwise": (
        chain(depthwise_conv(3, 2, stride=2), elu(0.3), depthwise_conv((2, 3), padding="valid"), flatten(), dense(3)),
        (7, 8, 3),
    ),
    "transposed": (chain(conv_transpose(4, 3, 2), leaky_relu(0.2), flatten(), dense(3)), (3, 4, 2)),
    "transposed_odd": (
        chain(
            conv_transpose(4, 3, (2, 3), padding=((1, 0), (2, 1)), output_padding=(1, 2)), relu(), flatten(), dense(3)
        ),
        (3, 4, 2),
    ),
    "transposed_groups": (chain(conv_transpose(4, 2, 2, dilation=2, groups=2), relu(), flatten(), dense(3)), (3, 4, 4)),
    "transposed_cut": (chain(conv_transpose(3, 4, 1, padding=((0, 2), (1, 3))), flatten(), dense(3)), (5, 4, 2)),
    "transposed_short": (chain(conv_transpose(3, 2, 3), flatten(), dense(3)), (2, 3, 2)),
    "max_pool": (
        chain(conv(3, 3), max_pool(3, 2, "same"), max_pool((2, 3), (1, 2), ((1, 1), (0, 2))), flatten(), dense(3)),
        (8, 7, 2),
    ),
    "max_pool_wide": (chain(max_pool(2, 1, ((1, 1), (1, 1))), max_pool(3, 3, 2), flatten(), dense(3)), (8, 7, 2)),
    "avg_pool": (chain(avg_pool(3, 2, "same"), flatten(), dense(3)), (8, 7, 2)),
    "avg_pool_inside": (
        chain(
            avg_pool(3, (2, 1), "same", count_padding=False),
            avg_pool(2, 1, ((1, 1), (1, 1)), count_padding=False),
            flatten(),
            dense(3),
        ),
        (8, 7, 2),
    ),
    "avg_pool_pairs": (chain(avg_pool(2, 1, ((1, 0), (0, 1))), flatten(), dense(3)), (4, 5, 2)),
    "global_avg": (chain(conv(5, 3), relu(), global_avg_pool(), dense(3)), (5, 7, 2)),
    "global_max": (chain(conv(5, 3), softplus(), global_max_pool(), dense(3)), (5, 7, 2)),
    "norms": (
        chain(
            conv(4, 3),
            batch_norm(0.01),
            relu(),
            group_norm(2, 0.1),
            layer_norm(0.2),
            rms_norm(0.3),
            flatten(),
            batch_norm(),
            tanh(),
            layer_norm(),
            rms_norm(),
            dense(4),
            batch_norm(),
            group_norm(2),
        ),
        (4, 5, 2),
    ),
    "group_norm_one": (chain(conv(4, 3), flatten(), group_norm(1), dense(3)), (4, 5, 2)),
    "pad": (
        chain(pad(((1, 0), 2), 0.5), conv(3, 2, padding="valid"), upsample((2, 3)), flatten(), dense(3)),
        (4, 5, 2),
    ),
    "rescale": (
        chain(
            rescale(0.5, -1.0),
            conv(3, 2),
            dropout(0.4),
            identity(),
            sigmoid(),
            softmax(),
            flatten(),
            dense(4),
            softmax(),
        ),
        (4, 5, 2),
    ),
    "resnet": (models.resnet((9, 7, 3), 4, (1, 2), 4).network, (9, 7, 3)),
    "concat": (
        chain(
            fan_out(chain(conv(3, 3), relu()), identity(), conv(2, 1)),
            fan_in_concat(),
            conv(2, 3),
            fan_out(conv(2, 3), max_pool(3, 1, "same")),
            fan_in_concat(0),
            flatten(),
            dense(3),
        ),
        (5, 4, 2),
    ),
    "branches_vector": (
        chain(
            conv(2, 3),
            flatten(),
            fan_out(dense(4), chain(relu(), dense(4))),
            fan_in_sum(),
            residual(chain(dense(4), tanh())),
            dense(3),
        ),
        (5, 4, 2),
    ),
    "sequence": (
        chain(
            conv(4, (3,), 2),
            relu(),
            conv_transpose(3, (3,), 2),
            max_pool((2,)),
            batch_norm(),
            pad(((1, 2),)),
            upsample((2,)),
            flatten(),
            dense(3),
        ),
        (7, 2),
    ),
    "volume": (
        chain(conv(4, (3, 2, 2), 2), relu(), max_pool((2, 1, 2)), batch_norm(), flatten(), dense(3)),
        (7, 4, 5, 2),
    ),
    "words": (chain(embedding(7, 4), flatten(), dense(3)), (5,), "int32"),
    "words_of_rows": (chain(flatten(), embedding(7, 2), flatten(), dense(3)), (2, 3), "int32"),
    "words_conv": (
        chain(embedding(7, 4), layer_norm(), residual(tanh()), conv(3, (3,), 2), relu(), flatten(), dense(3)),
        (5,),
        "int32",
    ),
    "words_tied": (tied(chain(embedding(7, 4), global_avg_pool(), dense(7)), "0/E", "2/W"), (5,), "int32"),
    "words_mean": (chain(embedding(7, 4), global_avg_pool(), dense(3)), (5,), "int32"),
    "repeat": (
        chain(
            conv(3, 3),
            repeat(residual(chain(conv(3, 3), batch_norm(), relu())), 3),
            remat(flatten()),
            repeat(chain(dense(12 * 3), tanh()), 2),
            dense(3),
        ),
        (3, 4, 2),
    ),
}
"""The layers, the shape of one example and the dtype of each network."""

SEQUENCES = {
    "simple": (recurrent(simple_cell(5)), (7, 3)),
    "simple_last_reverse": (
        chain(recurrent(simple_cell(4), reverse=True), recurrent(simple_cell(5), "last", reverse=True), dense(2)),
        (7, 3),
    ),
    "lstm": (chain(recurrent(lstm_cell(5)), recurrent(lstm_cell(5), "last", remat="gates"), dense(2)), (7, 3)),
    "lstm_reverse": (chain(recurrent(lstm_cell(5), reverse=True), each_step(dense(3))), (7, 3)),
    "gru": (chain(recurrent(gru_cell(4)), recurrent(gru_cell(3), reverse=True)), (6, 3)),
    "gru_last": (chain(recurrent(gru_cell(4), "last"), dense(3)), (1, 3)),
    "gru_before": (chain(recurrent(gru_cell(4, "before")), recurrent(gru_cell(4, "before"), "last")), (6, 3)),
    "bidirectional_before": (bidirectional(gru_cell(3, "before")), (5, 2)),
    "bidirectional": (chain(bidirectional(lstm_cell(3)), bidirectional(gru_cell(3)), each_step(dense(2))), (5, 3)),
    "bidirectional_last": (chain(bidirectional(simple_cell(3)), bidirectional(lstm_cell(4), "last"), dense(2)), (5, 3)),
    "steps": (
        chain(
            each_step(chain(layer_norm(), rms_norm(), dense(4), gelu(), rescale(0.5, 1.0), softmax())),
            residual(each_step(residual(chain(dense(4), tanh())))),
            each_step(chain(batch_norm(), group_norm(2), dense(3))),
            recurrent(simple_cell(4)),
            flatten(),
            dense(2),
        ),
        (5, 3),
    ),
    "rows": (chain(each_step(flatten()), recurrent(lstm_cell(5), "last"), dense(3)), (6, 4, 2)),
    "frames": (
        chain(each_step(chain(conv(2, 3), relu(), flatten(), dense(3))), recurrent(gru_cell(2), "last")),
        (4, 5, 6, 2),
    ),
    "conv_recurrent": (
        chain(
            conv(4, (3,)),
            relu(),
            recurrent(lstm_cell(3)),
            conv(3, (2,)),
            each_step(dense(3)),
            global_avg_pool(),
            dense(2),
        ),
        (7, 3),
    ),
    "text": (
        chain(
            each_step(chain(embedding(7, 4), dropout(0.3))),
            recurrent(lstm_cell(5)),
            each_step(chain(dropout(0.3), dense(7))),
        ),
        (6,),
        "int32",
    ),
    "attention": (
        chain(
            multi_head_attention(2), residual(multi_head_attention(3, causal=True, block=2)), each_step(layer_norm())
        ),
        (5, 6),
    ),
    "transformer": (
        chain(
            each_step(embedding(7, 6)),
            positions(2),
            transformer_block(2, 5, causal=True, dropout_rate=0.1),
            transformer_block(3, 6, norm="last", activation="relu"),
            learned_positions(9, 1),
            each_step(chain(layer_norm(), dense(7))),
        ),
        (7,),
        "int32",
    ),
}
"""Those of sequences, of which some have no row in the tables of some formats."""
ALL = NETWORKS | SEQUENCES


@cache
def network(name):
    """The network with random params and statistics."""
    layers, in_shape, *dtype = ALL[name]
    return with_random_arrays(LayersSpec(layers, in_shape, "softmax", *dtype))


def with_random_arrays(spec):
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(spec.model().init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: random.normal(0, 0.7, leaf.shape).astype("float32"), shapes)
    stats = jax.tree.map(lambda leaf: random.uniform(0.5, 2, leaf.shape).astype("float32"), spec.statistics)
    return StoredNetwork(spec, params, tuple(map(str, range(spec.n_outputs))), stats=stats)


def examples(spec, m=3):
    """Random examples; words below 7 for whole numbers."""
    random, shape = np.random.default_rng(5), (m, *spec.in_shape)
    if spec.in_dtype == "float32":
        return random.normal(size=shape).astype("float32")
    return random.integers(0, 7, shape).astype(spec.in_dtype)


def channels_first(x):
    """Images and sequences with channels first, as PyTorch and ONNX take them; words have no channels."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim > 2 and x.dtype != np.int32 else x


def inputs_there(form, network):
    """Examples as the exported network takes them."""
    x = examples(network.spec)
    first = getattr(module(form), "CHANNELS_FIRST", False) and not starts_last(layers_of(network))
    return channels_first(x) if first else x


def outputs(network, x):
    """jaxnn's outputs."""
    return np.asarray(jax.jit(network.spec.model().outputs)(network.params, x, network.stats))
