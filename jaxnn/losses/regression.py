"""Losses of numbers."""

from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.targets import alike, check_fit, per_example
from jaxnn.typing import Array
from jaxnn.validation import makes


def squared_error_value(z: Array, y: Array) -> Array:
    """L = ½ Σ_j (z_j - y_j)², the notes' half included.

    Args:
      z: predictions, (m,) or (m, k).
      y: targets, in the shape of z, or (m,) for z (m, 1).

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: z and y do not fit, or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_error_value(jnp.array([[3.0, 1.0]]), jnp.array([[1.0, 1.0]])))
      [2.]
    """
    z, y = alike(z, y)
    return per_example((z - y) ** 2 / 2)


def squared_error_gradient(z: Array, y: Array) -> Array:
    """dz = z - y, in the shape of z, (m,) or (m, k): the half cancels the 2 of the power rule.

    Example:
      >>> import jax.numpy as jnp
      >>> print(squared_error_gradient(jnp.array([3.0]), jnp.array([1.0])))
      [2.]
    """
    z, y = alike(z, y)
    return z - y


@factory
@makes("loss", "squared_error_value(z, y)")
def squared_error() -> Loss:
    """Half the squared distance to the target, z (m,) or (m, k): `squared_error_value`, `squared_error_gradient`."""
    return Loss(squared_error_value, squared_error_gradient, check_fit)
