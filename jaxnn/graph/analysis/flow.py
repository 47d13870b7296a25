"""How gradients grow and shrink from layer to layer."""

from typing import NamedTuple

import numpy as np

from jaxnn.graph.analysis.layers import LayerOfGraph
from jaxnn.graph.tracing.formulas import rms
from jaxnn.graph.tracing.nodes import Node, to_numpy

FLAG = 1e3
"""How many times smaller or larger than at the last layer a gradient is flagged."""


class LayerFlow(NamedTuple):
    """A layer's numbers, all root mean squares over its elements.

    Attributes:
      layer: its name.
      activation: of its output's value.
      gradient: of the derivative by its output.
      parameters: of the derivative by its parameters; NaN where it has none.
      ratio: of `gradient` to the last layer's.
      flag: "vanishing", "exploding", "not finite", or empty.
    """

    layer: str
    activation: float
    gradient: float
    parameters: float
    ratio: float
    flag: str


class Flow(tuple[LayerFlow, ...]):
    """The gradient from layer to layer, the first layer first; as text, a table."""

    def __str__(self) -> str:
        names = ("layer", "|a|", "|da|", "|dparams|", "to the last", "")
        cells = [names] + [(row.layer, *(f"{x:.3g}" for x in row[1:5]), row.flag) for row in self]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def flow(layers: list[LayerOfGraph]) -> Flow:
    """The size of activations and gradients (of any shapes) in each layer that has parameters."""
    of = [(layer, out) for layer in layers if layer.parameters and (out := _activations(layer)) is not None]
    last = rms(of[-1][1].derivative) if of else 0.0
    found = []
    for layer, out in of:
        gradient = rms(out.derivative)
        by = [np.ravel(to_numpy(p.derivative)) for p in layer.parameters if p.derivative is not None]
        ratio = gradient / last if last else float("nan")
        size = rms(np.concatenate(by)) if by else float("nan")
        found.append(LayerFlow(layer.name, rms(out.value), gradient, size, ratio, _flag(gradient, ratio)))
    return Flow(found)


def _activations(layer: LayerOfGraph) -> Node | None:
    """The largest array that leaves a layer; where only scalars do, as at the end, the last array that it makes."""
    leaving = [node for node in layer.outputs if node.shape and node.derivative is not None]
    if leaving:
        return max(leaving, key=lambda node: np.size(node.value))
    made = [node for op in layer.operations for node in op.outputs if node.derivative is not None]
    return next((node for node in reversed(made) if node.shape), made[-1] if made else None)


def _flag(gradient: float, ratio: float) -> str:
    if not np.isfinite(gradient):
        return "not finite"
    return "vanishing" if ratio < 1 / FLAG or gradient == 0 else "exploding" if ratio > FLAG else ""
