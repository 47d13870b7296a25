"""Validate and convert the targets of losses.

Targets y may have a trailing axis of 1 or not, (m, 1) or (m,). Any other difference in shape raises, since (m,) against
(m, 1) would broadcast to (m, m).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, fits, promote_large_integers
from jaxnn.typing import Array
from jaxnn.validation import described


def _check_outputs(z: Any) -> None:
    # z of a whole-number dtype would round y, which is cast to it.
    if not jnp.issubdtype(getattr(z, "dtype", None) or int, jnp.floating):
        raise ValueError(
            f"outputs z must be an array of floats, got {described(z)}: z is the first argument, y the next"
        )


def check_fit(z: Any, y: Array) -> None:
    """Raise ValueError unless outputs z (m, k) and targets y have one shape, up to a trailing axis of 1."""
    _check_outputs(z)
    if z.shape != y.shape and {z.shape, y.shape} != {z.shape[:1], (*z.shape[:1], 1)}:
        fix = (
            "examples are rows, use y.T" if y.shape == z.shape[::-1] else "use softmax_cross_entropy for class numbers"
        )
        raise ValueError(f"targets y must have the shape of outputs z, {z.shape}, got {y.shape}: {fix}")


def check_between_0_and_1(z: Any, y: Array) -> None:
    """Raise ValueError unless the targets y (m, k) are in [0, 1]."""
    check_fit(z, y)
    if y.min() < 0 or y.max() > 1:
        raise ValueError(
            f"binary labels must be from 0 to 1, got {y.min()} to {y.max()}: "
            "use softmax_cross_entropy, or mlp with output='softmax', for more classes"
        )


def _check_logits(z: Any, y: Array) -> None:
    _check_outputs(z)
    if len(z.shape) != 2 or z.shape[1] < 2:
        raise ValueError(
            f"logits of softmax_cross_entropy must be (m, k) with k >= 2 classes, got {z.shape}: "
            "use sigmoid_cross_entropy for one output per example"
        )
    if not (are_class_numbers(z, y) or y.shape == z.shape):
        fix = "convert float class numbers with y.astype(int)"
        if y.shape in {(1, z.shape[0]), z.shape[::-1]}:
            fix = "examples are rows, use y.T"
        raise ValueError(
            f"targets y of softmax_cross_entropy must be integer class numbers ({z.shape[0]},) or distributions "
            f"{z.shape}, got {y.dtype.name} {y.shape}: {fix}"
        )


def check_classes(z: Any, y: Array) -> None:
    """Raise ValueError unless y are class numbers (m,) for logits z (m, k), or distributions (m, k)."""
    _check_logits(z, y)
    if are_class_numbers(z, y) and (y.min() < 0 or y.max() >= z.shape[1]):
        raise ValueError(
            f"labels of {z.shape[1]} classes must be from 0 to {z.shape[1] - 1}, got {y.min()} to {y.max()}: "
            "number the classes from 0"
        )
    if not are_class_numbers(z, y) and y.min() < 0:
        raise ValueError(f"entries of a distribution over classes must be at least 0, got {y.min()}")


def are_class_numbers(z: Any, y: Array) -> bool:
    """Return whether the targets y are class numbers, (m,) or (m, 1), instead of distributions (m, k)."""
    return jnp.issubdtype(y.dtype, jnp.integer) and y.shape in {(z.shape[0],), (z.shape[0], 1)}


def uniform_labels(z: Array, y: Array) -> Array:
    """Spread each label evenly over all classes, in the shape of z."""
    if are_class_numbers(z, y):
        return jnp.full_like(z, 1 / z.shape[1])
    return jnp.broadcast_to(y.mean(axis=1, keepdims=True), z.shape)


def as_column(y: Array) -> Array:
    """Convert class numbers to int32 (m,): in 8 bits, class 256 would be class 0."""
    return jnp.asarray(y).reshape(-1).astype(jnp.int32)


def _targets(y: Any) -> Any:
    """Convert targets (m,) or (m, k) to a NumPy or JAX array of numbers."""
    y = as_array("y", y)
    if not jnp.issubdtype(y.dtype, jnp.number) and y.dtype != bool:
        raise ValueError(f"targets y must be numbers, got {described(y)}")
    return y


def logits_and_targets(z: Array, y: Any) -> tuple[Array, Array]:
    """Return logits z (m, k) and their targets; a class number outside of int32 becomes another invalid one."""
    z, y = promote_large_integers(z), _targets(y)
    if len(getattr(z, "shape", ())) == 2 and are_class_numbers(z, y) and not fits(y).all():
        y = np.where(fits(y), y, np.iinfo(np.int32).max)
    y = jnp.asarray(promote_large_integers(y))
    _check_logits(z, y)
    return jnp.asarray(z), y


def in_one_shape(z: Array, y: Array) -> tuple[Array, Array]:
    """Return z, and y in the shape and dtype of z; they may differ only by a trailing axis of 1."""
    z, y = promote_large_integers(z), _targets(y)
    check_fit(z, y)
    z = jnp.asarray(z)
    return z, jnp.asarray(promote_large_integers(y)).reshape(z.shape).astype(z.dtype)


def per_example(loss: Array) -> Array:
    """Sum a loss (m, ...) over all axes but the first, to (m,)."""
    return loss.sum(axis=tuple(range(1, loss.ndim)))
