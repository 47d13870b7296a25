"""jaxnn: a model, an objective, `fit`; a population with `fit_population`."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn import nn
from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.peers.devices import shardings

NETWORKS = ("mlp", "lenet", "resnet", *sequences.NETWORKS)


def train(workload, x, y, lap, gradients="hand", dtype=jnp.float32, fit=jaxnn.fit):
    model, objective = _model(workload, dtype)
    result = fit(
        objective,
        jaxnn.optimizer(workload.optimizer, workload.rate),
        model.init(jax.random.key(0)),
        x,
        y,
        key=jax.random.key(1),
        **_plan(workload, len(y), lap, gradients),
    )
    return _arrays(model, result.params)


def population(workload, x, y, lap, gradients="hand", dtype=jnp.float32):
    shardings(len(workload.population.members))  # one host device per core; fit_population uses all of them
    model, objective = _model(workload, dtype)

    def member(h):
        optimizer = jaxnn.optimizer(workload.optimizer, h["learning_rate"])
        return jaxnn.Member(objective, optimizer, model.init(jax.random.key(h["seed"])), jax.random.key(1))

    result = jaxnn.fit_population(
        member,
        jaxnn.grid(learning_rate=workload.population.rates, seed=range(workload.population.seeds)),
        x,
        y,
        **_plan(workload, len(y), lap, gradients),
    )
    return _arrays(model, result.params)


def _plan(workload, m, lap, gradients):
    """Return the arguments of `fit` with a report after every lap."""
    epochs = workload.steps if workload.batch is None else workload.steps * workload.batch // m
    return dict(
        epochs=workload.laps * epochs,
        batch_size=workload.batch,
        gradients=gradients,
        report_every=epochs,
        callback=lambda report: lap(),
    )


def _model(workload, dtype):
    if workload.network == "mlp":
        options = dict(output=workload.output, init=workload.init, scan=workload.scan)
        model = jaxnn.mlp(workload.sizes, workload.activation, **options)
    elif workload.network in sequences.NETWORKS:
        model = _of_sequences(workload)
    elif workload.network == "lenet":
        model = jaxnn.models.lenet(workload.sizes[:3], workload.sizes[3], init=workload.init)
    else:
        model = jaxnn.models.resnet(workload.sizes[:3], workload.sizes[3], blocks=(1, 1, 1))
    network = model.network if dtype == jnp.float32 else jaxnn.with_dtype(model.network, dtype)
    return model, jaxnn.objective(network, model.loss)


def _of_sequences(workload):
    n_times, width = workload.sizes[:2]
    if workload.network == "lstm layer":
        lstm = nn.recurrent(nn.lstm_cell(workload.sizes[2]))
        return jaxnn.Model(lstm, (n_times, width), jaxnn.Loss(_squared, _squared_gradient), lambda a: a, lambda a: a)
    *_, characters = workload.sizes
    embedding = nn.each_step(nn.embedding(characters, width))
    if workload.network == "lstm":
        last = nn.each_step(jaxnn.dense(characters))
        network = jaxnn.chain(embedding, nn.recurrent(nn.lstm_cell(workload.sizes[2])), last)
    else:
        _, _, heads, hidden, blocks, _ = workload.sizes
        last = nn.each_step(jaxnn.chain(nn.layer_norm(), jaxnn.dense(characters)))
        many = [nn.transformer_block(heads, hidden, causal=True)] * blocks
        network = jaxnn.chain(embedding, nn.learned_positions(n_times), *many, last)
    example = jax.ShapeDtypeStruct((n_times,), "int32")
    return jaxnn.Model(network, example, *jaxnn.models.feedforward.OUTPUTS["softmax"])


def _squared(a, y):
    return ((a * a).sum(-1) + 1) / 2 - jnp.take_along_axis(a, y[..., None], -1)[..., 0]


def _squared_gradient(a, y):
    return a - jax.nn.one_hot(y, a.shape[-1])


def _arrays(model, params):
    return [np.asarray(a) for a in jaxnn.models.params_to_arrays(model.network, params)]
