"""Dense layers as arrays (W, b), the common form of all formats."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork
from jaxnn.nn.activations import ACTIVATIONS


class Weights(NamedTuple):
    """A dense layer z = x Wᵀ + b: W (n_out, n_in), b (n_out,)."""

    W: np.ndarray
    b: np.ndarray


def raw_input_layers(network: StoredNetwork) -> list[Weights]:
    """Return the layers of the network for raw inputs, in float32: standardization is folded into the first layer.

    W (x - mean)/std + b = (W/std) x + (b - W mean/std), computed in float64. The error of rounding to float32 grows
    with |mean|/std, since the sum cancels large numbers, which x - mean avoids. `agreement` measures it.

    Raises:
      ValueError: if a deviation is so small that weights become too large for float32.
    """
    arrays = jax.device_get(jaxnn.models.params_to_arrays(network.spec.model().network, network.params))
    layers = [Weights(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True)]
    if network.standardizer is not None:
        mean, std = (np.asarray(a, np.float64) for a in network.standardizer)
        W = layers[0].W / std
        layers[0] = Weights(W, layers[0].b - W @ mean)
        if not max(np.abs(W).max(), np.abs(layers[0].b).max()) <= np.finfo(np.float32).max:
            raise ValueError("the first layer's weights, divided by the inputs' deviations, are too large for float32")
    # In C order, the order of the formats.
    return [Weights(*(np.ascontiguousarray(a, np.float32) for a in layer)) for layer in layers]


def network_of(
    layers: Sequence[Weights],
    activation: str,
    output: str,
    classes: tuple[str, ...] = (),
    image_shape: tuple[int, ...] | None = None,
) -> StoredNetwork:
    """Return the network of these layers; the other arguments are what weights do not determine.

    Raises:
      ValueError: if consecutive layers do not fit, or another argument does not fit the layers.
    """
    for i, (W, b) in enumerate(layers, start=1):
        if b.shape != W.shape[:1]:
            raise ValueError(f"layer {i} has weights of {len(W)} units but a bias of shape {b.shape}: is it damaged?")
        if i > 1 and W.shape[1] != len(layers[i - 2].W):
            raise ValueError(
                f"layer {i} takes {W.shape[1]} inputs, but layer {i - 1} has {len(layers[i - 2].W)} units: import "
                "reads a sequence of dense layers, in the order of their numbers"
            )
    sizes = (layers[0].W.shape[1], *(len(W) for W, _ in layers))
    _check_option("activation", activation, sorted(ACTIVATIONS), len(layers) > 1)
    _check_option("output", output, ["binary", "softmax", "linear", "relu"], True)
    n_classes = max(2, sizes[-1])
    if classes and len(classes) != n_classes:
        raise ValueError(f"--classes must name {n_classes} classes, got {len(classes)}")
    if image_shape and math.prod(image_shape) != sizes[0]:
        raise ValueError(
            f"--image-shape {image_shape} has {math.prod(image_shape)} numbers, the network takes {sizes[0]}"
        )
    spec = NetworkSpec(sizes, activation or "relu", output)
    model = spec.model()
    params = jaxnn.models.params_from_arrays(
        model.network, model.in_shape, [array for layer in layers for array in layer]
    )
    return StoredNetwork(spec, params, classes or tuple(map(str, range(n_classes))), image_shape)


def _check_option(option: str, value: str, known: Sequence[str], needed: bool) -> None:
    if value not in known and (value or needed):
        got = f"unknown {option} {value!r}" if value else f"weights do not determine the {option}"
        raise ValueError(f"{got}: give --{option} {known[0]}, or one of {', '.join(known[1:])}")
