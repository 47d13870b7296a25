"""Runs the entries in turn, each in a process of its own, and prints one table of times and ratios for a workload.

Every entry must reach the workload's loss, or its times do not count. The whole run is what a person waits for, from
starting the process to the trained weights. The first step is what the first lap takes beyond steady steps, which is
compilation above all. Repeats go round all entries, so that a slow minute of the machine hits them alike, and medians
count.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from scripts.benchmarks.speed.roofline import Limits, limits, share
from scripts.benchmarks.speed.workloads import WORKLOADS, Workload, prepare

# name -> (module, what must be installed)
PEERS = {
    "jaxnn hand": ("jaxnn_fit", "jaxnn"),
    "jaxnn auto": ("jaxnn_auto", "jaxnn"),
    "raw JAX": ("raw", "jax"),
    "NumPy": ("with_numpy", "numpy"),
    "stax": ("with_stax", "jax"),
    "Flax NNX": ("with_flax", "flax"),
    "Equinox": ("with_equinox", "equinox"),
    "PyTorch": ("with_torch", "torch"),
    "scikit-learn": ("with_sklearn", "sklearn"),
}
ROOT = Path(__file__).resolve().parents[3]


class Run(NamedTuple):
    """Seconds of one run, its peak memory in bytes, and the loss it reached."""

    whole: float
    first_step: float
    step: float
    peak: int
    loss: float


def run(peer: str, workload: Workload, name: str, folder: Path, timeout: float) -> Run | str:
    """One run of an entry, or why there is none."""
    module, needs = PEERS[peer]
    if importlib.util.find_spec(needs) is None:
        return "not installed"
    command = [sys.executable, "-W", "ignore", "-m", "scripts.benchmarks.speed.entry", module, name, str(folder)]
    start = time.time()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {timeout:.0f} s"
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or ["without a word"])[-1][:200]
    told = json.loads(done.stdout.splitlines()[-1])
    ends = [told["started"], *told["laps"]]
    laps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
    steady = median(laps[1:]) / workload.steps
    first = laps[0] - steady * (workload.steps - 1)
    if not told["loss"] <= workload.target:
        return f"reached a loss of {told['loss']:.4g}, not {workload.target:g}"
    return Run(told["done"] - start, first, steady, told["peak"], told["loss"])


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


def measure(name: str, peers: list[str], repeats: int, timeout: float) -> tuple[dict[str, list[Run | str]], bool]:
    workload, found = WORKLOADS[name], {peer: [] for peer in peers}
    with tempfile.TemporaryDirectory() as folder:
        real = prepare(workload, Path(folder))
        for i in range(repeats):
            for peer in peers[i % len(peers) :] + peers[: i % len(peers)]:
                print(f"\r{name}, {i + 1} of {repeats}: {peer:20}", end="", file=sys.stderr, flush=True)
                if not (found[peer] and isinstance(found[peer][-1], str)):
                    found[peer].append(run(peer, workload, name, Path(folder), timeout))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return found, real


def medians(runs: list[Run | str]) -> Run | str:
    said = [r for r in runs if isinstance(r, str)]
    return said[0] if said else Run(*(median(column) for column in zip(*runs, strict=True)))


def table(name: str, found: dict[str, Run | str], real: bool, machine: Limits, against: str | None = None) -> str:
    workload = WORKLOADS[name]
    counted = {peer: r for peer, r in found.items() if isinstance(r, Run)}
    lines = [f"{name}: {'-'.join(map(str, _short(workload.sizes)))}, {workload.stresses}"]
    if not real:
        lines[0] += " (made data of the same shapes: the real files are not at hand)"
    if counted:
        best = Run(*(min(column) for column in zip(*counted.values(), strict=True)))
        base = counted.get(against, best)
        lines.append(
            f"  {'':14}{'whole run':>11}{'ratio':>7}{'first step':>12}{'a step':>12}{'ratio':>7}{'peak':>9}{'loss':>9}"
        )
        for peer, r in sorted(counted.items(), key=lambda item: item[1].whole):
            lines.append(
                f"  {peer:14}{r.whole:9.2f} s{r.whole / base.whole:7.2f}{r.first_step:10.2f} s{1e3 * r.step:9.4f} ms"
                f"{r.step / base.step:7.2f}{r.peak / 2**20:6.0f} MB{r.loss:9.4f}"
            )
        lines.append("  " + share(workload, machine, best.step))
    lines += [f"  {peer:14}{r}" for peer, r in found.items() if isinstance(r, str)]
    return "\n".join(lines)


def _short(sizes: tuple[int, ...]) -> list[object]:
    """64-...-64 for many layers of one width."""
    return [*sizes] if len(sizes) <= 7 else [*sizes[:2], f"({len(sizes) - 4} more)", *sizes[-2:]]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench speed", description=__doc__.splitlines()[0])
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="this one alone; may be repeated")
    parser.add_argument("--peer", action="append", choices=PEERS, help="this one alone; may be repeated")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each entry, of which the median counts")
    parser.add_argument("--against", choices=PEERS, help="ratios to this one; to the fastest of each column by default")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after which a run is given up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to FILE")
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    peers, record = options.peer or list(PEERS), {}
    machine = limits()
    print(machine)
    failed = False
    for name in options.workload or WORKLOADS:
        found, real = measure(name, peers, options.repeats, options.timeout)
        result = {peer: medians(runs) for peer, runs in found.items()}
        print("", table(name, result, real, machine, options.against), sep="\n", flush=True)
        record[name] = {peer: [r._asdict() if isinstance(r, Run) else r for r in runs] for peer, runs in found.items()}
        failed |= any(isinstance(result.get(peer), str) for peer in ("jaxnn hand", "jaxnn auto"))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine._asdict(), "runs": record}, indent=1) + "\n")
    return int(failed)
