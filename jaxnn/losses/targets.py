"""What losses take: outputs of a network, and targets that fit them.

Targets y may have a trailing axis of 1 or not, (m, 1) or (m,). Any other difference in shape raises, since (m,) against
(m, 1) would broadcast to (m, m).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import as_array, check_labels, fits, promote_large_integers
from jaxnn.constraints import NO_CALL, Call, Constraint, checked
from jaxnn.typing import AnyArray, Array
from jaxnn.validation import described, is_count, is_real


def _as_outputs(value: Any) -> Array:
    return jnp.asarray(promote_large_integers(value)) if isinstance(value, np.ndarray) else value


def _are_floats(value: Any) -> bool:
    # As an array or the shape of one. Whole numbers beyond 32 bits become floats.
    return jnp.issubdtype(getattr(promote_large_integers(value), "dtype", None) or int, jnp.floating)


OUTPUTS = Constraint(
    "an array of floats",
    ("z", None, 3, [[0.5]], np.ones((2, 2), int)),
    "outputs are the first argument, targets the next",
    test=_are_floats,
    convert=_as_outputs,
)
"""Outputs (m,) or (m, k) of a network, floats: whole numbers would round targets, which are cast to their dtype."""

LOGITS = Constraint(
    "an array of floats, logits (m, ..., k) with k >= 2 classes",
    ("z", None, 3, [[0.5]], np.ones((2, 2), int), np.ones(2), np.ones((2, 1))),
    lambda z: "use sigmoid_cross_entropy for one output per example" if _are_floats(z) else OUTPUTS.likely_fix(z),
    test=lambda z: _are_floats(z) and len(z.shape) >= 2 and z.shape[-1] >= 2,
    convert=_as_outputs,
)


def _are_class_weights(value: Any) -> bool:
    if isinstance(value, Tracer):
        return value.ndim == 1 and is_real(value.dtype)
    try:
        numbers = np.asarray(value)
    except ValueError:
        return False
    if numbers.ndim != 1 or not is_real(numbers.dtype):
        return False
    numbers = numbers.astype(np.float64)
    return bool(np.isfinite(numbers).all() and numbers.min(initial=0) >= 0 and numbers.max(initial=0) > 0)


def _as_class_weights(value: Any) -> Any:
    """Convert to an array of floats; huge and tiny ones are multiplied by a power of two, which changes no mean."""
    if isinstance(value, Tracer):
        return value
    numbers = np.asarray(value).astype(np.float64)
    exponent = int(np.frexp(numbers.max())[1])
    return np.ldexp(numbers, -exponent if abs(exponent) > 31 else 0)


CLASS_WEIGHTS = Constraint(
    "finite numbers (k,) of at least 0, one above 0, a weight for each class",
    (
        3,
        "x",
        {0: 1.0},
        [],
        [0.0, 0.0],
        [1.0, -1.0],
        [1.0, np.nan],
        [np.inf, 1.0],
        [True, False],
        [["a"]],
        np.ones((2, 2)),
    ),
    test=_are_class_weights,
    convert=_as_class_weights,
)

IGNORED = Constraint(
    "a 32-bit class number",
    (0.5, -1.0, "-1", True, [0], 2**31),
    "-1, for example",
    test=lambda value: is_count(value, -(2**31)) and value < 2**31,
    convert=int,
)


class Targets(Constraint):
    """Numbers in the shape of the outputs, up to a trailing axis of 1.

    Args:
      outputs: the name of the argument that has them.
      convert: whether the function takes them in the shape and the dtype of the outputs.
    """

    def __init__(self, outputs: str = "z", convert: bool = True):
        super().__init__("numbers", (None, "y", np.array(["a", "b"])))
        self.outputs, self.convert = outputs, convert

    @property
    def phrases(self) -> tuple[str, ...]:
        """What is expected of any targets."""
        return "numbers", "an array"

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return targets as an array."""
        y, z = as_array(name, value), call.arguments.get(self.outputs)
        if not jnp.issubdtype(y.dtype, jnp.number) and y.dtype != bool:
            raise ValueError(f"{name} must be numbers, got {described(y)}")
        if z is None:
            return y
        if not self._fit(z, y):
            raise ValueError(
                f"{name} must be {self._expected(z)}, got {y.dtype.name} {y.shape}: {self._hint(name, z, y)}"
            )
        return self._converted(z, y) if self.convert else y

    def _expected(self, z: Any) -> str:
        return f"numbers in the shape of outputs {self.outputs}, {z.shape}"

    def _hint(self, name: str, z: Any, y: Any) -> str:
        columns = y.shape == z.shape[::-1]
        return f"examples are rows, use {name}.T" if columns else "use softmax_cross_entropy for class numbers"

    def _fit(self, z: Any, y: Any) -> bool:
        return z.shape == y.shape or {z.shape, y.shape} == {z.shape[:1], (*z.shape[:1], 1)}

    def _converted(self, z: Array, y: Any) -> Array:
        return jnp.asarray(promote_large_integers(y)).reshape(z.shape).astype(z.dtype)


