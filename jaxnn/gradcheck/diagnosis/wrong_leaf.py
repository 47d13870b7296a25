"""A leaf with a wrong gradient, as every explanation takes it, and when two gradients are equal but for rounding."""

from typing import NamedTuple

import numpy as np

from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.runner import Runner


class WrongLeaf(NamedTuple):
    """A leaf whose manual gradient is wrong in float64 at a smooth test point.

    Attributes:
      runner: runs the functions of the problem.
      k: position of the leaf among the leaves `wrt`.
      failed: the examination to explain.
      smooth: all examinations in float64 at smooth test points.
      examinations: all examinations.
    """

    runner: Runner
    k: int
    failed: Examination
    smooth: list[Examination]
    examinations: list[Examination]

    @property
    def name(self) -> str:
        """Return the name of the leaf."""
        return self.failed.rows[self.k].leaf

    @property
    def manual(self) -> np.ndarray:
        """Return the manual gradient of the leaf."""
        return manual_gradient(self.failed, self.k)

    @property
    def reference(self) -> np.ndarray:
        """Return the reference gradient of the leaf."""
        return self.failed.reference[self.k]


def manual_gradient(examination: Examination, k: int) -> np.ndarray:
    """Return the manual gradient of leaf k in float64."""
    return examination.manual[k].astype(np.float64)


def close(a: np.ndarray, b: np.ndarray, digits: float = 1e-6) -> bool:
    """Return True if two arrays of one shape are equal but for rounding, relative to the largest element."""
    if a.shape != b.shape:
        return False
    scale = max(np.abs(b).max(initial=0.0), np.abs(a).max(initial=0.0))
    return bool(scale > 0 and np.isfinite(a).all() and np.abs(a - b).max(initial=0.0) <= digits * scale)


def clearly_wrong(examination: Examination) -> bool:
    """Return True if it failed by more than rounding: a long sum may lose its last digits in float64 too."""
    return examination.failed and not all(
        h.dtype == r.dtype and close(h, r, 1e-9) or row.status == "pass"
        for h, r, row in zip(examination.manual, examination.reference, examination.rows, strict=True)
    )
