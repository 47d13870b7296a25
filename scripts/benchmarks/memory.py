"""scripts/bench memory: memory of the compiled programs of a step, as XLA reports it; nothing is run.

Two tables: hand-derived against automatic gradients for the networks of the speed benchmark, and `remat` against caches
for deep stacks of wide blocks. A program's arguments are the training state and the batch, its output is the new state;
gradients differ in the temporary memory.

Hand-derived gradients should need no more memory than automatic ones. A difference below one float per output and
example depends on how XLA orders two small vectors, and passes. On a CPU, XLA's "peak" excludes the temporary memory.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import jaxnn
from scripts.benchmarks.speed.workloads import CATS, WORKLOADS

NETWORKS = ("logistic", "course", "mnist", "tiny", "deep-128", "wide")
DEPTH, WIDTH, BATCH = 64, 512, 2048


class Memory(NamedTuple):
    """Bytes of a compiled program; `peak` is `None` if the backend does not report it."""

    temporary: int
    arguments: int
    output: int
    peak: int | None


def of_step(network: jaxnn.Layer, loss: jaxnn.Loss, x: tuple[int, ...], y: tuple[int, ...], gradients: str) -> Memory:
    """Return the memory of one step of gradient descent on a batch x (m, ...) of float32 and y of int32."""
    optimizer = optax.sgd(0.1)
    params = jax.eval_shape(lambda key: network.init(key, x[1:])[0], jax.random.key(0))
    state = jax.eval_shape(lambda params, key: jaxnn.train_state(params, optimizer, key), params, jax.random.key(0))
    batch = jaxnn.Batch(jax.ShapeDtypeStruct(x, jnp.float32), jax.ShapeDtypeStruct(y, jnp.int32))
    step = jaxnn.make_step(jaxnn.objective(network, loss), optimizer, gradients)
    analysis = jax.jit(step).lower(state, batch).compile().memory_analysis()
    return Memory(
        analysis.temp_size_in_bytes,
        analysis.argument_size_in_bytes,
        analysis.output_size_in_bytes,
        getattr(analysis, "peak_memory_in_bytes", None) or None,
    )


def of_workload(name: str, gradients: str) -> Memory:
    workload = WORKLOADS[name]
    model = jaxnn.mlp(workload.sizes, workload.activation, output=workload.output, scan=workload.scan)
    m = workload.batch or CATS
    return of_step(model.network, model.loss, (m, workload.sizes[0]), (m,), gradients)


def blocks(width: int) -> dict[str, jaxnn.Layer]:
    """Return blocks with as many outputs as inputs, to be stacked."""
    dense = jaxnn.dense(width, "he")
    return {
        "dense, relu": jaxnn.chain(dense, jaxnn.relu()),
        "x + (dense, gelu, dense)": jaxnn.residual(jaxnn.chain(dense, jaxnn.gelu(), dense)),
    }


def of_stack(block: jaxnn.Layer, depth: int, width: int, batch: int, gradients: str = "hand") -> Memory:
    network = jaxnn.chain(jaxnn.repeat(block, depth), jaxnn.dense(10))
    return of_step(network, jaxnn.softmax_cross_entropy(), (batch, width), (batch,), gradients)


def needs_more(name: str, hand: Memory, auto: Memory) -> bool:
    """Return whether hand-derived gradients need more memory, beyond one array of the network's outputs."""
    workload = WORKLOADS[name]
    return hand.temporary - auto.temporary > 4 * (workload.batch or CATS) * workload.sizes[-1]


def _row(name: str, memory: Memory, base: Memory) -> str:
    sizes = "".join(f"{_size(n):>13}" for n in memory)
    return f"  {name:36}{sizes}{memory.temporary / base.temporary:8.2f}"


def _size(n: int | None) -> str:
    return "" if n is None else f"{n / 2**20:.2f} MB" if n >= 2**20 else f"{n / 2**10:.1f} kB"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE, in bytes")
    options = parser.parse_args(argv)
    record, worse = {}, []
    head = f"{'temporary':>13}{'arguments':>13}{'output':>13}{'peak':>13}{'ratio':>8}"
    print(
        f"one step's program by JAX {jax.__version__} on a {jax.default_backend()}; the ratio is of temporary memory\n"
    )
    print(f"  {'networks, automatic and hand-derived':36}{head}")
    for name in NETWORKS:
        auto, hand = of_workload(name, "auto"), of_workload(name, "hand")
        for gradients, memory in (("auto", auto), ("hand", hand)):
            print(_row(f"{name}, {gradients}", memory, auto), flush=True)
            record[f"{name}, {gradients}"] = memory._asdict()
        worse += [name] if needs_more(name, hand, auto) else []
    print(f"\n  {f'{DEPTH} blocks of {WIDTH} units, batch {BATCH}':36}{head}")
    for name, block in blocks(WIDTH).items():
        auto, hand = (of_stack(block, DEPTH, WIDTH, BATCH, gradients) for gradients in ("auto", "hand"))
        again = of_stack(jaxnn.remat(block), DEPTH, WIDTH, BATCH)
        for how, memory in (("auto", auto), ("hand", hand), ("remat", again)):
            print(_row(f"{name}, {how}", memory, hand), flush=True)
            record[f"{name}, {how}"] = memory._asdict()
        worse += [name] if hand.temporary > auto.temporary else []
    if worse:
        print(f"\nhand-derived gradients need more than automatic ones: {', '.join(worse)}")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return int(bool(worse))
