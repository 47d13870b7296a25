"""Checks of examples: inputs, targets and weights, once, before a training.

They run on the host, in NumPy, and their messages name the place and the fix.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, fits, fix_of_dtype
from jaxnn.data.batches import Batch
from jaxnn.data.weights import check_weight, counted, simplified
from jaxnn.validation import described, is_count, is_real


def check_batch(x: Any, y: Any, weight: Any = None, *, classes: int | None = None) -> Batch:
    """The data as a `Batch`, after the checks that a compiled program cannot make.

    Args:
      x: inputs, (m, ...), of a floating dtype.
      y: targets, (m,) or (m, k).
      weight: example weights (m,), of at least 0, numbers or truth values, or `None`. Only their ratios matter: a
        weight too small to be a number beside the largest counts as 0.
      classes: how many classes there are, where y holds class numbers 0..classes-1 or 0/1 labels.

    Returns:
      `Batch(x, y, weight)`, the same arrays where a program can take them. Weights that are all equal, or huge or tiny,
      are multiplied by a factor. Examples of weight 0 may hold any value: what a program cannot hold, such as NaN, is
      replaced by the values of an example that counts.

    Raises:
      ValueError: no examples, different lengths, inputs that are not floats, targets that are no real numbers; in an
        example that counts, NaN, inf or a label outside the classes; negative weights, or weights that are all 0; what
        is no array, masked or, as inside a compiled program, traced.

    Example:
      >>> import numpy as np
      >>> check_batch(np.zeros((2, 3)), np.array([0, 2]), classes=2)
      Traceback (most recent call last):
      ...
      ValueError: y holds labels from 0 to 2, expected 0 to 1 for 2 classes: number the classes from 0
    """
    x, y, weight, _ = checked(x, y, weight)
    if classes is not None and not is_count(classes):
        raise ValueError(f"classes is how many there are, a whole number of at least 1, got {described(classes)}")
    if classes is not None and ((labels := counted(y, weight)).min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"y holds labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1} for {classes} classes: "
            "number the classes from 0"
        )
    return Batch(x, y, weight)


def checked(x: Any, y: Any, weight: Any = None, some: bool = True) -> Batch:
    """Return what `check_batch` does, for x (m, ...); without `some`, weights may all be 0, as of a part."""
    given, x, y = x, on_host("x", x), on_host("y", y)
    if x.ndim < 1 or x.shape[0] == 0:
        raise ValueError(f"x has shape {x.shape}, so there are no examples: examples are rows, x is (m, ...)")
    if y.ndim < 1 or y.shape[0] != x.shape[0]:
        raise ValueError(
            f"x has {x.shape[0]} examples, y has shape {y.shape}: expected a target for each, (m,) or (m, k)"
            f"{columns_as_rows(x.shape, y.shape)}"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x is {x.dtype}, expected floats: {fix_of_dtype('x', given)}")
    if not is_real(y.dtype) and y.dtype != bool:
        raise ValueError(
            f"y is {y.dtype}, expected real numbers: np.unique(y, return_inverse=True)[1] numbers the classes"
        )
    if weight is not None:
        weight = simplified(check_weight(on_host("weight", weight), x.shape[0], some))
    return Batch(checked_finite("x", x, weight), checked_finite("y", y, weight), weight)


def columns_as_rows(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    """Return how to turn examples that are columns, x (n, m) or y (1, m) or both, into rows: the end of a message.

    Example:
      >>> columns_as_rows((3, 6), (1, 6)), columns_as_rows((6, 3), (5,))
      ('; examples are rows: x.T and y.T', '')
    """
    if len(x) == 2 and y and x[1] == y[0]:
        return "; examples are rows: x.T"
    if len(x) == len(y) == 2 and x[1] == y[1]:
        return "; examples are rows: x.T and y.T"
    if len(y) == 2 and y[1] == x[0]:
        return "; examples are rows: y.T" + (", or y.ravel()" if y[0] == 1 else "")
    return ""


def on_host(name: str, a: Any) -> Any:
    """An array of JAX's or NumPy's, of any shape, whatever it came in; a ValueError where it has no numbers yet."""
    if isinstance(a, jax.core.Tracer):
        raise ValueError(
            f"{name} is traced: its numbers are looked at on the host, so call this outside of jit, vmap and grad"
        )
    return as_array(name, a)


def checked_finite(name: str, a: Any, weight: Any = None) -> Any:
    """The array (m, ...), in whose examples of weight 0 what a program cannot hold is replaced.

    Raises:
      ValueError: if an example that counts has a number that is not finite in a program, with the place of the first.
    """
    inexact = jnp.issubdtype(a.dtype, jnp.inexact)
    sound = (jnp if isinstance(a, jax.Array) else np).isfinite(_as_in_programs(a)) if inexact else fits(a)
    if sound.all():
        return a
    wrong = ~np.asarray(sound)
    rows = wrong.reshape(len(a), -1).any(axis=1)
    if weight is not None:
        wrong[np.asarray(weight) == 0] = False
    if inexact and wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} has {int(wrong.sum())} values that are not finite, the first at {first}: "
            f"{np.asarray(_as_in_programs(a))[first]}; drop those examples or fill them in"
        )
    return counted(a, weight, rows)


def check_dtype(name: str, a: Any, given: Any) -> None:
    """Raise a ValueError unless the array (m, ...) holds numbers or truth values."""
    if not is_real(a.dtype) and a.dtype != bool:
        raise ValueError(f"{name} is {a.dtype}, expected numbers: {fix_of_dtype(name, given)}")


def _as_in_programs(a: Any) -> Any:
    # NumPy's float64 is float32 to a program, unless JAX is told otherwise, and 1e39 is infinite there.
    with np.errstate(over="ignore"):
        return a.astype(jax.dtypes.canonicalize_dtype(a.dtype), copy=False)
