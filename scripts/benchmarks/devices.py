"""scripts/bench devices: an epoch on several devices of one process, beside the same plan on one.

The plan has as many shards as the most devices, so the numbers are the same but for rounding. On a CPU the devices
share the cores that one has for itself, so the best ratio is 1. What is sent is read from the compiled program: the
results of its reductions, for each step; nothing should be gathered.

Exits with 1 if an epoch takes more than 1.1 times that of one device, a loss of the first epoch differs by more than
1e-4, or more than the gradients and the loss is sent.
"""

import argparse
import math
import sys
import time
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn.parallel import make_mesh, place_rows, place_whole
from scripts.benchmarks.collectives import GATHERS, reduced_bytes

LIMIT, CLOSE = 1.1, 1e-4
SIZES, EXAMPLES, BATCH = (784, 512, 512, 10), 51_200, 1024


def prepared(devices: int, shards: int | None) -> tuple[Any, Any, Any]:
    """Return the compiled epoch, a function that makes the first state, and the data, on a number of devices."""
    model = jaxnn.mlp(SIZES, output="softmax")
    objective, optimizer = jaxnn.objective(model.network, model.loss), jaxnn.optimizer("momentum", 0.01)
    rng, mesh = np.random.default_rng(0), make_mesh(devices=jax.devices()[:devices])
    x = rng.normal(size=(EXAMPLES, SIZES[0])).astype(np.float32)
    data = place_rows(jaxnn.Batch(x, rng.integers(0, SIZES[-1], EXAMPLES)), mesh)

    def state():
        return place_whole(jaxnn.train_state(model.init(jax.random.key(0)), optimizer, jax.random.key(1)), mesh)

    epoch = jaxnn.train.make_epoch(objective, optimizer, BATCH, shards=shards)
    return epoch.lower(state(), data).compile(), state, data


def timed(programs: list[Any], repeats: int) -> tuple[list[float], list[np.ndarray]]:
    """Return the median seconds of an epoch of each program, which take turns, and the losses of its first epoch."""
    states, times, losses = [state() for _, state, _ in programs], [[] for _ in programs], []
    for turn in range(repeats + 1):
        for i, (epoch, _, data) in enumerate(programs):
            start = time.perf_counter()
            states[i], of_epoch = jax.block_until_ready(epoch(states[i], data))
            times[i].append(time.perf_counter() - start)
            if turn == 0:
                losses.append(np.asarray(of_epoch))
    return [median(of_program[1:]) for of_program in times], losses


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench devices", description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=2, help="compare this many with one (default 2)")
    parser.add_argument("--repeats", type=int, default=9, help="epochs that are timed")
    options = parser.parse_args(argv)
    if options.devices < 2 or options.repeats < 1:
        parser.error(f"--devices must be at least 2 and --repeats 1, got {options.devices} and {options.repeats}")
    if jax.config.values["jax_num_cpu_devices"] in (-1, 0, 1):
        jax.config.update("jax_num_cpu_devices", options.devices)
    n = len(jax.devices())
    if n < options.devices:
        parser.error(f"--devices must be at most the {n} of this machine, got {options.devices}")
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, {'-'.join(map(str, SIZES))}, batch {BATCH}")
    shards, names = options.devices, ("one device", f"{options.devices} devices", f"{options.devices}, without shards")
    programs = [prepared(1, shards), prepared(options.devices, shards), prepared(options.devices, None)]
    times, losses = timed(programs, options.repeats)
    for name, seconds, (program, _, _) in zip(names, times, programs, strict=True):
        text = program.as_text()
        gathers = sum(text.count(f" {kind}(") for kind in GATHERS)
        print(
            f"  {name:22}{1000 * seconds:9.1f} ms an epoch{seconds / times[0]:7.2f}"
            f"{reduced_bytes(text):12,} bytes reduced a step, {gathers} gathers",
            flush=True,
        )
    params = sum(math.prod(a.shape) for a in jax.tree.leaves(programs[0][1]().params))
    text = programs[1][0].as_text()
    sent = reduced_bytes(text)
    allowed = params * jnp.float32(0).nbytes + 64
    difference = float(np.abs(losses[0] - losses[1]).max())
    right = {
        f"ratio {times[1] / times[0]:.2f}, at most {LIMIT}": times[1] <= LIMIT * times[0],
        f"losses of an epoch differ by {difference:.1e}, at most {CLOSE:g}": difference <= CLOSE,
        f"{sent:,} bytes sent, at most {allowed:,}, the gradients and the loss": sent <= allowed
        and not any(f" {kind}(" in text for kind in GATHERS),
    }
    print("; ".join(right))
    return int(not all(right.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
