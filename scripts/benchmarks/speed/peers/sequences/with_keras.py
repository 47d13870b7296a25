"""The networks for sequences in Keras, with its `LSTM` and `MultiHeadAttention`."""

import keras
import numpy as np
from keras import layers


class Positions(layers.Layer):
    """A learned vector for each time, added to what is there."""

    def build(self, shape):
        self.vectors = self.add_weight(shape[1:], "random_normal")

    def call(self, x):
        return x + self.vectors


def network(workload):
    """Return the model, and its layers with params in the order in which they are called."""
    called = []

    def call(layer, *x, **options):
        called.append(layer)
        return layer(*x, **options)

    if workload.network == "lstm layer":
        n_times, n_in, units = workload.sizes
        start = keras.Input((n_times, n_in))
        return keras.Model(start, call(layers.LSTM(units, return_sequences=True), start)), called
    n_times, width, *_, characters = workload.sizes
    start = keras.Input((n_times,), dtype="int32")
    x = call(layers.Embedding(characters, width), start)
    if workload.network == "lstm":
        x = call(layers.LSTM(workload.sizes[2], return_sequences=True), x)
        return keras.Model(start, call(layers.Dense(characters), x)), called
    _, _, heads, hidden, blocks, _ = workload.sizes
    x = call(Positions(), x)
    for _ in range(blocks):
        y = call(layers.LayerNormalization(epsilon=1e-5), x)
        x = layers.add([x, call(layers.MultiHeadAttention(heads, width // heads), y, y, use_causal_mask=True)])
        y = call(layers.LayerNormalization(epsilon=1e-5), x)
        x = layers.add([x, call(layers.Dense(width), call(layers.Dense(hidden, "gelu"), y))])
    x = call(layers.LayerNormalization(epsilon=1e-5), x)
    return keras.Model(start, call(layers.Dense(characters), x)), called


def squared(y, a):
    """Return the squared error of the units to 1 of class y and 0 of the others, halved."""
    of_class = keras.ops.take_along_axis(a, keras.ops.cast(y, "int32")[..., None], -1)[..., 0]
    return (keras.ops.sum(a * a, -1) + 1) / 2 - of_class


def arrays(layer):
    """Return the params of a layer in the order of `speed.sequences`."""
    given = [np.asarray(a) for a in layer.trainable_weights]
    if isinstance(layer, layers.LSTM):
        kernel, recurrent, bias = given
        i, f, g, o = zip(*(np.split(a, 4, axis=-1) for a in (recurrent, kernel, bias)), strict=True)
        return [np.concatenate(parts, -1).T for parts in zip(f, i, o, g, strict=True)]
    if isinstance(layer, layers.MultiHeadAttention):
        query, query_bias, key, _, value, value_bias, output, bias = given
        query, key, value = (a.reshape(len(a), -1).T for a in (query, key, value))
        return [key, output.reshape(-1, len(bias)).T, bias, query, query_bias.ravel(), value, value_bias.ravel()]
    if isinstance(layer, layers.LayerNormalization):
        return given[::-1]  # the shift before the gain
    if isinstance(layer, layers.Dense):
        return [given[0].T, given[1]]
    return given
