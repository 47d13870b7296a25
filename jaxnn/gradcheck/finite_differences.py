"""References independent of autodiff: finite differences in float64, and the order of the Taylor remainder."""

from typing import NamedTuple

import numpy as np

from jaxnn.gradcheck.runner import Arrays, Runner


class Slope(NamedTuple):
    """A directional derivative from finite differences.

    Attributes:
      value: central differences, extrapolated to step 0.
      error: estimated error of `value`, from halving the step and from the rounding of f.
      left, right: one-sided differences.
      gap: distance between the one-sided differences of twice the step.
      rounding: how far the rounding of f may shift a difference quotient.
    """

    value: float
    error: float
    left: float
    right: float
    gap: float
    rounding: float

    @property
    def known(self) -> bool:
        """Return whether f has a value on both sides: else the differences mean nothing."""
        return bool(np.isfinite(self.value))

    def agrees(self, claimed: float, scale: float) -> bool:
        """Return True if a claimed derivative equals this one within its error; `scale` is the size of its terms."""
        return abs(self.value - claimed) <= 10 * self.error + 1e-6 * scale

    def at_kink(self) -> bool:
        """Return True if the slopes on the two sides differ, so that no derivative exists.

        The difference of the one-sided slopes falls in proportion to the step if f is smooth; at a kink it does not.
        """
        gap = abs(self.right - self.left)
        threshold = 100 * (self.rounding + 1e-4 * (abs(self.left) + abs(self.right)) + 1e-300)
        return gap > threshold and (gap > 0.75 * self.gap or gap > 100 * self.error)


class Line:
    """phi(h) = <f(x + h d), dy> in float64, along one direction d of the leaves `wrt`."""

    def __init__(self, runner: Runner, leaves: Arrays, cotangents: Arrays, direction: Arrays, eps: float):
        self._runner, self._leaves, self._cotangents, self._eps = runner, leaves, cotangents, eps
        self._direction = direction
        self.at_zero, self.size = self._at(0.0)

    def __call__(self, h: float) -> float:
        """Return phi(h)."""
        return self._at(h)[0]

    def _at(self, h: float) -> tuple[float, float]:
        leaves = self._runner.flat.moved(self._leaves, [h * d for d in self._direction])
        y, _ = self._runner.reference(leaves, self._cotangents)
        terms = [
            y_leaf.astype(np.float64) * dy.astype(np.float64) for y_leaf, dy in zip(y, self._cotangents, strict=True)
        ]
        return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))

    def slope(self) -> Slope:
        """Return the derivative at 0, by central differences at h and h/2 (Richardson); h depends on the eps of f."""
        h = 2 * self._eps ** (1 / 3)
        values = [float("nan")]
        for h in (h, 1e-2 * h, 1e-4 * h):  # noqa: B020  # smaller ones where these leave the domain of f
            values = [self(s) for s in (h, -h, h / 2, -h / 2)]
            if np.isfinite(values).all():
                break
        plus, minus, half_plus, half_minus = values
        wide, narrow = (plus - minus) / (2 * h), (half_plus - half_minus) / h
        rounding = 4 * self._eps * self.size / h
        error = abs(narrow - wide) + rounding
        left, right = (self.at_zero - half_minus) / (h / 2), (half_plus - self.at_zero) / (h / 2)
        gap = abs(plus - 2 * self.at_zero + minus) / h
        return Slope((4 * narrow - wide) / 3, error, left, right, gap, rounding)

    def taylor_order(self, claimed: float) -> float:
        """Return the order in h of |phi(h) - phi(0) - h claimed|: 2 if `claimed` is right, 1 if wrong, inf if it is 0.

        This decides without a tolerance: the order follows from two successive steps h, the smallest ones whose
        remainders exceed the rounding of phi.
        """
        steps = max(1e-2, 4 * self._eps**0.25) / 4.0 ** np.arange(8)
        remainders = np.array([abs(self(h) - self.at_zero - h * claimed) for h in steps])
        noise = 1e3 * self._eps * self.size
        above_noise = [i for i in range(len(steps) - 1) if remainders[i + 1] > noise and np.isfinite(remainders[i])]
        if not above_noise:
            return float("inf")
        i = above_noise[-1]
        return float(np.log2(remainders[i] / remainders[i + 1]) / 2)


def directional_derivative(gradients: Arrays, direction: Arrays) -> tuple[float, float]:
    """Return <gradient, direction>, summed over all leaves, and the sum of the absolute values of its terms."""
    terms = [(g.astype(np.float64) * d)[d != 0] for g, d in zip(gradients, direction, strict=True)]
    return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))


def random_direction(runner: Runner, leaves: Arrays, seed: int) -> Arrays:
    """Return a random direction for the leaves `wrt`, in their shapes, scaled to the size of each leaf."""
    rng = np.random.default_rng([seed, 77])
    return [rng.normal(size=leaves[i].shape) * leaf_size(leaves[i]) for i in runner.flat.wrt]


def direction_of_difference(runner: Runner, leaves: Arrays, differences: Arrays) -> Arrays:
    """Return the direction in which two gradients differ most, in the shapes of the leaves `wrt`, scaled to them."""
    # Only the largest differences: the others would add noise.
    scaled = []
    for i, difference in zip(runner.flat.wrt, differences, strict=True):
        size = leaf_size(leaves[i])
        weighted = np.where(np.isfinite(difference), difference, 0.0) * size
        scaled.append((weighted, size))
    top = max((np.abs(w).max(initial=0.0) for w, _ in scaled), default=0.0)
    if top == 0:
        return [np.zeros_like(w) for w, _ in scaled]
    return [np.where(np.abs(w) >= 0.5 * top, np.sign(w), 0.0) * size for w, size in scaled]


def coordinates(runner: Runner, leaves: Arrays) -> list[tuple[str, Arrays]]:
    """Return every coordinate direction of the leaves `wrt`, as (name, direction)."""
    directions = []
    zeros = [np.zeros(leaves[i].shape) for i in runner.flat.wrt]
    for k, i in enumerate(runner.flat.wrt):
        for index in np.ndindex(leaves[i].shape):
            direction = [z.copy() if j == k else z for j, z in enumerate(zeros)]
            direction[k][index] = leaf_size(leaves[i])
            directions.append((f"{runner.flat.names[i]}{list(index)}", direction))
    return directions


def leaf_size(leaf: np.ndarray) -> float:
    """Return the largest absolute value of an element, or 1 for a leaf of zeros."""
    return float(np.abs(leaf).max(initial=0.0)) or 1.0
