"""The computation graph of a function, and what can be asked of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from html import escape
from typing import Any

import numpy as np

from jaxnn.graph.analysis.flow import Flow, flow
from jaxnn.graph.analysis.layers import LayerOfGraph, boxed, find_layers, spread
from jaxnn.graph.analysis.nonfinite import NotFinite, first_nonfinite
from jaxnn.graph.rendering import view
from jaxnn.graph.rendering.dot import dot
from jaxnn.graph.rendering.page import page
from jaxnn.graph.rendering.page_data import Shown, shown
from jaxnn.graph.rendering.sliders import sliders
from jaxnn.graph.rendering.svg import svg
from jaxnn.graph.rendering.text import text
from jaxnn.graph.rendering.view import Edge, Row
from jaxnn.graph.tracing.nodes import Node, Operation, flat


@dataclass(frozen=True, eq=False)
class Graph:
    """The variables of a function at its arguments, their derivatives, and the operations between them.

    Attributes:
      name: the function's, and its output's where that has no other.
      arguments, outputs: nodes, of any shapes.
      operations: in the order of evaluation, boxes with what is in them.
      paths: of the arguments among those of the function.
      retrace: the graph of the same function at other values of the arguments, in their shapes and dtypes.
      depth: how many levels of boxes are shown opened.

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
    def nodes(self) -> tuple[Node, ...]:
        """The variables shown, of any shapes, in the order of evaluation."""
        return tuple(row.node for row in self._rows() if row.node is not None)

    @property
    def edges(self) -> list[Edge]:
        """The edges between them, with local derivatives, in the target's shape, where these are diagonal."""
        return view.edges(self.operations, self.depth)

    def __getitem__(self, name: str) -> Node:
        """The variable of that name (of any shape), inside closed boxes too.

        Raises:
          ValueError: there is none.
        """
        every = {row.node.name: row.node for row in self.opened(10**6)._rows() if row.node is not None}
        every |= {node.name: node for node in self.nodes}
        return _found(name, every, "variable")

    def at(self, **values: Any) -> "Graph":
        """The graph of the same function with some arguments changed; names such as params[0].b by `**{name: value}`.

        Raises:
          ValueError: there is no such argument, or the value has not its shape, or is no number.

        Example:
          >>> from jaxnn import graph
          >>> g = graph.trace(lambda a, b: a * b)(5.0, 3.0)
          >>> g.at(a=7.0)["b"].derivative.item()
          7.0
        """
        arguments = {node.name: node for node in self.arguments}
        new = {_found(name, arguments, "argument"): value for name, value in values.items()}
        for node, value in new.items():
            if np.shape(value) != node.shape:
                raise ValueError(f"{node.name} has the shape {node.shape}, got {np.shape(value)}")
        changed = [_like(node.value, new[node]) if node in new else node.value for node in self.arguments]
        found = self.retrace(changed).opened(self.depth)
        return found.by_layer() if self._is_by_layer else found

    def opened(self, depth: int) -> "Graph":
        """The same graph (of the same shapes), with boxes shown opened so many levels deep.

        Raises:
          ValueError: depth is no whole number of at least 0.
        """
        if not isinstance(depth, int) or depth < 0:
            raise ValueError(f"depth must be a whole number from 0, got {depth!r}")
        return replace(self, depth=depth)

    @property
    def layers(self) -> list[LayerOfGraph]:
        """The layers, in order of evaluation, of nodes of any shapes.

        Parameters are the first argument that is a container; a loop over layers is one of them.
        A layer begins where a new container of parameters is first used, as params[0] is in a network of jaxnn, or in a
        new `jax.named_scope`, in boxes too; there are none without either.
        """
        return find_layers(self.arguments, self.paths, self._spread(), self.outputs)

    def by_layer(self) -> "Graph":
        """The same graph (of the same shapes), each layer one box.

        Raises:
          ValueError: no layers are to be found.
        """
        layers = self._some_layers()
        return self if self._is_by_layer else replace(self, operations=boxed(layers, self._spread()))

    def text(self) -> str:
        """A table in the order of evaluation: values, derivatives, and local derivatives where they are diagonal."""
        return text(self._rows(), self.edges, self._output)

    def dot(self) -> str:
        """The graph for Graphviz, opened boxes as clusters."""
        return dot(self._rows(), self.edges, self._output)

    def svg(self) -> str:
        """The graph as a picture: values above, derivatives below; by layer where it would not fit a page.

        Raises:
          ValueError: there are too many variables to be seen.
        """
        drawn = self._fitting()
        return svg(drawn.arguments, drawn.operations, drawn.depth, drawn.edges, self._output)

    def html(self, vary: Mapping[str, Sequence[float]] | None = None) -> str:
        """The graph as a page that answers: one HTML file, which needs no network.

        A variable that is pointed at tells its value, its derivative and its line of code; boxes open and close; the
        evaluation goes step by step, forward and backward. An argument that is a scalar has a slider: the page holds
        a table of the graph's numbers at each of its values, the other arguments being what they are, computed here by
        `at`.

        Args:
          vary: the values of each slider by its argument's name. By default every floating scalar goes from x - |x| to
            x + |x| (from -1 to 1 where it is zero) in 41 values; in fewer, or none, where that were more than 5 000
            operations.

        Raises:
          ValueError: there are too many variables to be seen, or `vary` names no scalar argument.
        """
        drawn = self._fitting()
        here = drawn._shown()
        cost = len(flat(drawn.operations))
        found = sliders(drawn.arguments, here, lambda name, value: drawn.at(**{name: value})._shown(), cost, vary)
        return page(drawn.arguments, drawn.operations, drawn.outputs, drawn.depth, self._output, here, found)

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph` of the variables, by name, with their arrays (of any shapes).

        Nodes have the attributes value, derivative and operation, edges local.

        Raises:
          ValueError: networkx is not installed.
        """
        from jaxnn.graph.rendering.networkx import to_networkx

        return to_networkx(self._rows(), self.edges)

    def first_nonfinite(self) -> NotFinite | None:
        """The first argument, forward or backward operation that brought a NaN or inf; `None` where all is finite.

        Example:
          >>> import jax.numpy as jnp
          >>> from jaxnn import graph
          >>> found = graph.trace(lambda x: jnp.sqrt(x) * 2.0)(0.0).first_nonfinite()
          >>> found.what, found.way, found.operation.name, found.node.name
          ('inf', 'backward', 'sqrt', 'x')
        """
        return first_nonfinite(self.arguments, self.operations, self.outputs)

    def flow(self) -> Flow:
        """The size of activations and gradients by layer, vanishing and exploding ones flagged.

        Flagged is a layer by whose output the derivative is zero, or a thousand times smaller, or larger, than at the
        last.

        Raises:
          ValueError: no layers are to be found.
        """
        self._some_layers()
        return flow(self.layers)

    def __str__(self) -> str:
        return self.text()

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        """The picture, where it can be drawn, and the table."""
        try:
            picture = self.svg()
        except ValueError:
            picture = ""
        table = f"<details><summary>as a table</summary><pre>{escape(self.text())}</pre></details>"
        return f'<div style="overflow-x: auto">{picture}</div>{table}'

    def _fitting(self) -> "Graph":
        return self.by_layer() if len(self.nodes) > 40 and self.layers else self

    def _spread(self) -> tuple[Operation, ...]:
        return spread(self.arguments, self.paths, self.operations)

    def _shown(self) -> Shown:
        return shown(self.arguments, self.operations)

    def _rows(self) -> list[Row]:
        return view.rows(self.arguments, self.operations, self.depth)

    @property
    def _output(self) -> str:
        return self.outputs[0].name if len(self.outputs) == 1 and self.outputs[0].name else self.name

    @property
    def _is_by_layer(self) -> bool:
        return any(op.primitive is None for op in self.operations)

    def _some_layers(self) -> list[LayerOfGraph]:
        found = self.layers
        if not found:
            raise ValueError(
                "no layers are to be found: pass parameters in containers, or mark layers by jax.named_scope"
            )
        return found


def _like(old: Any, value: Any) -> Any:
    """The value in the dtype of the old one, and its shape; a number of Python stays one, weakly typed."""
    new = np.asarray(value)
    if new.dtype.kind in "OSUMm" or (new.dtype.kind == "c" and not np.issubdtype(old.dtype, np.complexfloating)):
        raise ValueError(f"an argument of {old.dtype} takes numbers, got {value!r}")
    new = new.astype(old.dtype)
    return new.item() if old.weak_type and not old.shape else new


def _found(name: str, among: Mapping[str, Node], what: str) -> Node:
    if name not in among:
        close = (isinstance(name, str) and get_close_matches(name, among, 3)) or list(among)[:8]
        others = " and others" if len(among) > len(close) else ""
        raise ValueError(f"no {what} is called {name!r}: there are {', '.join(close)}{others}")
    return among[name]
