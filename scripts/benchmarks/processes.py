"""scripts/bench processes: an epoch in 2 and 4 local processes, which JAX connects by gloo, beside one process.

The plan has 4 shards, so the numbers are the same but for rounding; each process makes and places its own rows only.
What is sent is read from the compiled program: the results of its reductions in a step. The share of communication is
what an epoch takes longer than the same rows of each process alone, when all compute these at the same time. The
processes share the cores of one machine, so this measures what is sent, not how much faster several machines are.

Exits with 1 if a loss of the first epoch differs by more than 1e-4 from that of one process, or more is sent than the
gradients, the loss, and four vectors of channels for each batch normalization.
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import time
from statistics import median
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import sync_global_devices

import jaxnn
from jaxnn import nn
from jaxnn.parallel import make_mesh, place_rows, place_whole
from scripts.benchmarks.collectives import GATHERS, reduced_bytes

CLOSE = 1e-4
SHARDS, EXAMPLES, BATCH = 4, 12_800, 256
INPUTS, WIDTH, CLASSES = 784, 512, 10
HIDDEN = 2
SECONDS = 600


def network() -> jaxnn.Layer:
    hidden = [layer for _ in range(HIDDEN) for layer in (jaxnn.dense(WIDTH), nn.batch_norm(), jaxnn.relu())]
    return jaxnn.chain(*hidden, jaxnn.dense(CLASSES))


def allowed_bytes(params: Any) -> int:
    """Return the bytes of the gradients, the loss, and four vectors for each batch normalization, and 64 more."""
    gradients = sum(math.prod(a.shape) for a in jax.tree.leaves(params))
    return 4 * (gradients + 1 + 4 * HIDDEN * WIDTH) + 64


def own_rows(process: int, processes: int) -> jaxnn.Batch:
    """Return the rows of this process, as a program of the user's would read them: each from its own seed."""
    each = []
    for shard in range(process * SHARDS // processes, (process + 1) * SHARDS // processes):
        rng = np.random.default_rng(shard)
        x = rng.normal(size=(EXAMPLES // SHARDS, INPUTS)).astype(np.float32)
        each.append((x, rng.integers(0, CLASSES, len(x))))
    return jaxnn.Batch(*(np.concatenate(a) for a in zip(*each, strict=True)))


def prepared(mesh: Any, data: jaxnn.Batch, batch_size: int, shards: int) -> tuple[Any, Any, Any]:
    """Return the compiled epoch on a mesh, its first state, and the data."""
    layers = network()
    objective = jaxnn.objective(layers, jaxnn.softmax_cross_entropy())
    optimizer = jaxnn.optimizer("momentum", 0.01)
    params, _ = layers.init(jax.random.key(0), (INPUTS,))
    stats = jaxnn.train.empty_averages(objective, params, data)
    state = place_whole(jaxnn.train_state(params, optimizer, jax.random.key(1), stats), mesh)
    placed = place_rows(data, mesh, own_rows=True)
    epoch = jaxnn.train.make_epoch(objective, optimizer, batch_size, shards=shards)
    return epoch.lower(state, placed).compile(), state, placed


def seconds(epoch: Any, state: Any, data: jaxnn.Batch, repeats: int) -> tuple[float, list[float]]:
    """Return the median seconds of an epoch, begun by all processes at once, and the losses of the first."""
    times, first = [], []
    for turn in range(repeats + 1):
        sync_global_devices("epoch")
        start = time.perf_counter()
        state, losses = jax.block_until_ready(epoch(state, data))
        times.append(time.perf_counter() - start)
        if turn == 0:
            first = np.asarray(losses).tolist()
    return median(times[1:]), first


def work(address: str, processes: int, process: int, repeats: int) -> None:
    """Measure in one of the processes; the first one prints the result as JSON."""
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, processes, process)
    data, alone = own_rows(process, processes), make_mesh(devices=jax.local_devices())
    epoch, state, placed = prepared(make_mesh(), data, BATCH, SHARDS)
    text, allowed = epoch.as_text(), allowed_bytes(state.params)
    together, losses = seconds(epoch, state, placed, repeats)
    own, _ = seconds(*prepared(alone, data, BATCH // processes, SHARDS // processes), repeats)
    if process == 0:
        gathers = sum(text.count(f" {kind}(") for kind in GATHERS)
        found = {"seconds": together, "alone": own, "losses": losses, "gathers": gathers, "allowed": allowed}
        print(json.dumps(found | {"sent": reduced_bytes(text) if processes > 1 else 0}))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def run(processes: int, *options: str, module: str = "scripts.benchmarks.processes") -> dict[str, Any]:
    """Return what the first of some processes of a module printed, as JSON.

    Raises:
      SystemExit: if one of them failed.
    """
    address = f"localhost:{free_port()}"
    command = [sys.executable, "-m", module, "--worker", address, str(processes)]
    started = [
        subprocess.Popen(
            [*command, str(i), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for i in range(processes)
    ]
    ended = [(*one.communicate(timeout=SECONDS), one.returncode) for one in started]
    failed = [errors for _, errors, status in ended if status]
    if failed:
        raise SystemExit(f"{len(failed)} of {processes} processes failed:\n{failed[0][-2000:]}")
    return json.loads(ended[0][0].splitlines()[-1])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench processes", description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 4], help="numbers of processes (default 2 4)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs that are timed")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.repeats < 1 or any(SHARDS % n or n < 2 for n in options.counts):
        parser.error(f"--counts must be 2 or {SHARDS} and --repeats at least 1")
    if options.worker:
        address, processes, process = options.worker
        work(address, int(processes), int(process), options.repeats)
        return 0
    print(f"JAX {jax.__version__}, {INPUTS}{f'-{WIDTH}' * HIDDEN}-{CLASSES} with batch normalization, batch {BATCH}")
    repeats = ("--repeats", str(options.repeats))
    one, right = run(1, *repeats), True
    for n in (1, *options.counts):
        found = one if n == 1 else run(n, *repeats)
        difference = float(np.abs(np.array(found["losses"]) - one["losses"]).max())
        share = max(0.0, 1 - found["alone"] / found["seconds"]) if n > 1 else 0.0
        print(
            f"  {n} process{'es' if n > 1 else '  '}{1000 * found['seconds']:9.1f} ms an epoch"
            f"{found['seconds'] / one['seconds']:7.2f}{found['sent']:12,} bytes sent a step, "
            f"{found['gathers']} gathers, "
            f"{share:.0%} communication, losses differ by {difference:.1e}",
            flush=True,
        )
        right &= difference <= CLOSE and found["sent"] <= found["allowed"] and not found["gathers"]
    print(f"{'right' if right else 'wrong'}: at most {one['allowed']:,} bytes, {CLOSE:g} of difference, no gather")
    return int(not right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
