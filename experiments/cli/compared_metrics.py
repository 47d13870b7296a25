"""The numbers of runs side by side: those of results.json, and the last or best values of their curves."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.runs.curves import Curves, best_of, metric_parts

MOST_ROWS = 300
_MOST_MEMBERS = 20
"""A longer list of numbers is not a few seeds or members, but a curve, and has no median here."""


def numbers_of(results: Any, name: str = "") -> dict[str, float]:
    """Return the numbers in results, as results.json has them: names joined by dots, and medians of lists of numbers.

    An item of a list has the name of its texts, such as those of data set and network; a matrix is left out.
    """
    if isinstance(results, bool):
        return {}
    if isinstance(results, int | float):
        return {name: float(results)} if math.isfinite(results) else {}
    if isinstance(results, dict):
        texts = ", ".join(value for value in results.values() if isinstance(value, str) and len(value) < 60)
        inside = f"{name}.{texts}" if name and texts else name or texts
        found = {}
        for key, value in results.items():
            found |= numbers_of(value, f"{inside}.{key}" if inside else str(key))
        return found
    if not isinstance(results, list):
        return {}
    numbers = [item for item in results if isinstance(item, int | float) and not isinstance(item, bool)]
    if numbers and len(numbers) == len(results):
        if len(numbers) > _MOST_MEMBERS or not all(map(math.isfinite, numbers)):
            return {}
        return {name if len(numbers) == 1 else f"{name} (median of {len(numbers)})": float(statistics.median(numbers))}
    found = {}
    for item in results:
        found |= numbers_of(item, name) if isinstance(item, dict) else {}
    return found


def ends_of(curves: Curves) -> dict[str, float]:
    """Return the best value of each curve whose best is known, and the last of the others; NaN does not count."""
    found = {}
    for (training, counted, metric), (_, values) in curves.items():
        finite = [value for value in values if math.isfinite(value)]
        best = best_of(metric_parts(metric).quantity)
        kind = f"best {counted}" if best else f"last {counted}"
        name = ": ".join(filter(None, [", ".join(training), f"{metric.replace('_', ' ')}, {kind}"]))
        if finite:
            found[name] = min(finite) if best == "min" else max(finite) if best else finite[-1]
    return found


def rows_of(runs: Sequence[Mapping[str, float]]) -> list[list[str]]:
    """Return a row for each metric that differs: its name, and each run's value with the difference from the first."""
    rows = []
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run.get(name) for run in runs]
        if len(set(values)) > 1:
            rows.append([name, *(_cell(value, values[0], i) for i, value in enumerate(values))])
    return rows


def _cell(value: float | None, first: float | None, run: int) -> str:
    if value is None:
        return ""
    if run == 0 or first is None:
        return f"{value:.4g}"
    return f"{value:.4g} ({value - first:+.2g})" if value != first else f"{value:.4g} (same)"
