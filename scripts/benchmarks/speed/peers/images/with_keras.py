"""The networks for images in Keras."""

import keras
from keras import layers

HE = dict(kernel_initializer="he_normal")


def network(workload):
    """Return the model, and its layers with params in the order in which they are called."""
    *shape, classes = workload.sizes
    start, called = keras.Input(shape), []

    def call(layer, x):
        called.append(layer)
        return layer(x)

    def convolved(x, n, size, stride):
        x = call(layers.Conv2D(n, size, stride, padding="same", **HE), x)
        return call(layers.BatchNormalization(epsilon=1e-5), x)

    if workload.network == "lenet":
        x = call(layers.Conv2D(6, 5, padding="same", activation="relu", **HE), start)
        x = layers.MaxPooling2D()(x)
        x = call(layers.Conv2D(16, 5, activation="relu", **HE), x)
        x = layers.MaxPooling2D()(x)
        x = layers.Flatten()(x)
        x = call(layers.Dense(120, activation="relu", **HE), x)
        x = call(layers.Dense(84, activation="relu", **HE), x)
    else:
        x = layers.ReLU()(convolved(start, 16, 3, 1))
        for n, stride in ((16, 1), (32, 2), (64, 2)):
            y = layers.ReLU()(convolved(x, n, 3, stride))
            y = convolved(y, n, 3, 1)
            x = x if stride == 1 else convolved(x, n, 1, stride)
            x = layers.ReLU()(layers.add([x, y]))
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(start, call(layers.Dense(classes, **HE), x)), called
