"""Draw histograms of activations and gradients, which show dead units and vanishing gradients."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.networks.signals import Signal
from experiments.reports.plots import COLORS

_BINS = 60


def draw_signals(signals: Sequence[Signal]) -> Figure:
    """Draw one row per layer: its activations, and the sizes of the cost's gradients with respect to them.

    Gradients have the same logarithmic scale for all layers, so that it is visible if they shrink or grow from the last
    layer to the first. Values that are exactly 0 would dominate, and are stated as a percentage. A unit is dead if it
    is 0 for every example: no gradient reaches its weights.
    """
    figure = Figure(figsize=(11, 1.9 * len(signals) + 0.6), layout="constrained")
    axes = figure.subplots(len(signals), 2, squeeze=False)
    sizes = [np.abs(signal.gradients[signal.gradients != 0]) for signal in signals]
    every = np.concatenate(sizes)
    # Gradients below 1e-12 of the largest do not change float32 weights.
    top = every.max() if every.size else 1.0
    bins = np.geomspace(max(every.min(), 1e-12 * top) if every.size else 1e-12, 1.01 * top, _BINS)
    for (left, right), signal, size in zip(axes, signals, sizes, strict=True):
        left.hist(signal.values[signal.values != 0], bins=_BINS, color=COLORS[0])
        dead = int((signal.values == 0).all(axis=0).sum())
        left.set_title(_values_line(signal, dead), fontsize=10)
        right.hist(np.maximum(size, bins[0]), bins=bins, color=COLORS[1])
        right.set(xscale="log", xlim=(bins[0], bins[-1]))
        if size.size:
            right.axvline(np.median(size), color="black", linewidth=1)
        right.set_title(_gradients_line(signal, size), fontsize=10)
        for panel in (left, right):
            panel.set_yticks([])
    axes[-1, 0].set_xlabel("activation, if not 0")
    axes[-1, 1].set_xlabel("|dJ/da|; line: median; the first bar includes all smaller values")
    return figure


def _values_line(signal: Signal, dead: int) -> str:
    units = signal.values.shape[1]
    zero = (signal.values == 0).mean()
    return f"{signal.name}: {100 * zero:.0f} % are 0; {dead} of {units} units dead"


def _gradients_line(signal: Signal, size: np.ndarray) -> str:
    median = f", median of the rest {np.median(size):.1e}" if size.size else ""
    return f"dJ/d{signal.name}: {100 * (signal.gradients == 0).mean():.0f} % are 0{median}"
