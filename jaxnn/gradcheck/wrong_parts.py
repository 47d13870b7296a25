"""Which layer inside a network has a wrong backward: the one that gets the right cotangent and returns a wrong one.

The error of one layer shows in the gradients of all layers before it, whose backwards are right.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.promises import cotangent_of
from jaxnn.gradcheck.source_lines import line_of
from jaxnn.jaxprs import inner_jaxprs
from jaxnn.marking.harvested import each_mark
from jaxnn.marking.harvesting import harvest, place_of
from jaxnn.marking.marks import MARKING
from jaxnn.marking.places import Place, params_path
from jaxnn.marking.primitive import MARK
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.layer import Layer
from jaxnn.typing import Key, Params, PyTree

_TOLERANCES = (1e-2, 1e-4, 1e-7)
"""Of a difference relative to the largest number. The coarse ones come first: rounding passes them."""


class _Name(NamedTuple):
    """Of marked arrays: the layer's place, what they are, and the steps of the scans around them."""

    place: Place
    what: str
    steps: tuple[int, ...]


def line_of_wrong_part(layer: Layer, params: Params, x: PyTree, key: Key | None, seed: int) -> str:
    """Return the line of the backward that is wrong inside a network, and whose layer it is.

    The network's backward and autodiff of its forward are run with the same cotangent, and compared at the outputs, the
    inputs and the params of each layer in it.

    Returns:
      Such as "own.py:12: return dparams, dy (the layer of params[1])"; "" if no layer inside is wrong at the given
      arguments, or the backward cannot be traced.
    """
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        params, x = jax.tree.map(_wide, (params, x))

        def by_hand(params, x, dy):
            return layer.backward(params, call_forward(layer, params, x, key, None)[1], dy)

        def by_autodiff(params, x, dy):
            return jax.vjp(lambda params, x: call_forward(layer, params, x, key, None)[0], params, x)[1](dy)

        try:
            y = jax.eval_shape(lambda params, x: call_forward(layer, params, x, key, None)[0], params, x)
            dy = cotangent_of(y, lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype))
            found, expected = (_cotangents(f, params, x, dy) for f in (by_hand, by_autodiff))
            wrong = next((one for tolerance in _TOLERANCES if (one := _wrong(found, expected, tolerance))), None)
            line = wrong and _line(by_hand, *wrong, params, x, dy)
        except Exception:  # a backward that looks at values, or returns another structure
            return ""
    return f"{line} (the layer of params{params_path(wrong[0].place)})" if wrong and line else ""


def _wide(a: Any) -> Any:
    return jnp.asarray(a, "float64") if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a


def _cotangents(f: Callable[..., Any], *args: Any) -> dict[_Name, list[np.ndarray]]:
    """Return the cotangents that are marked in `f(*args)`, by name, in the order of evaluation."""
    _, marks = jax.jit(harvest(f, lambda a: a))(*args)
    found = defaultdict(list)
    for mark in each_mark(marks):
        if mark.kind == "cotangent":
            found[_Name(mark.place, mark.what, mark.steps)].append(np.asarray(mark.measured))
    return found


def _wrong(
    found: dict[_Name, list[np.ndarray]], expected: dict[_Name, list[np.ndarray]], tolerance: float
) -> tuple[_Name, int] | None:
    """Return the name and the number of the first wrong cotangent of the innermost layer that gets a right one."""

    def right(name: _Name) -> bool:
        left = list(expected[name])
        for a in found[name]:
            same = next((i for i, b in enumerate(left) if _close(a, b, tolerance)), None)
            if same is None:
                return False
            del left[same]
        return True

    def first(name: _Name) -> int:
        # Autodiff goes through a layer's arrays from the last to the first.
        pairs = zip(found[name], reversed(expected[name]), strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if not _close(a, b, tolerance)), 0)

    blamed = [
        name
        for name in found
        if name.what != "activations" and not right(name) and right(name._replace(what="activations"))
    ]
    innermost = max(blamed, key=lambda name: len(name.place), default=None)
    return innermost and (innermost, first(innermost))


def _close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return a.shape == b.shape and np.abs(a - b).max(initial=0) <= tolerance * np.abs(b).max(initial=0)


def _line(backward: Callable[..., Any], name: _Name, number: int, *args: Any) -> str | None:
    """Return the line that produces the array of this name and number in the backward."""
    with MARKING(True):
        # A new lambda: JAX caches traces by function, and those without marks are there.
        closed = jax.make_jaxpr(lambda *args: backward(*args))(*args)
    marked = list(_marked(closed.jaxpr, (), name))
    jaxpr, equation = marked[min(number, len(marked) - 1)]
    return line_of(jaxpr, equation.invars[0])


def _marked(jaxpr: Any, outer: Place, name: _Name) -> Iterator[tuple[Any, Any]]:
    """Iterate over the equations that mark cotangents of this name, each with the jaxpr that it is in."""
    for equation in jaxpr.eqns:
        place = place_of(equation, outer)
        marked = equation.params if equation.primitive is MARK and place == name.place else {}
        if (marked.get("what"), marked.get("kind")) == (name.what, "cotangent"):
            yield jaxpr, equation
        for inner in inner_jaxprs(equation):
            yield from _marked(inner, place, name)
