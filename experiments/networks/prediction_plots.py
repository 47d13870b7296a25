"""Draw predictions beside the truth, of one network or of several."""

from collections.abc import Mapping

import numpy as np

from experiments.datasets.targets import Target
from experiments.reports import plots


def draw_residuals(name: str, target: Target, y: np.ndarray, predicted: Mapping[str, np.ndarray]) -> tuple[bytes, str]:
    """Return a picture, as PNG, of predicted numbers and their residuals on the test set, and its caption.

    Args:
      name: of the data.
      target: what is predicted.
      y: the scaled numbers of the test rows, (m,).
      predicted: the numbers that each network predicts for the test rows, (m,).
    """
    true, column = target.in_units(y), target.name[:40].replace("$", r"\$")
    figure, axes = plots.grid(2, len(predicted))
    for (above, below), (network, values) in zip(axes.T, predicted.items(), strict=True):
        ends = [min(true.min(), values.min()), max(true.max(), values.max())]
        above.plot(ends, ends, color="gray", linewidth=1, linestyle="--")
        above.plot(true, values, ".", alpha=0.6)
        above.set(title=network, xlabel=f"true {column}", ylabel=f"predicted {column}")
        below.axhline(0, color="gray", linewidth=1, linestyle="--")
        below.plot(values, true - values, ".", alpha=0.6)
        below.set(xlabel=f"predicted {column}", ylabel="residual, true - predicted")
    caption = (
        f"{name}, test set: predicted numbers over true ones, and residuals over predicted ones. Residuals that "
        "have a trend, or that widen, show what a network does not predict."
    )
    return plots.png(figure), caption
