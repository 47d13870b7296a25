"""Flax NNX with optax: modules, `nnx.jit` step in a Python loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.peers.batches import of_lap
from scripts.benchmarks.speed.peers.devices import shardings
from scripts.benchmarks.speed.peers.images import with_flax as images
from scripts.benchmarks.speed.peers.initial import rates, seeds
from scripts.benchmarks.speed.peers.sequences import with_flax as of_sequences

NETWORKS = ("mlp", "lenet", "resnet", *sequences.NETWORKS)


class MLP(nnx.Module):
    def __init__(self, workload, rngs):
        gain = {"zeros": 0.0, "lecun": 1.0, "he": 2.0}[workload.init]
        init = jax.nn.initializers.variance_scaling(gain, "fan_in", "normal") if gain else jax.nn.initializers.zeros
        pairs = zip(workload.sizes[:-1], workload.sizes[1:], strict=True)
        self.layers = nnx.List([nnx.Linear(a, b, kernel_init=init, rngs=rngs) for a, b in pairs])
        self.hidden = jax.nn.relu if workload.activation == "relu" else jnp.tanh

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = self.hidden(layer(x))
        return self.layers[-1](x)

    def arrays(self):
        return [a for layer in self.layers for a in (layer.kernel[...].T, layer.bias[...])]


def train(workload, x, y, lap):
    of_others = images if workload.network in ("lenet", "resnet") else of_sequences
    model = (MLP if workload.network == "mlp" else of_others.network)(workload, nnx.Rngs(0))
    make = optax.sgd if workload.optimizer == "sgd" else optax.adam
    optimizer = nnx.Optimizer(model, make(workload.rate), wrt=nnx.Param)

    def loss(model, x, y):
        z = model(x)
        if workload.output == "binary":
            return optax.sigmoid_binary_cross_entropy(z[:, 0], y).mean()
        if workload.output == "square":
            return optax.squared_error(z, jax.nn.one_hot(y, z.shape[-1])).sum(-1).mean() / 2
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    @nnx.jit
    def step(model, optimizer, x, y):
        optimizer.update(model, nnx.grad(loss)(model, x, y))

    @jax.jit
    def gather(x, y, rows):
        return x[rows], y[rows]

    x, y = jax.device_put((x, y))
    step = nnx.cached_partial(step, model, optimizer)  # traverses the graph once, not at every step
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        for rows in of_lap(workload, rng, len(y)):
            step(*((x, y) if rows is None else gather(x, y, rows)))
        jax.block_until_ready(nnx.state(model))
        lap()
    return [np.asarray(a) for a in model.arrays()]


def population(workload, x, y, lap):
    """Train one model with stacked params under `nnx.vmap`; a lap is one program of the functional API."""
    of_members, shared = shardings(len(workload.population.members))
    rate = jax.device_put(rates(workload), of_members)

    def scale(updates, params):
        return jax.tree.map(lambda u: -rate.reshape(-1, *[1] * (u.ndim - 1)) * u, updates)

    @nnx.jit
    def start(seeds):
        model = nnx.vmap(lambda seed: MLP(workload, nnx.Rngs(jax.random.key(seed))))(seeds)
        return model, nnx.Optimizer(model, optax.chain(optax.scale_by_adam(), optax.stateless(scale)), wrt=nnx.Param)

    def loss(model, x, y):
        z = nnx.vmap(lambda model, x: model(x), in_axes=(0, None))(model, x)
        y = jnp.broadcast_to(y, z.shape[:2])
        # The sum over members: each member's params only affect its own loss.
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean(1).sum()

    @partial(jax.jit, donate_argnums=0)
    def run(state, x, y, batches):
        def step(state, rows):
            model, optimizer = nnx.merge(graph, state)
            optimizer.update(model, nnx.grad(loss)(model, x[rows], y[rows]))
            return nnx.state((model, optimizer)), None

        return jax.lax.scan(step, state, batches)[0]

    graph, state = nnx.split(start(jax.device_put(seeds(workload), of_members)))
    x, y = jax.device_put((x, y), shared)
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        state = run(state, x, y, of_lap(workload, rng, len(y)).astype(np.int32))
        jax.block_until_ready(state)
        lap()
    model, _ = nnx.merge(graph, state)
    return [np.asarray(a) for layer in model.layers for a in (layer.kernel[...].swapaxes(1, 2), layer.bias[...])]
