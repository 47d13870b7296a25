"""Targets as the losses take them.

A target y may come with or without a trailing axis of 1, (m,) or (m, 1); anything else that would need broadcasting
raises, since (m,) against (m, 1) would make an (m, m) table.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, fits, held
from jaxnn.typing import Array
from jaxnn.validation import described


def _check_outputs(z: Any) -> None:
    # A z of whole numbers would take the digits off y.
    if not jnp.issubdtype(getattr(z, "dtype", None) or int, jnp.floating):
        raise ValueError(f"outputs z are {described(z)}, expected an array of floats: z comes first, then y")


def check_fit(z: Any, y: Array) -> None:
    """Raise a ValueError unless outputs z (m, k) and targets y have one shape, up to a trailing axis of 1."""
    _check_outputs(z)
    if z.shape != y.shape and {z.shape, y.shape} != {z.shape[:1], (*z.shape[:1], 1)}:
        raise ValueError(
            f"outputs {z.shape} and targets {y.shape} do not fit: expected the same shape, or (m,) against (m, 1); "
            + ("examples are rows: y.T" if y.shape == z.shape[::-1] else "class numbers go with softmax_cross_entropy")
        )


def check_between_0_and_1(z: Any, y: Array) -> None:
    """Raise a ValueError unless the targets y (m, k) lie in [0, 1]."""
    check_fit(z, y)
    if y.min() < 0 or y.max() > 1:
        raise ValueError(
            f"labels run from {y.min()} to {y.max()}, expected 0 to 1 for yes/no answers: "
            "more classes go with softmax_cross_entropy, a mlp with output='softmax'"
        )


def _check_logits(z: Any, y: Array) -> None:
    _check_outputs(z)
    if len(z.shape) != 2 or z.shape[1] < 2:
        raise ValueError(
            f"softmax_cross_entropy takes logits (m, k) for k >= 2 classes, got {z.shape}: "
            "one output per example goes with sigmoid_cross_entropy"
        )
    if not (are_class_numbers(z, y) or y.shape == z.shape):
        fix = "turn float class numbers into integers with y.astype(int)"
        if y.shape in {(1, z.shape[0]), z.shape[::-1]}:
            fix = "examples are rows, y.T has them"
        raise ValueError(
            f"softmax_cross_entropy takes class numbers ({z.shape[0]},) of an integer dtype or distributions "
            f"{z.shape}, got {y.dtype.name} {y.shape}: {fix}"
        )


def check_classes(z: Any, y: Array) -> None:
    """Raise a ValueError unless the targets y are classes (m,) of the k logits z (m, k), or shares (m, k)."""
    _check_logits(z, y)
    if are_class_numbers(z, y) and (y.min() < 0 or y.max() >= z.shape[1]):
        raise ValueError(
            f"labels run from {y.min()} to {y.max()}, expected 0 to {z.shape[1] - 1} for {z.shape[1]} classes: "
            "number the classes from 0"
        )
    if not are_class_numbers(z, y) and y.min() < 0:
        raise ValueError(f"a distribution over classes has no negative entries, got {y.min()}")


def are_class_numbers(z: Any, y: Array) -> bool:
    """Return whether the targets y are class numbers, (m,) or (m, 1), instead of shares (m, k)."""
    return jnp.issubdtype(y.dtype, jnp.integer) and y.shape in {(z.shape[0],), (z.shape[0], 1)}


def shared_out(z: Array, y: Array) -> Array:
    """The labels with the mass of each evenly on all classes, in the shape of z."""
    if are_class_numbers(z, y):
        return jnp.full_like(z, 1 / z.shape[1])
    return jnp.broadcast_to(y.mean(axis=1, keepdims=True), z.shape)


def as_column(y: Array) -> Array:
    """Class numbers as (m,) of int32: in 8 bits, class 256 would be class 0."""
    return jnp.asarray(y).reshape(-1).astype(jnp.int32)


def _targets(y: Any) -> Any:
    """Targets (m,) or (m, k) as an array, the host's or JAX's."""
    y = as_array("y", y)
    if not jnp.issubdtype(y.dtype, jnp.number) and y.dtype != bool:
        raise ValueError(f"targets y are {described(y)}, expected numbers, beside outputs z")
    return y


def logits_and(z: Array, y: Any) -> tuple[Array, Array]:
    """z (m, k), and targets of k classes; a number that int32 cannot hold, as another that is no class."""
    z, y = held(z), _targets(y)
    if len(getattr(z, "shape", ())) == 2 and are_class_numbers(z, y) and not fits(y).all():
        y = np.where(fits(y), y, np.iinfo(np.int32).max)
    y = jnp.asarray(held(y))
    _check_logits(z, y)
    return jnp.asarray(z), y


def alike(z: Array, y: Array) -> tuple[Array, Array]:
    """z, and y in its shape and dtype; only a trailing axis of 1 may come or go."""
    z, y = held(z), _targets(y)
    check_fit(z, y)
    z = jnp.asarray(z)
    return z, jnp.asarray(held(y)).reshape(z.shape).astype(z.dtype)


def per_example(loss: Array) -> Array:
    """Sum a loss (m, ...) over all axes but that of the examples: (m,)."""
    return loss.sum(axis=tuple(range(1, loss.ndim)))
