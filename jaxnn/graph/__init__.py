"""Computation graphs of any JAX function: values from left to right, derivatives from right to left.

`trace(loss)(params, x, y)` gives the `Graph`: printed, it is a table of every intermediate and the derivative of the
loss by it; `svg()` draws it, as notebooks do by themselves; `first_nonfinite()` names the operation that made the first
NaN or inf; `flow()` tables the gradient from layer to layer. `name(x, "u")` names an intermediate.
"""

from jaxnn.graph.analysis.flow import Flow, LayerFlow
from jaxnn.graph.analysis.layers import LayerOfGraph
from jaxnn.graph.analysis.nonfinite import NotFinite
from jaxnn.graph.graph import Graph
from jaxnn.graph.rendering.view import Edge
from jaxnn.graph.tracer import trace
from jaxnn.graph.tracing.naming import name
from jaxnn.graph.tracing.nodes import Node, Operation, Summary, summarise

__all__ = [
    "Edge",
    "Flow",
    "Graph",
    "LayerFlow",
    "LayerOfGraph",
    "Node",
    "NotFinite",
    "Operation",
    "Summary",
    "name",
    "summarise",
    "trace",
]
