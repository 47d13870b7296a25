"""Draw plots as PNG bytes, and as SVG for the page, without pyplot, which would look for a display."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.reports.drawings import page_svg
from experiments.reports.legends import move_below
from experiments.reports.overlaps import widen_covered
from jaxnn.plots.drawing import (
    COLORS,
    Curve,
    draw_confusion,
    draw_curves,
    draw_decision_boundary,
    draw_weight_images,
    sheet,
)

_MOST_SVG_BYTES = 2**20

__all__ = [
    "COLORS",
    "Curve",
    "Picture",
    "draw_confusion",
    "draw_curves",
    "draw_decision_boundary",
    "draw_images",
    "draw_mistakes",
    "draw_weight_images",
    "grid",
    "png",
]


class Picture(bytes):
    """The bytes of a PNG file, with the same drawing for a page.

    Attributes:
      svg: an SVG file that follows the page in light and dark mode; `None` if it would be very large.
    """

    svg: bytes | None = None


def png(figure: Figure) -> Picture:
    """Return the figure as the bytes of a PNG file, with its legends below the curves."""
    widen_covered(figure)
    move_below(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    picture = Picture(file.getvalue())
    svg = page_svg(figure)
    picture.svg = svg if len(svg) <= _MOST_SVG_BYTES else None
    return picture


def grid(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes, (rows, columns)."""
    figure = Figure(figsize=(5.5 * columns, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.set_prop_cycle(color=COLORS)
    return figure, axes


def draw_mistakes(
    images: np.ndarray,
    true: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    *,
    classes: Sequence[str] | None = None,
    most: int = 20,
) -> Figure:
    """Draw the worst mistakes, in ascending order of the true class's probability.

    `images` are (m, height, width) or (m, height, width, 3), with values from 0 to 1; `true` and `predicted` are class
    indices (m,); `probabilities` are those of each class, (m, k). Correct predictions are skipped.
    """
    names = classes or [str(i) for i in range(probabilities.shape[1])]
    of_truth = probabilities[np.arange(len(true)), true]
    wrong = np.flatnonzero(np.asarray(true) != np.asarray(predicted))
    worst = wrong[np.argsort(of_truth[wrong], kind="stable")][:most]
    figure, panels = sheet(len(worst), columns=max(1, min(5, len(worst))), width=1.7, height=2.1)
    for panel, i in zip(panels, worst, strict=True):
        panel.imshow(images[i], cmap="gray", interpolation="nearest")
        prediction = f"predicted {names[predicted[i]]}: {100 * probabilities[i, predicted[i]]:.0f} %"
        panel.set_title(f"{prediction}\ntrue {names[true[i]]}: {100 * of_truth[i]:.2g} %", fontsize=9)
    if not len(worst):
        figure.text(0.5, 0.5, "no mistakes", ha="center", va="center")
    return figure


def draw_images(images: np.ndarray, columns: int) -> Figure:
    """Draw images (m, height, width) with values from 0 to 1, black on white, in rows."""
    figure, panels = sheet(len(images), columns=columns, width=1.0, height=1.0)
    for panel, image in zip(panels, images, strict=True):
        panel.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    return figure
