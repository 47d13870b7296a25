"""A leaf with a wrong gradient, as every explanation takes it, and when an explanation holds."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxnn.gradcheck.examination import Examination, Examiner
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.points import is_label, make_cotangents
from jaxnn.gradcheck.runner import Arrays, Runner

Prediction = Callable[[Examination], np.ndarray | None]
"""`predict(examination)` -> the gradient that a mistake would give there, or `None` if it cannot be computed."""

_DIGITS = 1e-6
_LEAST_POINTS = 2
_NOISE = (1e-3, 0.2)
"""Relative sizes of the changes at further points: one keeps the order of the elements, the other need not."""


class WrongLeaf(NamedTuple):
    """A leaf whose manual gradient is wrong in float64 at a smooth test point.

    Attributes:
      examiner: examines further points.
      k: position of the leaf among the leaves `wrt`.
      failed: the examination to explain.
      smooth: all examinations in float64 at smooth test points, and at a few points near the failed and the given one.
      examinations: the examinations of the check.
      computed: what explanations of the leaves of one check share.
    """

    examiner: Examiner
    k: int
    failed: Examination
    smooth: list[Examination]
    examinations: list[Examination]
    computed: dict[Any, Any]

    @property
    def runner(self) -> Runner:
        """Return what runs the functions of the problem."""
        return self.examiner.runner

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

    @property
    def single_output(self) -> bool:
        """Return True if y is one array of the shape of the leaf, and has a cotangent."""
        dy = self.failed.cotangents
        return not self.runner.flat.problem.scalar and len(dy) == 1 and dy[0].shape == self.reference.shape

    def explained_by(self, predict: Prediction) -> bool:
        """Return True if a mistake gives the manual gradient at every smooth point, and at two or more a wrong one.

        It must do so to many digits, and be nearer by far than the right gradient.
        """
        told_apart = 0
        largest = max((np.abs(e.reference[self.k]).max(initial=0.0) for e in self.smooth), default=0.0)
        for e in [self.failed, *(e for e in self.smooth if e is not self.failed)]:
            h, r, predicted = manual_gradient(e, self.k), e.reference[self.k], predict(e)
            if predicted is None or predicted.shape != h.shape or not np.isfinite(h).all():
                return False
            scale = max(np.abs(h).max(initial=0.0), np.abs(predicted).max(initial=0.0))
            off = np.abs(h - predicted).max(initial=0.0)
            if not off <= _DIGITS * scale + 1e-12 * largest:
                return False
            wrong = np.abs(h - r).max(initial=0.0) if h.shape == r.shape else np.inf
            if wrong > 1e-7 * scale + 1e-11 * largest:
                if off > 1e-2 * wrong:
                    return False
                told_apart += 1
        return told_apart >= _LEAST_POINTS


def manual_gradient(examination: Examination, k: int) -> np.ndarray:
    """Return the manual gradient of leaf k in float64."""
    return examination.manual[k].astype(np.float64)


def close(a: np.ndarray, b: np.ndarray, digits: float = _DIGITS) -> bool:
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


def further_points(examiner: Examiner, examinations: list[Examination]) -> list[Examination]:
    """Return examinations near these ones: of the arguments, times numbers near 1, with other cotangents."""
    found = []
    for e in examinations:
        for size in _NOISE:
            rng = np.random.default_rng([examiner.seed, 505, len(found)])
            leaves = [varied(leaf, 1 + size * rng.uniform(-1, 1, leaf.shape)) for leaf in e.leaves]
            leaves = examiner.runner.flat.project(leaves)
            examination = examine(examiner, f"near {e.name!r}", leaves)
            if examination is not None:
                found.append(examination)
    return found


def varied(leaf: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return a leaf times these factors, unless it holds labels, integers or infinite elements."""
    free = is_floating(leaf) and not is_label(leaf) and np.isfinite(leaf).all()
    return (leaf * factors).astype(leaf.dtype) if free else leaf


def examine(examiner: Examiner, name: str, leaves: Arrays) -> Examination | None:
    """Return the examination of further leaves in float64, or `None` if nothing can be compared there."""
    try:
        cotangents = make_cotangents("random", examiner.runner, leaves, examiner.seed + len(name))
        return examiner.examine(name, "smooth", leaves, cotangents)
    except Exception:  # outside of the domain, or the backward raises
        return None


def placements(shape: tuple[int, ...], into: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the shapes with axes of size 1 in which an array of this shape can be broadcast into another, in order."""
    for axes in itertools.combinations(range(len(into)), len(shape)):
        if all(size in (1, into[axis]) for size, axis in zip(shape, axes, strict=True)):
            placed = [1] * len(into)
            for size, axis in zip(shape, axes, strict=True):
                placed[axis] = size
            yield tuple(placed)
