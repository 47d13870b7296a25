"""Computation graphs of JAX functions: values from left to right, derivatives from right to left.

`trace(loss)(params, x, y)` returns a `Graph`. Printed, it is a table of every intermediate, with the derivative of the
loss with respect to it. `svg()` draws it, and notebooks display the picture; `first_nonfinite()` finds the operation
that produced the first NaN or inf; `flow()` lists the magnitude of the gradient in each layer. `name(x, "u")` names an
intermediate.
"""

from jaxnn.graph.analysis.flow import Flow, LayerFlow
from jaxnn.graph.analysis.layers import GraphLayer
from jaxnn.graph.analysis.nonfinite import NonFinite
from jaxnn.graph.graph import Graph
from jaxnn.graph.rows import Edge, Row
from jaxnn.graph.tracer import trace
from jaxnn.graph.tracing.naming import name
from jaxnn.graph.tracing.nodes import Node, Operation
from jaxnn.graph.tracing.summaries import Summary, summarize

__all__ = [
    "Edge",
    "Flow",
    "Graph",
    "GraphLayer",
    "LayerFlow",
    "Node",
    "NonFinite",
    "Operation",
    "Row",
    "Summary",
    "name",
    "summarize",
    "trace",
]
