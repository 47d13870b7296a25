"""Test points that depend on what f does: other whole numbers, labels of padding, far ends of elementwise functions."""

from collections.abc import Iterator

import numpy as np

from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.points import TestPoint, is_label, make_cotangents
from jaxnn.gradcheck.runner import Arrays, Runner

_PADDING = (-1, 0, -100)
_OUT_OF_RANGE = 1_000_003
_FAR = 17.0
"""Where the slope of a sigmoid is below the eps of float32, and that of a softplus is not."""


def whole_number_points(runner: Runner, given: TestPoint, seed: int) -> Iterator[TestPoint]:
    """Yield points with other whole numbers: drawn from the range of the given ones, and with labels of padding."""
    whole = [i for i, leaf in enumerate(given.leaves) if np.issubdtype(leaf.dtype, np.integer) and leaf.size]
    rng = np.random.default_rng([seed, 707])
    shapes = {leaf.shape for leaf in given.leaves if is_floating(leaf)}
    varied = list(given.leaves)
    for i in whole:
        # One more than the largest, unless f ignores that, as an index out of range.
        elementwise = given.leaves[i].shape in shapes and given.leaves[i].ndim == 1 and given.leaves[i].max() > 1
        more = elementwise and _padded(runner, given, i, int(given.leaves[i].max()) + 1, seed) is None
        varied[i] = _varied(rng, given.leaves[i], more)
    if any(not np.array_equal(varied[i], given.leaves[i]) for i in whole):
        yield TestPoint("other whole numbers", varied)
    for i in whole:
        leaf = given.leaves[i]
        for label in _PADDING if leaf.ndim == 1 and leaf.size > 1 else ():
            padded = _padded(runner, given, i, label, seed)
            # What is ignored as an index out of range, as a large one is too, is not a label of padding.
            others = (_OUT_OF_RANGE, label + 1) if label < -1 else (_OUT_OF_RANGE,)
            if padded is not None and all(_padded(runner, given, i, other, seed) is None for other in others):
                yield TestPoint(f"{label} in {runner.flat.names[i]}", padded)
                break


def _varied(rng: np.random.Generator, leaf: np.ndarray, more: bool) -> np.ndarray:
    """Return other whole numbers in the range of the given ones, and if `more`, one more.

    A permutation stays one, and what is sorted stays as it is.
    """
    if leaf.ndim == 1 and leaf.size > 2 and (np.diff(leaf) >= 0).all() and leaf[0] != leaf[-1]:
        return leaf
    flat = leaf.ravel()
    if leaf.size > 1 and len(np.unique(flat)) == leaf.size:
        return rng.permutation(flat).reshape(leaf.shape)
    low = min(int(flat.min()), 1 if leaf.ndim == 0 else 0)
    drawn = rng.integers(low, int(flat.max()) + 1, leaf.shape).astype(leaf.dtype)
    if more:
        drawn.flat[rng.integers(leaf.size)] = flat.max() + 1
    return drawn


def _padded(runner: Runner, given: TestPoint, i: int, label: int, seed: int) -> Arrays | None:
    """Return the leaves with one label of padding, if f ignores the example that has it, else `None`."""
    leaf = given.leaves[i]
    if (leaf == label).any() or np.issubdtype(leaf.dtype, np.unsignedinteger) and label < 0:
        return None
    at = leaf.size // 2
    padded = leaf.copy()
    padded[at] = label
    leaves = [padded if j == i else other for j, other in enumerate(given.leaves)]
    try:
        cotangents = make_cotangents("random", runner, given.leaves, seed)
        (_, before), (y, after) = (runner.reference(here, cotangents) for here in (given.leaves, leaves))
    except Exception:  # f does not take this label, or cannot be differentiated
        return None
    if not all(np.isfinite(a).all() for a in y):
        return None
    for old, new in zip(before, after, strict=True):
        if old.ndim and old.shape[0] == leaf.size and np.isfinite(new).all() and old[at].any() and not new[at].any():
            return leaves
    return None


def far_points(runner: Runner, given: TestPoint) -> Iterator[tuple[TestPoint, float]]:
    """Yield points far out on either side, for an elementwise f or a cost of one, each with the size of lost digits.

    A rounding of y by eps has the effect of a slope of eps |y| / |x|. A gradient may be off by as much: that of a
    sigmoid as a (1 - a) where a rounds to 1. Where y itself vanishes, as a softplus does, its gradient has all digits.
    """
    for i in runner.flat.wrt:
        leaf = given.leaves[i]
        if leaf.size == 0 or not _is_elementwise(runner, given, i):
            continue
        for sign in (-1, 1):
            far = sign * _FAR * (1 + 0.01 * np.arange(leaf.size, dtype=leaf.dtype) / leaf.size).reshape(leaf.shape)
            leaves = runner.flat.project([far if j == i else other for j, other in enumerate(given.leaves)])
            y = runner.f(leaves)[0]
            if np.isfinite(y).all():
                name = f"{runner.flat.names[i]} near {sign * _FAR:g}"
                yield TestPoint(name, leaves, "ones", "saturated"), float(np.abs(y).max(initial=0.0)) / _FAR


def _is_elementwise(runner: Runner, given: TestPoint, i: int) -> bool:
    """Return whether each element of y depends on that of a leaf alone, or y is a sum of such over the only leaf."""
    outputs = runner.output(given.leaves)
    leaf = given.leaves[i]
    if runner.quotients or len(outputs) != 1 or is_label(leaf) or not is_floating(leaf):
        return False
    # A second leaf may be labels, far from which the usual difference σ(z) - y loses digits, and is what is meant.
    if outputs[0].shape == () and leaf.ndim and len(given.leaves) == 1:
        return _is_sum_of_elements(runner, leaf)
    if outputs[0].shape != leaf.shape:
        return False
    order = np.random.default_rng(909).permutation(leaf.size)
    for start in range(2 if leaf.size > 1 else 1):
        dy = np.zeros(leaf.shape)
        dy.flat[order[start::2]] = 1.0
        gradient = runner.reference(given.leaves, [dy.astype(outputs[0].dtype)])[1][runner.flat.wrt.index(i)]
        if (gradient[dy == 0] != 0).any():
            return False
    return True


def _is_sum_of_elements(runner: Runner, leaf: np.ndarray) -> bool:
    """Return whether each element of the gradient depends on that of the leaf alone, and not on it linearly."""
    moved = leaf.copy()
    moved.flat[::2] += 0.5
    before, after = (runner.reference([a], [np.ones((), leaf.dtype)])[1][0] for a in (leaf, moved))
    return np.array_equal(before.flat[1::2], after.flat[1::2]) and not np.array_equal(before.flat[::2], after.flat[::2])
