"""Cost of training from a memory map instead of from memory: examples per second of `fit` and `fit_stream`.

A network 784-512-512-10 trains with Adam on synthetic data in the shape of MNIST. The ways alternate; the second epoch
of each training is timed, when everything is compiled.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import jax
import numpy as np
import optax

import jaxnn

SIZES, BATCH = (784, 512, 512, 10), 128


def make(folder: Path, m: int) -> None:
    """Write x as floats and as bytes, and y, as files that can be memory-mapped."""
    rng = np.random.default_rng(0)
    for name, dtype, scale in (("bytes", np.uint8, 1), ("floats", np.float32, 255)):
        x = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (m, SIZES[0]))
        for i in range(0, m, 4096):
            n = len(x[i : i + 4096])
            x[i : i + 4096] = rng.integers(0, 256, (n, SIZES[0]), np.uint8) / np.array(scale, dtype)
        x.flush()
    np.save(folder / "y.npy", rng.integers(0, SIZES[-1], m).astype(np.int32))


def ways(folder: Path, steps_per_call: list[int], prefetch: int) -> dict[str, Callable[..., jaxnn.Fit]]:
    """Return functions that train for some epochs, with a callback after each."""
    model = jaxnn.mlp(SIZES, "relu", output="softmax", init="he")
    plan = (jaxnn.objective(model.network, model.loss), optax.adam(1e-3), model.init(jax.random.key(0)))
    y = np.load(folder / "y.npy")
    floats, pixels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("floats", "bytes"))
    from_floats, from_bytes = (jaxnn.data.host_batches(x, y, BATCH, seed=0) for x in (floats, pixels))

    def in_memory(**given):
        return jaxnn.fit(*plan, np.asarray(floats), y, key=jax.random.key(1), batch_size=BATCH, **given)

    def stream(batches, n):
        return lambda **given: jaxnn.fit_stream(
            *plan, batches, key=jax.random.key(1), steps_per_call=n, prefetch=prefetch, **given
        )

    def scaled(epoch):
        return ((x * np.float32(1 / 255), y) for x, y, *_ in from_bytes(epoch))

    return {
        "fit, in memory": in_memory,
        **{f"fit_stream, floats, {n} steps a call": stream(from_floats, n) for n in steps_per_call},
        **{f"fit_stream, bytes, {n} steps a call": stream(scaled, n) for n in steps_per_call},
    }


def second_epoch(train: Callable[..., jaxnn.Fit]) -> float:
    """Return the seconds of the second epoch."""
    times = []
    train(epochs=2, callback=lambda report: times.append(time.perf_counter()))
    return times[1] - times[0]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench stream", description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=12_800, help="examples of an epoch")
    parser.add_argument("--repeats", type=int, default=15, help="trainings of each way")
    parser.add_argument("--steps-per-call", type=int, nargs="+", default=[1, 8, 16, 32], metavar="N")
    parser.add_argument("--prefetch", type=int, default=2)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.examples)
        trainings = ways(Path(folder), options.steps_per_call, options.prefetch)
        seconds = {name: [] for name in trainings}
        for i in range(options.repeats):
            for name in list(trainings)[:: 1 if i % 2 == 0 else -1]:
                seconds[name].append(second_epoch(trainings[name]))
    base = next(iter(seconds.values()))
    print(f"{'way':36} {'examples/s':>10} {'of fit':>7} {'fastest runs':>12}")
    for name, runs in seconds.items():
        rate = options.examples / median(runs)
        print(f"{name:36} {rate:10.0f} {median(base) / median(runs):7.2f} {min(base) / min(runs):12.2f}")
    return 0
