"""The numbers of a graph at other values of its scalar arguments, one argument at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.graph.rendering.page_data import Shown
from jaxnn.graph.tracing.nodes import Node

POINTS, MOST_OPERATIONS = 41, 5_000


class Slider(NamedTuple):
    """A scalar argument's values, and the graph there.

    Attributes:
      name: the argument's.
      values: increasing, with the one that it has among them.
      start: which of them it has.
      numbers: what is shown at each; `None` where the function takes another way, or has no derivative.
    """

    name: str
    values: list[float]
    start: int
    numbers: list[dict[str, Any] | None]


def sliders(
    arguments: tuple[Node, ...],
    here: Shown,
    at: Callable[[str, float], Shown],
    cost: int,
    vary: Mapping[str, Sequence[float]] | None = None,
) -> list[Slider]:
    """A slider for each argument that `vary` names, or, by default, for each that is a finite scalar of floating dtype.

    `at` is what is shown where the argument of that name has that value, in the shape (). It is called for each
    value, so that the numbers are those of a graph traced there, to the last digit; `cost` is of how many operations.

    Raises:
      ValueError: `vary` names no such argument, or has a value that is not finite.
    """
    scalars = {node.name: node for node in arguments if _can_vary(node)}
    if vary is None:
        room = MOST_OPERATIONS // max(len(scalars) * cost, 1)
        points = min(POINTS, room - (room + 1) % 2)
        vary = {name: _around(node, points) for name, node in scalars.items()} if points >= 3 else {}
    if not isinstance(vary, Mapping):
        raise ValueError(f"vary is {vary!r}, expected values by argument, such as {{'a': [1.0, 2.0]}}")
    if unknown := [name for name in vary if name not in scalars]:
        known = ", ".join(scalars) or "none"
        raise ValueError(f"{unknown[0]!r} cannot vary: expected an argument that is a finite floating scalar ({known})")
    return [_slider(scalars[name], values, here, at) for name, values in vary.items()]


def _can_vary(node: Node) -> bool:
    return node.shape == () and jnp.issubdtype(node.dtype, jnp.floating) and bool(jnp.isfinite(node.value))


def _around(node: Node, points: int) -> Sequence[float]:
    value, largest = float(node.value), float(jnp.finfo(node.dtype).max)
    span = abs(value) or 1.0
    return np.linspace(max(value - span, -largest), min(value + span, largest), points).tolist()


def _slider(node: Node, values: Sequence[float], here: Shown, at: Callable[[str, float], Shown]) -> Slider:
    given = float(node.value)
    with np.errstate(over="ignore"):
        cast = np.asarray(values).astype(node.dtype).astype(float)
    if cast.ndim != 1 or not np.isfinite(cast).all():
        raise ValueError(f"{node.name} can vary over a list of finite values, got {values}")
    increasing = sorted({given, *cast.tolist()})

    def numbers(value):
        if value == given:
            return here.numbers()
        try:
            there = at(node.name, value)
        except ValueError:
            return None
        return there.numbers() if there.same_as(here) else None

    return Slider(node.name, increasing, increasing.index(given), [numbers(value) for value in increasing])
