"""How far a hand-written gradient is from the reference, and how far it may be.

The bound of an element is worked out, not guessed, from what rounding does in the precision at hand (eps, the
distance from 1 to the next float):

- how much the reference moves when every result in autodiff's own program is off by eps (`noise.py`), at the
  element, and a little of its mean over the leaf, since few runs may miss an element by luck;
- eps of the element itself;
- how far JAX's own derivative, computed in that precision, is from the float64 reference;

the first two times the logarithm of how many terms are summed for an element.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np


class Row(NamedTuple):
    """One argument leaf in one situation.

    Attributes:
      situation: its name.
      leaf: the name of the argument leaf.
      status: "pass", "fail", "skip" or "note".
      max_abs: the largest absolute error.
      max_rel: the largest error relative to the reference, at elements that are not 0.
      ulps: the same in units of eps, the distance from 1 to the next float.
      cosine: between hand and reference, as vectors.
      index: where the error is largest, measured by its bound.
      hand: the hand-written value there.
      reference: the reference value there.
      text: what there is to say.
    """

    situation: str
    leaf: str
    status: str
    max_abs: float = 0.0
    max_rel: float = 0.0
    ulps: float = 0.0
    cosine: float = 1.0
    index: tuple[int, ...] = ()
    hand: float = 0.0
    reference: float = 0.0
    text: str = ""


class Bound(NamedTuple):
    """What the bound of a leaf's elements is made of, all in float64 and in the shape of the leaf, or scalars."""

    eps: float
    moved: np.ndarray  # by how much rounding errors of eps move the reference
    own_error: np.ndarray  # of JAX's derivative in the precision at hand
    terms: float  # how many are summed, about
    tiny: float  # the smallest normal number
    usual: float  # the size of the leaf's gradient at the given arguments

    def of(self, reference: np.ndarray) -> np.ndarray:
        """The bound for each element of the reference, in its shape."""
        largest = self.moved.max(initial=0.0) or 1.0
        mean = largest * np.sqrt(np.mean((self.moved / largest) ** 2)) if self.moved.size else 0.0
        # Sums grow errors on the way, by the logarithm of their length at best; the result's own rounding comes once
        # for each of a handful of operations. In half precision, where that would excuse nearly anything, sums are
        # expected to be held in float32, as XLA holds them.
        by_sums = 4 * (1 + np.log2(1 + self.terms)) if self.eps < 1e-4 else 4
        rounding = self.eps * np.maximum(np.abs(reference), self.usual)
        on_the_way = by_sums * (self.moved + 0.1 * mean)
        return on_the_way + min(by_sums, 16) * rounding + 4 * self.own_error + 16 * self.tiny


def compare(situation: str, leaf: str, hand: np.ndarray, reference: np.ndarray, bound: Bound, dtype: str) -> Row:
    """The row for one leaf: hand and reference in float64 and of the same shape."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _compare(situation, leaf, hand, reference, bound, dtype)


def _compare(situation: str, leaf: str, hand: np.ndarray, reference: np.ndarray, bound: Bound, dtype: str) -> Row:
    # What lies beyond the range of the precision at hand is not to be had in it.
    within = np.isfinite(reference) & (np.abs(reference) <= float(jnp.finfo(dtype).max))
    error = np.where(within, np.abs(hand - reference), 0.0)
    error = np.where(np.isnan(error), np.inf, error)
    if error.size == 0:
        return Row(situation, leaf, "pass", text="no elements")
    excess = error / bound.of(np.where(within, reference, 0.0))
    excess = np.where(error == 0, 0.0, excess)
    index = np.unravel_index(int(np.argmax(excess)), excess.shape)
    size, tiny = np.abs(np.where(within, reference, 0.0)), float(jnp.finfo(dtype).tiny)
    relative = error[size > tiny] / size[size > tiny]
    h, r = (np.where(within & np.isfinite(hand), a, 0.0).ravel() for a in (hand, reference))
    lengths = np.linalg.norm(h) * np.linalg.norm(r)
    if lengths > 0:
        cosine = float(h @ r / lengths)
    else:
        cosine = 1.0 if not h.any() and not r.any() else 0.0
    return Row(
        situation,
        leaf,
        "fail" if excess[index] > 1 else "pass",
        float(error.max()),
        float(relative.max(initial=0.0)),
        float(relative.max(initial=0.0) / float(jnp.finfo(dtype).eps)),
        cosine,
        tuple(int(i) for i in index),
        float(hand[index]),
        float(reference[index]),
    )
