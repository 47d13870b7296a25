"""A network that notes, layer by layer, what it computes: whether it is finite, and how large."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.nn.layer import Layer, map_layers
from jaxnn.typing import Array, PyTree


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["finite", "largest"],
    meta_fields=["what", "layer", "layers", "path"],
)
@dataclass(frozen=True)
class Seen:
    """Of one quantity of a step: whether all of it is finite, a scalar; the rest as in `Divergence`."""

    what: str
    finite: Array
    largest: Array
    layer: int | None = None
    layers: int | None = None
    path: str | None = None


def see(what: str, quantity: PyTree, source: PyTree = ()) -> Seen:
    """Of a quantity (a pytree of arrays (...)) that was computed from the source, another."""
    return Seen(what, _look(quantity).finite, _look(source).largest)


def see_leaves(what: str, tree: PyTree, source: PyTree) -> list[Seen]:
    """Of each leaf (...) of a tree in the structure of params, by its path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    largest = _look(source).largest
    return [
        Seen(what, _look(leaf).finite, largest, path=f"params{jax.tree_util.keystr(path)}") for path, leaf in leaves
    ]


def watched(network: Layer) -> Layer:
    """The network, which looks at what flows through each single layer that it is made of.

    Values are those of `network`. Its backward gives, in the place of each layer's dparams, a `_Flow`: what the layer
    was given and what it made of that, forward and backward. `seen_in_layers` reads them.
    """
    return map_layers(_watched, network)


def seen_in_layers(network: Layer, flows: PyTree) -> tuple[list[Seen], list[Seen]]:
    """What the backward of a `watched` network gave in the place of dparams: in the forward's order, the backward's."""
    nodes, structure = jax.tree_util.tree_flatten_with_path(flows, is_leaf=lambda node: isinstance(node, _Flow))
    # Each says which it is, so that this can be told when `parts` has put them in order, copies one by one.
    numbered = [flow._replace(place=np.full(flow.x.finite.shape, i)) for i, (_, flow) in enumerate(nodes)]
    in_order = network.parts(jax.tree.unflatten(structure, numbered))
    forward, backward, copies = [], [], [0] * len(nodes)
    for number, flow in enumerate(in_order, 1):
        path, stack = nodes[int(flow.place)]
        copies[int(flow.place)] += 1
        copy = f", copy {copies[int(flow.place)]}" if stack.x.finite.ndim else ""
        name = f"params{jax.tree_util.keystr(path)}{copy}"
        of_layer = partial(Seen, layer=number, layers=len(in_order), path=name)
        before = jnp.maximum(flow.x.largest, flow.params.largest)
        forward.append(of_layer("inputs", flow.x.finite, flow.x.largest))
        forward.append(of_layer("activations", flow.y.finite, before))
        before = jnp.maximum(before, flow.dy.largest)
        looks = (flow.dy, flow.dparams, flow.dx)
        backward = [of_layer("gradient", look.finite, before) for look in looks] + backward
    return forward, backward


class _Look(NamedTuple):
    finite: Array
    largest: Array


class _Flow(NamedTuple):
    """A look at each of what a layer was given, and made, in a forward and a backward; (...) for copies in a stack."""

    params: _Look
    x: _Look
    y: _Look
    dy: _Look
    dparams: _Look
    dx: _Look
    place: np.ndarray | None = None


def _watched(layer: Layer) -> Layer:
    def forward(params, x, key=None):
        y, cache = layer.forward(params, x, key)
        return y, (cache, _look(x), _look(y))

    def backward(params, cache, dy):
        cache, x, y = cache
        dparams, dx = layer.backward(params, cache, dy)
        return _Flow(_look(params), x, y, _look(dy), _look(dparams), _look(dx)), dx

    return Layer(layer.init, forward, backward)


def _look(tree: Any) -> _Look:
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    leaves = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size]
    finite = [jnp.isfinite(leaf).all() for leaf in leaves]
    largest = [jnp.where(jnp.isfinite(leaf), jnp.abs(leaf), 0).max().astype(float) for leaf in leaves]
    return _Look(jnp.array([True, *finite]).all(), jnp.array([0.0, *largest]).max())
