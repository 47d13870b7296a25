"""The boundaries of the layers inside a network: where each begins and ends, forward and backward.

A combinator calls the layers that it is made of by `run_forward` and `run_backward`. They name the layer by a scope,
which profiles and graphs show, and mark what goes in and what comes out, which `harvest` measures.
"""

import jax

from jaxnn.marking.marks import mark
from jaxnn.nn.layer import Layer
from jaxnn.typing import Array, Cache, Key, Params


def run_forward(scope: str, layer: Layer, params: Params, x: Array, key: Key | None = None) -> tuple[Array, Cache]:
    """Return `layer.forward(params, x, key)`, computed in a scope, its params, inputs and activations marked."""
    with jax.named_scope(scope):
        params, x = mark("params", params), mark("inputs", x)
        y, cache = layer.forward(params, x, key)
        return mark("activations", y), cache


def run_backward(scope: str, layer: Layer, params: Params, cache: Cache, dy: Array) -> tuple[Params, Array]:
    """Return `layer.backward(params, cache, dy)`, computed in a scope, dy, dparams and dx marked."""
    with jax.named_scope(scope):
        dparams, dx = layer.backward(params, cache, mark("activations", dy, "cotangent"))
        return mark("params", dparams, "cotangent"), mark("inputs", dx, "cotangent")
