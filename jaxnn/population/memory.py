"""How many members fit into the memory of a device."""

from collections.abc import Callable

import jax
import numpy as np

from jaxnn.typing import PyTree


def free_bytes(device: jax.Device) -> int | None:
    """Bytes that the device says are free, less a tenth for what it does not know of; `None` where it says nothing."""
    told = device.memory_stats() or {}
    if "bytes_limit" not in told:
        return None
    return int(0.9 * (told["bytes_limit"] - told.get("bytes_in_use", 0)))


def that_fit(needed: Callable[[int], int], most: int, memory: int, shared: int, least: int) -> int:
    """How many members fit: the most, or nearly, for which the memory suffices; 0 where it does for none.

    Args:
      needed: bytes for so many members, a scalar: costly to call, and near shared + a constant for each.
      most: the largest number wanted, at least 1.
      memory: bytes there are.
      shared: bytes that any number needs.
      least: bytes that one member needs beside them, at least.

    Returns:
      A count. `needed` is called for few numbers, and not at all where `least` already says that none fits.
    """
    n = min(most, int((memory - shared) // least))
    while n > 1 and (bytes_needed := needed(n)) > memory:
        n = max(1, min(n - 1, int((memory - shared) / (bytes_needed - shared) * n)))
    return max(n, 0) if n != 1 or needed(1) <= memory else 0


def bytes_of(tree: PyTree) -> int:
    """Return how many bytes the arrays of a tree take."""
    return sum(np.prod(leaf.shape, dtype=int) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
