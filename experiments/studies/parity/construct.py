"""Construct weights of ReLU networks that compute the parity of n bits: W_1, b_1, W_2, ...

The output is the logit SCALE (parity - 1/2).
"""

from itertools import product

import numpy as np

SCALE = 10.0
Arrays = list[np.ndarray]


def patterns(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all 2^n patterns of n bits, and their parities."""
    x = np.array(list(product((0, 1), repeat=n)))
    return x.astype(np.float32), x.sum(axis=1) % 2


def tree(n: int) -> Arrays:
    """Return layers n, n, n/2, ..., 2, 1: a tree of XORs, n a power of 2.

    a XOR b = relu(a + b) - 2 relu(a + b - 1), so each takes two units, and the next layer adds them.
    """
    arrays, values = [], np.eye(n)  # values: the bits of this level from the units before them
    while len(values) > 1:
        sums = values[0::2] + values[1::2]
        k = len(sums)
        arrays += [np.repeat(sums, 2, axis=0), np.tile([0.0, -1.0], k)]
        values = np.kron(np.eye(k), [[1.0, -2.0]])
    return [*arrays, SCALE * values, np.array([-SCALE / 2])]


def counting(n: int) -> Arrays:
    """Return one hidden layer of n units: a zigzag over the number s of ones.

    It is relu(s) - 2 relu(s - 1) + 2 relu(s - 2) - ...
    """
    slopes = np.array([[1.0, *(2 * (-1) ** j for j in range(1, n))]])
    return [np.ones((n, n)), -np.arange(float(n)), SCALE * slopes, np.array([-SCALE / 2])]


def one_for_each(n: int) -> Arrays:
    """Return one hidden layer of 2^(n-1) units, one for each odd pattern, as an OR of ANDs needs."""
    x, y = patterns(n)
    odd = x[y == 1].astype(np.float64)
    return [2 * odd - 1, 1 - odd.sum(axis=1), np.full((1, len(odd)), SCALE), np.array([-SCALE / 2])]
