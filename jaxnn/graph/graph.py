"""The computation graph of a function, with its views and analyses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from jaxnn.constraints import Count, checked
from jaxnn.graph.analysis.flow import Flow, measure_flow
from jaxnn.graph.analysis.layers import GraphLayer, find_layers, group_by_layer, inline_networks
from jaxnn.graph.analysis.nonfinite import NonFinite, find_first_nonfinite
from jaxnn.graph.lookup import find_node, replace_values
from jaxnn.graph.rendering.dot import render_dot
from jaxnn.graph.rendering.html.page import render_page
from jaxnn.graph.rendering.html.page_view import PageView, make_page_view
from jaxnn.graph.rendering.html.sliders import make_sliders
from jaxnn.graph.rendering.svg import render_svg
from jaxnn.graph.rendering.text import render_text
from jaxnn.graph.rows import Edge, Row, list_edges, list_rows
from jaxnn.graph.tracing.nodes import Node, Operation, leaf_operations

_WIDEST_PICTURE = 40
"""Pictures and pages of more variables are grouped by layer."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The variables of a function at given arguments, their derivatives, and the operations between them.

    Attributes:
      name: of the function, and of its output if that has no other name.
      arguments, outputs: nodes.
      operations: in the order of evaluation; composites, such as jitted functions and loops, contain others.
      paths: of the arguments, such as ("params", "[0]", ".W").
      retrace: the function that traces the graph at other values of the arguments, of the same shapes and dtypes.
      depth: the nesting depth to which composites are expanded.

    Example:
      >>> from jaxnn import graph
      >>> def J(a, b, c):
      ...     u = graph.name(b * c, "u")
      ...     return 3 * (a + u)
      >>> print(graph.trace(J)(5.0, 3.0, 2.0))
          =       type  value  dJ/d  local derivatives
      a           f32   5      3
      b           f32   3      6
      c           f32   2      9
      u   b * c   f32   6      3     du/db = 2; du/dc = 3
      v1  a + u   f32   11     3     dv1/da = 1; dv1/du = 1
      J   3 * v1  f32   33     1     dJ/dv1 = 3
    """

    name: str
    arguments: tuple[Node, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Node, ...]
    paths: tuple[tuple[str, ...], ...]
    retrace: Callable[[list[Any]], "Graph"]
    depth: int = 0

    @property
    def rows(self) -> list[Row]:
        """The visible variables and the titles of expanded composites, in the order of evaluation."""
        return list_rows(self.arguments, self.operations, self.depth)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The visible variables in the order of evaluation."""
        return tuple(row.node for row in self.rows if row.node is not None)

    @property
    def edges(self) -> list[Edge]:
        """The edges between the visible variables, with local derivatives if these are scalar or elementwise."""
        return list_edges(self.operations, self.depth)

    def __getitem__(self, name: str) -> Node:
        """Return the variable of that name, also inside collapsed composites.

        Raises:
          ValueError: if there is no such variable.
        """
        expanded = {node.name: node for node in self.expand(10**6).nodes}
        return find_node(name, expanded | {node.name: node for node in self.nodes}, "variable")

    def with_args(self, **values: Any) -> "Graph":
        """Return the graph of the same function with some arguments replaced.

        Names that are not identifiers, such as params[0].b, go in a dict: `with_args(**{"params[0].b": b})`.

        Raises:
          ValueError: if there is no such argument, or a value has another shape or is not numeric.

        Example:
          >>> from jaxnn import graph
          >>> g = graph.trace(lambda a, b: a * b)(5.0, 3.0)
          >>> g.with_args(a=7.0)["b"].derivative.item()
          7.0
        """
        new = self.retrace(replace_values(self.arguments, values)).expand(self.depth)
        return new.by_layer() if self._is_by_layer else new

    @checked(depth=Count(0))
    def expand(self, depth: int) -> "Graph":
        """Return the same graph with composites expanded to a nesting depth of `depth`; 0 collapses all.

        Raises:
          ValueError: if depth is not an int >= 0.
        """
        return replace(self, depth=depth)

    @property
    def layers(self) -> list[GraphLayer]:
        """The layers in the order of evaluation; an empty list without containers of parameters and named scopes.

        Parameters are the first argument that is a container. A layer starts at the first use of a new container of
        parameters, such as params[0] in a network of jaxnn, or in a new `jax.named_scope`, in composites too. In a
        network of jaxnn, a layer with params starts with its first operation; the names are those of
        `jaxnn.train.Divergence`. A loop over layers is one layer.
        """
        return find_layers(self.arguments, self.paths, self._inlined(), self.outputs)

    def by_layer(self) -> "Graph":
        """Return the same graph with each layer as one composite.

        Raises:
          ValueError: if the graph has no layers.
        """
        layers = self._require_layers()
        return self if self._is_by_layer else replace(self, operations=group_by_layer(layers, self._inlined()))

    def text(self) -> str:
        """Return a table in the order of evaluation: values, derivatives and local derivatives."""
        return render_text(self.rows, self.edges, self._output)

    def dot(self) -> str:
        """Return the graph in the DOT language of Graphviz, expanded composites as clusters."""
        return render_dot(self.rows, self.edges, self._output)

    def svg(self) -> str:
        """Return the graph as an SVG picture, by layer if it has more than 40 variables and layers.

        Raises:
          ValueError: if the picture would have more than 300 variables.
        """
        drawn = self._fitting()
        return render_svg(drawn.arguments, drawn.operations, drawn.depth, drawn.edges, self._output)

    def html(self, vary: Mapping[str, Sequence[float]] | None = None) -> str:
        """Return the graph as an interactive page: one HTML file that loads nothing from the network.

        The page shows value, derivative and line of code of a variable under the pointer, expands and collapses
        composites, and steps through the evaluation, forward and backward. The graph can be fitted to the window,
        zoomed and dragged. Values that no output depends on, and keys between their source and where numbers are
        drawn, are hidden until a switch shows them. Scalar arguments have sliders: the page
        holds a table of the graph's numbers at each slider position, computed by `with_args`, with the other arguments
        at their original values.

        Args:
          vary: the values of each slider by its argument's name. By default, every floating scalar x takes 41 values
            from x - |x| to x + |x| (from -1 to 1 if x is zero); fewer, or none, if that took more than 5000 operations.

        Raises:
          ValueError: if the page would have more than 1000 variables, or `vary` is not a dict of finite values of
            scalar arguments.
        """
        drawn = self._fitting()
        view = drawn._page_view()
        cost = len(leaf_operations(drawn.operations))

        def view_at(name: str, value: float) -> PageView:
            return drawn.with_args(**{name: value})._page_view()

        sliders = make_sliders(drawn.arguments, view, view_at, cost, vary)
        return render_page(drawn.arguments, drawn.operations, drawn.outputs, drawn.depth, self._output, view, sliders)

    def to_networkx(self) -> Any:
        """Return a `networkx.DiGraph` of the variables by name.

        Nodes have the attributes value, derivative and operation; edges have local.

        Raises:
          ValueError: if networkx is not installed.
        """
        from jaxnn.graph.rendering.networkx import build_digraph

        return build_digraph(self.rows, self.edges)

    def first_nonfinite(self) -> NonFinite | None:
        """Return the first argument, forward or backward operation with a NaN or inf; `None` if all is finite.

        Example:
          >>> import jax.numpy as jnp
          >>> from jaxnn import graph
          >>> first = graph.trace(lambda x: jnp.sqrt(x) * 2.0)(0.0).first_nonfinite()
          >>> first.value, first.phase, first.operation.name, first.node.name
          ('inf', 'backward', 'sqrt', 'x')
        """
        return find_first_nonfinite(self.arguments, self.operations, self.outputs)

    def flow(self) -> Flow:
        """Return the magnitudes of activations and gradients, layer by layer.

        A layer is flagged if the derivative with respect to its output is zero, or differs from the last layer's by
        more than a factor of 1000.

        Raises:
          ValueError: if the graph has no layers.
        """
        return measure_flow(self._require_layers())

    def __str__(self) -> str:
        return self.text()

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        """Return the picture, if it can be drawn, and the table."""
        try:
            picture = self.svg()
        except ValueError:
            picture = ""
        table = f"<details><summary>as a table</summary><pre>{escape(self.text())}</pre></details>"
        return f'<div style="overflow-x: auto">{picture}</div>{table}'

    def _fitting(self) -> "Graph":
        return self.by_layer() if len(self.nodes) > _WIDEST_PICTURE and self.layers else self

    def _inlined(self) -> tuple[Operation, ...]:
        return inline_networks(self.arguments, self.paths, self.operations)

    def _page_view(self) -> PageView:
        return make_page_view(self.arguments, self.operations)

    @property
    def _output(self) -> str:
        return self.outputs[0].name if len(self.outputs) == 1 and self.outputs[0].name else self.name

    @property
    def _is_by_layer(self) -> bool:
        return any(op.primitive is None for op in self.operations)

    def _require_layers(self) -> list[GraphLayer]:
        layers = self.layers
        if not layers:
            raise ValueError(
                "the graph has no layers: pass parameters in containers, or mark layers by jax.named_scope"
            )
        return layers
