"""The layers of a network one after another, each with its arrays: the common form of all formats.

An export writes them; an import fills them, since the arrays of NumPy params are views. Chains inside of chains,
repeated layers, scans and Transformer blocks are unfolded. Layers around others (residual, fan_out, each_step) have
sequences of layers as parts, and a recurrence in both directions has two recurrences.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.networks.spec import Spec
from experiments.networks.storage import StoredNetwork
from jaxnn.models.model import shapes_of_params
from jaxnn.nn import untie
from jaxnn.nn.shapes import simplified, structs
from jaxnn.typing import Shape

CELLS = ("simple_cell", "lstm_cell", "gru_cell")
"""The cells of recurrences that can be exchanged."""


class Placed(NamedTuple):
    """A layer at its place in a network.

    Attributes:
      kind: the name of its factory, such as "conv".
      options: all arguments of the factory by name, defaults too; of a recurrence, those of its cell too.
      arrays: its params and statistics by name; K, b, mean, ...; query.W, ... of attention.
      in_shape: the sizes of one example before it; of several side by side, those of the first.
      out_shape: the sizes of one example after it.
      parts: the sequences of layers that it is made of.
      order: where the format flattens channels first, the places here of the entries there; `None` for the same order.
      channels_last: whether the format has the channels of its input last.
      moved: whether the format has to move the channels of its input first, to the end if `channels_last`, else to the
        front.
    """

    kind: str
    options: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    in_shape: Shape
    out_shape: Shape
    parts: tuple[tuple["Placed", ...], ...] = ()
    order: np.ndarray | None = None
    channels_last: bool = True
    moved: bool = False

    @property
    def axes(self) -> int:
        """Return the number of axes of places, which an example has before its channels."""
        return len(self.in_shape) - 1


def layers_of(network: StoredNetwork) -> tuple[Placed, ...]:
    """Return the layers of a network, with arrays of NumPy.

    Raises:
      ValueError: if a layer is made of others in a way that has no common form, such as `shared`.
    """
    return placed(network.spec, *jax.device_get((network.params, network.stats)))


def placed(spec: Spec, params: Any, stats: Any) -> tuple[Placed, ...]:
    """Return the layers of a network, whose arrays are views of params and statistics of NumPy arrays."""
    model = spec.model()
    return tuple(_unfolded(model.network, params, stats, simplified(model.in_shape))[0])


def empty(spec: Spec) -> tuple[Any, Any]:
    """Return params and statistics of zeros, to be filled."""
    model = spec.model()
    shapes = shapes_of_params(model.network, model.in_shape), spec.statistics
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def with_arrays(layers: Sequence[Placed]) -> Iterator[Placed]:
    """Yield the layers that have params or statistics, in execution order, those inside of others too."""
    for layer in layers:
        if layer.arrays:
            yield layer
        for part in layer.parts:
            yield from with_arrays(part)


def branches(layers: Sequence[Placed], inside: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield, in the order of `with_arrays`, the branches that a layer is in: the place of a fan_out, and the branch."""
    for i, layer in enumerate(layers):
        if layer.arrays:
            yield inside
        for j, part in enumerate(layer.parts):
            yield from branches(part, (*inside, (i, j if layer.kind == "fan_out" else 0)))


def _unfolded(layer: Any, params: Any, stats: Any, shape: Any) -> tuple[list[Placed], Any]:
    """Return the layers that a layer is made of, and the shape after them."""
    call = getattr(layer, "factory_call", None)
    if call is None:
        raise ValueError("layers must be made by factories to be exchanged, got one written as Layer(...)")
    kind, options = call.factory.__name__, options_of(call)
    if kind in ("chain", "chain_with_scans", "repeat"):
        return _sequence(_entries(kind, options, params, stats), shape)
    if kind == "remat":
        return _unfolded(options["layer"], params, stats, shape)
    if kind == "tied":
        return _unfolded(options["layer"], untie(layer, params), stats, shape)
    if kind == "frozen":
        return _unfolded(options["layer"], params, options["stats"], shape)
    if kind == "residual":
        inside, _ = _unfolded(options["layer"], params, stats, shape)
        return [Placed(kind, {}, {}, _sizes(shape), _sizes(shape), (tuple(inside),))], shape
    if kind == "fan_out" and not options["named"]:
        branches = [_unfolded(*each, shape) for each in zip(options["layers"], params, each(stats), strict=False)]
        out_shapes = tuple(structs(out) for _, out in branches)
        parts = tuple(tuple(inside) for inside, _ in branches)
        return [Placed(kind, {}, {}, _sizes(shape), _sizes(out_shapes), parts)], out_shapes
    if kind == "each_step":
        return _each_step(options["layer"], params, stats, shape)
    if options.get("memory"):
        raise ValueError(f"{kind} must have memory=False to be exchanged, got True: stablehlo has any layers")
    if kind == "transformer_block":
        return _unfolded(call.factory.__wrapped__(*call.args, **call.kwargs), params, stats, shape)
    if kind == "_back_to_size":
        inside, hidden = _unfolded(options["layer"], params[0], (), shape)
        return [*inside, Placed("dense", {}, params[1], _sizes(hidden), _sizes(shape))], shape
    out_shape = out_shape_of(layer, shape)
    if kind == "bidirectional":
        parts = tuple((_recurrent(options, *each, shape),) for each in zip((False, True), params, strict=True))
        return [Placed(kind, parts[0][0].options, {}, _sizes(shape), _sizes(out_shape), parts)], out_shape
    if kind == "recurrent":
        return [_recurrent(options, options["reverse"], params, shape)._replace(out_shape=_sizes(out_shape))], out_shape
    if kind == "multi_head_attention":
        params = {f"{part}.{name}": array for part, arrays in params.items() for name, array in arrays.items()}
    if not (_is_flat(params) and _is_flat(stats)):
        raise ValueError(f"{kind}(...) is made of layers in a way that only --to stablehlo can hold")
    arrays = {**(params or {}), **(stats or {})}
    return [Placed(kind, options, arrays, _sizes(shape), _sizes(out_shape))], out_shape


