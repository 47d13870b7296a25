"""Channels first, as in PyTorch and ONNX: how filters are stored, and the order of what a flatten makes.

An example here is (height, width, channels), there (channels, height, width). Flattened, entry j there is entry
`order[j]` here: so the dense layer behind has its columns in this order, and a normalization in between its gains.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from experiments.interchange.layers import Placed, with_arrays
from experiments.interchange.tables import Array

_ANY_PLACE = frozenset(
    "identity sigmoid tanh relu leaky_relu softplus silu gelu elu dropout rescale softmax layer_norm rms_norm "
    "fan_in_sum fan_in_concat".split()
)
"""Those that take channels where they are, first or last, and entries of a vector in any order."""


SEQUENCES = frozenset("recurrent bidirectional each_step multi_head_attention positions learned_positions".split())
"""Those that take sequences (m, T, n), with channels last there too."""


class _Layout(NamedTuple):
    """How an example lies between two layers: the order of a vector, and whether channels are last there too."""

    order: np.ndarray | None = None
    last: bool = False


def with_channels_first(layers: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return the layers with the order of the entries, and where channels are last, as a format stores them.

    After an embedding, and in layers of sequences, (m, T, n), channels are last there too, until a convolution or the
    like needs them first.

    Raises:
      ValueError: if a layer or the output depends on the order of the entries of a flattened image.
    """
    placed, layout = _sequence(layers, _Layout(last=starts_last(layers)))
    if layout.order is not None:
        raise ValueError("networks must not end with flattened places, whose order differs there: end in dense(...)")
    return placed


def starts_last(layers: Sequence[Placed]) -> bool:
    """Return whether the network's input has its channels last there too.

    So it is for whole numbers, which have no channels, and if a layer of sequences comes first.
    """
    embeds = any(layer.kind == "embedding" for layer in with_arrays(layers))
    first = next((kind for kind in _kinds(layers) if kind not in _ANY_PLACE and kind != "batch_norm"), "")
    return embeds or first in SEQUENCES


def _kinds(layers: Iterable[Placed]) -> Iterator[str]:
    """Yield the kinds of layers in execution order, in place of branches those inside."""
    for layer in layers:
        if layer.kind in ("residual", "fan_out"):
            for part in layer.parts:
                yield from _kinds(part)
        else:
            yield layer.kind


def _sequence(layers: Iterable[Placed], layout: _Layout) -> tuple[tuple[Placed, ...], _Layout]:
    placed = []
    for layer in layers:
        made, layout = _placed(layer, layout)
        placed.append(made)
    return tuple(placed), layout


def _placed(layer: Placed, layout: _Layout) -> tuple[Placed, _Layout]:
    order, kind = layout.order, layer.kind
    layer = layer._replace(channels_last=layout.last, order=order)
    if kind in SEQUENCES:
        moved = bool(layer.axes) and not layout.last
        parts = [_sequence(part, _Layout(last=True)) for part in layer.parts]
        for inside, end in parts:
            if end.order is not None or (inside and not end.last and len(inside[-1].out_shape) > 1):
                raise ValueError(
                    f"{kind} must end in a vector at each time, got places with channels first: end in dense"
                )
        layer = layer._replace(channels_last=True, moved=moved, parts=tuple(part for part, _ in parts))
        return layer, _Layout(last=True)
    if layer.parts:
        parts = [_sequence(part, layout) for part in layer.parts]
        ends = {end.last for _, end in parts}
        if any(end.order is not None for _, end in parts) or (kind == "residual" and order is not None):
            raise ValueError(f"{kind} must not follow flatten() without a dense layer: the order of entries differs")
        if len(ends) > 1 or (kind == "residual" and ends != {layout.last}):
            raise ValueError(f"{kind} must have branches with channels last, or with channels first, not both")
        return layer._replace(parts=tuple(part for part, _ in parts)), _Layout(last=ends.pop())
    if kind == "dense":
        return layer, _Layout(last=layout.last)
    if kind == "flatten":
        return layer, layout if layout.last or order is not None else _Layout(_order(layer.in_shape))
    if kind == "embedding":
        return layer, _Layout(last=True)
    if order is not None and kind == "group_norm" and layer.options["groups"] != 1:
        raise ValueError(f"{kind} must not follow flatten() without a dense layer: the order of entries differs")
    if kind in _ANY_PLACE or not layer.axes:
        return layer, layout
    return layer._replace(moved=layout.last, channels_last=False), _Layout()


def _order(shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the number here of each entry of a flattened example there; `None` if they are the same."""
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    order = np.moveaxis(numbers, -1, 0).ravel()
    return None if (order == numbers.ravel()).all() else order


def _there(array: np.ndarray, layer: Placed) -> np.ndarray:
    return array if layer.order is None else array[..., layer.order]


def _here(array: np.ndarray, layer: Placed) -> np.ndarray:
    if layer.order is None:
        return array
    ordered = np.empty_like(array)
    ordered[..., layer.order] = array
    return ordered


def _filters_there(K: np.ndarray, layer: Placed) -> np.ndarray:
    return np.moveaxis(K, (-1, -2), (0, 1))


def _filters_here(weight: np.ndarray, layer: Placed) -> np.ndarray:
    return np.moveaxis(weight, (0, 1), (-1, -2))


def _transposed_there(K: np.ndarray, layer: Placed) -> np.ndarray:
    (*size, c, c_out), groups = K.shape, layer.options["groups"]
    of_groups = np.moveaxis(K.reshape(*size, c, groups, c_out // groups), (-2, -3, -1), (0, 1, 2))
    return of_groups.reshape(groups * c, c_out // groups, *size)


def _transposed_here(weight: np.ndarray, layer: Placed) -> np.ndarray:
    (c_in, c, *size), groups = weight.shape, layer.options["groups"]
    of_groups = np.moveaxis(weight.reshape(groups, c_in // groups, c, *size), (0, 1, 2), (-2, -3, -1))
    return of_groups.reshape(*size, c_in // groups, groups * c)


_BIAS = Array("bias", default=0.0)
_DENSE = {"W": Array("weight", _there, _here), "b": _BIAS}
_CONV = {"K": Array("weight", _filters_there, _filters_here), "b": _BIAS}
_NORM = {"gamma": Array("weight", _there, _here, 1.0), "beta": Array("bias", _there, _here, 0.0)}
_STATISTICS = {"mean": Array("running_mean", _there, _here), "var": Array("running_var", _there, _here)}

ARRAYS = {
    "dense": _DENSE,
    "conv": _CONV,
    "depthwise_conv": _CONV,
    "conv_transpose": {"K": Array("weight", _transposed_there, _transposed_here), "b": _BIAS},
    "batch_norm": {**_NORM, **_STATISTICS},
    "layer_norm": _NORM,
    "group_norm": _NORM,
    "rms_norm": {"gamma": Array("weight", _there, _here)},
    "embedding": {"E": Array("weight")},
    "learned_positions": {"E": Array("weight")},
}
"""The arrays of the layers that have any, as PyTorch names them: W (n_out, n_in), filters (c_out, c_in/groups,
...), and filters of a transposed convolution (c_in, c_out/groups, ...), which are not turned."""
