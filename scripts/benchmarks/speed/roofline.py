"""What the machine can do at most, and what a workload needs at least."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scripts.benchmarks.speed.workloads import CATS, Workload


class Limits(NamedTuple):
    """Of the machine, by JAX in this process: float32 products, operations a second; reading, bytes a second.

    Reading is measured at the size of the inputs that long scans read, which the caches may hold, and at a larger one.
    """

    flops: float
    reading: float
    reading_cached: float

    def __str__(self) -> str:
        return (
            f"machine: {self.flops / 1e9:.0f} GFLOP/s in float32 products of 2048 x 2048; reads "
            f"{self.reading / 1e9:.1f} GB/s of 256 MB, {self.reading_cached / 1e9:.1f} GB/s of 10 MB"
        )


def limits() -> Limits:
    n = 2048
    product = _fastest(jax.jit(lambda a: a @ a), jnp.ones((n, n)))
    # By matrix times vector, which reads with all cores.
    times = jax.jit(lambda a, v: a @ v)
    tables = [jnp.ones((m, 12288)) for m in (5461, CATS)]
    reading = [a.nbytes / _fastest(times, a, jnp.ones(12288)) for a in tables]
    return Limits(2 * n**3 / product, *reading)


def share(workload: Workload, machine: Limits, seconds: float) -> str:
    """The floor of a step, and how much of it a step of so many seconds reaches.

    Three products a layer, but for the first, whose input needs no gradient; x read forward and backward, weights read
    twice and written.
    """
    m = workload.batch or CATS
    layers = [a * b for a, b in zip(workload.sizes[:-1], workload.sizes[1:], strict=True)]
    flops = 2 * m * (3 * sum(layers) - layers[0])
    read = 4 * (2 * m * workload.sizes[0] + 3 * sum(layers))
    compute, memory = flops / machine.flops, read / machine.reading_cached
    least, by = max((compute, "matrix products"), (memory, "reading"))
    return (
        f"floor of a step: {flops:.2g} operations, {read:.2g} bytes, {1e3 * least:.4f} ms by {by}; "
        f"the fastest runs at {least / seconds:.0%} of it"
    )


def _fastest(f: Callable[..., Any], *args: Any) -> float:
    jax.block_until_ready(f(*args))
    times = []
    for _ in range(9):
        start = time.perf_counter()
        jax.block_until_ready(f(*args))
        times.append(time.perf_counter() - start)
    return min(times)
