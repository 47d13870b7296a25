"""Equinox with optax: a module as a pytree, `filter_jit` step in a Python loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from scripts.benchmarks.speed.peers.batches import of_lap


class MLP(eqx.Module):
    layers: list
    activation: str = eqx.field(static=True)

    def __init__(self, workload, key):
        keys = jax.random.split(key, len(workload.sizes) - 1)
        scale = {"zeros": 0.0, "lecun": 1.0, "he": 2.0**0.5}[workload.init]
        self.layers, self.activation = [], workload.activation
        for a, b, k in zip(workload.sizes[:-1], workload.sizes[1:], keys, strict=True):
            layer = eqx.nn.Linear(a, b, key=k)
            start = (scale * a**-0.5 * jax.random.normal(k, (b, a)), jnp.zeros(b))
            self.layers.append(eqx.tree_at(lambda l: (l.weight, l.bias), layer, start))

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = layer(x)
            x = jax.nn.relu(x) if self.activation == "relu" else jnp.tanh(x)
        return self.layers[-1](x)


def train(workload, x, y, lap):
    model = MLP(workload, jax.random.key(0))
    optimizer = (optax.sgd if workload.optimizer == "sgd" else optax.adam)(workload.rate)

    def loss(model, x, y):
        z = jax.vmap(model)(x)
        if workload.output == "binary":
            return optax.sigmoid_binary_cross_entropy(z[:, 0], y).mean()
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    @eqx.filter_jit(donate="all-except-first")
    def step(data, model, state):
        updates, state = optimizer.update(eqx.filter_grad(loss)(model, *data), state)
        return eqx.apply_updates(model, updates), state

    @jax.jit
    def gather(x, y, rows):
        return x[rows], y[rows]

    state = optimizer.init(eqx.filter(model, eqx.is_array))
    x, y = jax.device_put((x, y))
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        for rows in of_lap(workload, rng, len(y)):
            model, state = step((x, y) if rows is None else gather(x, y, rows), model, state)
        jax.block_until_ready(model)
        lap()
    return [np.asarray(a) for layer in model.layers for a in (layer.weight, layer.bias)]
