"""Losses for regression."""

from jaxnn.constraints import checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.targets import OUTPUTS, Targets, check_fit, per_example
from jaxnn.typing import AnyArray, Array

__all__ = ["squared_error", "squared_error_gradient", "squared_error_value"]


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


CASES = {
    "squared_error": (squared_error, lambda r, m: (r.normal(size=(m, 1)), r.normal(size=m))),
    "squared_error_many": (squared_error, lambda r, m: (r.normal(size=(m, 3)), r.normal(size=(m, 3)))),
}
