"""The networks of the workloads in NumPy: the shapes of their params, and their outputs.

Params are a flat list, layer by layer: weights, filters (height, width, c_in, c_out) or W (n_out, n_in), the bias, and
behind a convolution of a residual network the shift and the gain of batch norm. Those for sequences are in `sequences`.
"""

import math
from collections.abc import Iterator

import numpy as np

from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.weights import Weights

CHANNELS = 16  # of the first stage of the residual network
EPS = 1e-5  # of batch norm


def weights(network: str, sizes: tuple[int, ...]) -> list[Weights]:
    """Return the weights of each layer of a network of `Workload.sizes`."""
    if network in sequences.NETWORKS:
        return sequences.weights(network, sizes)
    if network == "mlp":
        return [Weights((n_out, n_in)) for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True)]
    return _lenet(*sizes) if network == "lenet" else _resnet(*sizes)


def _lenet(height: int, width: int, channels: int, classes: int) -> list[Weights]:
    second = (height // 2 - 4, width // 2 - 4)
    n = 16 * (second[0] // 2) * (second[1] // 2)
    filters = [Weights((5, 5, channels, 6), height * width), Weights((5, 5, 6, 16), math.prod(second))]
    return [*filters, Weights((120, n)), Weights((84, 120)), Weights((classes, 84))]


def _resnet(height: int, width: int, channels: int, classes: int) -> list[Weights]:
    """Return three stages of one block each, of convolutions of 3 x 3, and of 1 x 1 where the places are halved."""
    found = [Weights((3, 3, channels, CHANNELS), height * width, normalized=True)]
    for stage in range(3):
        n, s = CHANNELS * 2**stage, 2**stage
        before, places = n if stage == 0 else n // 2, -(-height // s) * -(-width // s)
        sizes = [(3, 3, before, n), (3, 3, n, n)] + ([(1, 1, before, n)] if stage > 0 else [])
        found += [Weights(size, places, normalized=True) for size in sizes]
    return [*found, Weights((classes, n))]


def in_shape(network: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an example."""
    if network in sequences.NETWORKS:
        return sizes[: sequences.NETWORKS[network]]
    return sizes[:1] if network == "mlp" else sizes[:3]


def outputs(network: str, arrays: list[np.ndarray], x: np.ndarray, activation: str = "relu") -> np.ndarray:
    """Return the outputs (m, n) of a network for all examples; batch norm has the mean and variance of all of them."""
    params = iter(arrays)
    if network == "mlp":
        return _dense_layers(x, params, len(arrays) // 2, activation)
    if network == "lenet":
        x = _pooled(_relu(_convolved(x, params)))
        x = _pooled(_relu(_convolved(x, params, padded=False)))
        return _dense_layers(x.reshape(len(x), -1), params, 3, activation)
    x = _relu(_normalized(_convolved(x, params), params))
    for stage in range(3):
        stride = 1 if stage == 0 else 2
        y = _relu(_normalized(_convolved(x, params, stride), params))
        y = _normalized(_convolved(y, params), params)
        if stage > 0:
            x = _normalized(_convolved(x, params, stride), params)
        x = _relu(x + y)
    return _dense_layers(x.mean((1, 2)), params, 1, activation)


def _dense_layers(x: np.ndarray, params: Iterator[np.ndarray], layers: int, activation: str) -> np.ndarray:
    for i in range(layers):
        w, b = next(params), next(params)
        x = x @ w.T.astype(x.dtype) + b[None]
        if i < layers - 1:
            x = _relu(x) if activation == "relu" else np.tanh(x)
    return x


def _convolved(x: np.ndarray, params: Iterator[np.ndarray], stride: int = 1, padded: bool = True) -> np.ndarray:
    """Return one product for each place of a filter; padded, there are ceil(n/stride) windows along an axis."""
    filters, b = next(params), next(params)
    k = len(filters)
    counts = [-(-n // stride) if padded else n - k + 1 for n in x.shape[1:3]]
    total = [max((c - 1) * stride + k - n, 0) for c, n in zip(counts, x.shape[1:3], strict=True)]
    x = np.pad(x, ((0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)))
    z = np.zeros((len(x), *counts, len(b)), x.dtype) + b
    for i, j in np.ndindex(k, k):
        seen = x[:, i : i + stride * counts[0] : stride, j : j + stride * counts[1] : stride]
        z += seen[:, : counts[0], : counts[1]] @ filters[i, j].astype(x.dtype)
    return z


def _normalized(x: np.ndarray, params: Iterator[np.ndarray]) -> np.ndarray:
    shift, gain = next(params), next(params)
    over = (0, 1, 2)
    return gain * (x - x.mean(over)) / np.sqrt(x.var(over) + EPS) + shift


def _pooled(x: np.ndarray) -> np.ndarray:
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)
