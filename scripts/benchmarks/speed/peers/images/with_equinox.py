"""The networks for images in Equinox, of one example with channels first, under `vmap` with the axis "batch"."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def network(workload, key):
    """Return the model and its state, the averages of batch norm."""
    return eqx.nn.make_with_state(LeNet if workload.network == "lenet" else ResNet)(workload.sizes, key)


def _he(layer, key):
    """Return the layer with weights of He's standard deviation and biases of zero."""
    scale = (2 / math.prod(layer.weight.shape[1:])) ** 0.5
    start = scale * jax.random.normal(key, layer.weight.shape), jnp.zeros_like(layer.bias)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, start)


def _conv(n_in, n, size, key, stride=1, padding="SAME"):
    return _he(eqx.nn.Conv2d(n_in, n, size, stride, padding, key=key), key)


def _linear(n_in, n, key):
    return _he(eqx.nn.Linear(n_in, n, key=key), key)


def _arrays(*layers):
    found = []
    for layer in layers:
        if isinstance(layer, eqx.nn.BatchNorm):
            found += [np.asarray(layer.bias), np.asarray(layer.weight)]
        else:
            w = np.asarray(layer.weight)
            found += [w.transpose(2, 3, 1, 0) if w.ndim == 4 else w, np.asarray(layer.bias).ravel()]
    return found


class LeNet(eqx.Module):
    convs: list
    denses: list
    pool: eqx.nn.MaxPool2d

    def __init__(self, sizes, key):
        height, width, channels, classes = sizes
        n = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        keys = jax.random.split(key, 5)
        self.convs = [_conv(channels, 6, 5, keys[0]), _conv(6, 16, 5, keys[1], padding=0)]
        self.denses = [_linear(n, 120, keys[2]), _linear(120, 84, keys[3]), _linear(84, classes, keys[4])]
        self.pool = eqx.nn.MaxPool2d(2, 2)

    def __call__(self, x, state):
        x = jnp.moveaxis(x, -1, 0)
        for conv in self.convs:
            x = self.pool(jax.nn.relu(conv(x)))
        x = x.ravel()
        for dense in self.denses[:-1]:
            x = jax.nn.relu(dense(x))
        return self.denses[-1](x), state

    def arrays(self):
        arrays = _arrays(*self.convs, *self.denses)
        places = math.isqrt(arrays[4].shape[1] // 16)  # channels are first: (units, channels, height, width)
        w = arrays[4].reshape(120, 16, places, -1).transpose(0, 2, 3, 1).reshape(120, -1)
        return [*arrays[:4], w, *arrays[5:]]


class ConvNorm(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm

    def __init__(self, n_in, n, size, stride, key):
        self.conv = _conv(n_in, n, size, key, stride)
        self.norm = eqx.nn.BatchNorm(n, "batch", mode="batch")

    def __call__(self, x, state):
        return self.norm(self.conv(x), state)

    def arrays(self):
        return _arrays(self.conv, self.norm)


class Block(eqx.Module):
    first: ConvNorm
    second: ConvNorm
    shortcut: ConvNorm | None

    def __init__(self, n_in, n, stride, key):
        keys = jax.random.split(key, 3)
        self.first = ConvNorm(n_in, n, 3, stride, keys[0])
        self.second = ConvNorm(n, n, 3, 1, keys[1])
        self.shortcut = ConvNorm(n_in, n, 1, stride, keys[2]) if stride > 1 else None

    def __call__(self, x, state):
        y, state = self.first(x, state)
        y, state = self.second(jax.nn.relu(y), state)
        if self.shortcut is not None:
            x, state = self.shortcut(x, state)
        return jax.nn.relu(x + y), state

    def arrays(self):
        return self.first.arrays() + self.second.arrays() + (self.shortcut.arrays() if self.shortcut else [])


class ResNet(eqx.Module):
    start: ConvNorm
    blocks: list
    dense: eqx.nn.Linear

    def __init__(self, sizes, key):
        keys = jax.random.split(key, 5)
        self.start = ConvNorm(sizes[2], 16, 3, 1, keys[0])
        self.blocks = [Block(16, 16, 1, keys[1]), Block(16, 32, 2, keys[2]), Block(32, 64, 2, keys[3])]
        self.dense = _linear(64, sizes[3], keys[4])

    def __call__(self, x, state):
        x, state = self.start(jnp.moveaxis(x, -1, 0), state)
        x = jax.nn.relu(x)
        for block in self.blocks:
            x, state = block(x, state)
        return self.dense(x.mean((1, 2))), state

    def arrays(self):
        return self.start.arrays() + [a for block in self.blocks for a in block.arrays()] + _arrays(self.dense)
