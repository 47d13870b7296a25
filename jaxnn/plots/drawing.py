"""Draw on matplotlib's axes: curves, a confusion matrix, a decision boundary, weights as images."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Curve = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
"""x and y."""

COLORS = matplotlib.color_sequences["petroff10"]
"""Colors of lines, in order; accessible to color-blind readers (Petroff, "Accessible color sequences", 2021)."""


class OneAxesDisplay:
    """A display on one pair of axes.

    Attributes:
      ax_: matplotlib's axes.
      figure_: matplotlib's figure, also if the axes are those of a subfigure.
    """

    ax_: Axes
    figure_: Figure

    def _begin(self, ax: Axes | None) -> None:
        """Draw on these axes, or on those of a new figure."""
        self.ax_ = new_axes(1)[1][0] if ax is None else ax
        figure = self.ax_.get_figure(root=True)
        assert figure is not None  # axes that were removed have none
        self.figure_ = figure


def new_axes(n: int) -> tuple[Figure, list[Axes]]:
    """Return a new figure of pyplot, which notebooks show, and its n axes side by side."""
    from matplotlib import pyplot  # looks for a display, so not where figures are only saved

    figure, axes = pyplot.subplots(1, n, squeeze=False, figsize=(5.5 * n, 3.6), layout="constrained")
    return figure, [*axes.flat]


def draw_curves(
    axes: Axes, curves: Mapping[str, Curve], *, title: str, x: str, y: str, log: bool = False, best: str = ""
) -> None:
    """Draw several lines, with a legend. `best`, "min" or "max", marks the first best point of each."""
    for name, (xs, ys) in curves.items():
        (line,) = axes.plot(xs, ys, label=name, linewidth=1.5, marker="." if len(xs) < 3 else None)
        if best and np.isfinite(ys).any():
            at = int(np.nanargmin(ys) if best == "min" else np.nanargmax(ys))
            line.set_label(f"{name}: best {ys[at]:.4g} at {xs[at]}")
            axes.plot(xs[at], ys[at], marker="o", markersize=7, markeredgecolor="white", color=line.get_color())
    axes.set(title=title, xlabel=x, ylabel=y, yscale="log" if log else "linear")
    if all(isinstance(at, int | np.integer) for xs, _ in curves.values() for at in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    # A legend with long names must not shrink the axes.
    axes.legend(frameon=False).set_in_layout(False)


def draw_confusion(axes: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    """Draw the counts (k, k) of `jaxnn.metrics.confusion_matrix`: true classes as rows, predicted ones as columns.

    The shade is the square root of the share of the row, so that few mistakes are visible next to many correct ones.
    """
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    size = np.clip(90 / len(classes), 4, 10)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            text = f"{count:.4g}" if matrix.dtype.kind == "f" else f"{count}"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, map(str, classes))) > 3 else {}
    axes.set_xticks(range(len(classes)), classes, **turned)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true")


def draw_decision_boundary(
    axes: Axes, score: Callable[[np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray, *, title: str
) -> None:
    """Draw a network's output over the plane, and the examples (m, 2) in the color of their class, 0 or 1.

    `score` maps points (n, 2) to the probability (n,) of class 1; the decision boundary is drawn where it is 0.5.
    """
    (left, bottom), (right, top) = x.min(axis=0), x.max(axis=0)
    margin = 0.1 * max(right - left, top - bottom)
    across, up = np.meshgrid(
        np.linspace(left - margin, right + margin, 200, dtype=np.float32),
        np.linspace(bottom - margin, top + margin, 200, dtype=np.float32),
    )
    heights = np.asarray(score(np.stack([across.ravel(), up.ravel()], axis=1))).reshape(across.shape)
    # Only the pale middle of the color map, so that points of the same class stand out.
    axes.contourf(across, up, heights, levels=np.linspace(0, 1, 21), cmap="RdBu_r", vmin=-0.6, vmax=1.6)
    if heights.min() < 0.5 < heights.max():
        axes.contour(across, up, heights, levels=[0.5], colors="black", linewidths=1)
    axes.scatter(*x.T, c=y, cmap="RdBu_r", vmin=-0.1, vmax=1.1, edgecolors="white", linewidths=0.4, s=16)
    axes.set(title=title, xticks=[], yticks=[], aspect="equal")


def draw_weight_images(weights: np.ndarray, *, titles: Sequence[str] = ()) -> Figure:
    """Draw the weights of each unit as an image: (n, height, width), or (n, height, width, 3) for color.

    All images have the same scale, which the largest hundredth of all weights exceeds. In color, gray is 0, and a pixel
    shows its three weights.
    """
    scale = np.quantile(np.abs(weights), 0.99) or 1.0
    columns = min(8, len(weights))
    width = max(1.3, 3.0 / columns)
    figure, panels = sheet(len(weights), columns=columns, width=width, height=width + 0.2 * bool(titles))
    drawn = None
    for i, (panel, image) in enumerate(zip(panels, weights, strict=True)):
        if image.ndim == 3:
            panel.imshow(np.clip(0.5 + image / (2 * scale), 0, 1), interpolation="nearest")
        else:
            drawn = panel.imshow(image, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
        if titles:
            panel.set_title(titles[i], fontsize=9)
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, label="weight", shrink=0.8, extend="both")
    return figure


def sheet(n: int, *, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with n small panels for images, without ticks, in the given number of columns."""
    rows = max(1, -(-n // columns))
    figure = Figure(figsize=(max(columns * width, 3.0), max(rows * height, 1.5)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, panel in enumerate(axes):
        panel.set(xticks=[], yticks=[])
        panel.set_visible(i < n)
    return figure, list(axes[:n])
