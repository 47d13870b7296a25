"""Sequences with lengths into layers of one array: one line, with the layer that applies them at every time."""

import jax
import jax.numpy as jnp
import pytest

import jaxnn
from jaxnn import nn

X = nn.Sequences(jnp.ones((2, 3, 4)), jnp.array([1, 2]))
LAYERS = {
    "relu": jaxnn.relu(),
    "dropout": jaxnn.dropout(0.5),
    "dense": jaxnn.dense(3),
    "embedding": nn.embedding(4, 2),
    "layer_norm": nn.layer_norm(),
    "batch_norm": nn.batch_norm(),
    "softmax": nn.softmax(),
    "flatten": jaxnn.flatten(),
    "conv": nn.conv(2, (3,)),
    "max_pool": nn.max_pool((2,)),
    "global_avg_pool": nn.global_avg_pool(),
}


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "dropout"])
def test_init_raises(name):
    with pytest.raises(ValueError, match=r"^in_shape must be .*, got a Sequences: each_step\(layer\) applies a layer"):
        LAYERS[name].init(jax.random.key(0), nn.shapes_of(X))


@pytest.mark.parametrize("name", LAYERS)
def test_forward_raises_also_inside_a_program(name):
    layer = LAYERS[name]
    like = jnp.zeros((1, 4) if name == "dense" else (1, 3, 4), "int32" if name == "embedding" else "float32")
    params = layer.init(jax.random.key(0), nn.shapes_of(like))[0]
    for run in (layer.forward, jax.jit(layer.forward)):
        with pytest.raises(ValueError, match=r"^[xz] must be an array, got Sequences: each_step\(layer\) applies"):
            run(params, X, jax.random.key(0))


def test_each_step_takes_them():
    layer = nn.each_step(jaxnn.chain(jaxnn.dense(3), jaxnn.relu()))
    params, shape = layer.init(jax.random.key(0), nn.shapes_of(X))
    assert isinstance(layer.infer(params, (), X), nn.Sequences) and isinstance(shape, nn.Sequences)
