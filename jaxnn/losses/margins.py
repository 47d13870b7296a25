"""Hinge losses, which are 0 for a score that is right by a margin of 1: of binary labels, and of classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_index, check_labels
from jaxnn.constraints import checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.targets import LOGITS, OUTPUTS, ClassTargets, Targets, check_0_or_1, class_numbers, per_example
from jaxnn.typing import AnyArray, Array

__all__ = [
    "hinge",
    "hinge_gradient",
    "hinge_value",
    "multiclass_hinge",
    "multiclass_hinge_gradient",
    "multiclass_hinge_value",
    "squared_hinge",
    "squared_hinge_gradient",
    "squared_hinge_value",
]


def _signs(y: Any) -> Array:
    return 2 * y - 1


@checked(z=OUTPUTS, y=Targets())
def hinge_value(z: Array, y: AnyArray) -> Array:
    """Compute L = max(0, 1 - t z), t = 2y - 1, summed over an example's outputs.

    Args:
      z: scores, (m,), or (m, k) for k independent binary labels; z > 0 predicts 1.
      y: labels 0 and 1, in the shape of z, or (m,) for z (m, 1). They stand for the t = -1 and 1 of the literature.

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if z and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(hinge_value(jnp.array([0.25, 3.0, 3.0]), jnp.array([1, 1, 0])))
      [0.75 0.   4.  ]

    Source: Cortes and Vapnik, "Support-vector networks", 1995.
    """
    return per_example(jax.nn.relu(1 - _signs(y) * z))


@checked(z=OUTPUTS, y=Targets())
def hinge_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = -t if t z < 1, else 0, (m,) or (m, k); 0 at the kink t z = 1, as the slope of `jax.nn.relu` at 0.

    Derivation. The chain rule: max(0, ·) has slope 1 if its argument 1 - t z is positive, whose derivative is -t.

    Example:
      >>> import jax.numpy as jnp
      >>> print(hinge_gradient(jnp.array([0.25, 3.0, 3.0]), jnp.array([1, 1, 0])))
      [-1. -0.  1.]
    """
    t = _signs(y)
    return -t * jnp.heaviside(1 - t * z, 0)


@factory(computes="hinge_value(z, y)")
def hinge() -> Loss:
    """Return the hinge loss of binary labels 0 and 1: `hinge_value`, `hinge_gradient`."""
    return Loss(hinge_value, hinge_gradient, check_0_or_1)


@checked(z=OUTPUTS, y=Targets())
def squared_hinge_value(z: Array, y: AnyArray) -> Array:
    """Compute L = max(0, 1 - t z)², t = 2y - 1, summed over an example's outputs; without a factor ½.

    Args:
      z: scores, (m,), or (m, k) for k independent binary labels; z > 0 predicts 1.
      y: labels 0 and 1, in the shape of z, or (m,) for z (m, 1).

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if z and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_hinge_value(jnp.array([0.5, 3.0, 3.0]), jnp.array([1, 1, 0])))
      [ 0.25  0.   16.  ]

    Source: the convention of scikit-learn's `LinearSVC(loss="squared_hinge")` and of Keras.
    """
    return per_example(jax.nn.relu(1 - _signs(y) * z) ** 2)


