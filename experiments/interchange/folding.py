"""Batch normalizations as part of the layers before them: for inference, both are one affine map of each channel."""

from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.interchange.layers import each, options_of
from experiments.networks.spec import LayersSpec
from experiments.networks.storage import StoredNetwork

_AXIS_OF_OUTPUTS = {"dense": ("W", 0)} | dict.fromkeys(("conv", "conv_transpose", "depthwise_conv"), ("K", -1))
"""The array of weights of each layer, and its axis of outputs."""


def folded(network: StoredNetwork) -> StoredNetwork:
    """Return the network without the batch normalizations that come right after a dense layer or a convolution.

    With a = γ/√(var + ε), γ (W x + b - mean)/√(var + ε) + β = (a W) x + a (b - mean) + β, row by row of W, computed in
    float64. Those before such a layer stay, since padding with 0 comes between, and those inside of repeated layers.

    Raises:
      ValueError: if no normalization can be folded.
    """
    spec = network.spec
    params, stats = jax.device_get((network.params, network.stats))
    if isinstance(spec, LayersSpec):
        layer, params, stats, count = _fold(spec.network, params, stats)
        if count:
            stats = stats if jax.tree.leaves(stats) else ()
            return network._replace(
                spec=LayersSpec(layer, spec.in_shape, spec.output, spec.in_dtype), params=params, stats=stats
            )
    raise ValueError("--fold needs a batch normalization right after a dense layer or a convolution, got none")


def _fold(layer: Any, params: Any, stats: Any) -> tuple[Any, Any, Any, int]:
    """Return a layer with its params and statistics, folded, and how many normalizations were."""
    kind, options = _call(layer)
    if kind == "residual":
        inside, params, stats, count = _fold(options["layer"], params, stats)
        return jaxnn.nn.residual(inside), params, stats, count
    if kind != "chain":
        return layer, params, stats, 0
    kept: list[tuple[Any, Any, Any]] = []
    count = 0
    for entry in zip(options["layers"], params, each(stats), strict=False):
        *entry, inside = _fold(*entry)
        count += inside
        before = _call(kept[-1][0])[0] if kept else ""
        if _call(entry[0])[0] == "batch_norm" and before in _AXIS_OF_OUTPUTS:
            kept[-1] = (kept[-1][0], _scaled(before, kept[-1][1], *entry), kept[-1][2])
            count += 1
        else:
            kept.append(tuple(entry))
    layers, of_layers, of_stats = zip(*kept, strict=True)
    return jaxnn.chain(*layers), of_layers, of_stats, count


def _call(layer: Any) -> tuple[str, dict[str, Any]]:
    """Return the name of the factory that made a layer, and all its arguments."""
    call = getattr(layer, "factory_call", None)
    return ("", {}) if call is None else (call.factory.__name__, options_of(call))


def _scaled(kind: str, arrays: Any, normalization: Any, params: Any, stats: Any) -> dict[str, np.ndarray]:
    eps = _call(normalization)[1]["eps"]
    gamma, beta = (np.asarray(params[name], np.float64) for name in ("gamma", "beta"))
    mean, var = (np.asarray(stats[name], np.float64) for name in ("mean", "var"))
    a = gamma / np.sqrt(var + eps)
    name, axis = _AXIS_OF_OUTPUTS[kind]
    weights = np.asarray(arrays[name], np.float64)
    along = a.reshape([-1 if i == axis % weights.ndim else 1 for i in range(weights.ndim)])
    scaled = {name: weights * along, "b": a * (arrays["b"] - mean) + beta}
    return {name: array.astype(arrays[name].dtype) for name, array in scaled.items()}
