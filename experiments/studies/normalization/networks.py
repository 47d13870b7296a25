"""The deep networks, and their activations and gradients by layer at the start of training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn import nn
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.initializers import InitializerName


class Kind(NamedTuple):
    """How the hidden layers are initialized, and what normalizes their linear parts."""

    init: InitializerName
    norms: tuple[jaxnn.Layer, ...] = ()


KINDS = {
    "none": Kind("lecun"),
    "none, He": Kind("he"),
    "batch norm": Kind("lecun", (nn.batch_norm(),)),
    "layer norm": Kind("lecun", (nn.layer_norm(),)),
}
"""Weights have a variance of 1/n_in (lecun), or of 2/n_in, which He et al. derived for ReLU."""


class Start(NamedTuple):
    """Before the first step, on all examples at once, by layer.

    Attributes:
      deviations: the standard deviation of each hidden layer's activations, over examples and units, (layers,).
      gradients: the norm of dJ/dW of each dense layer, (layers + 1,).
    """

    deviations: np.ndarray
    gradients: np.ndarray


def make_blocks(kind: Kind, layers: int, width: int, n_out: int) -> tuple[jaxnn.Layer, ...]:
    """Return the hidden layers, each dense, normalization and ReLU, and the last layer; each is a chain."""
    hidden = nn.chain(nn.dense(width, kind.init), *kind.norms, nn.relu())
    return (*[hidden] * layers, nn.chain(nn.dense(n_out, "lecun")))


def measure_start(blocks: Sequence[jaxnn.Layer], params: Any, loss: jaxnn.Loss, data: jaxnn.Batch) -> Start:
    """Return activations and gradients by layer: one forward and one backward, block by block."""

    @jax.jit
    def measure(params, x, y):
        caches, deviations = [], []
        for block, own in zip(blocks, params, strict=True):
            x, cache = call_forward(block, own, x, None, None)
            caches.append(cache)
            deviations.append(jnp.std(x))
        dx, gradients = loss.gradient(x, y) / len(y), []
        for block, own, cache in zip(reversed(blocks), reversed(params), reversed(caches), strict=True):
            dparams, dx = block.backward(own, cache, dx)
            gradients.append(jnp.linalg.norm(dparams[0]["W"]))
        return jnp.stack(deviations[:-1]), jnp.stack(gradients[::-1])

    return Start(*jax.device_get(measure(params, data.x, data.y)))
