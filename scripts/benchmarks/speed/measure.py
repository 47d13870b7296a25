"""Run the entries alternately, each in a separate process, and print a table of times and ratios for each workload.

Times of an entry only count if it reaches the workload's loss. The whole run is the time from starting the process to
the trained weights. The first step is the time of the first lap beyond steady steps, mostly compilation. Repeats
alternate between all entries, so that a slow minute of the machine affects them alike, and medians count. Libraries
with thread pools become many times slower if another program uses the cores: run nothing else.

The workload "population" trains 64 networks, with 8 learning rates and 8 seeds each, and an entry must train all of
them. If a library has several ways to do that, its entry is the fastest. The others, and bfloat16 on a CPU, run with
--peer.

With --platform cuda, JAX and PyTorch run on the GPU; NumPy and scikit-learn stay on the CPU, as the table shows.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from scripts.benchmarks.speed.roofline import Limits, share
from scripts.benchmarks.speed.workloads import WORKLOADS, Workload, prepare, shortfall

# name -> (module, required package)
PEERS = {
    "jaxnn hand": ("jaxnn_fit", "jaxnn"),
    "jaxnn auto": ("jaxnn_auto", "jaxnn"),
    "jaxnn in span": ("jaxnn_span", "jaxnn"),
    "raw JAX": ("raw", "jax"),
    "NumPy": ("with_numpy", "numpy"),
    "stax": ("with_stax", "jax"),
    "Flax NNX": ("with_flax", "flax"),
    "Equinox": ("with_equinox", "equinox"),
    "Keras": ("with_keras", "keras"),
    "PyTorch": ("with_torch", "torch"),
    "PyTorch, channels last": ("torch_channels_last", "torch"),
    "scikit-learn": ("with_sklearn", "sklearn"),
}
# Only with --peer, except bfloat16 on a GPU.
VARIANTS = {
    "jaxnn bfloat16": ("jaxnn_bfloat16", "jaxnn"),
    "raw JAX, one device": ("raw_one_device", "jax"),
    "raw JAX, own batches": ("raw_own_batches", "jax"),
    "NumPy loop": ("numpy_loop", "numpy"),
    "PyTorch loop": ("torch_loop", "torch"),
    "scikit-learn loop": ("sklearn_loop", "sklearn"),
}
ENTRIES = PEERS | VARIANTS
ON_CPU = ("numpy", "sklearn")  # packages that always run on the CPU
NO_GPU = "not measured: no GPU"
ROOT = Path(__file__).resolve().parents[3]


class Run(NamedTuple):
    """Seconds of one run, its peak memory in bytes, its final loss, its device, and the peak memory of the device."""

    whole: float
    first_step: float
    step: float
    peak: int
    loss: float
    device_peak: int = 0
    device: str = "cpu"


def run(peer: str, workload: Workload, name: str, folder: Path, timeout: float, platform: str = "cpu") -> Run | str:
    """Run an entry once; return its result, or the reason of its failure."""
    module, needs = ENTRIES[peer]
    if importlib.util.find_spec(needs) is None:
        return "not installed"
    start = time.time()
    try:
        measured = _result_of(platform, timeout, "entry", module, name, str(folder))
    except subprocess.TimeoutExpired:
        return f"not done after {timeout:.0f} s"
    if isinstance(measured, str):
        return "failed: " + measured
    if "none" in measured:
        return measured["none"]
    ends = [measured["started"], *measured["laps"]]
    laps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
    steady = median(laps[1:]) / workload.steps
    first = laps[0] - steady * (workload.steps - 1)
    if (short := shortfall(workload, measured["losses"])) is not None:
        return short
    if platform == "cuda" and measured["device"] == "cpu" and needs not in ON_CPU:
        return f"not measured: {needs} finds no GPU"
    loss = median(measured["losses"])
    return Run(
        measured["done"] - start, first, steady, measured["peak"], loss, measured["device_peak"], measured["device"]
    )


def limits(platform: str) -> Limits | None:
    """Return the limits of the machine; `None` if a GPU is needed but missing."""
    measured = _result_of(platform, None, "roofline")
    if isinstance(measured, dict):
        return Limits(**measured)
    if platform == "cuda":
        return None
    raise RuntimeError(f"the machine could not be measured: {measured}")


def _result_of(platform: str, timeout: float | None, module: str, *arguments: str) -> dict | str:
    """Run a module of this package in a separate process; return its printed result, or its last line if it failed."""
    command = [sys.executable, "-W", "ignore", "-m", f"scripts.benchmarks.speed.{module}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(platform), capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed without a message"])[-1][:200]
    return json.loads(done.stdout.splitlines()[-1])


def _environment(platform: str) -> dict[str, str]:
    hidden = {} if platform == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}  # PyTorch has no other setting
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": platform, **hidden}


def measure(
    name: str, peers: list[str], repeats: int, timeout: float, platform: str = "cpu"
) -> tuple[dict[str, list[Run | str]], bool]:
    workload, found = WORKLOADS[name], {peer: [] for peer in peers}
    with tempfile.TemporaryDirectory() as folder:
        real = prepare(workload, Path(folder))
        for i in range(repeats):
            for peer in peers[i % len(peers) :] + peers[: i % len(peers)]:
                print(f"\r{name}, {i + 1} of {repeats}: {peer:20}", end="", file=sys.stderr, flush=True)
                if not (found[peer] and isinstance(found[peer][-1], str)):
                    found[peer].append(run(peer, workload, name, Path(folder), timeout, platform))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return found, real


def medians(runs: list[Run | str]) -> Run | str:
    failures = [r for r in runs if isinstance(r, str)]
    return failures[0] if failures else _columns(median, runs)


def _columns(of: Callable[[Iterable[float]], float], runs: Iterable[Run]) -> Run:
    """Return one run that aggregates several: `of` of each column, and the first one's device."""
    *columns, devices = zip(*runs, strict=True)
    return Run(*(of(column) for column in columns), devices[0])


