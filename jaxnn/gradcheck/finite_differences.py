"""The witnesses beside autodiff: difference quotients in float64, and the order of the Taylor remainder."""

from typing import NamedTuple

import numpy as np

from jaxnn.gradcheck.runner import Arrays, Runner


class Slope(NamedTuple):
    """A derivative along a direction, from difference quotients.

    Attributes:
      value: central differences, extrapolated to step 0.
      error: how far it may be off, judged by halving the step and by the rounding of f.
      left, right: the one-sided quotients.
      gap: between the one-sided quotients of twice the step.
      rounding: how far f's own rounding may move a quotient.
    """

    value: float
    error: float
    left: float
    right: float
    gap: float
    rounding: float

    def agrees(self, claimed: float, scale: float) -> bool:
        """Whether a claimed derivative (a scalar) is this one, as far as can be told; scale: of its terms."""
        return abs(self.value - claimed) <= 10 * self.error + 1e-6 * scale

    def at_kink(self) -> bool:
        """Whether the two sides have slopes of their own (scalars): there is no derivative, and any between is fair.

        Where f is smooth, the sides come together in step with the step; at a kink they stay apart.
        """
        gap = abs(self.right - self.left)
        heard = 100 * (self.rounding + 1e-4 * (abs(self.left) + abs(self.right)) + 1e-300)
        return gap > heard and (gap > 0.75 * self.gap or gap > 100 * self.error)


class Line:
    """phi(h) = <f(x + h d), dy> in float64, along one direction d of the asked leaves."""

    def __init__(self, runner: Runner, leaves: Arrays, cotangents: Arrays, direction: Arrays, eps: float):
        self._runner, self._leaves, self._cotangents, self._eps = runner, leaves, cotangents, eps
        self._direction = direction
        self.at_zero, self.size = self._at(0.0)

    def __call__(self, h: float) -> float:
        """phi(h), a scalar."""
        return self._at(h)[0]

    def _at(self, h: float) -> tuple[float, float]:
        leaves = list(self._leaves)
        for i, d in zip(self._runner.flat.asked, self._direction, strict=True):
            leaves[i] = leaves[i] + h * d
        y, _ = self._runner.reference(leaves, self._cotangents)
        terms = [
            y_leaf.astype(np.float64) * dy.astype(np.float64) for y_leaf, dy in zip(y, self._cotangents, strict=True)
        ]
        return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))

    def slope(self) -> Slope:
        """The derivative (a scalar) at 0, by central differences at h and h/2 (Richardson), h by the precision of f."""
        h = 2 * self._eps ** (1 / 3)
        plus, minus, half_plus, half_minus = (self(s) for s in (h, -h, h / 2, -h / 2))
        wide, narrow = (plus - minus) / (2 * h), (half_plus - half_minus) / h
        rounding = 4 * self._eps * self.size / h
        error = abs(narrow - wide) + rounding
        left, right = (self.at_zero - half_minus) / (h / 2), (half_plus - self.at_zero) / (h / 2)
        gap = abs(plus - 2 * self.at_zero + minus) / h
        return Slope((4 * narrow - wide) / 3, error, left, right, gap, rounding)

    def taylor_order(self, claimed: float) -> float:
        """The order in h of |phi(h) - phi(0) - h claimed|: 2 for a right derivative, 1 for a wrong one, inf for none.

        A verdict without a tolerance: the order is read off successive halvings of h, as long as the remainder
        stands above the rounding of phi.
        """
        steps = max(1e-2, 4 * self._eps**0.25) / 4.0 ** np.arange(8)
        remainders = np.array([abs(self(h) - self.at_zero - h * claimed) for h in steps])
        noise = 1e3 * self._eps * self.size
        heard = [i for i in range(len(steps) - 1) if remainders[i + 1] > noise and np.isfinite(remainders[i])]
        if not heard:
            return float("inf")
        i = heard[-1]
        return float(np.log2(remainders[i] / remainders[i + 1]) / 2)


def along(gradients: Arrays, direction: Arrays) -> tuple[float, float]:
    """<gradient, direction> over all leaves (of any shapes), and the sum of the sizes of its terms."""
    terms = [g.astype(np.float64) * d for g, d in zip(gradients, direction, strict=True)]
    return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))


def random_direction(runner: Runner, leaves: Arrays, seed: int) -> Arrays:
    """A random direction of the asked leaves, in their shapes, each of the size of its leaf."""
    rng = np.random.default_rng([seed, 77])
    return [rng.normal(size=leaves[i].shape) * leaf_size(leaves[i]) for i in runner.flat.asked]


def toward(runner: Runner, leaves: Arrays, differences: Arrays) -> Arrays:
    """The direction in which two gradients differ most, in the shapes of the asked leaves, and of their sizes."""
    # The largest differences alone: the rest would only add noise.
    found = []
    for i, difference in zip(runner.flat.asked, differences, strict=True):
        size = leaf_size(leaves[i])
        weighed = np.where(np.isfinite(difference), difference, 0.0) * size
        found.append((weighed, size))
    top = max((np.abs(w).max(initial=0.0) for w, _ in found), default=0.0)
    if top == 0:
        return [np.zeros_like(w) for w, _ in found]
    return [np.where(np.abs(w) >= 0.5 * top, np.sign(w), 0.0) * size for w, size in found]


def coordinates(runner: Runner, leaves: Arrays) -> list[tuple[str, Arrays]]:
    """Every coordinate direction of the asked leaves (of any shapes): (name, direction)."""
    found = []
    zeros = [np.zeros(leaves[i].shape) for i in runner.flat.asked]
    for k, i in enumerate(runner.flat.asked):
        for index in np.ndindex(leaves[i].shape):
            direction = [z.copy() if j == k else z for j, z in enumerate(zeros)]
            direction[k][index] = leaf_size(leaves[i])
            found.append((f"{runner.flat.names[i]}{list(index)}", direction))
    return found


def leaf_size(leaf: np.ndarray) -> float:
    """The largest size of an element, a scalar; 1 for a leaf of zeros."""
    return float(np.abs(leaf).max(initial=0.0)) or 1.0
