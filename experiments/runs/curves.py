"""Read the curves of a run from its lines of metrics, and arrange them in panels for its page."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.reports.charts import Line, Panel
from experiments.reports.palette import PALETTE
from experiments.runs.metrics_log import MetricsLine, parse_line

MOST_CURVES = 1000
_MOST_LINES = 20
"""A panel with more lines becomes one for each training."""
_PARTS = {
    "dev": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
    "held_out": "held out",
    "train": "",
    "training": "",
}
"""A word in a metric's name -> the data that it is of; empty for the training data."""
_OF_SEVERAL = ("median", "mean", "lowest", "highest", "min", "max")
"""Words for a metric of several members or seeds."""

Points = tuple[list[float], list[float]]
"""(steps, values)"""


class CurveName(NamedTuple):
    """What a curve is of.

    Attributes:
      training: the texts of its lines of metrics.
      counted: the unit of the steps.
      metric: the name of the values.
    """

    training: tuple[str, ...]
    counted: str
    metric: str


Curves = dict[CurveName, Points]


class Metric(NamedTuple):
    """A metric's name in parts: `dev_accuracy_median` is accuracy, of dev, the median.

    Attributes:
      quantity: what is measured; metrics of the same quantity share a panel.
      variant: of which data, and which of several values; empty for the training data's single one.
    """

    quantity: str
    variant: str


def metric_parts(name: str) -> Metric:
    """Return the parts of a metric's name."""
    text, variant = f"_{name}_", []
    for word, part in _PARTS.items():
        if f"_{word}_" in text:
            text = text.replace(f"_{word}_", "_", 1)
            variant.append(part)
            break
    for word in _OF_SEVERAL:
        if text.endswith(f"_{word}_"):
            text = text.removesuffix(f"{word}_")
            variant.append(word)
            break
    if text.endswith("_seeds_"):
        text = text.removesuffix("seeds_")
        variant.insert(-1, "seeds")
    quantity = text.strip("_").replace("_", " ")
    return Metric(quantity, " ".join(filter(None, variant))) if quantity else Metric(name.replace("_", " "), "")


def variants_of(names: Iterable[CurveName]) -> list[str]:
    """Return the variants of the metrics, first that of the training data, in the order of their patterns."""
    return ["", *dict.fromkeys(filter(None, (metric_parts(name.metric).variant for name in names)))]


def best_of(quantity: str) -> str:
    """Return "min" for a quantity whose least value is best, "max" for one whose greatest is, else nothing."""
    if any(word in quantity for word in ("loss", "cost", "error", "perplexity")):
        return "min"
    return "max" if any(word in quantity for word in ("accuracy", "r squared", "bleu")) else ""


def read_curves(lines: Iterable[dict[str, Any]]) -> Curves:
    """Return the curves in consecutive lines of metrics.

    Raises:
      ValueError: if there are more than `MOST_CURVES`, or numbers too large for a float.
    """
    curves: Curves = {}
    for line in lines:
        if len(line) > MOST_CURVES:  # before a line of a million names is sorted
            raise ValueError(f"more than {MOST_CURVES} curves")
        parsed = parse_line(line)
        if parsed is not None:
            add_line(curves, parsed)
    return curves


def add_line(curves: Curves, line: MetricsLine) -> None:
    """Add one line of metrics to the curves.

    Raises:
      ValueError: as `read_curves` does.
    """
    for metric, value in line.values.items():
        steps, values = curves.setdefault(CurveName(line.training, line.counted, metric), ([], []))
        steps.append(float(line.step))
        values.append(float(value))
        if len(curves) > MOST_CURVES:
            raise ValueError(f"more than {MOST_CURVES} curves")


def curves_of(path: Path) -> Curves:
    """Return the curves in a file of metrics that this program has written; none if it does not exist."""
    if not path.exists():
        return {}
    return read_curves(map(json.loads, path.read_text(encoding="utf-8").splitlines()))


def panels_of(curves: Curves) -> list[Panel]:
    """Return a panel for each quantity, with a line for each training and each part of the data.

    Each network, or what the last text of a line of metrics names, has its color in all panels; what the texts before
    name has separate panels. If there is only one training, each part of the data has its color.
    """
    names = list(dict.fromkeys(" ".join(training[-1:]) for training, _, _ in curves))
    variants = variants_of(curves)
    groups: dict[tuple[str, str, str], list[CurveName]] = {}
    for name in curves:
        quantity = metric_parts(name.metric).quantity
        groups.setdefault((", ".join(name.training[:-1]), name.counted, quantity), []).append(name)
    panels = []
    for (title, counted, quantity), members in groups.items():
        for one in _apart(members):
            is_only = len({name.metric for name in one}) == 1 and len(one) > 1
            lines = [_line(name, curves[name], names, variants, len(names) > 1, is_only) for name in one]
            title_of_one = title if one is members else ", ".join(one[0].training)
            panels.append(Panel(title_of_one, counted, quantity, lines, _is_log(lines, quantity), best_of(quantity)))
    return panels


def _apart(members: list[CurveName]) -> list[list[CurveName]]:
    """Return the lines of one panel, or if they are many, those of one panel for each training."""
    if len(members) <= _MOST_LINES:
        return [members]
    trainings = dict.fromkeys(name.training for name in members)
    return [[name for name in members if name.training == training] for training in trainings]


def _line(
    name: CurveName, points: Points, names: Sequence[str], variants: Sequence[str], several: bool, is_only: bool
) -> Line:
    variant = metric_parts(name.metric).variant
    metric, last = name.metric.replace("_", " "), " ".join(name.training[-1:])
    color = names.index(last) if several else variants.index(variant)
    label = metric if not several else last if is_only else f"{last}: {metric}"
    # Where the colors repeat, the patterns do not.
    dash = variants.index(variant) + color // len(PALETTE) * len(variants)
    return Line(label, color, dash, *points)


def _is_log(lines: Sequence[Line], quantity: str) -> bool:
    """Return whether a cost spans more than a factor of 10, and has a logarithm."""
    finite = [y for line in lines for y in line.ys if y == y]
    return best_of(quantity) == "min" and bool(finite) and 0 < 10 * min(finite) < max(finite)
