"""Label smoothing of any cross-entropy: a fraction of each label is spread evenly over all classes."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from jaxnn.constraints import Real, checked
from jaxnn.losses.targets import LOGITS, ClassTargets, are_class_numbers
from jaxnn.typing import AnyArray, Array, Scalar
from jaxnn.validation import is_constant

SMOOTHING = Real(0, 1, "left", description="the fraction of a label that all classes share, 0 <= ε < 1")

_Function = Callable[[Any, Any], Array]
"""The value or the gradient of a loss, a function of (z, y)."""


def smoothed(f: _Function, smoothing: Scalar, even_labels: Callable[[Any, Any], Array]) -> _Function:
    """Return f(z, (1 - ε) y + ε u) with smoothing ε; f itself if ε is 0, and not traced.

    Derivation. A cross-entropy and its gradient are affine in y, so this is (1 - ε) f(z, y) + ε f(z, u). It needs no
    labels of fractions, which would round in half precision, nor one-hot labels for class numbers.

    Args:
      f: the value or the gradient of a loss, affine in y.
      smoothing: ε, a scalar with 0 <= ε < 1; may be traced.
      even_labels: from (z, y) to u, labels that are spread evenly over all classes.
    """
    if is_constant(smoothing, 0):
        return f

    def of_smoothed_labels(z, y):
        of_labels, of_even_labels = f(z, y), smoothing * f(z, even_labels(z, y))
        if isinstance(smoothing, Tracer):  # 0 · ∞ would be NaN
            of_even_labels = jnp.where(smoothing == 0, 0, of_even_labels)
        return ((1 - smoothing) * of_labels + of_even_labels).astype(of_labels.dtype)

    return of_smoothed_labels


def even_binary_labels(z: Array, y: AnyArray) -> Array:
    """Return labels of ½ in the shape of z."""
    return jnp.full_like(z, 0.5)


@checked(z=LOGITS, y=ClassTargets())
def even_class_labels(z: Array, y: AnyArray) -> Array:
    """Return each label spread evenly over all classes, in the shape of z."""
    if are_class_numbers(z, y):
        return jnp.full_like(z, 1 / z.shape[-1])
    return jnp.broadcast_to(y.mean(axis=-1, keepdims=True), z.shape)
