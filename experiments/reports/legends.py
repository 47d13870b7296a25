"""Move the legends of a figure off its curves, below the axes."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

_LINE = 0.21
"""Inches from one line of a legend to the next."""


def move_below(figure: Figure) -> None:
    """Move each legend below its axes, and make the figure higher by as much.

    A legend may be wider than its axes, which keep their width.
    """
    rows: dict[int, float] = {}
    for axes in figure.axes:
        legend, place = axes.get_legend(), axes.get_subplotspec()
        if legend is None or place is None:
            continue
        height = _LINE * len(legend.get_texts()) + 0.1
        _move(axes)
        rows[place.rowspan.start] = max(rows.get(place.rowspan.start, 0.0), height)
    figure.set_figheight(figure.get_figheight() + sum(rows.values()))


def _move(axes: Axes) -> None:
    legend, figure = axes.get_legend(), axes.get_figure(root=True)
    assert legend is not None and figure is not None
    label = axes.xaxis.label
    inches = 0.42 if axes.get_xlabel() else 0.26  # the numbers, and the label below them
    below = axes.transAxes + ScaledTranslation(0, -inches, figure.dpi_scale_trans)
    legend.set_loc("upper left")
    legend.set_bbox_to_anchor((0, 0), transform=below)
    legend.set_in_layout(False)
    # The layout leaves room for the label, so it has empty lines where the legend is.
    lines = math.ceil((_LINE * len(legend.get_texts()) + 0.1) * 72 / (1.2 * label.get_size()))
    axes.set_xlabel(axes.get_xlabel() + "\n" * lines)
