"""The contract of a loss: the loss of each example, and its gradient with respect to the network's output.

Losses are not reduced here: the only mean of the library is in `train/objectives.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxnn.factories.decorator import factory_made
from jaxnn.typing import Array

__all__ = ["Loss"]


@factory_made
class Loss(NamedTuple):
    """A loss per example, and its gradient.

    Attributes:
      value: `value(z, y) -> (m,)`, the loss of each example, for outputs z (m, k) or (m,) and targets y.
      gradient: `gradient(z, y) -> dz`, in the shape of z: row i is the gradient of example i's loss with respect to
        z_i.
      check: `check(z, y)` raises ValueError if the loss is undefined for targets y (concrete arrays) and outputs z, of
        which only the shape and the dtype are read. By default it accepts everything.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> loss = jaxnn.squared_error()
      >>> z, y = jnp.array([[3.0]]), jnp.array([1.0])
      >>> loss.value(z, y), loss.gradient(z, y)
      (Array([2.], dtype=float32), Array([[2.]], dtype=float32))
    """

    # Of any type to a type checker: data may be NumPy arrays, and a function may be annotated with `Array` alone.
    value: Callable[[Any, Any], Array]
    gradient: Callable[[Any, Any], Array]
    check: Callable[[Any, Any], None] = lambda z, y: None