def _each_step(layer: Any, params: Any, stats: Any, shape: Any) -> tuple[list[Placed], Any]:
    """Return a layer at each time of a sequence; its parts have the sizes of an example at one time."""
    x = structs(shape)
    inside, at_one_time = _unfolded(layer, params, stats, simplified(jax.ShapeDtypeStruct(x.shape[1:], x.dtype)))
    y = structs(at_one_time)
    out_shape = simplified(jax.ShapeDtypeStruct((x.shape[0], *y.shape), y.dtype))
    return [Placed("each_step", {}, {}, _sizes(shape), _sizes(out_shape), (tuple(inside),))], out_shape


def _recurrent(options: Mapping[str, Any], reverse: bool, params: Any, shape: Any) -> Placed:
    """Return one direction of a recurrence. Its options have the name of its cell, and the arguments of that."""
    call = getattr(options["cell"], "factory_call", None)
    cell = call.factory.__name__ if call is not None else "Cell"
    if cell not in CELLS:
        raise ValueError(f"recurrences must have a cell of {', '.join(CELLS)} to be exchanged, got {cell}(...)")
    state = options.get("state", "zeros")
    if state != "zeros":
        raise ValueError(f"recurrent must have state='zeros' to be exchanged, got {state!r}")
    of_cell = options_of(call)
    n_steps, *_ = sizes = _sizes(shape)
    out_shape = (n_steps, of_cell["n"]) if options["outputs"] == "all" else (of_cell["n"],)
    return Placed("recurrent", {**of_cell, **options, "cell": cell, "reverse": reverse}, params, sizes, out_shape)


def _is_flat(tree: Any) -> bool:
    """Return whether a tree is a dictionary of arrays, or nothing."""
    return not jax.tree.leaves(tree) or (isinstance(tree, dict) and jax.tree.structure(tree).num_leaves == len(tree))


def options_of(call: Any) -> dict[str, Any]:
    """Return all arguments of a factory's call by name, defaults too."""
    bound = inspect.signature(call.factory).bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    return bound.arguments


def _entries(kind: str, options: dict[str, Any], params: Any, stats: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the layers of a chain, of a chain with scans or of copies, with the params and the statistics of each."""
    if kind == "chain":
        yield from zip(options["layers"], params, each(stats), strict=False)
    elif kind == "repeat":
        for i in range(options["n"]):
            yield options["layer"], _copy(params, i), _copy(stats, i)
    else:
        for (layers, n), of_block, of_stats in zip(options["blocks"], params, each(stats), strict=False):
            for i in range(n):
                copies = (of_block, of_stats) if n == 1 else (_copy(of_block, i), _copy(of_stats, i))
                yield from zip(layers, copies[0], each(copies[1]), strict=False)


def _copy(tree: Any, i: int) -> Any:
    # `[i, ...]`, for which NumPy returns a view even if no axis is left.
    return jax.tree.map(lambda leaf: leaf[i, ...], tree)


def each(stats: Any) -> Any:
    """Return the statistics of each layer: a network without any has `()` for all."""
    return stats if jax.tree.leaves(stats) else iter(tuple, None)


def _sequence(entries: Iterator[tuple[Any, Any, Any]], shape: Any) -> tuple[list[Placed], Any]:
    layers: list[Placed] = []
    for layer, params, stats in entries:
        inside, shape = _unfolded(layer, params, stats, shape)
        layers += inside
    return layers, shape


def out_shape_of(layer: Any, shape: Any) -> Any:
    """Return the shape of one example after a layer."""
    shapes = []
    jax.eval_shape(lambda key: shapes.append(layer.init(key, shape)[1]), jax.random.key(0))
    return simplified(shapes[0])


def _sizes(shape: Any) -> Shape:
    first, *_ = jax.tree.leaves(structs(shape))
    return tuple(first.shape)
