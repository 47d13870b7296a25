"""Losses for regression: of squared errors, of absolute ones, and Huber's, between the two."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.constraints import Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.targets import OUTPUTS, Targets, check_fit, per_example
from jaxnn.typing import AnyArray, Array, Scalar

__all__ = [
    "absolute_error",
    "absolute_error_gradient",
    "absolute_error_value",
    "huber",
    "huber_gradient",
    "huber_value",
    "squared_error",
    "squared_error_gradient",
    "squared_error_value",
]


@checked(z=OUTPUTS, y=Targets())
def squared_error_value(z: Array, y: AnyArray) -> Array:
    """Compute L = ½ Σ_j (z_j - y_j)², including the factor ½.

    Args:
      z: predictions, (m,) or (m, k).
      y: targets, in the shape of z, or (m,) for z (m, 1).

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if z and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_error_value(jnp.array([[3.0, 1.0]]), jnp.array([[1.0, 1.0]])))
      [2.]
    """
    return per_example((z - y) ** 2 / 2)


@checked(z=OUTPUTS, y=Targets())
def squared_error_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = z - y, (m,) or (m, k).

    Derivation. d/dz_j of ½ (z_j - y_j)² is z_j - y_j: the ½ cancels the 2 of the power rule.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_error_gradient(jnp.array([3.0]), jnp.array([1.0])))
      [2.]
    """
    return z - y


@factory(computes="squared_error_value(z, y)")
def squared_error() -> Loss:
    """Return half the squared distance to the target: `squared_error_value`, `squared_error_gradient`."""
    return Loss(squared_error_value, squared_error_gradient, check_fit)


@checked(z=OUTPUTS, y=Targets())
def absolute_error_value(z: Array, y: AnyArray) -> Array:
    """Compute L = Σ_j |z_j - y_j|, whose best constant prediction is the median, not the mean.

    Args:
      z: predictions, (m,) or (m, k).
      y: targets, in the shape of z, or (m,) for z (m, 1).

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if z and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(absolute_error_value(jnp.array([[3.0, 1.0]]), jnp.array([[1.0, 1.5]])))
      [2.5]
    """
    # |r| as max(r, -r): its derivative in JAX is sign(r), 0 at 0, whereas that of `jnp.abs` at 0 is 1.
    r = z - y
    return per_example(jnp.maximum(r, -r))


