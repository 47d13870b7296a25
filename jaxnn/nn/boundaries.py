"""The boundaries of the layers inside a network: where each begins and ends, forward, backward and in inference.

A combinator calls the layers that it is made of by `run_forward`, `run_backward` and `run_infer`. They name the layer
by a scope, which profiles and graphs show, and mark what goes in and what comes out, which `harvest` measures.
"""

from typing import Any

import jax

from jaxnn.marking.marks import mark
from jaxnn.nn.layer import Layer
from jaxnn.typing import Cache, Key, Params, PyTree, Rows, Shapes, Statistics
from jaxnn.validation import described


def run_init(layer: Layer, key: Key, in_shape: Shapes) -> tuple[Params, Shapes]:
    """Return the layer's (params, out_shape).

    Raises:
      ValueError: if its `init` returns anything else, such as the params alone.
    """
    return _pair(layer.init(key, in_shape), "init", "(params, out_shape)", layer)


def run_forward(
    scope: str, layer: Layer, params: Params, x: PyTree, key: Key | None = None, rows: Rows | None = None
) -> tuple[PyTree, Cache]:
    """Return the layer's (y, cache), computed in a scope, its params, inputs and activations marked."""
    with jax.named_scope(scope):
        params, x = mark("params", params), mark("inputs", x)
        y, cache = call_forward(layer, params, x, key, rows)
        return mark("activations", y), cache


def call_forward(layer: Layer, params: Params, x: PyTree, key: Key | None, rows: Rows | None) -> tuple[PyTree, Cache]:
    """Return the layer's (y, cache). Only a layer that looks across examples takes how much each counts.

    Raises:
      ValueError: if its `forward` returns anything else, such as y alone.
    """
    made = layer.forward(params, x, key, rows) if layer.across else layer.forward(params, x, key)
    return _pair(made, "forward", "(y, cache)", layer)


def _pair(made: Any, function: str, expected: str, layer: Layer) -> tuple[Any, Any]:
    if not isinstance(made, tuple) or len(made) != 2:
        raise ValueError(f"{function} of {described(layer)} must return {expected}, got {described(made)}")
    return made


def run_infer(scope: str, layer: Layer, params: Params, stats: Statistics, x: PyTree) -> PyTree:
    """Return `layer.infer(params, stats, x)`, computed in a scope, its params, inputs and activations marked."""
    with jax.named_scope(scope):
        return mark("activations", layer.infer(mark("params", params), stats, mark("inputs", x)))


def run_backward(scope: str, layer: Layer, params: Params, cache: Cache, dy: PyTree) -> tuple[Params, PyTree]:
    """Return `layer.backward(params, cache, dy)`, computed in a scope, dy, dparams and dx marked."""
    with jax.named_scope(scope):
        dparams, dx = layer.backward(params, cache, mark("activations", dy, "cotangent"))
        return mark("params", dparams, "cotangent"), mark("inputs", dx, "cotangent")
