"""Equinox with optax: a module as a pytree, `filter_jit` step in a Python loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.peers.batches import of_lap
from scripts.benchmarks.speed.peers.devices import shardings
from scripts.benchmarks.speed.peers.images import with_equinox as images
from scripts.benchmarks.speed.peers.initial import rates, seeds
from scripts.benchmarks.speed.peers.sequences import with_equinox as of_sequences

NETWORKS = ("mlp", "lenet", "resnet", *sequences.NETWORKS)


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

    def __call__(self, x, state=None):
        for layer in self.layers[:-1]:
            x = layer(x)
            x = jax.nn.relu(x) if self.activation == "relu" else jnp.tanh(x)
        return self.layers[-1](x), state

    def arrays(self):
        return [np.asarray(a) for layer in self.layers for a in (layer.weight, layer.bias)]


def train(workload, x, y, lap):
    key = jax.random.key(0)
    of_others = images if workload.network in ("lenet", "resnet") else of_sequences
    model, norms = (MLP(workload, key), None) if workload.network == "mlp" else of_others.network(workload, key)
    optimizer = (optax.sgd if workload.optimizer == "sgd" else optax.adam)(workload.rate)

    def loss(model, norms, x, y):
        z, norms = jax.vmap(model, (0, None), (0, None), axis_name="batch")(x, norms)
        if workload.output == "binary":
            return optax.sigmoid_binary_cross_entropy(z[:, 0], y).mean(), norms
        if workload.output == "square":
            return optax.squared_error(z, jax.nn.one_hot(y, z.shape[-1])).sum(-1).mean() / 2, norms
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean(), norms

    @eqx.filter_jit(donate="all-except-first")
    def step(data, model, norms, state):
        grads, norms = eqx.filter_grad(loss, has_aux=True)(model, norms, *data)
        updates, state = optimizer.update(grads, state)
        return eqx.apply_updates(model, updates), norms, state

    @jax.jit
    def gather(x, y, rows):
        return x[rows], y[rows]

    state = optimizer.init(eqx.filter(model, eqx.is_array))
    x, y = jax.device_put((x, y))
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        for rows in of_lap(workload, rng, len(y)):
            data = (x, y) if rows is None else gather(x, y, rows)
            model, norms, state = step(data, model, norms, state)
        jax.block_until_ready(model)
        lap()
    return model.arrays()


def population(workload, x, y, lap):
    """Train stacked models with `filter_vmap`; a lap is one program."""
    of_members, shared = shardings(len(workload.population.members))
    rate = jax.device_put(rates(workload), of_members)
    optimizer = optax.scale_by_adam()

    @eqx.filter_jit
    def start(seeds):
        models = eqx.filter_vmap(lambda seed: MLP(workload, jax.random.key(seed)))(seeds)
        return models, optimizer.init(eqx.filter(models, eqx.is_array))

    def loss(model, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x)[0], y).mean()

    gradients = eqx.filter_vmap(eqx.filter_grad(loss), in_axes=(eqx.if_array(0), None, None))

    @eqx.filter_jit(donate="all-except-first")
    def run(data, models, state):
        x, y, rate, batches = data
        arrays, static = eqx.partition(models, eqx.is_array)

        def step(carry, rows):
            arrays, state = carry
            models = eqx.combine(arrays, static)
            updates, state = optimizer.update(gradients(models, x[rows], y[rows]), state)
            updates = jax.tree.map(lambda u: -rate.reshape(-1, *[1] * (u.ndim - 1)) * u, updates)
            return (eqx.filter(eqx.apply_updates(models, updates), eqx.is_array), state), None

        (arrays, state), _ = jax.lax.scan(step, (arrays, state), batches)
        return eqx.combine(arrays, static), state

    models, state = start(jax.device_put(seeds(workload), of_members))
    x, y = jax.device_put((x, y), shared)
    rng = np.random.default_rng(1)
    for _ in range(workload.laps):
        rows = jax.device_put(of_lap(workload, rng, len(y)).astype(np.int32), shared)
        models, state = run((x, y, rate, rows), models, state)
        jax.block_until_ready(models)
        lap()
    return [np.asarray(a) for layer in models.layers for a in (layer.weight, layer.bias)]
