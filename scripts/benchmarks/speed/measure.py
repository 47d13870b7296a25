"""Runs the entries in turn, each in a process of its own, and prints one table of times and ratios for a workload.

Every entry must reach the workload's loss, or its times do not count. The whole run is what a person waits for, from
starting the process to the trained weights. The first step is what the first lap takes beyond steady steps, which is
compilation above all. Repeats go round all entries, so that a slow minute of the machine hits them alike, and medians
count. Peers with threads of their own slow down many times where another program has the cores: let nothing else run.

The workload "population" trains 64 networks, at 8 rates from 8 starts each, and an entry must train every one of them.
Of the ways that a library has for that, the fastest is its entry. The others, and bfloat16 on a CPU, run by --peer.

With --platform cuda what runs on JAX and PyTorch runs on the GPU; NumPy and scikit-learn stay on the CPU and say so.
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

# name -> (module, what must be installed)
PEERS = {
    "jaxnn hand": ("jaxnn_fit", "jaxnn"),
    "jaxnn auto": ("jaxnn_auto", "jaxnn"),
    "jaxnn in span": ("jaxnn_span", "jaxnn"),
    "raw JAX": ("raw", "jax"),
    "NumPy": ("with_numpy", "numpy"),
    "stax": ("with_stax", "jax"),
    "Flax NNX": ("with_flax", "flax"),
    "Equinox": ("with_equinox", "equinox"),
    "PyTorch": ("with_torch", "torch"),
    "scikit-learn": ("with_sklearn", "sklearn"),
}
# By --peer alone, but for bfloat16 on a GPU.
VARIANTS = {
    "jaxnn bfloat16": ("jaxnn_bfloat16", "jaxnn"),
    "raw JAX, one device": ("raw_one_device", "jax"),
    "raw JAX, own batches": ("raw_own_batches", "jax"),
    "NumPy loop": ("numpy_loop", "numpy"),
    "PyTorch loop": ("torch_loop", "torch"),
    "scikit-learn loop": ("sklearn_loop", "sklearn"),
}
ENTRIES = PEERS | VARIANTS
ON_CPU = ("numpy", "sklearn")  # what these packages run stays there
NO_GPU = "not measured: no GPU here"
ROOT = Path(__file__).resolve().parents[3]


class Run(NamedTuple):
    """Seconds of one run, its peak memory in bytes, and the loss it reached; its device, and the peak there."""

    whole: float
    first_step: float
    step: float
    peak: int
    loss: float
    device_peak: int = 0
    device: str = "cpu"


def run(peer: str, workload: Workload, name: str, folder: Path, timeout: float, platform: str = "cpu") -> Run | str:
    """One run of an entry, or why there is none."""
    module, needs = ENTRIES[peer]
    if importlib.util.find_spec(needs) is None:
        return "not installed"
    start = time.time()
    try:
        told = _told(platform, timeout, "entry", module, name, str(folder))
    except subprocess.TimeoutExpired:
        return f"not done after {timeout:.0f} s"
    if isinstance(told, str):
        return "failed: " + told
    if "none" in told:
        return told["none"]
    ends = [told["started"], *told["laps"]]
    laps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
    steady = median(laps[1:]) / workload.steps
    first = laps[0] - steady * (workload.steps - 1)
    if (short := shortfall(workload, told["losses"])) is not None:
        return short
    if platform == "cuda" and told["device"] == "cpu" and needs not in ON_CPU:
        return f"not measured: {needs} finds no GPU here"
    loss = median(told["losses"])
    return Run(told["done"] - start, first, steady, told["peak"], loss, told["device_peak"], told["device"])


def limits(platform: str) -> Limits | None:
    """What the machine can do; `None` where there is no GPU but should be."""
    told = _told(platform, None, "roofline")
    if isinstance(told, dict):
        return Limits(**told)
    if platform == "cuda":
        return None
    raise RuntimeError(f"the machine could not be measured: {told}")


def _told(platform: str, timeout: float | None, module: str, *arguments: str) -> dict | str:
    """What a module of this package prints at the end, run in its own process, or its last word where it failed."""
    command = [sys.executable, "-W", "ignore", "-m", f"scripts.benchmarks.speed.{module}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(platform), capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["without a word"])[-1][:200]
    return json.loads(done.stdout.splitlines()[-1])


def _environment(platform: str) -> dict[str, str]:
    hidden = {} if platform == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}  # from PyTorch, which is told nothing else
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
    said = [r for r in runs if isinstance(r, str)]
    return said[0] if said else _columns(median, runs)


def _columns(of: Callable[[Iterable[float]], float], runs: Iterable[Run]) -> Run:
    """One run made of several: `of` each column, and the first one's device."""
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
        lines[0] += " (made data of the same shapes: the real files are not at hand)"
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
            # In the span, a step is other work.
            full = {peer: r for peer, r in counted.items() if "in span" not in peer}
            steps = [r.step for peer, r in full.items() if ("bfloat16" in peer) == bfloat16]
            if steps and (machine.flops_bfloat16 or not bfloat16):
                lines.append("  " + share(workload, machine, min(steps), bfloat16))
    lines += [f"  {peer:{width}}{r}" for peer, r in found.items() if isinstance(r, str)]
    return "\n".join(lines)


def _where(r: Run) -> str:
    return "on the CPU" if r.device == "cpu" else "not told"


def _short(sizes: tuple[int, ...]) -> list[object]:
    """64-...-64 for many layers of one width."""
    return [*sizes] if len(sizes) <= 7 else [*sizes[:2], f"({len(sizes) - 4} more)", *sizes[-2:]]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="this one alone; may be repeated")
    parser.add_argument("--peer", action="append", choices=ENTRIES, help="this one alone; may be repeated")
    parser.add_argument("--platform", choices=("cpu", "cuda"), default="cpu", help="where JAX and PyTorch run")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each entry, of which the median counts")
    parser.add_argument("--against", choices=ENTRIES, help="ratios to this one; else to the fastest of each column")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after which a run is given up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to FILE")
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    peers = options.peer or [*PEERS, *(["jaxnn bfloat16"] if options.platform == "cuda" else [])]
    machine, record, failed = limits(options.platform), {}, False
    if machine is None:
        print("no GPU here: JAX finds none. It takes an NVIDIA GPU, its driver, and pip install '.[cuda]'")
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
        told = {"machine": machine and machine._asdict(), "runs": record}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return int(failed)
