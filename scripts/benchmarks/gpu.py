"""scripts/gpu-check: what jaxnn promises, on a GPU: gradients, times of layers and of trainings, presets.

In this order, each part in the seconds that are left:

1. Gradients: y, dx and dparams of every layer of `scripts/bench layers`, derived by hand against jax.vjp of its plain
   forward, in float32 with products in full precision ("highest"), and in the device's default one, which on a GPU
   rounds the factors of products to 11 bits (TF32). The difference is relative to the largest number of each array.
2. Layers: the table of `scripts/bench layers` at the largest size.
3. Speed: `scripts/bench speed`, jaxnn by hand and by jax.grad beside raw JAX.
4. Presets: those of MNIST that are marked for a GPU, one epoch each; the whole takes its number of epochs as long.
   They are left out where MNIST is not in $JAXNN_DATA or ./data.

Exits with 1 if a gradient in full precision differs by more than the stated bound, or a command failed. What is left
out for want of time or of data is no failure: the last line counts what was checked.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks import layers

BOUND = 2e-5
"""Of two correct gradients in float32, from sums of up to 10⁶ numbers in another order."""
SECONDS = 480.0
WORKLOADS = ("mnist", "lenet", "lstm", "transformer")
ENTRIES = ("jaxnn hand", "jaxnn auto", "raw JAX")
LEAST = 20.0
"""Seconds that a part needs at least; with fewer left it is left out."""


def difference(row: layers.Row, shape: Any, precision: str | None) -> float:
    """Return the largest difference of y, dparams and dx, relative to the largest number of each array."""
    x, params, key = layers.drawn(row, shape)
    with jax.default_matmul_precision(precision or "default"):
        given = params, x, key, layers.cotangent(row, params, x, key)
        found = [jax.device_get(jax.jit(f)(*given)) for f in layers.pair(row)]
    worst = 0.0
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        if jnp.issubdtype(a.dtype, jnp.floating):
            worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)))
    return worst


def check_gradients(until: float) -> tuple[dict[str, Any], bool]:
    """Return the differences of each layer, and whether all are within the bound."""
    found = {}
    for name, row in layers.rows().items():
        if time.monotonic() > until:
            print(f"  left out for want of time: {name} and all after it")
            break
        if name == "with_dtype":  # rounds to bfloat16, whose sums in another order differ by more
            continue
        full, fast = (difference(row, row.sizes[0], precision) for precision in ("highest", None))
        found[name] = {"highest": full, "default": fast}
        print(f"  {name:26}{full:10.1e}{fast:10.1e}{'' if full <= BOUND else '  above the bound'}", flush=True)
    return found, bool(found) and all(one["highest"] <= BOUND for one in found.values())


def time_layers(until: float) -> dict[str, Any]:
    """Return the milliseconds of each layer, by hand and by autodiff."""
    found = {}
    for name, row in layers.rows().items():
        if time.monotonic() > until:
            print(f"  left out for want of time: {name} and all after it")
            break
        got = layers.measure(row, row.sizes[-1], rounds=5)
        found[name] = {"hand_ms": 1e3 * got.hand, "auto_ms": 1e3 * got.auto}
        print(f"  {name:26}{1e3 * got.hand:10.3f}{1e3 * got.auto:10.3f}{got.hand / got.auto:8.2f}", flush=True)
    return found


def run_command(words: list[str], seconds: float) -> tuple[int, str]:
    """Run a command of this Python for at most some seconds; return its status, 124 for too long, and its output."""
    try:
        ended = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, f"it took more than the {seconds:.0f} s that were left"
    return ended.returncode, (ended.stdout if ended.returncode == 0 else ended.stderr).strip()


def time_trainings(until: float, platform: str) -> dict[str, Any]:
    """Return the table of `scripts/bench speed` for each workload."""
    found = {}
    for workload in WORKLOADS:
        left = until - time.monotonic()
        if left < LEAST:
            print(f"  left out for want of time: {workload}")
            continue
        peers = [word for entry in ENTRIES for word in ("--peer", entry)]
        words = ["scripts.benchmarks", "speed", "--platform", platform, "--workload", workload, *peers]
        status, text = run_command([*words, "--repeats", "1"], left)
        found[workload] = {"status": status, "output": text.splitlines()[-8:]}
        print("\n".join(f"  {line}" for line in found[workload]["output"]), flush=True)
    return found


def time_presets(until: float, runs: Path) -> dict[str, Any]:
    """Return the seconds of one epoch of each preset that is marked for a GPU, with its test errors."""
    from experiments.studies.mnist.data import find_files
    from experiments.studies.mnist.presets import PRESETS

    found = {}
    try:
        find_files(None)
    except ValueError as error:
        print(f"  left out: {error}")
        return found
    for name, preset in PRESETS.items():
        left = until - time.monotonic()
        if preset.device != "gpu":
            continue
        if left < LEAST:
            print(f"  left out for want of time: {name}")
            continue
        start = time.monotonic()
        words = ["experiments", "run", "mnist", "--preset", name, "--seeds", "1", "--epochs", "1"]
        status, text = run_command([*words, "--runs-dir", str(runs)], left)
        took = time.monotonic() - start
        last = text.splitlines()[-1] if text else ""
        found[name] = {"status": status, "seconds": took, "epochs": preset.epochs, "output": text.splitlines()[-12:]}
        print(f"  {name:26}{took:8.1f} s for 1 of {preset.epochs} epochs, with compilation: {last}", flush=True)
    return found


def verdict(found: dict[str, Any], right: bool) -> tuple[str, bool]:
    """Return how much of everything was checked, and whether a command failed: one that took too long did not."""
    from experiments.studies.mnist.presets import PRESETS

    commands = [*found["speed"].values(), *found["presets"].values()]
    failed = sum(one["status"] not in (0, 124) for one in commands)
    ended, presets = (sum(one["status"] == 0 for one in found[name].values()) for name in ("speed", "presets"))
    text = (
        f"gradients of {len(found['gradients'])} of {len(layers.rows())} layers, {'' if right else 'not '}all within "
        f"{BOUND:g}; times of {len(found['layers'])}; {ended} of {len(WORKLOADS)} trainings and {presets} of "
        f"{sum(preset.device == 'gpu' for preset in PRESETS.values())} presets ran to the end"
    )
    return f"{text}, {failed} failed" if failed else text, failed > 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for everything (default 480)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to FILE")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the presets' runs go")
    parser.add_argument("--any-device", action="store_true", help="also without a GPU, to try this command")
    options = parser.parse_args(argv)
    platform = jax.devices()[0].platform
    if platform != "gpu" and not options.any_device:
        parser.error(f"a GPU is needed, and JAX has {platform}: pip install '.[cuda]', or --any-device to try it")
    start = time.monotonic()
    found: dict[str, Any] = {
        "device": jax.devices()[0].device_kind,
        "count": jax.device_count(),
        "jax": jax.__version__,
    }
    print(f"{found['device']}, {found['count']} of them, JAX {found['jax']}")

    print(f"gradients, hand against jax.vjp; highest precision (at most {BOUND:g}), default precision")
    found["gradients"], right = check_gradients(start + 0.35 * options.seconds)
    print("layers at their largest size, ms by hand and by autodiff, and the ratio")
    found["layers"] = time_layers(start + 0.55 * options.seconds)
    print("trainings")
    found["speed"] = time_trainings(start + 0.8 * options.seconds, "cuda" if platform == "gpu" else "cpu")
    print("presets")
    found["presets"] = time_presets(start + options.seconds, options.runs_dir)

    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    text, failed = verdict(found, right)
    print(f"{text}; {time.monotonic() - start:.0f} s")
    return int(not right or failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
