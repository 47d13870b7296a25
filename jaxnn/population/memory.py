"""How many members fit into the memory of a device."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxnn.typing import Device, PyTree


def is_of_several_processes(devices: Sequence[Device]) -> bool:
    """Return whether some of the devices are those of other processes."""
    return len({device.process_index for device in devices}) > 1


def least(n: int, devices: Sequence[Device]) -> int:
    """Return the least of the numbers of all processes, if the devices are those of several."""
    if not is_of_several_processes(devices):
        return n
    from jax.experimental.multihost_utils import process_allgather

    return int(process_allgather(np.int32(n)).min())


def free_bytes(devices: Sequence[Device]) -> int | None:
    """Return nine tenths of the bytes that are free on a device of this process; `None` if it reports no limit."""
    own = next((device for device in devices if device.process_index == jax.process_index()), devices[0])
    stats = own.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return int(0.9 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))


def that_fit(needed: Callable[[int], int], most: int, memory: int, shared: int, least: int) -> int:
    """Return approximately the largest number of members that fit into the memory; 0 if none does.

    Args:
      needed: maps a number of members to the bytes that they need: expensive to call, and nearly affine.
      most: the largest number wanted, at least 1.
      memory: the bytes available.
      shared: the bytes that any number of members needs.
      least: a lower bound of the bytes that each member needs in addition.

    Returns:
      An int. `needed` is called for few numbers, and not at all if `least` shows that none fits.
    """
    n = min(most, int((memory - shared) // least))
    while n > 1 and (bytes_needed := needed(n)) > memory:
        n = max(1, min(n - 1, int((memory - shared) / (bytes_needed - shared) * n)))
    return max(n, 0) if n != 1 or needed(1) <= memory else 0


def bytes_of(tree: PyTree) -> int:
    """Return how many bytes the arrays of a tree take."""
    return sum(np.prod(leaf.shape, dtype=int) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
