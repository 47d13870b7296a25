"""Time the four ways alternately, and compare their results."""

import time
from functools import partial
from statistics import median

import jax
import numpy as np

from experiments.reports import tables
from experiments.runs.folder import RunError, StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.vectorization import Options
from experiments.studies.vectorization.gradients import compiled, double_loop, example_loop, vectorized

BOUND = 1e-12
"""The largest difference that another order of summation explains, in float64."""
_SECONDS = 0.1


def run_study(options: Options, start: StartRun) -> None:
    """Time, compare, and report."""
    for name in ("examples", "features", "repeats"):
        check_at_least_one(name, getattr(options, name))
    arguments = _numbers(options.examples, options.features)

    folder = start()
    with jax.enable_x64(True), show_progress("vectorization", options.repeats) as show:
        ways = {
            "loop over examples and features, Python": partial(double_loop, *arguments),
            "loop over examples, NumPy": partial(example_loop, *arguments),
            "arrays, NumPy": partial(vectorized, *arguments),
            "arrays, jaxnn compiled": compiled(*arguments),
        }
        results = {name: _as_array(way()) for name, way in ways.items()}  # compiles, too
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for done in range(options.repeats):
            for name, way in ways.items():
                seconds[name].append(_seconds(way))
            show(done + 1, "")
    exact = results["loop over examples and features, Python"]
    differences = {name: float(np.abs(a - exact).max() / np.abs(exact).max()) for name, a in results.items()}
    medians = {name: median(times) for name, times in seconds.items()}
    fastest = medians["arrays, jaxnn compiled"]

    title = f"One gradient of logistic regression, {options.examples} examples of {options.features} features, float64"
    same = tables.table(
        title, ("way", "difference to the loops"), [[name, f"{d:.0e}"] for name, d in differences.items()], 1
    )
    times = tables.table(
        f"Median of {options.repeats} calls",
        ("way", "seconds", "relative to jaxnn"),
        [[name, f"{t:.6f}", f"{t / fastest:,.1f}"] for name, t in medians.items()],
        1,
    )
    tables.show(same)
    tables.show(times)
    folder.write_text("report.txt", tables.as_text(same))
    folder.write_json("results.json", {"differences": differences})
    folder.add_timings(tables.as_text(times))
    if not max(differences.values()) <= BOUND:
        raise RunError(
            f"the gradients differ by {max(differences.values()):.1e}, but rounding explains at most {BOUND:g}"
        )


def _numbers(m: int, n: int) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x, w = random.normal(size=(m, n)), random.normal(size=n) / np.sqrt(n)
    return w, 0.5, x, (random.uniform(size=m) < 0.5).astype(int)


def _as_array(gradient: object) -> np.ndarray:
    """Return dw and db as one array, (n + 1,)."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])


def _seconds(way: object) -> float:
    """Return the seconds of one call; a short call is repeated for `_SECONDS` in total."""
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < _SECONDS:
        way()
        calls += 1
    return (time.perf_counter() - start) / calls
