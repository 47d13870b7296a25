"""Keras on JAX: `compile` and `fit`, which compiles a step and shuffles on the host."""

import os

import numpy as np

os.environ["KERAS_BACKEND"] = "jax"

import keras  # noqa: E402, with the backend chosen

from scripts.benchmarks.speed import sequences  # noqa: E402

NETWORKS = ("mlp", "lenet", "resnet", *sequences.NETWORKS)


def _mlp(workload):
    init = {"zeros": "zeros", "lecun": "lecun_normal", "he": "he_normal"}[workload.init]
    hidden = [
        keras.layers.Dense(n, activation=workload.activation, kernel_initializer=init) for n in workload.sizes[1:-1]
    ]
    last = keras.layers.Dense(workload.sizes[-1], kernel_initializer=init)
    return keras.Sequential([keras.Input(workload.sizes[:1]), *hidden, last])


def train(workload, x, y, lap):
    arrays = _arrays
    if workload.network == "mlp":
        model = _mlp(workload)
        layers = model.layers
    elif workload.network in sequences.NETWORKS:
        from scripts.benchmarks.speed.peers.sequences.with_keras import arrays, network, squared

        model, layers = network(workload)
    else:
        from scripts.benchmarks.speed.peers.images.with_keras import network

        model, layers = network(workload)
    make = keras.optimizers.SGD if workload.optimizer == "sgd" else keras.optimizers.Adam
    if workload.output == "binary":
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
    elif workload.output == "square":
        loss = squared
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(make(workload.rate), loss)
    batch = workload.batch or len(y)
    epochs = workload.steps * batch // len(y)
    at_laps = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: (epoch + 1) % epochs or lap())
    model.fit(x, y, batch, workload.laps * epochs, verbose=0, shuffle=workload.batch is not None, callbacks=[at_laps])
    return [a for layer in layers for a in arrays(layer)]


def _arrays(layer):
    """Return the params of a layer in the order of `speed.networks`."""
    first, second = (np.asarray(a) for a in layer.trainable_weights)
    if isinstance(layer, keras.layers.BatchNormalization):
        return second, first  # the shift before the gain
    return first.T if first.ndim == 2 else first, second