@checked(z=OUTPUTS, y=Targets())
def absolute_error_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = sign(z - y), (m,) or (m, k); 0 where z equals y.

    Derivation. |r| is r for r > 0 and -r for r < 0. At r = 0 each slope from -1 to 1 is a subgradient: 0 is the choice
    of `jnp.sign` and of PyTorch, with which an exact prediction stays so. JAX's derivative of `jnp.abs` at 0 is 1.

    Example:
      >>> import jax.numpy as jnp
      >>> print(absolute_error_gradient(jnp.array([3.0, 1.0, 0.0]), jnp.array([1.0, 1.0, 1.0])))
      [ 1.  0. -1.]
    """
    return jnp.sign(z - y)


@factory(computes="absolute_error_value(z, y)")
def absolute_error() -> Loss:
    """Return the absolute distance to the target: `absolute_error_value`, `absolute_error_gradient`."""
    return Loss(absolute_error_value, absolute_error_gradient, check_fit)


_DELTA = Real(0, closed="right", fix="the size of the largest error that is squared")


@checked(z=OUTPUTS, y=Targets(), delta=_DELTA)
def huber_value(z: Array, y: AnyArray, delta: Scalar = 1.0) -> Array:
    """Compute L = Σ_j h(z_j - y_j): h(r) = ½ r² for |r| <= δ, δ (|r| - δ/2) beyond.

    Computed as h(r) = q (r - q/2), with q = r clipped to [-δ, δ], which squares no large error.

    Args:
      z: predictions, (m,) or (m, k).
      y: targets, in the shape of z, or (m,) for z (m, 1).
      delta: δ, a scalar above 0; may be traced.

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if z and y differ in shape or are not numbers, or delta is not positive and finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(huber_value(jnp.array([0.5, -3.0]), jnp.array([0.0, 0.0])))
      [0.125 2.5  ]

    Source: Huber, "Robust estimation of a location parameter", 1964; the convention of optax and of PyTorch's
    `HuberLoss`. PyTorch's `SmoothL1Loss(beta=δ)` is this over δ.
    """
    r = z - y
    q = _clipped(r, delta)
    return per_example(q * (r - q / 2))


@checked(z=OUTPUTS, y=Targets(), delta=_DELTA)
def huber_gradient(z: Array, y: AnyArray, delta: Scalar = 1.0) -> Array:
    """Compute dz = z - y, clipped to [-δ, δ], (m,) or (m, k).

    Derivation. h'(r) = r for |r| <= δ and δ sign(r) beyond, which are equal at |r| = δ.

    Example:
      >>> import jax.numpy as jnp
      >>> print(huber_gradient(jnp.array([0.5, -3.0]), jnp.array([0.0, 0.0])))
      [ 0.5 -1. ]
    """
    return _clipped(z - y, delta)


def _clipped(r: Array, delta: Scalar) -> Array:
    # Unlike `jnp.clip`, whose derivative multiplies by 0, JAX's derivative of `clamp` is 0 for an infinite r too.
    if not isinstance(delta, Tracer):
        delta = min(float(delta), float(jnp.finfo(r.dtype).max))
    bound = jnp.full_like(r, delta)
    return jax.lax.clamp(-bound, r, bound)


@factory(computes="huber_value(z, y)")
@checked(delta=_DELTA)
def huber(delta: Scalar = 1.0) -> Loss:
    """Return Huber's loss, in which outliers count linearly: `huber_value`, `huber_gradient`.

    Errors up to δ are squared, ½ r²; larger ones cost δ (|r| - δ/2). With a small δ it is δ times the absolute error,
    with a large one `squared_error`.

    Args:
      delta: δ, a scalar above 0, in the units of the targets; may be traced.

    Returns:
      A `Loss`.

    Raises:
      ValueError: if delta is not positive and finite.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> loss, z, y = huber(2.0), jnp.array([1.0, 10.0]), jnp.zeros(2)
      >>> print(loss.value(z, y), loss.gradient(z, y))
      [ 0.5 18. ] [1. 2.]
      >>> jaxnn.mlp((3, 8, 1), output="linear")._replace(loss=huber(2.0))
      Model(chain(dense(8), relu(), dense(1)), in_shape=(3,), loss=huber(delta=2.0), 41 params)

    Source: Huber, "Robust estimation of a location parameter", 1964.
    """
    return Loss(partial(huber_value, delta=delta), partial(huber_gradient, delta=delta), check_fit)


def _drawn(*shape: int) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    return lambda r, m: (2 * r.normal(size=(m, *shape)), r.normal(size=(m, *shape)))


def _column(r: np.random.Generator, m: int) -> tuple[np.ndarray, np.ndarray]:
    return r.normal(size=(m, 1)), r.normal(size=m)


CASES = {
    "squared_error": (squared_error, _column),
    "squared_error_many": (squared_error, _drawn(3)),
    "absolute_error": (absolute_error, _column),
    "absolute_error_flat": (absolute_error, lambda r, m: (r.normal(size=m), r.normal(size=(m, 1)))),
    "absolute_error_many": (absolute_error, _drawn(3)),
    "absolute_error_positions": (absolute_error, _drawn(3, 2)),
    "huber": (huber, _column),
    "huber_flat": (partial(huber, 0.3), lambda r, m: (r.normal(size=m), r.normal(size=(m, 1)))),
    "huber_many": (partial(huber, 1.5), _drawn(3)),
    "huber_positions": (huber, _drawn(3, 2)),
}
