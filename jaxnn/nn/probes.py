"""Instrument a network: record, layer by layer, whether its arrays are finite, and how large."""

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
class Probe:
    """A record of one quantity of a step: whether all of it is finite; the rest as in `Divergence`."""

    what: str
    finite: Array
    largest: Array
    layer: int | None = None
    layers: int | None = None
    path: str | None = None


def probe(what: str, quantity: PyTree, source: PyTree = ()) -> Probe:
    """Record whether `quantity` is finite, and the largest magnitude in the `source` that it was computed from."""
    return Probe(what, _stats(quantity).finite, _stats(source).largest)


def probe_leaves(what: str, tree: PyTree, source: PyTree) -> list[Probe]:
    """Record each leaf of a tree in the structure of params, with its path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    largest = _stats(source).largest
    return [
        Probe(what, _stats(leaf).finite, largest, path=f"params{jax.tree_util.keystr(path)}") for path, leaf in leaves
    ]


def instrument(network: Layer) -> Layer:
    """Return the network with statistics of the inputs and outputs of each primitive layer, forward and backward.

    Values are those of `network`. For the dparams of each layer, its backward returns a `_LayerStats`; `layer_probes`
    reads them.
    """
    return map_layers(_instrument, network)


def layer_probes(network: Layer, stats: PyTree) -> tuple[list[Probe], list[Probe]]:
    """Read the statistics that the backward of an instrumented network returned: in forward and in backward order."""
    nodes, structure = jax.tree_util.tree_flatten_with_path(stats, is_leaf=lambda node: isinstance(node, _LayerStats))
    # Each node carries its index, by which it is found after `parts` has put them in order, copies one by one.
    numbered = [layer._replace(index=np.full(layer.x.finite.shape, i)) for i, (_, layer) in enumerate(nodes)]
    in_order = network.parts(jax.tree.unflatten(structure, numbered))
    forward, backward, copies = [], [], [0] * len(nodes)
    for number, layer in enumerate(in_order, 1):
        path, stack = nodes[int(layer.index)]
        copies[int(layer.index)] += 1
        copy = f", copy {copies[int(layer.index)]}" if stack.x.finite.ndim else ""
        name = f"params{jax.tree_util.keystr(path)}{copy}"
        probe_of = partial(Probe, layer=number, layers=len(in_order), path=name)
        source = jnp.maximum(layer.x.largest, layer.params.largest)
        forward.append(probe_of("inputs", layer.x.finite, layer.x.largest))
        forward.append(probe_of("activations", layer.y.finite, source))
        source = jnp.maximum(source, layer.dy.largest)
        gradients = (layer.dy, layer.dparams, layer.dx)
        backward = [probe_of("gradient", gradient.finite, source) for gradient in gradients] + backward
    return forward, backward


class _Stats(NamedTuple):
    finite: Array
    largest: Array


class _LayerStats(NamedTuple):
    """Statistics of the inputs and outputs of a layer's forward and backward; stacked for the copies of a scan."""

    params: _Stats
    x: _Stats
    y: _Stats
    dy: _Stats
    dparams: _Stats
    dx: _Stats
    index: np.ndarray | None = None


def _instrument(layer: Layer) -> Layer:
    def forward(params, x, key=None):
        y, cache = layer.forward(params, x, key)
        return y, (cache, _stats(x), _stats(y))

    def backward(params, cache, dy):
        cache, x, y = cache
        dparams, dx = layer.backward(params, cache, dy)
        return _LayerStats(_stats(params), x, y, _stats(dy), _stats(dparams), _stats(dx)), dx

    return Layer(layer.init, forward, backward)


def _stats(tree: Any) -> _Stats:
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    leaves = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size]
    finite = [jnp.isfinite(leaf).all() for leaf in leaves]
    largest = [jnp.where(jnp.isfinite(leaf), jnp.abs(leaf), 0).max().astype(float) for leaf in leaves]
    return _Stats(jnp.array([True, *finite]).all(), jnp.array([0.0, *largest]).max())
