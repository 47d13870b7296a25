"""Histograms of arrays, as SVG paths."""

import numpy as np

from jaxnn.graph.tracing.nodes import Node
from jaxnn.graph.tracing.summaries import to_numpy

WIDTH, HEIGHT = 48.0, 18.0
"""The size of a histogram in pixels."""
_BINS = 16


def has_histogram(node: Node) -> bool:
    """Return whether a variable has a histogram: an array of more than three real numbers."""
    array = to_numpy(node.value)
    return array is not None and array.size > 3 and array.dtype.kind in "fiub"


def histogram_path(value: object, x: float = 0.0, y: float = 0.0) -> str:
    """Return the SVG path of a histogram of the finite elements of an array, at (x, y); empty without such elements."""
    array = np.asarray(to_numpy(value))
    finite = array[np.isfinite(array)].astype(np.float64)
    if not finite.size or finite.max() - finite.min() > 1e300:
        return ""
    counts, _ = np.histogram(finite, _BINS)
    heights = counts / counts.max() * (HEIGHT - 3)
    step = WIDTH / _BINS
    return "".join(
        f"M{x + step * i:.1f} {y + HEIGHT - h:.1f}h2.4v{h:.1f}h-2.4z" for i, h in enumerate(heights) if h > 0
    )
