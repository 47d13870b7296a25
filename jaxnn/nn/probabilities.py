"""Softmax, probabilities from logits over the last axis, with its derivative."""

import jax
import jax.numpy as jnp

from jaxnn.arrays import in_memory
from jaxnn.constraints import Floats, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.typing import Array

__all__ = [
    "softmax",
    "softmax_backward",
    "softmax_forward",
]


@checked(z=Floats("... k", lists=True))
def softmax_forward(z: Array) -> tuple[Array, Array]:
    """Compute p_j = e^{z_j} / Σ_l e^{z_l} over the last axis, (..., k). Cached: p.

    The largest z_j is subtracted from all of them first, which does not change p and keeps exponentials from
    overflowing.

    Raises:
      ValueError: if z has no axis.

    Example:
      >>> import jax.numpy as jnp
      >>> print(softmax_forward(jnp.array([[1e4, 1e4, 0.0]]))[0])
      [[0.5 0.5 0. ]]
    """
    p = jax.nn.softmax(z)
    return p, p


def softmax_where(z: Array, mask: Array | None) -> Array:
    """Return the softmax over the entries of the last axis where a mask is True, and 0 elsewhere; `None` for all.

    A row without such an entry is 0.
    """
    if mask is None:
        return jax.nn.softmax(z)
    least = jnp.finfo(z.dtype).min  # not -inf, whose softmax is NaN in a row of nothing else
    return jnp.where(mask, jax.nn.softmax(jnp.where(mask, z, least)), 0)


@checked(p=Floats(lists=True), dp=Floats(lists=True, scalar=True))
def softmax_backward(p: Array, dp: Array) -> Array:
    """Compute dz_i = p_i (dp_i - Σ_j dp_j p_j) over the last axis, (..., k).

    Derivation. log p_j = z_j - log Σ_l e^{z_l}, so ∂p_j/∂z_i = p_j ([i = j] - p_i), and
    dz_i = Σ_j dp_j p_j ([i = j] - p_i) = p_i dp_i - p_i Σ_j dp_j p_j. The sum is the mean of dp under p: a constant
    added to every dp_j does not change dz, since the p_j sum to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> p, cache = softmax_forward(jnp.array([[0.0, 0.0]]))
      >>> print(softmax_backward(cache, jnp.array([[1.0, 0.0]])))
      [[ 0.25 -0.25]]

    Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
    """
    mean = in_memory((dp * p).sum(axis=-1, keepdims=True))  # in one program with what follows, XLA sums slowly
    return p * (dp - mean)


@factory(computes="softmax_forward(z) or jax.nn.softmax(z)")
def softmax() -> Layer:
    """Return the layer p = softmax(z) over the last axis: `softmax_forward`, `softmax_backward`.

    It is meant for weights that sum to 1 inside a network, such as those of attention. Do not put it before
    `softmax_cross_entropy`, which takes logits and contains a softmax that does not saturate: a softmax of a softmax
    trains slowly, to probabilities that stay far from 0 and 1.

    Example:
      >>> import jax.numpy as jnp
      >>> print(softmax().forward((), jnp.array([[0.0, 0.0]]))[0])
      [[0.5 0.5]]
    """
    return stateless(softmax_forward, softmax_backward)


CASES = {
    "softmax": (softmax, (5,)),
    "softmax_rows": (softmax, (2, 3)),
}