@checked(z=OUTPUTS, y=Targets())
def squared_hinge_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = -2 t max(0, 1 - t z), (m,) or (m, k), which is continuous.

    Derivation. The power rule, times the derivative -t of 1 - t z.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_hinge_gradient(jnp.array([0.5, 3.0, 3.0]), jnp.array([1, 1, 0])))
      [-1. -0.  8.]
    """
    t = _signs(y)
    return -2 * t * jax.nn.relu(1 - t * z)


@factory(computes="squared_hinge_value(z, y)")
def squared_hinge() -> Loss:
    """Return the squared hinge loss of binary labels 0 and 1: `squared_hinge_value`, `squared_hinge_gradient`."""
    return Loss(squared_hinge_value, squared_hinge_gradient, check_0_or_1)


@checked(z=LOGITS, y=ClassTargets(numbers=True))
def multiclass_hinge_value(z: Array, y: AnyArray) -> Array:
    """Compute L = max(0, 1 + max_{j ≠ y} z_j - z_y), 0 if the score of the class exceeds all others by 1.

    Args:
      z: scores, (m, k), k >= 2 classes; or (m, ..., k) for labels of each position.
      y: class numbers 0..k-1, (m, ...) or (m, ..., 1), of an integer dtype.

    Returns:
      The loss of each label, (m, ...); NaN for a class number outside 0..k-1.

    Raises:
      ValueError: if z and y do not fit or are not numbers, or class numbers are not integers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(multiclass_hinge_value(jnp.array([[3.0, 1.0, 0.0], [3.0, 1.0, 2.5]]), jnp.array([0, 2])))
      [0.  1.5]

    Source: Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", 2001.
    Weston and Watkins's loss sums over the other classes instead, and PyTorch's `MultiMarginLoss` divides that by k.
    """
    _, others, of_class = _scores(z, y)
    return jax.nn.relu(1 - (of_class - others.max(axis=-1)))


@checked(z=LOGITS, y=ClassTargets(numbers=True))
def multiclass_hinge_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz, (m, ..., k): where L > 0, -1 for the class and 1 for the largest other score; else 0.

    Other scores that tie share the 1 evenly, as in JAX's derivative of a maximum, and at the kink the slope is 0.

    Derivation. Where L > 0 it is 1 + z_j - z_y, with j the class of the largest other score.

    Example:
      >>> import jax.numpy as jnp
      >>> print(multiclass_hinge_gradient(jnp.array([[3.0, 1.0, 2.5]]), jnp.array([2])))
      [[ 1.  0. -1.]]
    """
    is_class, others, of_class = _scores(z, y)
    largest = others.max(axis=-1, keepdims=True)
    ties = (others == largest).astype(z.dtype)
    slope = jnp.heaviside(1 - (of_class[..., None] - largest), 0)
    return slope * (ties / ties.sum(axis=-1, keepdims=True) - is_class.astype(z.dtype))


def _scores(z: Array, y: AnyArray) -> tuple[Array, Array, Array]:
    """Return a mask of the class, the scores without it, both (m, ..., k), and its score, (m, ...)."""
    y = class_numbers(z, y)
    is_class = jax.nn.one_hot(y, z.shape[-1], dtype=bool)
    index = as_index(y, z.shape[-1])[..., None]
    of_class = jnp.take_along_axis(z, index, axis=-1, mode="fill")[..., 0]
    # Not -inf, which `jax_debug_infs` would report.
    return is_class, jnp.where(is_class, jnp.finfo(z.dtype).min, z), of_class


@checked(z=LOGITS, y=ClassTargets(convert=False, numbers=True))
def _check_class_numbers(z, y):
    check_labels(y, z.shape[-1])


@factory(computes="multiclass_hinge_value(z, y)")
def multiclass_hinge() -> Loss:
    """Return the hinge loss of class numbers: `multiclass_hinge_value`, `multiclass_hinge_gradient`."""
    return Loss(multiclass_hinge_value, multiclass_hinge_gradient, _check_class_numbers)


def _labels(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    return 2 * rng.normal(size=shape), rng.integers(0, 2, shape)


CASES = {
    "hinge": (hinge, lambda r, m: (r.normal(size=(m, 1)), r.integers(0, 2, m))),
    "hinge_flat": (hinge, lambda r, m: (r.normal(size=m), r.integers(0, 2, (m, 1)))),
    "hinge_many": (hinge, lambda r, m: _labels(r, m, 3)),
    "hinge_positions": (hinge, lambda r, m: _labels(r, m, 3, 2)),
    "squared_hinge": (squared_hinge, lambda r, m: (r.normal(size=(m, 1)), r.integers(0, 2, m))),
    "squared_hinge_flat": (squared_hinge, lambda r, m: (r.normal(size=m), r.integers(0, 2, (m, 1)))),
    "squared_hinge_many": (squared_hinge, lambda r, m: _labels(r, m, 3)),
    "multiclass_hinge": (multiclass_hinge, lambda r, m: (r.normal(size=(m, 4)), r.integers(0, 4, m))),
    "multiclass_hinge_two": (multiclass_hinge, lambda r, m: (r.normal(size=(m, 2)), r.integers(0, 2, (m, 1)))),
    "multiclass_hinge_positions": (
        multiclass_hinge,
        lambda r, m: (2 * r.normal(size=(m, 3, 4)), r.integers(0, 4, (m, 3))),
    ),
}
