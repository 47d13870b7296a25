"""Two processes whose first batches differ, in one way after the other; prints the errors of this one as JSON."""

import json
import sys

import jax
import numpy as np

import jaxnn
from jaxnn import parallel


def main(address, processes, process):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, processes, process)
    network = jaxnn.dense(3)
    params, _ = network.init(jax.random.key(0), (6,))
    objective, optimizer = jaxnn.objective(network, jaxnn.softmax_cross_entropy()), jaxnn.optimizer("sgd", 0.1)
    x, y = np.ones((8, 6), np.float32), np.zeros(8, int)

    def missing():
        raise OSError("no such file")

    of_second = {
        "rows": lambda: [(np.concatenate([x, x]), np.concatenate([y, y]))],
        "features": lambda: [(x[:, :5], y)],
        "targets": lambda: [(x, np.eye(3, dtype=np.float32)[y])],
        "normalizer": lambda: [jaxnn.Batch(x, y, np.ones(8), 16.0)],
        "file": missing,
        "none": lambda: [],
    }
    plan = dict(key=jax.random.key(1), epochs=1, mesh=parallel.make_mesh(), own_rows=True)
    found = {}
    for name, make in of_second.items():
        try:
            jaxnn.fit_stream(
                objective, optimizer, params, lambda epoch, make=make: make() if process else [(x, y)], **plan
            )
        except (ValueError, OSError) as error:
            found[name] = str(error)
    found["losses"] = jaxnn.fit_stream(objective, optimizer, params, [(x, y)], **plan).losses.tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
