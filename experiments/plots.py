"""Pictures of a run, as PNG bytes. Figures are drawn without pyplot, which would look for a display."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Curve = tuple[Sequence[float], Sequence[float]]
"""x and y."""


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def grid(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, (rows, columns)."""
    figure = Figure(figsize=(5.5 * columns, 3.6 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def draw_curves(axes: Axes, curves: Mapping[str, Curve], *, title: str, x: str, y: str, log: bool = False) -> None:
    """Lines over one another, with a legend."""
    for name, (xs, ys) in curves.items():
        axes.plot(xs, ys, label=name, linewidth=1.5, marker="." if len(xs) < 3 else None)
    axes.set(title=title, xlabel=x, ylabel=y, yscale="log" if log else "linear")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def draw_weight_image(axes: Axes, weights: np.ndarray, *, title: str) -> None:
    """Weights (height, width, 3), one per pixel and colour: grey is 0, and the largest size is full scale."""
    scale = np.abs(weights).max() or 1.0
    axes.imshow(0.5 + weights / (2 * scale), interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
