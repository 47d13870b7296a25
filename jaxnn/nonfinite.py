"""What overflowed first: a step looked at quantity by quantity, in the order in which they are computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.checks import warn_outside
from jaxnn.layer import Layer, map_layers
from jaxnn.typing import Array, PyTree


class Divergence(NamedTuple):
    """Where a training left the finite numbers. As a string, it is a sentence.

    Attributes:
      step: the number of the step, from 0.
      what: what was not finite first, in the order in which a step computes: "params" or "inputs" (which the step
        began with), "activations" (forward), "loss", "gradient" (backward) or "update" (by the optimiser); `None` where
        the step, computed once more by itself, is finite: a population's members round a little differently.
      layer: the number of its layer, from 1, where it is that of one. Activations, dropout and the copies that
        `repeat` makes are layers of their own.
      layers: how many layers the network has; `None` where that is not known.
      path: where it is in params: the layer's own, or a leaf.
      largest: the largest magnitude of what it was computed from, the finite numbers alone.

    Example:
      >>> print(Divergence(7, "activations", 3, 5, "params[2]", 2e38))
      step 7: the activations of layer 3 of 5 (params[2]) overflowed first, computed from numbers up to 2e+38
    """

    step: int
    what: str | None
    layer: int | None = None
    layers: int | None = None
    path: str | None = None
    largest: float | None = None

    def __str__(self) -> str:
        if self.what is None:
            return f"step {self.step}: not finite, but only just: computed once more by itself, it is"
        if self.layer is not None:
            where = f"the {self.what} of layer {self.layer} of {self.layers} ({self.path})"
        elif self.what in ("params", "inputs"):
            return f"step {self.step}: {self.path or 'the inputs'} not finite when it began"
        else:
            where = f"the {self.what}" + ("" if self.path is None else f" of {self.path}")
        return f"step {self.step}: {where} overflowed first, computed from numbers up to {self.largest:.3g}"


class DivergenceWarning(UserWarning):
    """Warn that a training ended before its last epoch, because a loss or an update was not finite.

    `fit`, `fit_stream`, `fit_population` and what calls them issue it once, with what overflowed first and the likely
    fix. `Fit.divergence` has the same as a value. Where trainings may diverge, as in a search over rates:
    `warnings.simplefilter("ignore", jaxnn.DivergenceWarning)`.
    """


def warn_of_divergence(divergence: Divergence, params: PyTree, who: str = "the training") -> None:
    """Issue a `DivergenceWarning`, at the line outside of jaxnn that called it.

    Args:
      divergence: what overflowed first.
      params: those at that step, leaves (...).
      who: what diverged, a text.
    """
    warn_outside(f"{who} diverged at {divergence}; {_fix(divergence, params)}", DivergenceWarning)


def _fix(divergence: Divergence, params: PyTree) -> str:
    if divergence.what == "params" and divergence.step == 0:
        return "start from finite params"
    if divergence.what == "inputs" and divergence.layer is None:
        return "drop those examples, or fill them in"
    if any(getattr(leaf, "dtype", None) == jnp.float16 for leaf in jax.tree.leaves(params)):
        return (
            "keep params in float32 and compute in float16: jaxnn.with_dtype(network, jnp.float16) under "
            "jaxnn.with_loss_scale(optimizer)"
        )
    return "try a smaller learning rate, clipping (jaxnn.optimizer(..., clip_norm=1.0)) or standardized inputs"


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


def first_not_finite(step: int, seen: Sequence[Seen]) -> Divergence:
    """The first of what was seen, in order, that is not finite."""
    for one in seen:
        if not one.finite:
            return Divergence(step, one.what, one.layer, one.layers, one.path, float(one.largest))
    return Divergence(step, None)


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