def table(
    name: str, found: dict[str, Run | str], real: bool, machine: Limits | None, against: str | None = None
) -> str:
    workload = WORKLOADS[name]
    counted = {peer: r for peer, r in found.items() if isinstance(r, Run)}
    width = max(14, *(len(peer) + 2 for peer in found))
    members = f"{len(workload.population.members)} of " if workload.population else ""
    lines = [f"{name}: {members}{'-'.join(map(str, _short(workload.sizes)))}, {workload.stresses}"]
    if not real:
        lines[0] += " (synthetic data of the same shapes: the real files were not found)"
    if counted:
        best = _columns(min, counted.values())
        base = counted.get(against, best)
        on_gpu = machine.device != "cpu"
        head = f"  {'':{width}}{'whole run':>11}{'ratio':>7}{'first step':>12}{'a step':>12}"
        head += f"{'ratio':>7}{'peak':>9}{'loss':>9}"
        lines.append(head + (f"{'on the GPU':>13}" if on_gpu else ""))
        for peer, r in sorted(counted.items(), key=lambda item: item[1].whole):
            there = f"{r.device_peak / 2**20:10.0f} MB" if r.device_peak else f"{_where(r):>13}"
            row = f"  {peer:{width}}{r.whole:9.2f} s{r.whole / base.whole:7.2f}{r.first_step:10.2f} s"
            row += f"{1e3 * r.step:9.4f} ms{r.step / base.step:7.2f}{r.peak / 2**20:6.0f} MB{r.loss:9.4f}"
            lines.append(row + (there if on_gpu else ""))
        for bfloat16 in (False, True):
            # A step in the row space is a different computation.
            full = {peer: r for peer, r in counted.items() if "in span" not in peer}
            steps = [r.step for peer, r in full.items() if ("bfloat16" in peer) == bfloat16]
            if steps and (machine.flops_bfloat16 or not bfloat16):
                lines.append("  " + share(workload, machine, min(steps), bfloat16))
    lines += [f"  {peer:{width}}{r}" for peer, r in found.items() if isinstance(r, str)]
    return "\n".join(lines)


def _where(r: Run) -> str:
    return "on the CPU" if r.device == "cpu" else "not reported"


def _short(sizes: tuple[int, ...]) -> list[object]:
    """Return the sizes, shortened if there are many layers."""
    return [*sizes] if len(sizes) <= 7 else [*sizes[:2], f"({len(sizes) - 4} more)", *sizes[-2:]]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this one; may be repeated")
    parser.add_argument("--peer", action="append", choices=ENTRIES, help="only this one; may be repeated")
    parser.add_argument("--platform", choices=("cpu", "cuda"), default="cpu", help="the device of JAX and PyTorch")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each entry, of which the median counts")
    parser.add_argument(
        "--against", choices=ENTRIES, help="ratios to this one; by default to the fastest of each column"
    )
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after which a run is aborted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to FILE")
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    peers = options.peer or [*PEERS, *(["jaxnn bfloat16"] if options.platform == "cuda" else [])]
    machine, record, failed = limits(options.platform), {}, False
    if machine is None:
        print("JAX finds no GPU: an NVIDIA GPU, its driver, and pip install '.[cuda]' are needed")
    else:
        print(machine)
    for name in options.workload or WORKLOADS:
        if machine is None:
            found, real = {peer: [NO_GPU] for peer in peers}, True
        else:
            found, real = measure(name, peers, options.repeats, options.timeout, options.platform)
        result = {peer: medians(runs) for peer, runs in found.items()}
        print("", table(name, result, real, machine, options.against), sep="\n", flush=True)
        record[name] = {peer: [r._asdict() if isinstance(r, Run) else r for r in runs] for peer, runs in found.items()}
        failed |= any(isinstance(result.get(peer), str) for peer in ("jaxnn hand", "jaxnn auto"))
    if options.json:
        measured = {"machine": machine and machine._asdict(), "runs": record}
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    return int(failed)
