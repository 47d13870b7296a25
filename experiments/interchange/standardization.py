"""The network of raw inputs: the standardization of its inputs becomes a part of its layers."""

from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.interchange.layers import empty, layers_of, placed, with_arrays
from experiments.networks.spec import LayersSpec, NetworkSpec, Spec
from experiments.networks.storage import StoredNetwork

_BEFORE_DENSE = ("flatten", "identity", "dropout")
_EPS = 1e-30
"""ε of the normalization that standardizes: above 0, and no more than rounding beside a variance."""


def raw_inputs(network: StoredNetwork) -> StoredNetwork:
    """Return the network for raw inputs, in float32, without a standardizer.

    If the first layer with weights is dense, they take it: W (x - mean)/std + b = (W/std) x + (b - W mean/std),
    computed in float64. The error of rounding to float32 grows with |mean|/std, since the sum cancels large numbers,
    which x - mean avoids; `agreement` measures it. Before other layers, such as a convolution, whose padding has to be
    that of standardized inputs, it becomes a batch normalization with these means and variances.

    Raises:
      ValueError: if a deviation is so small that weights become too large for float32, or if the inputs of a
        convolution have a mean for each place.
    """
    if network.standardizer is None:
        return network
    layers = layers_of(network)
    first = next((i for i, layer in enumerate(layers) if layer.kind not in _BEFORE_DENSE), 0)
    if layers[first].kind == "dense":
        return _in_first_layer(network, first)
    return _as_batch_norm(network)


def _in_first_layer(network: StoredNetwork, first: int) -> StoredNetwork:
    mean, std = (_everywhere(a, network.spec) for a in network.standardizer)
    params, stats = jax.tree.map(np.array, jax.device_get((network.params, network.stats)))
    dense = placed(network.spec, params, stats)[first].arrays
    W = dense["W"].astype(np.float64) / std
    b = dense["b"] - W @ mean
    if not max(np.abs(W).max(), np.abs(b).max()) <= np.finfo(np.float32).max:
        raise ValueError("the first layer's weights, divided by the inputs' deviations, are too large for float32")
    dense["W"][...], dense["b"][...] = W, b
    return network._replace(params=params, stats=stats, standardizer=None)


def _everywhere(a: Any, spec: Spec) -> np.ndarray:
    """Return the means or deviations of all inputs, flattened; those of channels repeated at each place."""
    return np.broadcast_to(np.asarray(a, np.float64), spec.in_shape).ravel()


def _as_batch_norm(network: StoredNetwork) -> StoredNetwork:
    spec, channels = network.spec, network.spec.in_shape[-1:]
    mean, std = (np.asarray(a, np.float64) for a in network.standardizer)
    if isinstance(spec, NetworkSpec) or mean.shape != channels:
        raise ValueError(
            f"means must be those of the {channels[0]} channels to become a layer, got {mean.shape}: "
            "--inputs standardized exports the network without them"
        )
    whole = LayersSpec(jaxnn.chain(jaxnn.nn.batch_norm(_EPS), *spec.layers), spec.in_shape, spec.output)
    params, stats = empty(whole)
    standardizing, *others = with_arrays(placed(whole, params, stats))
    of_inputs = {"gamma": np.ones(channels), "beta": np.zeros(channels), "mean": mean, "var": std**2}
    given = [of_inputs, *(layer.arrays for layer in with_arrays(layers_of(network)))]
    for layer, arrays in zip([standardizing, *others], given, strict=True):
        for name, array in layer.arrays.items():
            array[...] = arrays[name]
    return network._replace(spec=whole, params=params, stats=stats, standardizer=None)
