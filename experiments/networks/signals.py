"""Compute the activations of a network by layer, and the cost's gradients with respect to them."""

from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.networks.spec import NetworkSpec


class Signal(NamedTuple):
    """The activations and gradients of one layer, on a batch.

    Attributes:
      name: "a1", "a2", ... after the activation of a hidden layer; "z3", for example, of the last one.
      values: its outputs a, (m, units).
      gradients: dJ/da, (m, units), where J is the mean loss of the batch.
    """

    name: str
    values: np.ndarray
    gradients: np.ndarray


def layer_signals(spec: NetworkSpec, params: Any, batch: jaxnn.Batch) -> list[Signal]:
    """Return the signals of all layers, first to last, with the params of `spec.model()`.

    da_L = dJ/dz_L is the loss's gradient over m, and the backward of layer l turns da_l into da_{l-1}.
    """
    model, layers = spec.model(), _layers(spec)
    arrays = jaxnn.models.params_to_arrays(model.network, params)
    params = jaxnn.models.params_from_arrays(jaxnn.chain(*layers), model.in_shape, arrays)

    @jax.jit
    def run(params, x, y):
        a, values, caches = x, [], []
        for layer, layer_params in zip(layers, params, strict=True):
            a, cache = layer.forward(layer_params, a)
            values.append(a)
            caches.append(cache)
        da, gradients = model.loss.gradient(a, y) / len(x), []
        for layer, layer_params, cache in reversed(list(zip(layers, params, caches, strict=True))):
            gradients.append(da)
            _, da = layer.backward(layer_params, cache, da)
        return values, gradients[::-1]

    last = "a" if spec.output == "relu" else "z"
    names = [*(f"a{l}" for l in range(1, len(layers))), f"{last}{len(layers)}"]
    return list(map(Signal, names, *jax.device_get(run(params, batch.x, batch.y))))


def _layers(spec: NetworkSpec) -> list[jaxnn.Layer]:
    """Return the network split after each activation: each dense layer with its activation."""
    ends = [spec.activation] * (len(spec.sizes) - 2) + ["relu" if spec.output == "relu" else "identity"]
    pairs = zip(spec.sizes[1:], ends, strict=True)
    return [jaxnn.chain(jaxnn.dense(size), jaxnn.nn.ACTIVATIONS[end]()) for size, end in pairs]
