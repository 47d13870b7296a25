"""jax.example_libraries.stax with its optimizers: a compiled step in a Python loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.example_libraries import optimizers, stax

from scripts.benchmarks.speed.peers.batches import of_lap
from scripts.benchmarks.speed.peers.devices import shardings
from scripts.benchmarks.speed.peers.initial import rates, seeds


def _network(workload):
    hidden = stax.Relu if workload.activation == "relu" else stax.Tanh
    gain = {"zeros": 0.0, "lecun": 1.0, "he": 2.0}[workload.init]
    w_init = jax.nn.initializers.variance_scaling(gain, "fan_in", "normal") if gain else jax.nn.initializers.zeros
    layers = []
    for n in workload.sizes[1:]:
        layers += [stax.Dense(n, w_init, jax.nn.initializers.zeros), hidden]
    return stax.serial(*layers[:-1])


def train(workload, x, y, lap):
    init, apply = _network(workload)
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


def population(workload, x, y, lap):
    """Train with a step under `vmap`, whose learning rate is an argument; a lap is one program."""
    of_members, shared = shardings(len(workload.population.members))
    init, apply = _network(workload)

    @partial(jax.jit, out_shardings=of_members)
    @jax.vmap
    def start(seed):
        return optimizers.adam(0.0)[0](init(jax.random.key(seed), (-1, workload.sizes[0]))[1])

    def loss(params, x, y):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(apply(params, x)), y[:, None], 1))

    def step(i, state, rate, x, y):
        _, update, get_params = optimizers.adam(rate)
        return update(i, jax.grad(loss)(get_params(state), x, y), state)

    @partial(jax.jit, donate_argnums=0)
    def run(state, rate, x, y, i, batches):
        def all_step(carry, rows):
            i, state = carry
            return (i + 1, jax.vmap(step, (None, 0, 0, None, None))(i, state, rate, x[rows], y[rows])), None

        return jax.lax.scan(all_step, (i, state), batches)[0][1]

    state, rate = start(seeds(workload)), jax.device_put(rates(workload), of_members)
    x, y = jax.device_put((x, y), shared)
    rng = np.random.default_rng(1)
    for i in range(workload.laps):
        rows = of_lap(workload, rng, len(y)).astype(np.int32)
        state = run(state, rate, x, y, i * workload.steps, rows)
        jax.block_until_ready(state)
        lap()
    params = optimizers.adam(0.0)[2](state)
    return [np.asarray(a.swapaxes(1, 2) if a.ndim == 3 else a) for layer in params if layer for a in layer]
