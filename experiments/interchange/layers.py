"""What all formats share: dense layers as arrays, one (W, b) after the other."""

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
    """Return the layers of the network for inputs as they were before they were standardized, in float32.

    W (x - mean)/std + b = (W/std) x + (b - W mean/std), computed in float64. The cost of rounding to float32 grows with
    |mean|/std: the sum then takes the difference of large numbers that x - mean takes first. `agreement` measures it.

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
    # In C order, which is how the formats store rows.
    return [Weights(*(np.ascontiguousarray(a, np.float32) for a in layer)) for layer in layers]


def network_of(
    layers: Sequence[Weights],
    activation: str,
    output: str,
    classes: tuple[str, ...] = (),
    image_shape: tuple[int, ...] | None = None,
) -> StoredNetwork:
    """Return the network that these layers make, with what weights alone do not determine.

    Raises:
      ValueError: if the layers do not follow one another, or another argument does not fit them.
    """
    for i, (W, b) in enumerate(layers, start=1):
        if b.shape != W.shape[:1]:
            raise ValueError(f"layer {i} has a weight for {len(W)} units and a bias of shape {b.shape}: damaged?")
        if i > 1 and W.shape[1] != len(layers[i - 2].W):
            raise ValueError(
                f"layer {i} takes {W.shape[1]} inputs, but layer {i - 1} has {len(layers[i - 2].W)} units: import "
                "takes dense layers, each of which feeds the next in the order of their numbers"
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


def _check_option(option: str, given: str, known: Sequence[str], needed: bool) -> None:
    if given not in known and (given or needed):
        got = f"unknown {option} {given!r}" if given else f"weights do not determine the {option}"
        raise ValueError(f"{got}: give --{option} {known[0]}, or one of {', '.join(known[1:])}")
