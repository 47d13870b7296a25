"""A training of split params with the checkpoints of docs/processes.md, in one of several processes or in one alone."""

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

import jaxnn
from jaxnn import parallel
from tests.helpers.sources import ROOT

EPOCHS, INTERRUPTED_AT = 6, 4


def documented(word):
    """What the Python block of docs/processes.md that has a word defines."""
    blocks = (ROOT / "docs" / "processes.md").read_text().split("```python\n")[1:]
    (code,) = [block.split("```")[0] for block in blocks if word in block.split("```")[0]]
    assert len(code.splitlines()) <= 30
    names = {}
    exec(code, names)
    return names


def main(address, processes, process, folder, interrupted):
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, processes, process)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)).astype(np.float32), rng.integers(0, 4, 64)
    mesh = parallel.make_mesh()
    network = jaxnn.chain(jaxnn.dense(16), jaxnn.relu(), jaxnn.dropout(0.2), jaxnn.dense(4))
    params = parallel.split_evenly(network.init(jax.random.key(0), (6,))[0], mesh)
    restored_from = []

    def remember(report):
        restored_from.append(report["epoch"])
        if interrupted and report["epoch"] == INTERRUPTED_AT:
            raise InterruptedError

    checkpoints = documented("CheckpointManager")["checkpointer"](folder) if folder else None
    try:
        fit = jaxnn.fit(
            *(jaxnn.objective(network, jaxnn.softmax_cross_entropy()), jaxnn.optimizer("adam", 0.01), params, x, y),
            **dict(key=jax.random.key(1), epochs=EPOCHS, batch_size=16, shards=2, mesh=mesh),
            callback=remember,
            early_stopping=jaxnn.EarlyStopping("loss", 5),
            checkpoints=checkpoints,
        )
    except InterruptedError:
        print(json.dumps({"interrupted": restored_from}))
        return
    whole = [np.asarray(a) for a in jax.tree.leaves(parallel.gathered(fit.params))]
    print(
        json.dumps(
            {
                "split": sum(not a.is_fully_replicated for a in jax.tree.leaves(fit.params)),
                "losses": fit.losses.tolist(),
                "history": fit.history,
                "params": [a.tolist() for a in whole],
                "bits": hashlib.sha256(b"".join(a.tobytes() for a in whole)).hexdigest(),
            }
        )
    )


if __name__ == "__main__":
    address, processes, process, folder, interrupted = sys.argv[1:]
    main(address, int(processes), int(process), folder and Path(folder), interrupted == "interrupted")
