"""Limits of the machine, and the minimum work of a workload.

python -m scripts.benchmarks.speed.roofline measures the limits in a separate process, since a process that has used a
GPU keeps its memory.
"""

import json
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.networks import in_shape, weights
from scripts.benchmarks.speed.workloads import CATS, Workload


class Limits(NamedTuple):
    """Limits of the machine with JAX: operations per second of float32 products, and bytes per second of reading.

    Reading is measured at the size of the inputs of long scans, which may fit into caches, and at a larger one. A GPU's
    float32 products have JAX's default precision, in tensor cores if there are any.
    """

    flops: float
    reading: float
    reading_cached: float
    flops_bfloat16: float | None = None  # only for a GPU
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
    """Measure the limits of JAX's first device."""
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0].device_kind
    multiply = jax.jit(lambda a: a @ a)
    if device == "cpu":
        n = 2048
        product = _fastest(multiply, jnp.ones((n, n)))
        # Matrix times vector reads with all cores.
        times = jax.jit(lambda a, v: a @ v)
        tables = [jnp.ones((m, 12288)) for m in (5461, CATS)]
        reading = [a.nbytes / _fastest(times, a, jnp.ones(12288)) for a in tables]
        return Limits(2 * n**3 / product, *reading)
    n, repeats = 8192, 100
    flops = {dtype: 2 * n**3 / _fastest(multiply, jnp.ones((n, n), dtype)) for dtype in ("float32", "bfloat16")}
    # Each product needs the previous one, so that none is optimized away; many per program, to hide its overhead.
    times = jax.jit(lambda a, v: jax.lax.fori_loop(0, repeats, lambda i, v: a @ v, v))
    tables = [jnp.full((m, m), 1 / m) for m in (23170, 2048)]
    reading = [repeats * a.nbytes / _fastest(times, a, jnp.ones(len(a))) for a in tables]
    return Limits(flops["float32"], *reading, flops["bfloat16"], device)


def share(workload: Workload, machine: Limits, seconds: float, bfloat16: bool = False) -> str:
    """Return a text on the minimum time of a step, and the share of it that a step of these seconds reaches.

    It counts three products per layer, except for the first, whose input needs no gradient, and for convolutions,
    recurrent layers and attention no pass over what is between the products; x is read forward and backward, weights
    are read twice and written. A population reads x once for all members.
    """
    m = workload.batch or CATS
    n = len(workload.population.members) if workload.population else 1
    layers = weights(workload.network, workload.sizes)
    products = [layer.size * layer.places for layer in layers]
    first = products[workload.network == "lstm layer"]  # there W_a precedes W_x
    inputs = math.prod(in_shape(workload.network, workload.sizes))
    flops = 2 * m * n * (3 * (sum(products) + sequences.scores(workload.network, workload.sizes)) - first)
    read = 4 * (2 * m * inputs + 3 * n * sum(layer.size for layer in layers))
    compute, memory = flops / (machine.flops_bfloat16 if bfloat16 else machine.flops), read / machine.reading_cached
    least, by = max((compute, "matrix products"), (memory, "reading"))
    return (
        f"minimum of a step{' in bfloat16' if bfloat16 else ''}: {flops:.2g} operations, {read:.2g} bytes, "
        f"{1e3 * least:.4f} ms, limited by {by}; the fastest entry reaches {least / seconds:.0%} of that speed"
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
