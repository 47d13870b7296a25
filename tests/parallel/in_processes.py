"""The trainings of `test_processes`, in one of several processes or in one alone; prints what they reach as JSON."""

import json
import sys

import jax
import numpy as np
import optax

import jaxnn
from jaxnn import nn, parallel

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(61, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 61)
WEIGHT = RANDOM.uniform(0.5, 2, 61)
NETWORK = jaxnn.chain(jaxnn.dense(16), nn.batch_norm(), jaxnn.relu(), jaxnn.dropout(0.2), jaxnn.dense(4))


def main(address, processes, process, whole):
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, processes, process)
    mesh = parallel.make_mesh() if processes > 1 else None
    objective = jaxnn.objective(NETWORK, jaxnn.softmax_cross_entropy(), jaxnn.l2(0.01))
    optimizer, params = jaxnn.optimizer("momentum", 0.1), NETWORK.init(jax.random.key(0), (6,))[0]
    plan = dict(key=jax.random.key(1), epochs=2, mesh=mesh)

    @jax.jit
    def evaluate(params, stats):
        return {"error": jaxnn.metrics.error_rate(NETWORK.infer(params, stats, X).argmax(1), Y)}

    def fit(params):
        return jaxnn.fit(
            objective, optimizer, params, X, Y, batch_size=16, shards=4, evaluate=evaluate, **plan
        )  # fmt: skip

    def stream(batches, **more):
        return jaxnn.fit_stream(objective, optimizer, params, batches, **plan, **more)

    own = {} if mesh is None else {"process": (process, processes)}
    theirs = {} if mesh is None else {"own_rows": True}
    of_own = jaxnn.data.host_batches(Watched(X), Y, 10, seed=0, weight=WEIGHT, **own)
    found = {"fit": fit(params), "own": stream(of_own, **theirs)}
    if whole:
        found["stream"] = stream(jaxnn.data.host_batches(X, Y, 10, seed=0))
        found["without normalizer"] = stream(lambda epoch: [part[:3] for part in of_own(epoch)], **theirs)
        if mesh is not None:
            found["split"] = fit(parallel.split_evenly(params, mesh))
    results = {name: [one.losses.tolist(), one.history] for name, one in found.items()}
    results["params"] = [np.asarray(a).tolist() for a in jax.tree.leaves(found["fit"].params)]
    results["rows read"] = len(Watched.read)
    if not whole:
        print(json.dumps(results))
        return
    results["diverged"] = diverged(objective, params, of_own, theirs, plan)
    results["population"] = population(objective)
    results["held"] = held(objective, optimizer, params, plan, process, processes)
    print(json.dumps(results))


class Watched:
    """An array that remembers which of its rows were read."""

    read = set()

    def __init__(self, a):
        self.a, self.shape, self.dtype = a, a.shape, a.dtype

    def __getitem__(self, rows):
        self.read.update(np.arange(len(self.a))[rows].tolist())
        return self.a[rows]


def diverged(objective, params, batches, theirs, plan):
    """A training whose step is far too large: where it ends, and what is named."""
    fit = jaxnn.fit_stream(objective, jaxnn.optimizer("sgd", 1e30), params, batches, **plan, **theirs)
    return [fit.diverged_at, str(fit.divergence)]


def population(objective):
    """Five members, of which one diverges: more than there are devices, in all processes and in chunks."""

    def member(h):
        made = NETWORK.init(jax.random.key(h["seed"]), (6,))[0]
        return jaxnn.Member(objective, optax.sgd(h["rate"]), made, jax.random.key(0))

    h = {"seed": np.arange(5), "rate": np.array([0.1, 0.1, 1e30, 0.01, 0.1], np.float32)}
    plan = dict(epochs=3, batch_size=16, early_stopping=jaxnn.EarlyStopping("loss", 1))
    found = [jaxnn.fit_population(member, h, X, Y, **plan, **more) for more in ({}, {"chunk": 2})]
    return [
        [np.nan_to_num(one.losses).tolist(), one.diverged_at, one.best_epoch, np.asarray(one.params[0]["W"]).tolist()]
        for one in found
    ]


def held(objective, optimizer, params, plan, process, processes):
    """`fit` on arrays of which each process passes its own rows."""
    rows = slice(process * 30 // processes, (process + 1) * 30 // processes)
    x, y, weight = X[:60:2], Y[:60:2], WEIGHT[:60:2]
    if processes > 1:
        x, y, weight = parallel.place_rows((x[rows], y[rows], weight[rows]), parallel.make_mesh(), own_rows=True)
    fit = jaxnn.fit(objective, optimizer, params, x, y, weight=weight, batch_size=10, shards=2, **plan)
    return [fit.losses.tolist(), fit.history]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "whole")
