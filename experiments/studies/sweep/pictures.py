"""Draw a sweep: a line if one hyperparameter was swept, a heat map if two were, else parallel coordinates.

Heights and colors are dev accuracies, or R², on a logarithmic scale of what is left to 100 %: 98 % is as far from 99 as
80 from 90.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.networks.scores import ACCURACY
from experiments.reports import plots
from experiments.studies.sweep.plan import KINDS, Plan, label
from experiments.studies.sweep.ranking import Standing

COLORS, DIVERGED, BEST = "viridis", "0.75", "red"
MOST_LABELS = 12
"""An axis with more values has labels only at its ends."""
MOST_LINES = 1000
TICKS = [*(step * 10.0**power for power in range(-3, 2) for step in (1, 1.5, 2, 3, 4, 5, 7)), 90, 100, 200, 500, 1000]
"""Errors in percent at which the axis is labeled, with accuracies; R² may be below 0."""


def draw(plan: Plan, standings: Sequence[Standing], score: str = ACCURACY.name) -> tuple[bytes, str] | None:
    """Return the plot of that score as PNG, and its caption; `None` if nothing was swept, or all diverged."""
    names = [label(name) for name in plan.swept]
    if not names or not standings[0].finished:
        return None
    # Wide enough for the columns of a heat map, or for the axes of parallel coordinates.
    columns = max(map(len, plan.swept.values())) if len(names) == 2 and not plan.drawn else 2 * len(names)
    figure = Figure(figsize=(np.clip(0.75 * columns + 2.5, 7, 12), 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"mean dev {score}")
    if len(names) == 1:
        _draw_line(axes, plan, standings, score)
        caption = f"Dev {score} by {names[0]}: mean and range over seeds."
    elif len(names) == 2:
        (_draw_dots if plan.drawn else _draw_map)(axes, plan, standings, score)
        caption = f"Mean dev {score} by {names[0]} and {names[1]}; the best is framed in red."
    else:
        _draw_parallel(axes, plan, standings, score)
        which = "point of the sweep" if len(standings) <= MOST_LINES else f"of the {MOST_LINES} best points"
        caption = f"A line for each {which}, colored by its mean dev {score}; the best is red."
    gray = " Gray: diverged." if any(not standing.finished for standing in standings) else ""
    return plots.png(figure), caption + gray


def _draw_line(axes: Axes, plan: Plan, standings: Sequence[Standing], score: str) -> None:
    (name,) = plan.swept
    floor = _floor(standings)
    points = sorted(standings, key=lambda standing: _place(plan, name, standing))
    finished = [standing for standing in points if standing.finished]
    places = [_place(plan, name, standing) for standing in finished]
    errors = [np.maximum(100 * (1 - standing.dev_scores), floor) for standing in finished]
    lowest, highest = [e.min() for e in errors], [e.max() for e in errors]
    # No line is drawn between names.
    if _is_number(plan.swept[name][0]):
        axes.fill_between(places, lowest, highest, alpha=0.2, linewidth=0)
        join = "-"
    else:
        axes.vlines(places, lowest, highest, alpha=0.3, linewidth=6)
        join = ""
    axes.plot(places, [_error(standing, floor) for standing in finished], marker="o", markersize=4, linestyle=join)
    best = _place(plan, name, standings[0]), _error(standings[0], floor)
    axes.plot(*best, "o", markersize=11, markeredgewidth=2, fillstyle="none", color=BEST)
    for standing in points:
        if standing.diverged:
            place = _place(plan, name, standing)
            axes.axvline(place, color=DIVERGED, linestyle="--", zorder=0)
            axes.text(place, 0.02, "diverged ", transform=axes.get_xaxis_transform(), rotation=90, ha="right")
    _set_scale(axes.xaxis, plan, name)
    axes.set(yscale="log", ylabel=f"dev {score}, %", title=f"dev {score}: mean, lowest and highest over seeds")
    axes.invert_yaxis()
    _write_accuracies(axes.yaxis)
    axes.grid(alpha=0.3)


def _draw_map(axes: Axes, plan: Plan, standings: Sequence[Standing], score: str) -> None:
    # The hyperparameter with more values is on the horizontal axis, which has more room.
    names = sorted(plan.swept, key=lambda name: -len(plan.swept[name]))
    columns, rows = (len(plan.swept[name]) for name in names)
    shades = _shades(standings)
    # The best one last, so that its frame is drawn over its neighbors.
    for standing in reversed(standings):
        i, j = (plan.swept[name].index(plan.points[standing.point][name]) for name in names)
        frame = dict(edgecolor=BEST, linewidth=2.5, clip_on=False) if standing is standings[0] else dict(linewidth=0)
        color = _color(standing, shades)
        axes.add_patch(Rectangle((i - 0.5, j - 0.5), 1, 1, facecolor=color, **frame))
        if max(columns, rows) <= MOST_LABELS:
            axes.text(i, j, _written(standing), ha="center", va="center", fontsize=8, color=_readable(color))
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
    for axis, name in zip((axes.xaxis, axes.yaxis), names, strict=True):
        _write_values(axis, name, plan.swept[name], range(len(plan.swept[name])))
    _add_colorbar(axes, shades, score)


def _draw_dots(axes: Axes, plan: Plan, standings: Sequence[Standing], score: str) -> None:
    names = list(plan.swept)
    shades = _shades(standings)
    for standing in reversed(standings):
        x, y = (_place(plan, name, standing) for name in names)
        axes.scatter(x, y, s=60, color=_color(standing, shades), marker="o" if standing.finished else "x")
    axes.scatter(x, y, s=130, facecolors="none", edgecolors=BEST, linewidths=2)
    for axis, name in zip((axes.xaxis, axes.yaxis), names, strict=True):
        _set_scale(axis, plan, name)
    axes.grid(alpha=0.3)
    _add_colorbar(axes, shades, score)


def _draw_parallel(axes: Axes, plan: Plan, standings: Sequence[Standing], score: str) -> None:
    names = list(plan.swept)
    shades = _shades(standings)
    worst, best = np.log(shades.norm.vmax), np.log(shades.norm.vmin)
    # Points that share values are moved a little apart, so that none hides another.
    shift = np.zeros(len(plan.points)) if plan.drawn else np.linspace(-0.015, 0.015, len(plan.points))
    for standing in reversed(standings[:MOST_LINES]):
        values = [plan.points[standing.point][name] for name in names]
        error = np.log(max(_error(standing, 0.0), shades.norm.vmin)) if standing.finished else worst
        heights = [
            _height(plan, name, value) + shift[standing.point] for name, value in zip(names, values, strict=True)
        ]
        color = _color(standing, shades)
        style = dict(color=BEST, linewidth=2.5) if standing is standings[0] else dict(color=color, linewidth=1)
        axes.plot(range(len(names) + 1), [*heights, (worst - error) / (worst - best)], **style)
    axes.axvline(len(names), color="black", linewidth=0.8)
    for i, name in enumerate(names):
        axes.axvline(i, color="black", linewidth=0.8)
        values = plan.swept[name]
        every = len(values) <= MOST_LABELS and not (plan.drawn and _is_number(values[0]))
        for value in values if every else (values[0], values[-1]):
            text = axes.text(i + 0.03, _height(plan, name, value), _short(value), fontsize=9, va="center")
            text.set_bbox(dict(facecolor="white", alpha=0.8, linewidth=0, pad=1))
    axes.set(xlim=(-0.2, len(names) + 0.05), ylim=(-0.05, 1.05), yticks=[])
    axes.set_xticks(range(len(names) + 1), [*map(label, names), f"dev {score}"])
    axes.spines[:].set_visible(False)
    _add_colorbar(axes, shades, score)


def _floor(standings: Sequence[Standing]) -> float:
    """Return the percentage at which an error of 0 is drawn: half of the smallest positive error of any training."""
    errors = [100 * (1 - accuracy) for standing in standings for accuracy in standing.dev_scores]
    return min((error for error in errors if error > 1e-4), default=1.0) / 2


def _error(standing: Standing, floor: float) -> float:
    """Return the mean error in percent, as it is drawn."""
    return max(float(100 * (1 - standing.dev_scores.mean())), floor)


def _shades(standings: Sequence[Standing]) -> ScalarMappable:
    """Return colors of mean errors in percent, on a logarithmic scale."""
    floor = _floor(standings)
    errors = [_error(standing, floor) for standing in standings if standing.finished]
    return ScalarMappable(LogNorm(0.95 * min(errors), 1.05 * max(errors)), COLORS)


def _color(standing: Standing, shades: ScalarMappable) -> Any:
    return shades.to_rgba(max(_error(standing, 0.0), shades.norm.vmin)) if standing.finished else DIVERGED


def _readable(color: Any) -> str:
    """Return black or white, whichever is readable on the color."""
    return "black" if isinstance(color, str) or np.dot(color[:3], (0.3, 0.6, 0.1)) > 0.5 else "white"


def _written(standing: Standing) -> str:
    if not standing.finished:
        return "diverged"
    mean = f"{100 * standing.dev_scores.mean():.1f}"
    return f"{mean}\n{standing.diverged} diverged" if standing.diverged else mean


def _add_colorbar(axes: Axes, shades: ScalarMappable, score: str) -> None:
    bar = axes.figure.colorbar(shades, ax=axes, label=f"dev {score}, %")
    bar.ax.invert_yaxis()
    _write_accuracies(bar.ax.yaxis)


def _write_accuracies(axis: Axis) -> None:
    """Label an axis of errors with accuracies."""
    axis.set_major_locator(FixedLocator(TICKS))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - error:g}"))


def _short(value: Any) -> str:
    """Return a short form of a value for an axis: 2.7e-4, not 0.0002683."""
    if not _is_number(value) or value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _is_number(value: Any) -> bool:
    return not isinstance(value, str)


def _is_log(plan: Plan, name: str) -> bool:
    return _is_number(plan.swept[name][0]) and KINDS[name].scale and plan.swept[name][0] > 0


def _place(plan: Plan, name: str, standing: Standing) -> float:
    """Return the position of a point along an axis: its value, or the index of its name."""
    value = plan.points[standing.point][name]
    return value if _is_number(value) else plan.swept[name].index(value)


def _height(plan: Plan, name: str, value: Any) -> float:
    """Return the position, 0 to 1, along an axis: sampled values in proportion, those of a grid equally spaced."""
    values = plan.swept[name]
    if not plan.drawn or not _is_number(value):
        return values.index(value) / (len(values) - 1)
    value, low, high = np.log((value, values[0], values[-1])) if _is_log(plan, name) else (value, values[0], values[-1])
    return (value - low) / (high - low)


def _set_scale(axis: Axis, plan: Plan, name: str) -> None:
    values = plan.swept[name]
    if _is_log(plan, name):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if plan.drawn and _is_number(values[0]):
        axis.set_label_text(label(name))
    else:
        _write_values(axis, name, values, values if _is_number(values[0]) else range(len(values)))


def _write_values(axis: Axis, name: str, values: Sequence[Any], places: Sequence[float]) -> None:
    """Label an axis with the values of a grid: each, or some if there are many."""
    some = slice(None, None, -(-len(values) // MOST_LABELS))
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(list(places)[some], [_short(value) for value in values][some])
    axis.set_label_text(label(name))
