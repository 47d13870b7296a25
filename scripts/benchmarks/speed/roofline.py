"""What the machine can do at most, and what a workload needs at least.

python -m scripts.benchmarks.speed.roofline measures the first, in a process of its own: one that has used a GPU keeps
its memory.
"""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from scripts.benchmarks.speed.workloads import CATS, Workload


class Limits(NamedTuple):
    """Of the machine, by JAX: float32 products, operations a second; reading, bytes a second.

    Reading is measured at the size of the inputs that long scans read, which the caches may hold, and at a larger one.
    A GPU's float32 products are by JAX's default precision, in tensor cores where there are any.
    """

    flops: float
    reading: float
    reading_cached: float
    flops_bfloat16: float | None = None  # of a GPU alone
    device: str = "cpu"

    def __str__(self) -> str:
        if self.device == "cpu":
            return (
                f"machine: {self.flops / 1e9:.0f} GFLOP/s in float32 products of 2048 x 2048; reads "
                f"{self.reading / 1e9:.1f} GB/s of 256 MB, {self.reading_cached / 1e9:.1f} GB/s of 10 MB"
            )
        return (
            f"machine: {self.device}, {self.flops / 1e12:.0f} TFLOP/s in float32 products of 8192 x 8192, "
            f"{self.flops_bfloat16 / 1e12:.0f} TFLOP/s in bfloat16; reads {self.reading / 1e9:.0f} GB/s of 2 GB, "
            f"{self.reading_cached / 1e9:.0f} GB/s of 17 MB"
        )


def limits() -> Limits:
    """Measured on JAX's first device."""
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0].device_kind
    multiply = jax.jit(lambda a: a @ a)
    if device == "cpu":
        n = 2048
        product = _fastest(multiply, jnp.ones((n, n)))
        # By matrix times vector, which reads with all cores.
        times = jax.jit(lambda a, v: a @ v)
        tables = [jnp.ones((m, 12288)) for m in (5461, CATS)]
        reading = [a.nbytes / _fastest(times, a, jnp.ones(12288)) for a in tables]
        return Limits(2 * n**3 / product, *reading)
    n, repeats = 8192, 100
    flops = {dtype: 2 * n**3 / _fastest(multiply, jnp.ones((n, n), dtype)) for dtype in ("float32", "bfloat16")}
    # Each product needs the one before, so that none is left out; many in a program, since starting one takes longer.
    times = jax.jit(lambda a, v: jax.lax.fori_loop(0, repeats, lambda i, v: a @ v, v))
    tables = [jnp.full((m, m), 1 / m) for m in (23170, 2048)]
    reading = [repeats * a.nbytes / _fastest(times, a, jnp.ones(len(a))) for a in tables]
    return Limits(flops["float32"], *reading, flops["bfloat16"], device)


def share(workload: Workload, machine: Limits, seconds: float, bfloat16: bool = False) -> str:
    """The floor of a step, and how much of it a step of so many seconds reaches.

    Three products a layer, but for the first, whose input needs no gradient; x read forward and backward, weights read
    twice and written. A population reads x for all members at once.
    """
    m = workload.batch or CATS
    n = len(workload.population.members) if workload.population else 1
    layers = [a * b for a, b in zip(workload.sizes[:-1], workload.sizes[1:], strict=True)]
    flops = 2 * m * n * (3 * sum(layers) - layers[0])
    read = 4 * (2 * m * workload.sizes[0] + 3 * n * sum(layers))
    compute, memory = flops / (machine.flops_bfloat16 if bfloat16 else machine.flops), read / machine.reading_cached
    least, by = max((compute, "matrix products"), (memory, "reading"))
    return (
        f"floor of a step{' in bfloat16' if bfloat16 else ''}: {flops:.2g} operations, {read:.2g} bytes, "
        f"{1e3 * least:.4f} ms by {by}; the fastest runs at {least / seconds:.0%} of it"
    )


def _fastest(f: Callable[..., Any], *args: Any) -> float:
    times = []
    for _ in range(10):
        start = time.perf_counter()
        f(*args).block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times[1:])  # the first one compiles


if __name__ == "__main__":
    print(json.dumps(limits()._asdict()))
