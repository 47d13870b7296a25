"""jax.example_libraries.stax with its optimisers: a compiled step in a Python loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.example_libraries import optimizers, stax

from scripts.benchmarks.speed.peers.batches import of_lap


def train(workload, x, y, lap):
    hidden = stax.Relu if workload.activation == "relu" else stax.Tanh
    gain = {"zeros": 0.0, "lecun": 1.0, "he": 2.0}[workload.init]
    w_init = jax.nn.initializers.variance_scaling(gain, "fan_in", "normal") if gain else jax.nn.initializers.zeros
    layers = []
    for n in workload.sizes[1:]:
        layers += [stax.Dense(n, w_init, jax.nn.initializers.zeros), hidden]
    init, apply = stax.serial(*layers[:-1])
    make = optimizers.sgd if workload.optimizer == "sgd" else optimizers.adam
    opt_init, opt_update, get_params = make(workload.rate)

    def loss(params, x, y):
        z = apply(params, x)
        if workload.output == "binary":
            return jnp.mean(jax.nn.softplus(z[:, 0]) - y * z[:, 0])
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))

    @partial(jax.jit, donate_argnums=1)
    def step(i, state, x, y):
        return opt_update(i, jax.grad(loss)(get_params(state), x, y), state)

    @jax.jit
    def gather(x, y, rows):
        return x[rows], y[rows]

    state = opt_init(init(jax.random.key(0), (-1, workload.sizes[0]))[1])
    x, y = jax.device_put((x, y))
    rng, i = np.random.default_rng(1), 0
    for _ in range(workload.laps):
        for rows in of_lap(workload, rng, len(y)):
            xb, yb = (x, y) if rows is None else gather(x, y, rows)
            state, i = step(i, state, xb, yb), i + 1
        jax.block_until_ready(state)
        lap()
    return [np.asarray(a.T if a.ndim == 2 else a) for layer in get_params(state) if layer for a in layer]
