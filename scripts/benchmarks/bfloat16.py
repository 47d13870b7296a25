"""scripts/bench bfloat16: MNIST trained in float32 and, with `with_dtype`, in half precision, from the same seeds.

784-512-512-10, ReLU, Adam, batches of 128. Params, loss and optimizer are always float32; the network's forward and
backward are bfloat16 or float16; "scaled" is `with_loss_scale`. This measures accuracy, not speed: half precision saves
time and memory only on devices that compute in it.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean

import jax
import jax.numpy as jnp
import optax

import jaxnn
from scripts.benchmarks.speed.workloads import Data, mnist

SIZES, BATCH, RATE = (784, 512, 512, 10), 128, 1e-3
DTYPES = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
    "float16 scaled": jnp.float16,
}


def train(dtype: str, seed: int, data: Data, test: Data, epochs: int) -> float:
    """Train on `data`; return the accuracy on `test`, from 0 to 1."""
    model = jaxnn.mlp(SIZES, "relu", output="softmax", init="he")
    model = model._replace(network=jaxnn.with_dtype(model.network, DTYPES[dtype]))
    optimizer = jaxnn.optim.with_loss_scale(optax.adam(RATE)) if dtype.endswith("scaled") else optax.adam(RATE)
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    result = jaxnn.fit(
        jaxnn.objective(model.network, model.loss),
        optimizer,
        model.init(init_key),
        data.x,
        data.y,
        key=fit_key,
        epochs=epochs,
        batch_size=BATCH,
        report_every=epochs,
    )
    return float(jaxnn.accuracy(jax.jit(model.predict)(result.params, test.x), test.y))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench bfloat16", description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=60_000, help="training images, 60000 at most")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every accuracy to FILE")
    options = parser.parse_args(argv)
    if not BATCH <= options.examples <= 60_000 or options.epochs < 1 or options.seeds < 1:
        parser.error(f"--examples must be from {BATCH} to 60000, --epochs and --seeds at least 1")
    data, test = mnist("train", options.examples), mnist("t10k", 10_000)
    print(
        f"{'-'.join(map(str, SIZES))} on {options.examples} MNIST images, {options.epochs} epochs, "
        f"test accuracy on {len(test.y)}" + ("" if data.real and test.real else " (synthetic data of the same shapes)")
    )
    print(f"  {'seed':>4}" + "".join(f"{dtype:>18}" for dtype in DTYPES) + "   (points from float32)")
    found = {dtype: [] for dtype in DTYPES}
    for seed in range(options.seeds):
        for dtype, accuracies in found.items():
            print(f"\r{dtype}, seed {seed} ", end="", file=sys.stderr, flush=True)
            accuracies.append(train(dtype, seed, data, test, options.epochs))
        print("\r" + " " * 24 + "\r", end="", file=sys.stderr)
        print(_row(str(seed), *(accuracies[-1] for accuracies in found.values())), flush=True)
    print(_row("mean", *map(mean, found.values())))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _row(name: str, single: float, *halves: float) -> str:
    cells = [f"{half:.2%} ({100 * (half - single):+.2f})" for half in halves]
    return f"  {name:>4}{single:18.2%}" + "".join(f"{cell:>18}" for cell in cells)
