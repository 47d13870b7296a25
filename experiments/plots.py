"""Pictures of a run, as PNG bytes. Figures are drawn without pyplot, which would look for a display."""

import io
from collections.abc import Callable, Mapping, Sequence

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


def draw_decision_boundary(
    axes: Axes, score: Callable[[np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray, *, title: str
) -> None:
    """What a network says over the plane, and the examples (m, 2) that it was given, coloured by their class 0 or 1.

    `score` gives points (n, 2) the probability (n,) of class 1; the line is where that is a half.
    """
    (left, bottom), (right, top) = x.min(axis=0), x.max(axis=0)
    margin = 0.1 * max(right - left, top - bottom)
    across, up = np.meshgrid(
        np.linspace(left - margin, right + margin, 200, dtype=np.float32),
        np.linspace(bottom - margin, top + margin, 200, dtype=np.float32),
    )
    heights = np.asarray(score(np.stack([across.ravel(), up.ravel()], axis=1))).reshape(across.shape)
    axes.contourf(across, up, heights, levels=np.linspace(0, 1, 21), cmap="RdBu_r", alpha=0.6)
    if heights.min() < 0.5 < heights.max():
        axes.contour(across, up, heights, levels=[0.5], colors="black", linewidths=1)
    axes.scatter(*x.T, c=y, cmap="RdBu_r", edgecolors="white", linewidths=0.4, s=14)
    axes.set(title=title, xticks=[], yticks=[], aspect="equal")
