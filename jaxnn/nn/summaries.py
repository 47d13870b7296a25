"""A table of the layers of a network: what each is, the shape after it, its params, and the cost of its forward."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.constraints import ExampleTree, checked
from jaxnn.factories.representation import in_few_words
from jaxnn.marking.places import entry, keys_of
from jaxnn.nn.boundaries import call_forward, run_init
from jaxnn.nn.branches import fan_out, parallel, shared
from jaxnn.nn.carrying import carried
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.operation_counts import flops_of_products
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
      example after it, the number of its params, and the floating-point operations of its products in the forward of
      one example, 2 for a multiplication and an addition. A repeated layer has one line for all copies. An array that
      is `tied` counts at the first of its places. Below are the sums, and the bytes of the params and of what the
      layers return for one example, which training keeps for the backward.

    Raises:
      ValueError: if it is not a `Layer`, or does not take such examples.

    Example:
      >>> import jaxnn
      >>> print(summary(jaxnn.chain(jaxnn.dense(4), jaxnn.relu(), jaxnn.repeat(jaxnn.dense(4), 3)), (5,)))
      place          layer     output  params  FLOPs
      params[0]      dense(4)  (4,)        24     40
      params[1]      relu()    (4,)         0      0
      params[2] x 3  dense(4)  (4,)        60     96
      in all                               84    136
      bytes: 336 of params, 80 of outputs for one example
    """
    rows = list(_rows(layer, simplified(in_shape), "params"))
    sums = {name: sum(getattr(row, name) for row in rows) for name in _Row._fields[-4:]}
    lines = [
        ("place", "layer", "output", "params", "FLOPs"),
        *((row.place, row.name, row.shape, f"{row.size:,}", f"{row.flops:,}") for row in rows),
        ("in all", "", "", f"{sums['size']:,}", f"{sums['flops']:,}"),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    signs = "<<<>>"
    table = ["  ".join(map(format, line, map("{}{}".format, signs, widths))) for line in lines]
    sizes = f"bytes: {sums['params_bytes']:,} of params, {sums['outputs_bytes']:,} of outputs for one example"
    return "\n".join([*table, sizes])


_NONE: frozenset[str] = frozenset()


class _Row(NamedTuple):
    place: str
    name: str
    shape: str
    size: int
    flops: int
    params_bytes: int
    outputs_bytes: int


def _rows(
    layer: Layer,
    in_shape: Shapes,
    place: str,
    times: int = 1,
    calls: int = 1,
    elsewhere: frozenset[str] = _NONE,
) -> Iterator[_Row]:
    """Yield the rows of a layer at a place, of whose params the arrays with the paths `elsewhere` count elsewhere.

    There are `times` copies of it, and an example passes through it `calls` times.
    """
    call = getattr(layer, "factory_call", None)
    if call is not None and call.factory is tied:
        elsewhere = elsewhere.union(call.arguments["paths"][1:])
    parts = list(_parts(layer, in_shape))
    for scope, part, shape, copies, each in parts:
        before = "".join(f"{key}/" for key in keys_of(scope))
        inside = frozenset(path.removeprefix(before) for path in elsewhere if path.startswith(before))
        yield from _rows(part, shape, place + scope, times * copies, calls * copies * each, inside)
    if not parts:
        params, out_shape = _initialized(layer, in_shape)
        counted = [
            leaf
            for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
            if jax.tree_util.keystr(path, simple=True, separator="/") not in elsewhere
        ]
        size, of_params = sum(math.prod(leaf.shape) for leaf in counted), _bytes(counted)
        flops, of_outputs = calls * _flops(layer, params, in_shape), calls * _bytes(structs(out_shape))
        place += f" x {times}" * (times > 1)
        name, shape = in_few_words(layer), _shape_in_words(out_shape)
        yield _Row(place, name, shape, times * size, flops, times * of_params, of_outputs)


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def _flops(layer: Layer, params: Params, in_shape: Shapes) -> int:
    """Return the floating-point operations of the forward of one example."""
    # Of two, since batch normalization takes no single one.
    x = jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), structs(in_shape))
    key = jax.eval_shape(lambda: jax.random.key(0))
    return flops_of_products(lambda params, x, key: call_forward(layer, params, x, key, None)[0], params, x, key) // 2


def _parts(layer: Layer, in_shape: Shapes) -> Iterator[tuple[str, Layer, Shapes, int, int]]:
    """Yield the layers that a layer is made of: the scope of params, the layer, its in_shape, its copies and its calls.

    Each copy has params. In each call an example passes through all copies.
    """
    call = getattr(layer, "factory_call", None)
    if call is None:
        return
    made, arguments = call.factory, call.arguments
    if made is chain or made is chain_with_scans:
        blocks = [((one,), 1) for one in arguments["layers"]] if made is chain else arguments["blocks"]
        for i, (layers, n) in enumerate(blocks):
            for j, one in enumerate(layers):
                yield entry(i) + entry(j) * (made is not chain), one, in_shape, n, 1
                in_shape = simplified(_initialized(one, in_shape)[1])
    elif made is fan_out or made is parallel:
        for name, one in [*enumerate(arguments.get("layers", ())), *arguments.get("named", {}).items()]:
            yield entry(name), one, in_shape if made is fan_out else simplified(in_shape[name]), 1, 1
    elif "layer" in arguments:
        copies = arguments["n"] if made is repeat else 1
        yield "", arguments["layer"], simplified(_inside(made, in_shape)), copies, _calls(made, in_shape)


def _calls(made: Any, in_shape: Shapes) -> int:
    """Return how many times an example passes through the layer that another one was made of."""
    if made is shared:
        return len(jax.tree.leaves(in_shape, is_leaf=lambda node: node is not in_shape))
    return structs(array_of(in_shape)).shape[0] if made is each_step else 1


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
        params, out_shape = run_init(layer, key, in_shape)
        shapes.append(out_shape)
        return params

    return jax.eval_shape(init, jax.random.key(0)), shapes[0]


def _shape_in_words(shape: Shapes) -> str:
    if is_sizes(shape):
        return str(tuple(shape))
    if isinstance(shape, jax.ShapeDtypeStruct):
        return f"{jnp.dtype(shape.dtype).name} {shape.shape}"
    return str(jax.tree.map(lambda leaf: simplified(leaf), shape))
