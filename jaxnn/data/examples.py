"""Validate inputs, targets and weights once, before training, on the host with NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import as_array, check_finite, check_labels, check_real, dtype_hint, fits
from jaxnn.constraints import Count, Nothing
from jaxnn.constraints import checked as declared
from jaxnn.data.batches import Batch
from jaxnn.data.weights import check_weight, counted, simplified
from jaxnn.typing import ArrayLike


@declared(classes=Count() | Nothing())
def check_batch(x: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None, *, classes: int | None = None) -> Batch:
    """Validate the data as a compiled program cannot, and return it as a `Batch`.

    Args:
      x: inputs, (m, ...), of a floating dtype.
      y: targets, (m,) or (m, k).
      weight: example weights (m,), numbers of at least 0 or booleans, or `None`. Only their ratios matter: a
        weight whose ratio to the largest underflows counts as 0.
      classes: number of classes, if y holds class numbers 0..classes-1 or 0/1 labels.

    Returns:
      `Batch(x, y, weight)`, the same arrays if a program can take them. Weights that are all equal, huge or tiny are
      multiplied by a common factor. Examples of weight 0 may hold any value: one that a program cannot hold, such as
      NaN, is replaced by the value of an example with positive weight.

    Raises:
      ValueError: if there are no examples, lengths differ, inputs are not floats, or targets are not real numbers; if
        an example of positive weight has NaN, inf or a label outside the classes; if a weight is negative or all are 0;
        if an argument is not an array, masked, or traced inside a compiled program.

    Example:
      >>> import numpy as np
      >>> check_batch(np.zeros((2, 3)), np.array([0, 2]), classes=2)
      Traceback (most recent call last):
      ...
      ValueError: y must be labels of 2 classes, from 0 to 1, got 0 to 2: number the classes from 0
    """
    x, y, weight, _ = checked(x, y, weight)
    if classes is not None:
        check_labels(counted(y, weight), classes)
    return Batch(x, y, weight)


def checked(x: Any, y: Any, weight: Any = None, some: bool = True) -> Batch:
    """Validate as `check_batch` does; without `some`, all weights may be 0, as in a part of the data."""
    given, x, y = x, on_host("x", x), on_host("y", y)
    check_rows(x, y)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x must be floats, got {x.dtype}: {dtype_hint('x', given)}")
    check_real("y", y, y, "np.unique(y, return_inverse=True)[1] numbers the classes")
    if weight is not None:
        weight = simplified(check_weight(on_host("weight", weight), x.shape[0], some))
    return Batch(checked_finite("x", x, weight), checked_finite("y", y, weight), weight)


def check_rows(x: Any, y: Any) -> None:
    """Raise ValueError unless x (m, ...) has examples, and y (m, ...) a target for each."""
    if x.shape[:1] in ((), (0,)):
        raise ValueError(f"x must be at least one example (m, ...), got shape {x.shape}")
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(
            f"y must be one target for each of the {x.shape[0]} examples, (m,) or (m, k), got shape {y.shape}"
            f"{columns_as_rows(x.shape, y.shape)}"
        )


def columns_as_rows(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    """Return the end of a message: how to transpose examples in columns, x (n, m), y (1, m) or both, into rows.

    Example:
      >>> columns_as_rows((3, 6), (1, 6)), columns_as_rows((6, 3), (5,))
      (': examples are rows, use x.T and y.T', '')
    """
    if len(x) == 2 and y and x[1] == y[0]:
        return ": examples are rows, use x.T"
    if len(x) == len(y) == 2 and x[1] == y[1]:
        return ": examples are rows, use x.T and y.T"
    if len(y) == 2 and y[1] == x[0]:
        return ": examples are rows, use y.T" + (" or y.ravel()" if y[0] == 1 else "")
    return ""


def on_host(name: str, a: Any) -> Any:
    """Convert an array-like to a JAX or NumPy array; raise ValueError if it is traced."""
    if isinstance(a, Tracer):
        raise ValueError(
            f"{name} must be concrete, got a traced array: it is validated on the host, outside of jit, vmap and grad"
        )
    return as_array(name, a)


def checked_finite(name: str, a: Any, weight: Any = None) -> Any:
    """Return an array (m, ...) whose examples of weight 0 have no value that a program cannot hold.

    Raises:
      ValueError: if an example of positive weight has a value that is not finite in a program; the message has the
        index of the first.
    """
    inexact = jnp.issubdtype(a.dtype, jnp.inexact)
    valid = (jnp if isinstance(a, jax.Array) else np).isfinite(_as_in_programs(a)) if inexact else fits(a)
    if valid.all():
        return a
    wrong = ~np.asarray(valid)
    rows = wrong.reshape(len(a), -1).any(axis=1)
    if weight is not None:
        wrong[np.asarray(weight) == 0] = False
    if inexact:
        check_finite(name, np.asarray(_as_in_programs(a)), wrong)
    return counted(a, weight, rows)


def _as_in_programs(a: Any) -> Any:
    # A program converts float64 to float32, unless x64 is enabled, and 1e39 becomes infinite.
    with np.errstate(over="ignore"):
        return a.astype(jax.dtypes.canonicalize_dtype(a.dtype), copy=False)