class ClassTargets(Targets):
    """Class numbers (m, ...) or (m, ..., 1) for logits (m, ..., k), or distributions (m, ..., k).

    Args:
      convert: whether the function takes them as JAX arrays.
      numbers: whether they must be class numbers.
    """

    def __init__(self, convert: bool = True, numbers: bool = False):
        super().__init__(convert=convert)
        self.numbers = numbers

    def _expected(self, z: Any) -> str:
        return f"integer class numbers {z.shape[:-1]}" + ("" if self.numbers else f" or distributions {z.shape}")

    def _hint(self, name: str, z: Any, y: Any) -> str:
        if len(z.shape) == 2 and y.shape in {(1, z.shape[0]), z.shape[::-1]}:
            return f"examples are rows, use {name}.T"
        if len(z.shape) > 2 and y.shape == (z.shape[0], *z.shape[2:]):
            return "classes are the last axis, use jnp.moveaxis(z, 1, -1)"
        return (
            f"use {name}.argmax(-1)" if y.shape == z.shape else f"convert float class numbers with {name}.astype(int)"
        )

    def _fit(self, z: Any, y: Any) -> bool:
        return are_class_numbers(z, y) or (y.shape == z.shape and not self.numbers)

    def _converted(self, z: Array, y: Any) -> Array:
        # A class number outside of int32 becomes another invalid one.
        if are_class_numbers(z, y) and not fits(y).all():
            y = np.where(fits(y), y, np.iinfo(np.int32).max)
        return jnp.asarray(promote_large_integers(y))


@checked(z=OUTPUTS, y=Targets(convert=False))
def check_fit(z: Any, y: AnyArray) -> None:
    """Raise ValueError unless outputs z (m, k) and targets y have one shape, up to a trailing axis of 1."""


@checked(z=OUTPUTS, y=Targets(convert=False))
def check_between_0_and_1(z: Any, y: AnyArray) -> None:
    """Raise ValueError unless the targets y (m, k) are in [0, 1]."""
    if y.min() < 0 or y.max() > 1:
        raise ValueError(
            f"y must be binary labels, from 0 to 1, got {y.min()} to {y.max()}: "
            "use softmax_cross_entropy, or mlp with output='softmax', for more classes"
        )


@checked(z=OUTPUTS, y=Targets(convert=False))
def check_0_or_1(z: Any, y: AnyArray) -> None:
    """Raise ValueError unless each of the targets y (m, k) is 0 or 1, or missing, NaN."""
    y = np.asarray(y)
    others = y[(y != 0) & (y != 1) & (y == y)]
    if others.size:
        fix = ": (y + 1) / 2 for labels -1 and 1" if (others == -1).any() else ""
        raise ValueError(f"y must be binary labels, 0 or 1, got {others[0]}{fix}")


@checked(z=LOGITS, y=Targets(convert=False))
def check_at_least_0(z: Any, y: AnyArray) -> None:
    """Raise ValueError unless the targets y (m, ..., k) are distributions, numbers of at least 0."""
    if y.min() < 0:
        raise ValueError(f"y must be at least 0 in a distribution over classes, got {y.min()}")


@checked(z=LOGITS, y=ClassTargets(convert=False))
def check_classes(z: Any, y: AnyArray) -> None:
    """Raise ValueError unless y are class numbers (m, ...) for logits z (m, ..., k), or distributions (m, ..., k)."""
    if are_class_numbers(z, y):
        check_labels(y, z.shape[-1])
    else:
        check_at_least_0(z, y)


def are_class_numbers(z: Any, y: AnyArray) -> bool:
    """Return whether the targets y are class numbers, (m, ...) or (m, ..., 1), not distributions (m, ..., k)."""
    return jnp.issubdtype(y.dtype, jnp.integer) and y.shape in {z.shape[:-1], (*z.shape[:-1], 1)}


def class_numbers(z: Any, y: AnyArray) -> Array:
    """Convert class numbers to int32 (m, ...): in 8 bits, class 256 would be class 0."""
    return jnp.asarray(y).reshape(z.shape[:-1]).astype(jnp.int32)


def per_example(loss: Array) -> Array:
    """Sum a loss (m, ...) over all axes but the first, to (m,)."""
    return loss.sum(axis=tuple(range(1, loss.ndim)))
