"""The magnitudes of activations and gradients from layer to layer."""

from typing import NamedTuple

import numpy as np

from jaxnn.graph.analysis.layers import GraphLayer
from jaxnn.graph.tracing.nodes import Node
from jaxnn.graph.tracing.summaries import root_mean_square, to_numpy

THRESHOLD = 1e3
"""A gradient is flagged if it differs from the last layer's by more than this factor."""


class LayerFlow(NamedTuple):
    """The magnitudes in one layer, each a root mean square over elements.

    Attributes:
      layer: the name of the layer.
      activation: of the layer's output.
      gradient: of the derivative with respect to the layer's output.
      parameters: of the derivative with respect to the layer's parameters; NaN if no parameter has one.
      ratio: `gradient` divided by that of the last layer.
      flag: "vanishing", "exploding", "not finite", or empty.
    """

    layer: str
    activation: float
    gradient: float
    parameters: float
    ratio: float
    flag: str


class Flow(tuple[LayerFlow, ...]):
    """The magnitudes in each layer, the first layer first; converts to a text table."""

    def __str__(self) -> str:
        header = ("layer", "|a|", "|da|", "|dparams|", "|da|/last", "")
        cells = [header] + [(row.layer, *(f"{x:.3g}" for x in row[1:5]), row.flag) for row in self]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def measure_flow(layers: list[GraphLayer]) -> Flow:
    """Compute the magnitudes of activations and gradients in each layer that has parameters."""
    measured = [(layer, out) for layer in layers if layer.parameters and (out := _activation(layer)) is not None]
    last = root_mean_square(measured[-1][1].derivative) if measured else 0.0
    rows = []
    for layer, out in measured:
        gradient = root_mean_square(out.derivative)
        slopes = [np.asarray(to_numpy(p.derivative)).ravel() for p in layer.parameters if p.derivative is not None]
        ratio = gradient / last if last else float("nan")
        parameters = root_mean_square(np.concatenate(slopes)) if slopes else float("nan")
        flag = _flag(gradient, ratio)
        rows.append(LayerFlow(layer.name, root_mean_square(out.value), gradient, parameters, ratio, flag))
    return Flow(rows)


def _activation(layer: GraphLayer) -> Node | None:
    """Return the largest array among a layer's outputs; if they are scalars, the last array computed in the layer."""
    arrays = [node for node in layer.outputs if node.shape and node.derivative is not None]
    if arrays:
        return max(arrays, key=lambda node: np.size(node.value))
    results = [node for op in layer.operations for node in op.outputs if node.derivative is not None]
    return next((node for node in reversed(results) if node.shape), results[-1] if results else None)


def _flag(gradient: float, ratio: float) -> str:
    if not np.isfinite(gradient):
        return "not finite"
    return "vanishing" if ratio < 1 / THRESHOLD or gradient == 0 else "exploding" if ratio > THRESHOLD else ""
