"""Time until an experiment's first steps, by state of the compilation cache, and time of imports and --help.

All times are wall-clock times of fresh processes. Runs without a cache, with an empty one and with a filled one
alternate, so that a slow minute of the machine affects all three; medians of the repeats count.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = {
    "ladder": ["--epochs", "1"],
    "catvnoncat": ["--iterations", "100", "--seeds", "2"],
}
CACHES = ("none", "empty", "filled")
SHORT_REPEATS = 5
"""Commands of less than a second are repeated this many times as often."""
IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
SHORT = {
    "import jax, optax": ["-c", IMPORT.format("jax, optax")],
    "import jaxnn after these": ["-c", f"import jax, optax; {IMPORT.format('jaxnn')}"],
    "python -m experiments --help": None,
}


class Run(NamedTuple):
    """Seconds from starting the process: to the first progress of the first network, and to the end."""

    first: float
    whole: float


def run(name: str, caches: Path, *flags: str) -> Run | str:
    """Run an experiment once; return its times, or the reason of its failure."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors").open("w+") as errors:
        command = [sys.executable, "-m", "experiments", "run", name, *EXPERIMENTS[name], *flags]
        environment = _environment() | {"XDG_CACHE_HOME": str(caches)}
        start, first = time.perf_counter(), None
        process = subprocess.Popen(
            [*command, "--runs-dir", folder], env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        while process.poll() is None:
            # The first line of metrics.jsonl is written after the first steps.
            if first is None and any(path.stat().st_size for path in Path(folder).glob("*/metrics.jsonl")):
                first = time.perf_counter() - start
            time.sleep(0.005)
        whole = time.perf_counter() - start
        errors.seek(0)
        if process.returncode or first is None:
            return (errors.read().strip().splitlines() or ["failed without a message"])[-1]
        return Run(first, whole)


def experiment(name: str, repeats: int) -> dict[str, Run] | str:
    """Return the medians by state of the cache."""
    runs = {cache: [] for cache in CACHES}
    for i in range(repeats):
        with tempfile.TemporaryDirectory() as caches:
            # The run without a cache is alternately the first and the last.
            for cache in CACHES if i % 2 == 0 else CACHES[1:] + CACHES[:1]:
                print(f"\r{name}, {i + 1} of {repeats}: cache {cache:10}", end="", file=sys.stderr, flush=True)
                done = run(name, Path(caches), *(["--no-compilation-cache"] if cache == "none" else []))
                if isinstance(done, str):
                    return done
                runs[cache].append(done)
    return {cache: Run(*map(median, zip(*done, strict=True))) for cache, done in runs.items()}


def table(found: dict[str, dict[str, Run] | str]) -> str:
    """Return the table of seconds, and of ratios to the run without the cache."""
    lines = [f"{'run':38}{'cache':>6}{'first steps':>13}{'ratio':>7}{'whole run':>11}{'ratio':>7}"]
    for name, runs in found.items():
        title = " ".join([name, *EXPERIMENTS[name]])
        if isinstance(runs, str):
            lines.append(f"{title:38}{runs}")
            continue
        base = runs["none"]
        for cache, r in runs.items():
            ratios = f"{r.first:11.2f} s{r.first / base.first:7.2f}{r.whole:9.2f} s{r.whole / base.whole:7.2f}"
            lines.append(f"{title:38}{cache:>6}{ratios}")
    return "\n".join(lines)


def short(repeats: int) -> dict[str, float]:
    """Return the seconds of imports, measured within the process, and of --help, from starting Python to its end."""
    times = {name: [] for name in SHORT}
    for _ in range(repeats):
        for name, command in SHORT.items():
            start = time.perf_counter()
            out = _python(*(command or ["-m", "experiments", "--help"]))
            times[name].append(float(out) if command else time.perf_counter() - start)
    return {name: median(measured) for name, measured in times.items()}


def _python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], env=_environment(), capture_output=True, text=True, check=True)
    return done.stdout


def _environment() -> dict[str, str]:
    """Return the environment without JAX's own cache settings, which the experiments would use."""
    own = {name for name in os.environ if name.startswith("JAX_") and "CACHE" in name}
    return {name: value for name, value in os.environ.items() if name not in own} | {"PYTHONPATH": str(ROOT)}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", action="append", choices=EXPERIMENTS, help="only this one; may be repeated")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind, of which the median counts")
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    for name, seconds in short(SHORT_REPEATS * options.repeats).items():
        print(f"{name:30}{1e3 * seconds:7.0f} ms", flush=True)
    found = {name: experiment(name, options.repeats) for name in options.experiment or EXPERIMENTS}
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
    print("", table(found), sep="\n")
    # One alone may lack its data.
    return int(all(isinstance(runs, str) for runs in found.values()))
