"""Distinguish lines of a figure that cover each other: of two that look the same, the upper one is narrower."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.reports.likeness import count_covering

_STEP = 2.5
"""By how many points of width two such lines differ."""


def widen_covered(figure: Figure) -> None:
    """Make each line that a legend names wider than those that cover it."""
    for axes in figure.axes:
        lines = [line for line in axes.lines if _is_curve(axes, line)]
        for line, n in zip(lines, count_covering([_in_axes(axes, line) for line in lines]), strict=True):
            line.set_linewidth(line.get_linewidth() + _STEP * n)


def _is_curve(axes: Axes, line: Line2D) -> bool:
    is_named = not str(line.get_label()).startswith("_") and line.get_linestyle() != "None"
    return (
        is_named and len(line.get_xdata()) > 1 and all(line.get_transform().contains_branch_seperately(axes.transData))
    )


def _in_axes(axes: Axes, line: Line2D) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of a line, and its values as shares of the height of the axes."""
    points = np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])
    return points[:, 0], (axes.transScale + axes.transLimits).transform(points)[:, 1]
