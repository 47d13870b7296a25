"""Validate inputs, targets and weights once, before training, on the host with NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import as_array, check_finite, check_labels, check_real, dtype_hint, fits, map_arrays
from jaxnn.constraints import Count, Flag, Nothing
from jaxnn.constraints import checked as declared
from jaxnn.data.batches import Batch, number_of_examples
from jaxnn.data.weights import check_weight, counted, simplified
from jaxnn.typing import ArrayLike


@declared(classes=Count() | Nothing(), whole_numbers=Flag())
def check_batch(
    x: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    classes: int | None = None,
    whole_numbers: bool = False,
) -> Batch:
    """Validate the data as a compiled program cannot, and return it as a `Batch`.

    Args:
      x: inputs, (m, ...), of a floating dtype, or of whole numbers if `whole_numbers`; for a network of several inputs,
        a dictionary or a tuple of them.
      y: targets, (m,) or (m, k), or a dictionary or a tuple of them.
      weight: example weights (m,), numbers of at least 0 or booleans, or `None`. Only their ratios matter: a
        weight whose ratio to the largest underflows counts as 0.
      classes: number of classes, if y holds class numbers 0..classes-1 or 0/1 labels.
      whole_numbers: whether x may be whole numbers or booleans, as an embedding takes them.

    Returns:
      `Batch(x, y, weight)`, the same arrays if a program can take them. Weights that are all equal, huge or tiny are
      multiplied by a common factor. Examples of weight 0 may hold any value: one that a program cannot hold, such as
      NaN, is replaced by the value of an example with positive weight.

    Raises:
      ValueError: if there are no examples, lengths differ, inputs are not floats (or whole numbers, if they may be), or
        targets are not real numbers; if an example of positive weight has NaN, inf or a label outside the classes; if a
        weight is negative or all are 0; if an argument is not an array, masked, or traced inside a compiled program.

    Example:
      >>> import numpy as np
      >>> check_batch(np.zeros((2, 3)), np.array([0, 2]), classes=2)
      Traceback (most recent call last):
      ...
      ValueError: y must be labels of 2 classes, from 0 to 1, got 0 to 2: number the classes from 0
    """
    x, y, weight = checked(x, y, weight, whole_numbers=whole_numbers)[:3]
    if classes is not None:
        map_arrays(lambda name, a: check_labels(counted(a, weight), classes), "y", y)
    return Batch(x, y, weight)


def checked(x: Any, y: Any, weight: Any = None, some: bool = True, whole_numbers: bool = False) -> Batch:
    """Validate as `check_batch` does; without `some`, all weights may be 0, as in a part of the data."""
    given: dict[str, Any] = {}  # before its conversion, for the hint of an error

    def inputs(name, a):
        given[name] = a
        return on_host(name, a)

    def check_input(name, a):
        if not (whole_numbers and (jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == bool)):
            check_floats(name, a, given[name])

    def check_target(name, a):
        check_real(name, a, a, "np.unique(y, return_inverse=True)[1] numbers the classes")

    x, y = map_arrays(inputs, "x", x), map_arrays(on_host, "y", y)
    # Lengths before dtypes, since examples in columns may have neither right.
    check_rows(x, y)
    map_arrays(check_input, "x", x)
    map_arrays(check_target, "y", y)
    if weight is not None:
        weight = simplified(check_weight(on_host("weight", weight), number_of_examples(x), some))
    x, y = (map_arrays(lambda name, a: checked_finite(name, a, weight), name, a) for name, a in (("x", x), ("y", y)))
    # An index outside of a vocabulary is finite here, and NaN in a network.
    x = map_arrays(lambda _, a: a if jnp.issubdtype(a.dtype, jnp.inexact) else counted(a, weight), "x", x)
    return Batch(x, y, weight)


def check_floats(name: str, array: Any, given: Any) -> None:
    """Raise ValueError unless an array is of a floating dtype."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} must be floats, got {array.dtype}: {dtype_hint(name, given)}")


def check_rows(x: Any, y: Any) -> None:
    """Raise ValueError unless x (m, ...) has examples, and y (m, ...) a target for each; so for the leaves of trees."""
    inputs, targets = [], []
    map_arrays(lambda name, a: inputs.append((name, a.shape)), "x", x)
    map_arrays(lambda name, a: targets.append((name, a.shape)), "y", y)
    if not inputs or not targets:
        raise ValueError(f"{'y' if inputs else 'x'} must be an array, got {y if inputs else x}")
    first, shape = inputs[0]
    for name, one in inputs:
        if one[:1] in ((), (0,)):
            raise ValueError(f"{name} must be at least one example (m, ...), got shape {one}")
        if one[:1] != shape[:1]:
            raise ValueError(f"{name} must be as many examples as {first}, {shape[0]}, got shape {one}")
    for name, one in targets:
        if one[:1] != shape[:1]:
            raise ValueError(
                f"{name} must be one target for each of the {shape[0]} examples, (m,) or (m, k), got shape {one}"
                f"{columns_as_rows(shape, one)}"
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
