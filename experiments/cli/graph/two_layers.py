"""The loss of a network with one hidden layer, written out as in the notes: a function to draw."""

import jax

from jaxnn.graph import name
from jaxnn.typing import Array


def loss(W1: Array, b1: Array, W2: Array, b2: Array, x: Array, y: Array) -> Array:
    """J = mean(log(1 + exp(z2)) - y z2), z1 = x W1ᵀ + b1, a1 = tanh(z1), z2 = a1 W2ᵀ + b2; x (m, n_in), y (m, 1)."""
    z1 = name(x @ W1.T + b1[None], "z1")
    a1 = name(jax.numpy.tanh(z1), "a1")
    z2 = name(a1 @ W2.T + b2[None], "z2")
    return (jax.nn.softplus(z2) - y * z2).mean()
