"""The sequences of the adding problem."""

from collections.abc import Iterator

import numpy as np

GUESSING = 1 / 6
"""The mean squared error of always 1: the variance of a sum of two uniform numbers."""


def draw(rng: np.random.Generator, m: int, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return m sequences (m, T, 2) of numbers and marks, and the sums of the marked numbers, (m, 1).

    One mark is in the first half of the times, and one in the second.
    """
    numbers, marks, rows = rng.random((m, n_steps)), np.zeros((m, n_steps)), np.arange(m)
    half = n_steps // 2
    marks[rows, rng.integers(0, half, m)] = 1
    marks[rows, rng.integers(half, n_steps, m)] = 1
    x, y = np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1, keepdims=True)
    return x.astype(np.float32), y.astype(np.float32)


def batches_of(seed: int, epoch: int, n: int, m: int, n_steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return the n batches of an epoch."""
    rng = np.random.default_rng((seed, epoch))
    return (draw(rng, m, n_steps) for _ in range(n))
