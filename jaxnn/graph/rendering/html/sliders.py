"""Sliders: the numbers of a graph at other values of its scalar arguments, one argument at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.graph.rendering.html.page_view import PageView
from jaxnn.graph.tracing.nodes import Node

POINTS, MOST_OPERATIONS = 41, 5_000


class Slider(NamedTuple):
    """The values of a scalar argument, and the numbers of the graph at each.

    Attributes:
      name: of the argument.
      values: increasing, with the original value among them.
      start: the index of the original value.
      numbers: the page's numbers at each value; `None` if the function takes a different branch there, or has no
        derivative.
    """

    name: str
    values: list[float]
    start: int
    numbers: list[dict[str, Any] | None]


def make_sliders(
    arguments: tuple[Node, ...],
    original: PageView,
    view_at: Callable[[str, float], PageView],
    cost: int,
    vary: Mapping[str, Sequence[float]] | None = None,
) -> list[Slider]:
    """Make a slider for each argument in `vary`, or, by default, for each finite floating scalar.

    Args:
      arguments: of the graph.
      original: the view at the original arguments.
      view_at: the view with another value for the argument of a name. It is called for each value, so that the numbers
        are exactly those of a graph traced there.
      cost: the number of operations of the graph, which bounds the default number of values.
      vary: the values by argument.

    Raises:
      ValueError: if `vary` has a name that is not a finite floating scalar argument, or a value that is not finite.
    """
    scalars = {node.name: node for node in arguments if _can_vary(node)}
    if vary is None:
        affordable = MOST_OPERATIONS // max(len(scalars) * cost, 1)
        points = min(POINTS, affordable - (affordable + 1) % 2)
        vary = {name: _values_around(node, points) for name, node in scalars.items()} if points >= 3 else {}
    if not isinstance(vary, Mapping):
        raise ValueError(f"vary must be a dict of values by argument, such as {{'a': [1.0, 2.0]}}, got {vary!r}")
    if unknown := [name for name in vary if name not in scalars]:
        available = ", ".join(scalars) or "there are no such arguments"
        raise ValueError(f"vary must name finite floating scalar arguments ({available}), got {unknown[0]!r}")
    return [_make_slider(scalars[name], values, original, view_at) for name, values in vary.items()]


def _can_vary(node: Node) -> bool:
    return node.shape == () and jnp.issubdtype(node.dtype, jnp.floating) and bool(jnp.isfinite(node.value))


def _values_around(node: Node, points: int) -> Sequence[float]:
    value, largest = float(node.value), float(jnp.finfo(node.dtype).max)
    radius = abs(value) or 1.0
    return np.linspace(max(value - radius, -largest), min(value + radius, largest), points).tolist()


def _make_slider(
    node: Node, values: Sequence[float], original: PageView, view_at: Callable[[str, float], PageView]
) -> Slider:
    start = float(node.value)
    with np.errstate(over="ignore"):
        cast = np.asarray(values).astype(node.dtype).astype(float)
    if cast.ndim != 1 or not np.isfinite(cast).all():
        raise ValueError(f"vary[{node.name!r}] must be a list of finite values, got {values}")
    increasing = sorted({start, *cast.tolist()})

    def numbers(value):
        if value == start:
            return original.numbers()
        try:
            view = view_at(node.name, value)
        except ValueError:
            return None
        return view.numbers() if view.same_structure(original) else None

    return Slider(node.name, increasing, increasing.index(start), [numbers(value) for value in increasing])
