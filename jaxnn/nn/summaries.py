"""A table of the layers of a network: what each is, the shape after it, and how many params it has."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.constraints import ExampleTree, checked
from jaxnn.factories.representation import in_few_words
from jaxnn.marking.places import entry, keys_of
from jaxnn.nn.branches import fan_out, parallel, shared
from jaxnn.nn.carrying import carried
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.repetition import chain_with_scans, repeat
from jaxnn.nn.shapes import is_sizes, simplified, structs
from jaxnn.nn.stepwise import each_step
from jaxnn.nn.tying import tied
from jaxnn.sequences import array_of
from jaxnn.typing import Params, Shapes

__all__ = ["summary"]


@checked(layer=LAYER, in_shape=ExampleTree())
def summary(layer: Layer, in_shape: Shapes) -> str:
    """Return a table of the layers that a network is made of, in the order of the forward pass.

    Args:
      layer: the network.
      in_shape: the shape of one example, as `init` takes it.

    Returns:
      A line for each layer that is not made of others: the place of its params, the call that made it, the shape of an
      example after it and the number of its params; a repeated layer has one line for all copies. An array that is
      `tied` counts at the first of its places. The last line has the sum.

    Raises:
      ValueError: if it is not a `Layer`, or does not take such examples.

    Example:
      >>> import jaxnn
      >>> print(summary(jaxnn.chain(jaxnn.dense(4), jaxnn.relu(), jaxnn.repeat(jaxnn.dense(4), 3)), (5,)))
      params[0]      dense(4)  (4,)  24
      params[1]      relu()    (4,)   0
      params[2] x 3  dense(4)  (4,)  60
      in all                         84
    """
    rows = list(_rows(layer, simplified(in_shape), "params", 1))
    total = sum(row.size for row in rows)
    lines = [[row.place + f" x {row.times}" * (row.times > 1), row.name, row.shape, f"{row.size:,}"] for row in rows]
    lines.append(["in all", "", "", f"{total:,}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = (
        [cell.ljust(width) for cell, width in zip(line[:3], widths, strict=False)] + [line[3].rjust(widths[3])]
        for line in lines
    )
    return "\n".join("  ".join(text) for text in texts)


_NONE: frozenset[str] = frozenset()


class _Row(NamedTuple):
    place: str
    name: str
    shape: str
    size: int
    times: int


def _rows(layer: Layer, in_shape: Shapes, place: str, times: int, elsewhere: frozenset[str] = _NONE) -> Iterator[_Row]:
    """Yield the rows of a layer at a place, of whose params the arrays with the paths `elsewhere` count elsewhere."""
    call = getattr(layer, "factory_call", None)
    if call is not None and call.factory is tied:
        elsewhere = elsewhere.union(call.arguments["paths"][1:])
    parts = list(_parts(layer, in_shape))
    for scope, part, shape, copies in parts:
        before = "".join(f"{key}/" for key in keys_of(scope))
        inside = frozenset(path.removeprefix(before) for path in elsewhere if path.startswith(before))
        yield from _rows(part, shape, place + scope, times * copies, inside)
    if not parts:
        params, out_shape = _initialized(layer, in_shape)
        sizes = {
            jax.tree_util.keystr(path, simple=True, separator="/"): math.prod(leaf.shape)
            for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
        }
        size = times * sum(size for path, size in sizes.items() if path not in elsewhere)
        yield _Row(place, in_few_words(layer), _shape_in_words(out_shape), size, times)


def _parts(layer: Layer, in_shape: Shapes) -> Iterator[tuple[str, Layer, Shapes, int]]:
    """Yield the layers that a layer is made of: the scope of its params, the layer, its in_shape and its copies."""
    call = getattr(layer, "factory_call", None)
    if call is None:
        return
    made, arguments = call.factory, call.arguments
    if made is chain or made is chain_with_scans:
        blocks = [((one,), 1) for one in arguments["layers"]] if made is chain else arguments["blocks"]
        for i, (layers, n) in enumerate(blocks):
            for j, one in enumerate(layers):
                yield entry(i) + entry(j) * (made is not chain), one, in_shape, n
                in_shape = simplified(_initialized(one, in_shape)[1])
    elif made is fan_out or made is parallel:
        for name, one in [*enumerate(arguments.get("layers", ())), *arguments.get("named", {}).items()]:
            yield entry(name), one, in_shape if made is fan_out else simplified(in_shape[name]), 1
    elif "layer" in arguments:
        yield "", arguments["layer"], simplified(_inside(made, in_shape)), arguments["n"] if made is repeat else 1


def _inside(made: Any, in_shape: Shapes) -> Shapes:
    """Return the in_shape of the layer that another one was made of."""
    if made is shared or made is carried:
        return jax.tree.leaves(in_shape, is_leaf=lambda node: node is not in_shape)[0]
    if made is each_step:
        x = structs(array_of(in_shape))
        return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    return in_shape


def _initialized(layer: Layer, in_shape: Shapes) -> tuple[Params, Shapes]:
    """Return the shapes of a layer's params, and the shape after it."""
    shapes: list[Any] = []

    def init(key):
        params, out_shape = layer.init(key, in_shape)
        shapes.append(out_shape)
        return params

    return jax.eval_shape(init, jax.random.key(0)), shapes[0]


def _shape_in_words(shape: Shapes) -> str:
    if is_sizes(shape):
        return str(tuple(shape))
    if isinstance(shape, jax.ShapeDtypeStruct):
        return f"{jnp.dtype(shape.dtype).name} {shape.shape}"
    return str(jax.tree.map(lambda leaf: simplified(leaf), shape))
