"""The curves of a training."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxnn.constraints import Instance, checked
from jaxnn.plots.drawing import COLORS, draw_curves, new_axes
from jaxnn.train.fitting import Fit

_SETS = ("train", "dev", "test")
_NOT_DRAWN = ("epoch", "step", "skipped")


class FitDisplay:
    """What a training reported, over the epochs: a panel for the losses, and one for each other metric.

    Names that differ in their beginning alone, such as "loss" and "dev_loss", share a panel.

    Args:
      curves: name -> values over the reports, with "epoch", as `Fit.curves` has them.

    Attributes:
      axes_: metric -> matplotlib's axes.
      figure_: matplotlib's figure.

    Example:
      >>> import numpy as np
      >>> curves = {"epoch": np.array([1, 2]), "loss": np.array([0.7, 0.6]), "dev_loss": np.array([0.7, 0.65])}
      >>> [*FitDisplay(curves).plot().axes_]
      ['loss']
    """

    axes_: dict[str, Axes]
    figure_: Figure

    def __init__(self, curves: dict[str, np.ndarray]) -> None:
        self.curves = curves

    @classmethod
    @checked(fit=Instance(Fit, "a jaxnn.Fit", "population.member(i) is one"))
    def from_fit(cls, fit: Fit, *, log: bool = False) -> "FitDisplay":
        """Draw what `fit` or `fit_stream` returned.

        Args:
          fit: its result.
          log: whether the losses have a logarithmic axis.

        Raises:
          ValueError: if it is not a `Fit`.
        """
        return cls(fit.curves).plot(log=log)

    def plot(self, *, log: bool = False) -> "FitDisplay":
        """Draw the curves on a new figure, and return the display."""
        panels: dict[str, dict[str, Any]] = {}
        for name, values in self.curves.items():
            first, _, rest = name.partition("_")
            metric = rest if first in _SETS and rest else name
            if name not in _NOT_DRAWN:
                panels.setdefault(metric, {})[name] = (self.curves["epoch"], values)
        self.figure_, axes = new_axes(len(panels) or 1)
        self.axes_ = dict(zip(panels, axes, strict=False))
        for metric, panel in self.axes_.items():
            panel.set_prop_cycle(color=COLORS)
            title = metric.replace("_", " ")
            draw_curves(panel, panels[metric], title=title, x="epoch", y="", log=log and metric == "loss")
        return self
