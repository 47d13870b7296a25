"""The trainings of `test_processes`, in one of several processes or in one alone; prints what they reach as JSON."""

import json
import sys

import jax
import numpy as np

import jaxnn
from jaxnn import nn, parallel

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(61, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 61)
NETWORK = jaxnn.chain(jaxnn.dense(16), nn.batch_norm(), jaxnn.relu(), jaxnn.dropout(0.2), jaxnn.dense(4))


def main(address, processes, process):
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

    batches = jaxnn.data.host_batches(X, Y, 10, seed=0)
    found = {"fit": fit(params), "stream": jaxnn.fit_stream(objective, optimizer, params, batches, **plan)}
    if mesh is not None:
        found["split"] = fit(parallel.split_evenly(params, mesh))
    results = {name: [one.losses.tolist(), one.history] for name, one in found.items()}
    results["params"] = [np.asarray(a).tolist() for a in jax.tree.leaves(found["fit"].params)]
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
