"""Make interactive plots of curves for pages: they can be pointed at, zoomed and smoothed, without network access."""

import json
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from experiments.reports import html
from experiments.reports.likeness import count_covering
from experiments.reports.palette import PALETTE

MOST_POINTS = 1000
"""A curve with more points is drawn by the lowest and the highest of each stretch."""


class Line(NamedTuple):
    """A curve.

    Attributes:
      name: in the legend.
      color: the number of its color, the same for the same thing in all panels of a page.
      dash: the number of its pattern; 0 is solid.
      xs: the steps.
      ys: their values; NaN and infinite ones are gaps.
    """

    name: str
    color: int
    dash: int
    xs: Sequence[float]
    ys: Sequence[float]


class Panel(NamedTuple):
    """Curves with the same axes.

    Attributes:
      title: what they are of; empty if that is the whole page's.
      x: the unit of the steps.
      y: the name of the values.
      lines: the curves.
      log: whether the axis of the values is logarithmic at first.
      best: "min" or "max", if the best values are to be listed.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log: bool = False
    best: str = ""


Points = tuple[list[float], list[float | None]]
"""Steps and values, without NaN."""


class Charts(NamedTuple):
    """The parts of a page with plots: `body`, and the `style` and `scripts` of `html.document`."""

    body: str = ""
    style: str = ""
    scripts: tuple[str, ...] = ()


_CONTROLS = """\
<p class="controls"><label>smoothing <input type="range" id="smoothing" min="0" max="0.98" step="0.02" value="0">
<output id="smoothing-value">0</output></label>
<button id="reset" type="button">whole curves</button>
<span>Drag to zoom, double-click for the whole curve; click a name to hide its curve.</span></p>"""


def draw(panels: Sequence[Panel]) -> Charts:
    """Return the plots of the panels; nothing if none has a point."""
    panels = [panel._replace(lines=[line for line in panel.lines if np.isfinite(line.xs).any()]) for panel in panels]
    panels = [panel for panel in panels if panel.lines]
    if not panels:
        return Charts()
    data = json.dumps([_data(panel) for panel in panels], allow_nan=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # no text ends the element
    figures = "\n".join(map(_figure, panels))
    body = (
        f'<div class="charts" hidden>{_CONTROLS}\n<div class="panels">{figures}</div></div>\n'
        f"{without_script('<p>The curves are drawn by JavaScript, which is off.</p>')}\n"
        f'<script type="application/json" id="panels">{data}</script>'
    )
    light, dark = ("".join(f"--c{i}: {colors[mode]}; " for i, colors in enumerate(PALETTE)) for mode in (1, 2))
    colors = f":root {{ {light}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n"
    style = html.read_file("uplot/uPlot.min.css") + "\n" + colors + html.read_file("charts.css")
    return Charts(body, style, (html.read_file("uplot/uPlot.iife.min.js"), html.read_file("charts.js")))


def without_script(content: str) -> str:
    """Return content that is shown only if JavaScript is off."""
    return f'<div class="without-script">{content}</div>'


def _figure(panel: Panel) -> str:
    title = f"{panel.title}: {panel.y}" if panel.title else panel.y
    caption = f'<b>{escape(title)}</b> <label><input type="checkbox" class="log"> log scale</label>'
    return f'<figure class="chart"><figcaption>{caption}</figcaption><div class="plot"></div></figure>'


def _data(panel: Panel) -> dict[str, object]:
    lines, points = [], [_thinned(line.xs, line.ys) for line in panel.lines]
    covering = count_covering(_in_plot(points, panel.log))
    for i, line in enumerate(panel.lines):
        same = [j for j, other in enumerate(points) if _agree(points[i], other)]
        name = line.name
        if same[0] < i:
            first, end = panel.lines[same[0]].name, min(points[i][0][-1], points[same[0]][0][-1])
            name += f" (same as {first}{'' if points[same[0]] == points[i] else f' up to {end}'})"
        # Of curves that look the same, each is narrower than the one below it, so that all are visible.
        width = 2 + 3 * covering[i]
        xs, ys = points[i]
        color = line.color % len(PALETTE)
        lines.append({"name": name, "color": color, "dash": line.dash, "width": width, "xs": xs, "ys": ys})
    return {"title": panel.title, "x": panel.x, "y": panel.y, "log": panel.log, "best": panel.best, "lines": lines}


def _in_plot(points: Sequence[Points], log: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the curves with their values as shares of the plot's height."""
    curves = [(np.array(xs, float), np.array(ys, float)) for xs, ys in points]
    if log:
        curves = [(x, np.log(np.where(y > 0, y, np.nan))) for x, y in curves]
    values = np.concatenate([y for _, y in curves])
    finite = values[np.isfinite(values)]
    height = np.ptp(finite) if len(finite) else 0.0
    return [(x, y / (height or 1.0)) for x, y in curves]


def _agree(one: Points, other: Points) -> bool:
    """Return whether two curves are equal at the steps that both have, which must be half of one's or more."""
    values = dict(zip(*one, strict=True))
    both = [(values[x], y) for x, y in zip(*other, strict=True) if x in values]
    is_enough = 2 * len(both) >= min(len(one[0]), len(other[0]))
    return one is other or (is_enough and all(a == b for a, b in both))


def _thinned(xs: Sequence[float], ys: Sequence[float]) -> Points:
    """Return at most about `MOST_POINTS` points of a curve, with its extremes, in the order of the steps."""
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    order = np.argsort(x, kind="stable")
    order = order[np.isfinite(x[order])]
    x, y = x[order], y[order]
    if len(x) > MOST_POINTS:
        kept = {0, len(x) - 1}
        for stretch in np.array_split(np.arange(len(x)), MOST_POINTS // 2):
            values = y[stretch]
            finite = np.isfinite(values)
            low, high = (np.where(finite, values, other) for other in (np.inf, -np.inf))
            kept |= {int(stretch[low.argmin()]), int(stretch[high.argmax()])}
        x, y = x[sorted(kept)], y[sorted(kept)]
    return [_number(value) for value in x], [_rounded(value) for value in y]


def _number(step: float) -> float:
    return int(step) if step == int(step) else float(step)


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
