"""The contract of a loss: its terms, one or more for each example, and their gradient with respect to the outputs.

Losses are not reduced here: the only mean of the library is in `train/means.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxnn.explicit_axes import as_rows, like, on_any_axes
from jaxnn.factories.decorator import completed_by, factory_made
from jaxnn.typing import Array

__all__ = ["Loss"]


@factory_made
class Loss(NamedTuple):
    """The terms of a loss, their gradient, and what each term counts in the mean.

    Training minimizes J = Σ w c L / Σ w c, over all terms L of all examples, with counts c and example weights w. If
    the terms are a pytree, J is the sum of one such mean for each of its arrays.

    Attributes:
      value: `value(z, y) -> terms`, for outputs z and targets y: one term for each example, (m,), or one for each
        position in it, such as (m, T) for z (m, T, k), where term (i, t) depends on z[i, t] alone. For outputs in a
        pytree, a pytree of such arrays, in the structure of z or its first levels.
      gradient: `gradient(z, y) -> dz`, in the structure and shapes of z: the gradient of the sum of the terms, each
        taken once.
      check: `check(z, y)` raises ValueError if the loss is undefined for targets y (concrete arrays) and outputs z, of
        which only the shape and the dtype are read. By default it accepts everything.
      counts: `counts(z, y) -> c`, numbers of at least 0 in the structure and shapes of the terms: 0 for padding and for
        ignored labels, the weight of the class, else 1; of z only shapes, dtypes and whole numbers, such as lengths,
        are read. A term that counts 0 changes nothing, even if it is NaN. `None`, for the function or for one of the
        arrays, is 1 for each term.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> loss = jaxnn.squared_error()
      >>> z, y = jnp.array([[3.0]]), jnp.array([1.0])
      >>> loss.value(z, y), loss.gradient(z, y)
      (Array([2.], dtype=float32), Array([[2.]], dtype=float32))

    An absolute error whose targets of NaN are missing:

      >>> missing = jaxnn.losses.absolute_error()._replace(counts=lambda z, y: ~jnp.isnan(y))
      >>> z, y = jnp.array([3.0, 2.0, 5.0]), jnp.array([1.0, jnp.nan, 1.0])
      >>> print(jaxnn.objective(jaxnn.nn.identity(), missing).evaluate((), (), jaxnn.Batch(z, y)))
      3.0
    """

    # Of any type to a type checker: data may be NumPy arrays, and a function may be annotated with `Array` alone. What
    # comes back is an array, for all losses but those of several outputs, whose functions are annotated with `PyTree`.
    value: Callable[[Any, Any], Array]
    gradient: Callable[[Any, Any], Array]
    check: Callable[[Any, Any], None] = lambda z, y: None
    counts: Callable[[Any, Any], Any] | None = None


def _completed(loss: Any) -> Any:
    """Return the loss with functions that run on explicit axes too."""
    return loss._replace(
        value=on_any_axes(loss.value, lambda terms, z, y: as_rows(terms, z)),
        gradient=on_any_axes(loss.gradient, lambda dz, z, y: like(dz, z)),
        counts=loss.counts and on_any_axes(loss.counts, lambda counts, z, y: as_rows(counts, z)),
    )


completed_by(Loss, _completed)
