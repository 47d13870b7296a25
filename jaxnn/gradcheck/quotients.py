"""Gradients from difference quotients, element by element, where autodiff cannot differentiate f in reverse mode.

Central differences of steps h, h/2, h/4, ... are extrapolated to h = 0; of all extrapolations, the one with the
smallest estimated error is taken. Where the slopes on the two sides differ, the error covers both.

Source: Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Arrays = list[np.ndarray]
MOST = 300
"""Number of elements of a leaf up to which all are compared; of more, a random choice."""
_STEPS = 10


class Quotients(NamedTuple):
    """Gradients from difference quotients, and their estimated errors: inf for an element that was not chosen."""

    gradients: Arrays
    errors: Arrays
    compared: int


def quotient_gradients(phi: Callable[[Arrays], np.ndarray], leaves: Arrays, eps: float, seed: int) -> Quotients:
    """Return the gradient of a scalar function.

    Args:
      phi: steps from `leaves`, arrays (n, ...), -> n values of the function.
      leaves: the point.
      eps: the relative error of a value of phi.
      seed: seed of the choice of elements.
    """
    rng = np.random.default_rng([seed, 505])
    gradients, errors, compared = [], [], 0
    at_zero = float(phi([np.zeros((1, *leaf.shape)) for leaf in leaves])[0])
    for k, leaf in enumerate(leaves):
        chosen = np.arange(leaf.size) if leaf.size <= MOST else np.sort(rng.choice(leaf.size, MOST, replace=False))
        gradient, error = np.zeros(leaf.size), np.full(leaf.size, np.inf)
        size = np.abs(leaf.ravel()[chosen])
        largest = 0.1 * max(float(np.abs(leaf).max(initial=0.0)), 1e-3)
        start = np.where(size > 0, np.maximum(0.1 * size, 1e-3 * largest), largest or 0.1)
        steps = start[:, None] * 0.5 ** np.arange(_STEPS)
        values = {}
        for side in (1, -1):
            moves = [np.zeros((steps.size, *other.shape)) for other in leaves]
            flat = moves[k].reshape(steps.size, leaf.size)
            flat[np.arange(steps.size), np.repeat(chosen, _STEPS)] = side * steps.ravel()
            values[side] = np.asarray(phi(moves), np.float64).reshape(steps.shape)
        gradient[chosen], error[chosen] = _extrapolated(values[1], values[-1], at_zero, steps, eps)
        gradients.append(gradient.reshape(leaf.shape))
        errors.append(error.reshape(leaf.shape))
        compared += len(chosen)
    return Quotients(gradients, errors, compared)


def _extrapolated(
    plus: np.ndarray, minus: np.ndarray, at_zero: float, steps: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivative for each row of values at growing numbers of halvings of the step, and its error."""
    rounding = 2 * eps * np.maximum(np.maximum(np.abs(plus), np.abs(minus)), abs(at_zero)) / steps
    column = (plus - minus) / (2 * steps)
    best, error = column[:, -1], np.full(len(steps), np.inf)
    factor = 1.0
    for order in range(1, _STEPS):
        factor *= 4.0
        finer = (factor * column[:, 1:] - column[:, :-1]) / (factor - 1)
        off = np.maximum(np.abs(finer - column[:, 1:]), np.abs(finer - column[:, :-1])) + rounding[:, order:]
        off = np.where(np.isfinite(off), off, np.inf)
        at = np.argmin(off, axis=1)
        rows = np.arange(len(steps))
        better = off[rows, at] < error
        best, error = np.where(better, finer[rows, at], best), np.where(better, off[rows, at], error)
        column = finer
    right, left = (plus - at_zero) / steps, (at_zero - minus) / steps
    gap = np.abs(right - left)
    # At a kink, the slopes on the two sides stay apart as the step is halved; else their distance is halved too.
    kink = np.isfinite(gap[:, 5:]).all(1) & (gap[:, 7] > 0.9 * gap[:, 5]) & (gap[:, 7] > 100 * rounding[:, 7])
    middle = (right[:, 7] + left[:, 7]) / 2
    return np.where(kink, middle, best), np.where(kink, 0.51 * gap[:, 7], error)
