"""Find curves that cover each other in a plot."""

import itertools
from collections.abc import Sequence

import numpy as np

_SHARE = 0.004
"""Two curves whose distance is less than this share of the plot's height look the same."""


def count_covering(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[int]:
    """Return, for each curve, how many later ones look the same at the steps that both have: half of one's or more.

    Args:
      curves: the steps and the values of each, (n,) each, in the order in which they are drawn; the values are shares
        of the plot's height, and may have NaN.
    """
    counts = [0] * len(curves)
    for i, j in itertools.combinations(range(len(curves)), 2):
        counts[i] += _look_same(*curves[i], *curves[j])
    return counts


def _look_same(x: np.ndarray, y: np.ndarray, other_x: np.ndarray, other_y: np.ndarray) -> bool:
    _, at, other_at = np.intersect1d(x, other_x, return_indices=True)
    both = np.isfinite(y[at]) & np.isfinite(other_y[other_at])
    known = np.abs(y[at][both] - other_y[other_at][both])
    enough = 2 * len(at) >= min(len(np.unique(x)), len(np.unique(other_x)))
    return enough and len(known) > 0 and bool((known < _SHARE).all())
