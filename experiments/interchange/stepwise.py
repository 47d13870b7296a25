"""Layers at each time of a sequence; most of them, other libraries apply to the last axis of any array."""

from collections.abc import Sequence

from experiments.interchange.layers import Placed

_ON_LAST_AXIS = frozenset(
    "dense embedding layer_norm rms_norm identity sigmoid tanh relu leaky_relu softplus silu gelu elu dropout rescale "
    "softmax".split()
)


def without_steps(layers: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return the layers with those inside of each_step(...) in its place, if all are of the last axis."""
    found: list[Placed] = []
    for layer in layers:
        layer = layer._replace(parts=tuple(map(without_steps, layer.parts)))
        inside = layer.kind == "each_step" and not layer.moved and all(map(_on_last_axis, layer.parts[0]))
        found += layer.parts[0] if inside else [layer]
    return tuple(found)


def _on_last_axis(layer: Placed) -> bool:
    if layer.kind == "residual":
        return all(map(_on_last_axis, layer.parts[0]))
    return layer.kind in _ON_LAST_AXIS and (layer.axes == 0 or layer.kind == "embedding")
