"""JAX alone, by hand: a lap is one compiled program. The practical limit for whatever is built on JAX."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.speed.peers.initial import arrays

B1, B2, EPS = 0.9, 0.999, 1e-8


def train(workload, x, y, lap):
    hidden = jax.nn.relu if workload.activation == "relu" else jnp.tanh

    def loss(params, x, y):
        for w, b in params[:-1]:
            x = hidden(x @ w.T + b)
        w, b = params[-1]
        z = x @ w.T + b
        if workload.output == "binary":
            z = z[:, 0]
            return jnp.mean(jax.nn.softplus(z) - y * z)
        return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])

    def update(state, x, y):
        if workload.optimizer == "sgd":
            value, grads = jax.value_and_grad(loss)(state, x, y)
            return jax.tree.map(lambda p, g: p - workload.rate * g, state, grads), value
        params, m, v, t = state
        value, grads = jax.value_and_grad(loss)(params, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, m, grads)
        v = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, v, grads)
        rate = workload.rate / (1 - B1**t)
        size = 1 / (1 - B2**t)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * size) + EPS), params, m, v)
        return (params, m, v, t), value

    @partial(jax.jit, donate_argnums=0)
    def run(state, x, y, batches):
        def step(state, rows):
            return update(state, x, y) if rows is None else update(state, x[rows], y[rows])

        return jax.lax.scan(step, state, batches, length=workload.steps)

    params = arrays(workload.sizes, workload.init)
    zeros = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    state = params if workload.optimizer == "sgd" else (params, zeros, zeros, np.float32(0))
    state, x, y = jax.device_put((state, x, y))
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        batches = None
        if workload.batch is not None:
            epochs = workload.steps * workload.batch // len(y)
            batches = np.stack([rng.permutation(len(y)) for _ in range(epochs)]).astype(np.int32)
            batches = batches.reshape(workload.steps, workload.batch)
        state, _ = run(state, x, y, batches)
        jax.block_until_ready(state)
        lap()
    params = state if workload.optimizer == "sgd" else state[0]
    return [np.asarray(a) for a in jax.tree.leaves(params)]
