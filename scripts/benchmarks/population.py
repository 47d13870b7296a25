"""scripts/bench population: one population, with every plan of fit_population.

Plans: batches shared by all members or separate ones; one host device or two; all members at once, or in chunks.
Programs are compiled before the clock starts; plans alternate, and the minimum of the repeats counts.
"""

import argparse
import itertools
import time
from statistics import median
from typing import Any

import jax
import numpy as np
import optax

import jaxnn


def networks(sizes: tuple[int, ...], members: int, examples: int) -> tuple[Any, ...]:
    """Return the first arguments of `fit_population`: eight learning rates with as many seeds each, and random data."""
    rng = np.random.default_rng(0)
    x, y = rng.random((examples, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], examples)
    model = jaxnn.mlp(sizes, "relu", output="softmax", init="he")
    objective = jaxnn.objective(model.network, model.loss)

    def member(h):
        key = jax.random.key(h["seed"])
        return jaxnn.Member(objective, optax.adam(h["learning_rate"]), model.init(key), key)

    grid = jaxnn.grid(learning_rate=10 ** np.linspace(-3.5, -1.5, 8), seed=range(members // 8))
    return member, grid, x, y


def seconds(sizes: tuple[int, ...], members: int, examples: int, batch: int, epochs: int, repeats: int) -> dict:
    arguments = networks(sizes, members, examples)
    devices = jax.local_devices()
    plans = list(itertools.product(("shared", "own"), range(1, len(devices) + 1), (None, 8, len(devices))))
    times = {plan: [] for plan in plans}
    for _ in range(repeats + 1):
        for plan, taken in times.items():
            shuffle, count, chunk = plan
            start = time.perf_counter()
            jaxnn.fit_population(
                *arguments, epochs=epochs, batch_size=batch, report_every=epochs,
                shuffle=shuffle, chunk=chunk, devices=devices[:count],
            )  # fmt: skip
            taken.append(time.perf_counter() - start)
    return {plan: median(taken[1:]) for plan, taken in times.items()}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench population", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="runs of each plan, of which the median counts")
    parser.add_argument("--devices", type=int, default=2, help="host devices, one per core for example")
    options = parser.parse_args(argv)
    if options.repeats < 1 or options.devices < 1:
        parser.error("--repeats and --devices must be at least 1")
    jax.config.update("jax_num_cpu_devices", options.devices)
    for sizes, members, examples, batch, epochs in (
        ((64, 32, 10), 64, 1792, 64, 20),
        ((784, 128, 10), 16, 2048, 128, 4),
    ):
        print(f"{members} networks {'-'.join(map(str, sizes))}, {examples} examples, batch {batch}, {epochs} epochs")
        times = seconds(sizes, members, examples, batch, epochs, options.repeats)
        default = times["shared", options.devices, None]
        for (shuffle, count, chunk), taken in sorted(times.items(), key=lambda item: item[1]):
            at_a_time = "all" if chunk is None else chunk
            print(
                f"  batches {shuffle:6}  devices {count}  at a time {at_a_time:>3}  {taken:7.3f} s"
                f"  {taken / default:5.2f} of the default"
            )
    return 0
