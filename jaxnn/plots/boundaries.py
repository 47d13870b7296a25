"""What a network of two inputs predicts over the plane."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from jaxnn.constraints import Instance, checked
from jaxnn.models.model import Model
from jaxnn.plots.drawing import OneAxesDisplay, draw_decision_boundary
from jaxnn.typing import ArrayLike, Params, Statistics


class BoundaryDisplay(OneAxesDisplay):
    """The probability of class 1 over the plane, the boundary where it is 1/2, and examples in their colors.

    Args:
      score: maps points (n, 2) to the probability of class 1, (n,).
      x: examples, (m, 2).
      y: their classes, 0 or 1, (m,).

    Attributes:
      ax_: matplotlib's axes.
      figure_: matplotlib's figure.
    """

    def __init__(self, score: Callable[[np.ndarray], np.ndarray], x: ArrayLike, y: ArrayLike) -> None:
        self.score, self.x, self.y = score, np.asarray(x), np.asarray(y).reshape(-1)
        if self.x.ndim != 2 or self.x.shape[1] != 2 or len(self.x) != len(self.y):
            raise ValueError(f"x and y must be examples (m, 2) and labels (m,), got {self.x.shape} and {self.y.shape}")

    @classmethod
    @checked(model=Instance(Model, "a Model"))
    def from_model(
        cls,
        model: Model,
        params: Params,
        x: ArrayLike,
        y: ArrayLike,
        stats: Statistics = (),
        *,
        ax: Axes | None = None,
    ) -> "BoundaryDisplay":
        """Compute and draw.

        Args:
          model: a `Model` of two inputs for two classes.
          params: its params.
          x: examples, (m, 2), as the model takes them.
          y: their classes, 0 or 1, (m,).
          stats: its statistics.
          ax: where to draw; on a new figure by default.

        Raises:
          ValueError: if examples have not two features, or the model has other outputs.

        Example:
          >>> import jax, jaxnn
          >>> model = jaxnn.logistic_regression(2)
          >>> display = BoundaryDisplay.from_model(
          ...     model, model.init(jax.random.key(0)), [[0.0, 1.0], [1.0, 0.0]], [0, 1]
          ... )
          >>> display.ax_.collections != []
          True
        """

        def score(points: np.ndarray) -> np.ndarray:
            probabilities = np.asarray(model.predict_proba(params, points, stats))
            labels = np.asarray(model.predict(params, points[:1], stats))
            if probabilities.ndim != 2 or probabilities.shape[1] > 2 or labels.dtype.kind != "i" or labels.ndim > 1:
                raise ValueError(f"model must be of two classes, got outputs {probabilities.shape[1:]}")
            return probabilities[:, -1]

        return cls(score, x, y).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> "BoundaryDisplay":
        """Draw the plane, and return the display."""
        self._begin(ax)
        draw_decision_boundary(self.ax_, self.score, self.x, self.y, title="")
        return self
