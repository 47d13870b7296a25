"""What an argument may be known to be: symmetric, positive definite, ordered, positive, in the unit interval.

A gradient may be right on such arguments only, and there only along the directions that keep them so: the gradient with
respect to a symmetric matrix is free up to an antisymmetric part, since <A, D> = 0 for A = -A' and D = D'.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]


class Structure(NamedTuple):
    """A set of arrays.

    Attributes:
      holds: whether a float64 array belongs to it.
      project: an array -> a near one that belongs to it; one that does already is returned as it is.
      tangent: a gradient -> its part along the directions that stay in the set; `None` if the projection decides.
      form: what kind of array has the structure, in words.
      fits: whether a float64 array is of that kind.
    """

    holds: Callable[[np.ndarray], bool]
    project: Map
    tangent: Map | None = lambda gradient: gradient
    form: str = "an array"
    fits: Callable[[np.ndarray], bool] = lambda a: True


def _square(a: np.ndarray) -> bool:
    return a.ndim >= 2 and a.shape[-1] == a.shape[-2]


def _symmetric_part(a: np.ndarray) -> np.ndarray:
    return (a + np.swapaxes(a, -1, -2)) / 2 if _square(a) else a


def _is_symmetric(a: np.ndarray) -> bool:
    """Return whether a matrix is symmetric, and not so for its size of 1 alone."""
    mirrored = np.swapaxes(a, -1, -2) if _square(a) and a.shape[-1] > 1 else None
    return mirrored is not None and bool(np.allclose(a, mirrored, rtol=1e-6, atol=1e-7 * np.abs(a).max(initial=0)))


def _is_positive_definite(a: np.ndarray) -> bool:
    return _is_symmetric(a) and bool(np.isfinite(a).all() and np.linalg.eigvalsh(a).min() > 0)


def _to_positive_definite(a: np.ndarray) -> np.ndarray:
    a = _symmetric_part(a)
    if not _square(a) or _is_positive_definite(a):
        return a
    w, v = np.linalg.eigh(a)
    w = np.maximum(np.abs(w), 0.05 * max(float(np.abs(w).max(initial=0)), 1e-3))
    return _symmetric_part((v * w[..., None, :]) @ np.swapaxes(v, -1, -2))


def _to_ordered(a: np.ndarray) -> np.ndarray:
    return np.sort(a, -1) if a.ndim else a


def _to_positive(a: np.ndarray) -> np.ndarray:
    return np.where(a == 0, 0.01, np.abs(a))


def _to_unit_interval(a: np.ndarray) -> np.ndarray:
    return np.where((a > 0) & (a < 1), a, 0.05 + 0.9 * (np.abs(a) - np.floor(np.abs(a))))


def _is_ordered(a: np.ndarray) -> bool:
    return a.ndim > 0 and a.shape[-1] > 2 and bool((np.diff(a) > 0).all())


_MATRIX = ("a square matrix", _square)

STRUCTURES: dict[str, Structure] = {
    "symmetric": Structure(_is_symmetric, _symmetric_part, _symmetric_part, *_MATRIX),
    "positive definite": Structure(_is_positive_definite, _to_positive_definite, _symmetric_part, *_MATRIX),
    "ordered": Structure(_is_ordered, _to_ordered, form="an array with an axis", fits=lambda a: a.ndim > 0),
    "positive": Structure(lambda a: a.size > 0 and bool((a > 0).all()), _to_positive),
    "unit interval": Structure(lambda a: a.size > 0 and bool(((a > 0) & (a < 1)).all()), _to_unit_interval),
}
"""The structures by name, the stricter ones last among those that hold together."""


def structures_of(a: np.ndarray) -> list[str]:
    """Return the names of the structures that an array has."""
    return [name for name, structure in STRUCTURES.items() if structure.holds(a)]
