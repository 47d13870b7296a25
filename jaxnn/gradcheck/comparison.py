"""The distance of a manual gradient from the reference, and the bound that it must respect.

The bound of an element is computed from the effect of rounding in the precision used (eps is the distance from 1 to
the next float). It is the sum of

- how far the reference shifts when every operation in autodiff's program has an error of eps (`rounding.py`), at the
  element, plus a tenth of the mean shift over the leaf, since a few runs may miss an element by chance;
- eps times the element;
- the distance of JAX's derivative, computed in that precision, from the float64 reference.

The first two are multiplied by the logarithm of the number of terms that are summed for an element.

A gradient that respects the bound in the precision of its arguments, but not in float64, is not wrong: it is right to
a number of digits. A solver that stops at a tolerance, a constant with seven digits or an exponential that is computed
anew from its logarithm have that effect.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np


class Row(NamedTuple):
    """The result for one argument leaf at one test point.

    Attributes:
      test_point: its name, such as "given", "scaled by 0.1, float16", "batch 4 -> 9" or "vmap over x".
      leaf: the name of the argument leaf.
      status: "pass", "inexact" (off by more than rounding in float64, but within the precision of the arguments),
        "fail", "undecided", "skip" or "note".
      max_abs: the largest absolute error.
      max_rel: the largest error relative to the reference, over elements that are not 0.
      ulps: `max_rel` in units of eps, the distance from 1 to the next float.
      cosine: of the angle between manual and reference, as vectors.
      index: the element with the largest error in proportion to its bound.
      manual: the manual gradient there.
      reference: the reference gradient there.
      text: an explanation, or "".
    """

    test_point: str
    leaf: str
    status: str
    max_abs: float = 0.0
    max_rel: float = 0.0
    ulps: float = 0.0
    cosine: float = 1.0
    index: tuple[int, ...] = ()  # pyright: ignore[reportIncompatibleMethodOverride] (a method of tuple, of no use here)
    manual: float = 0.0
    reference: float = 0.0
    text: str = ""


class Tolerance(NamedTuple):
    """The error that is allowed besides rounding: as the caller states it, and in the precision of the arguments."""

    rtol: float
    atol: float
    own_eps: float

    def stated(self, reference: np.ndarray, cotangent: float) -> float:
        """Return the error that the caller allows: relative to the largest element of the leaf, or absolute."""
        return self.rtol * float(np.abs(reference).max(initial=0.0)) + self.atol * cotangent

    def inexact(self, reference: np.ndarray, typical_size: float) -> np.ndarray:
        """Return the error in float64 up to which a gradient is right to fewer digits, for each element."""
        size = np.abs(reference)
        largest = max(float(size.max(initial=0.0)), typical_size)
        digits = min(max(8 * self.own_eps, 1e-12), 1e-6)
        # Small elements must have a few right digits too: else a mistake in them alone would count as rounding.
        return np.maximum(digits * size, np.minimum(digits * largest, 1e-4 * size)) + 1e-12 * largest


class Bound(NamedTuple):
    """The terms of the bound for one leaf: float64 arrays in the shape of the leaf, or scalars."""

    eps: float
    rounding_shift: np.ndarray  # how far rounding errors of eps shift the reference
    own_error: np.ndarray  # of JAX's derivative in the precision used
    terms: float  # approximate number of terms summed for an element
    tiny: float  # the smallest normal number
    typical_size: float  # of the leaf's gradient at the given arguments
    reference_error: np.ndarray  # of the reference itself, if it comes from difference quotients
    slack: float  # a factor for the effect of rounding
    cotangent: float  # the largest element of dy

    def of(self, reference: np.ndarray) -> np.ndarray:
        """Return the bound for each element of the reference, in its shape."""
        largest = self.rounding_shift.max(initial=0.0) or 1.0
        mean = largest * np.sqrt(np.mean((self.rounding_shift / largest) ** 2)) if self.rounding_shift.size else 0.0
        # Summation increases intermediate errors, by the logarithm of the number of terms at best; the result itself
        # is rounded once for each of a few operations. In half precision that would allow almost any error, so there
        # sums are expected to be accumulated in float32, as XLA does.
        by_sums = 4 * (1 + np.log2(1 + self.terms)) if self.eps < 1e-4 else 4
        rounding = self.eps * np.maximum(np.abs(reference), self.typical_size)
        intermediate = self.slack * by_sums * (self.rounding_shift + 0.1 * mean)
        return (
            intermediate + min(by_sums, 16) * rounding + 4 * self.own_error + 16 * self.tiny + 10 * self.reference_error
        )


def compare(
    test_point: str, leaf: str, manual: np.ndarray, reference: np.ndarray, bound: Bound, dtype: str,
    tolerance: Tolerance,
) -> Row:  # fmt: skip
    """Return the row for one leaf; manual and reference are float64 and of the same shape."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _compare(test_point, leaf, manual, reference, bound, dtype, tolerance)


def _compare(
    test_point: str, leaf: str, manual: np.ndarray, reference: np.ndarray, bound: Bound, dtype: str,
    tolerance: Tolerance,
) -> Row:  # fmt: skip
    # Values beyond the range of the precision used cannot be computed in it.
    within = np.isfinite(reference) & (np.abs(reference) <= float(jnp.finfo(dtype).max))
    error = np.where(within, np.abs(manual - reference), 0.0)
    error = np.where(np.isnan(error), np.inf, error)
    if error.size == 0:
        return Row(test_point, leaf, "pass", text="no elements")
    reference_within = np.where(within, reference, 0.0)
    excess = error / (bound.of(reference_within) + tolerance.stated(reference_within, bound.cotangent))
    excess = np.where(error == 0, 0.0, excess)
    index = np.unravel_index(int(np.argmax(excess)), excess.shape)
    size, tiny = np.abs(reference_within), float(jnp.finfo(dtype).tiny)
    relative = error[size > tiny] / size[size > tiny]
    h, r = (np.where(within & np.isfinite(manual), a, 0.0).ravel() for a in (manual, reference))
    lengths = np.linalg.norm(h) * np.linalg.norm(r)
    if lengths > 0:
        cosine = float(h @ r / lengths)
    else:
        cosine = 1.0 if not h.any() and not r.any() else 0.0
    status = "fail" if excess[index] > 1 else "pass"
    if status == "fail" and dtype == "float64":
        beyond = error > tolerance.inexact(reference_within, bound.typical_size)
        status = "fail" if (beyond & (excess > 1)).any() else "inexact"
    return Row(
        test_point,
        leaf,
        status,
        float(error.max()),
        float(relative.max(initial=0.0)),
        float(relative.max(initial=0.0) / float(jnp.finfo(dtype).eps)),
        cosine,
        tuple(int(i) for i in index),
        float(manual[index]),
        float(reference[index]),
    )
