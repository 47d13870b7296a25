"""Plots of trainings, predictions and weights on matplotlib's axes, in scikit-learn's Display convention.

A display holds the numbers: `from_...` computes them and draws, `plot` draws again. `figure_` and `ax_` (or `axes_`)
are matplotlib's, to change and to save. It needs matplotlib: `pip install ".[plots]"` from a checkout.
"""

from jaxnn.plots.boundaries import BoundaryDisplay
from jaxnn.plots.predictions import CalibrationDisplay, ConfusionDisplay, RocDisplay
from jaxnn.plots.trainings import FitDisplay
from jaxnn.plots.weights import WeightsDisplay

__all__ = [
    "BoundaryDisplay",
    "CalibrationDisplay",
    "ConfusionDisplay",
    "FitDisplay",
    "RocDisplay",
    "WeightsDisplay",
]
