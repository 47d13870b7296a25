"""JAX without a library: a lap is one compiled program. This is the practical limit of libraries on JAX."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.peers.batches import of_lap
from scripts.benchmarks.speed.peers.devices import shardings
from scripts.benchmarks.speed.peers.images import raw as images
from scripts.benchmarks.speed.peers.initial import arrays, rates, stacked
from scripts.benchmarks.speed.peers.sequences import raw as of_sequences

NETWORKS = ("mlp", "lenet", "resnet", *sequences.NETWORKS)
B1, B2, EPS = 0.9, 0.999, 1e-8


def train(workload, x, y, lap):
    hidden = jax.nn.relu if workload.activation == "relu" else jnp.tanh

    def mlp(params, x):
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = hidden(x @ w.T + b)
        return x @ params[-2].T + params[-1], []

    of_images = workload.network in ("lenet", "resnet")
    forward = (images if of_images else of_sequences).forward
    outputs = mlp if workload.network == "mlp" else forward(workload)

    def loss(params, x, y):
        z, moments = outputs(params, x)
        if workload.output == "binary":
            z = z[:, 0]
            return jnp.mean(jax.nn.softplus(z) - y * z), moments
        of_class = jnp.take_along_axis(z, y[..., None], -1)[..., 0]
        if workload.output == "square":
            return jnp.mean(((z * z).sum(-1) + 1) / 2 - of_class), moments
        return jnp.mean(jax.nn.logsumexp(z, -1) - of_class), moments

    def update(state, x, y):
        if workload.optimizer == "sgd":
            (value, _), grads = jax.value_and_grad(loss, has_aux=True)(state, x, y)
            return jax.tree.map(lambda p, g: p - workload.rate * g, state, grads), value
        params, m, v, t, averages = state
        (value, moments), grads = jax.value_and_grad(loss, has_aux=True)(params, x, y)
        averages = jax.tree.map(lambda a, b: 0.99 * a + 0.01 * b, averages, moments)  # of batch norm, for inference
        t = t + 1
        m = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, m, grads)
        v = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, v, grads)
        rate = workload.rate / (1 - B1**t)
        size = 1 / (1 - B2**t)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * size) + EPS), params, m, v)
        return (params, m, v, t, averages), value

    @partial(jax.jit, donate_argnums=0)
    def run(state, x, y, batches):
        def step(state, rows):
            return update(state, x, y) if rows is None else update(state, x[rows], y[rows])

        if of_images:
            return step(state, batches)
        return jax.lax.scan(step, state, batches, length=workload.steps)

    params = arrays(workload)
    zeros = [np.zeros_like(p) for p in params]
    moments = jax.eval_shape(outputs, params, x[:1])[1]
    averages = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), moments)
    state = params if workload.optimizer == "sgd" else (params, zeros, zeros, np.float32(0), averages)
    state, x, y = jax.device_put((state, x, y))
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        batches = None
        if workload.batch is not None:
            epochs = workload.steps * workload.batch // len(y)
            batches = np.stack([rng.permutation(len(y)) for _ in range(epochs)]).astype(np.int32)
            batches = batches.reshape(workload.steps, workload.batch)
        # Step by step for images: in a loop, XLA computes the gradient of filters 50 times slower on a CPU.
        for rows in batches if of_images else [batches]:
            state, _ = run(state, x, y, rows)
        jax.block_until_ready(state)
        lap()
    params = state if workload.optimizer == "sgd" else state[0]
    return [np.asarray(a) for a in jax.tree.leaves(params)]


def population(workload, x, y, lap, devices=None, own=False):
    """Train all members in one program; their params are the rows of one matrix, so that there is little to compile."""
    of_members, shared = shardings(len(workload.population.members), devices)
    leaves = stacked(workload)
    n, shapes = len(leaves[0]), [leaf.shape[1:] for leaf in leaves]
    ends = np.cumsum([leaf[0].size for leaf in leaves])[:-1]

    def loss(row, x, hot):
        params = [a.reshape(shape) for a, shape in zip(jnp.split(row, ends), shapes, strict=True)]
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jax.nn.relu(x @ w.T + b)
        z = x @ params[-2].T + params[-1]
        return jnp.mean(jax.nn.logsumexp(z, 1) - (hot * z).sum(1))

    axis = 0 if own else None
    gradients = jax.vmap(jax.grad(loss), (0, axis, axis))

    @partial(jax.jit, donate_argnums=0)
    def run(state, rate, x, hot, batches):
        def step(state, batch):
            rows, bias1, bias2 = batch
            params, m, v = state
            g = gradients(params, x[rows], hot[rows])
            m = B1 * m + (1 - B1) * g
            v = B2 * v + (1 - B2) * g * g
            return (params - rate / bias1 * m / (jnp.sqrt(v / bias2) + EPS), m, v), None

        return jax.lax.scan(step, state, batches)[0]

    params = np.concatenate([leaf.reshape(n, -1) for leaf in leaves], 1)
    state = jax.device_put((params, np.zeros_like(params), np.zeros_like(params)), of_members)
    rate = jax.device_put(rates(workload)[:, None], of_members)
    hot = np.eye(workload.sizes[-1], dtype=np.float32)[y]
    x, hot = jax.device_put((x, hot), shared)
    rng, t = np.random.default_rng(1), np.arange(1, workload.steps + 1)
    for _ in range(workload.laps):
        if own:  # (steps, members, batch)
            rows = np.stack([of_lap(workload, rng, len(y)) for _ in range(n)], 1)
        else:
            rows = of_lap(workload, rng, len(y))
        batches = rows.astype(np.int32), *(np.float32(1 - b**t) for b in (B1, B2))
        state = run(state, rate, x, hot, jax.device_put(batches, shared))
        jax.block_until_ready(state)
        lap()
        t = t + workload.steps
    params = np.split(np.asarray(state[0]), ends, 1)
    return [a.reshape(n, *shape) for a, shape in zip(params, shapes, strict=True)]
