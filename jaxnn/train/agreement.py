"""What several processes must have alike before they compute together, compared once: their first batches."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnn.data.batches import Batch
from jaxnn.parallel.meshes import data_axis
from jaxnn.parallel.placement import gathered, own_devices, put_own

_Made = TypeVar("_Made")
_FAILED = "!"


def with_own_rows(begin: Callable[[], tuple[Batch, _Made]], mesh: Mesh) -> tuple[Batch, _Made]:
    """Return what `begin` returns, the first batch of this process with more, if it is alike in all of a mesh.

    All processes of the mesh call it. If `begin` raises an error in one of them, there is one in each.

    Raises:
      ValueError: if the first batches have other arrays in another process, or another process has none.
    """
    numbers = sorted({device.process_index for device in mesh.devices.flat})
    if len(numbers) == 1:
        return begin()
    try:
        made = begin()
    except Exception as error:  # batches may raise any
        _of_each(f"{_FAILED}{error}", mesh)
        raise
    texts = _of_each(_described(made[0]), mesh)
    for i in numbers:
        if texts[i].startswith(_FAILED):
            raise ValueError(
                f"the first batch of process {i} must be valid, but there: {texts[i].removeprefix(_FAILED)}"
            )
    others = [i for i in numbers if texts[i] != texts[numbers[0]]]
    if others:
        first, other = (texts[i] for i in (numbers[0], others[0]))
        raise ValueError(
            f"the first batch must have the same arrays in each process, got {first} in process {numbers[0]}, but "
            f"{other} in process {others[0]}"
        )
    return made


def _described(batch: Batch) -> str:
    """Return the arrays of a batch by name: their dtypes and shapes, and the value of a number."""
    words = [
        f"{path[0].name}{jax.tree_util.keystr(path[1:])} {np.asarray(a).dtype} {np.shape(a) or a}"
        for path, a in jax.tree_util.tree_flatten_with_path(batch)[0]
    ]
    return ", ".join(words)


def _of_each(text: str, mesh: Mesh) -> dict[int, str]:
    """Return the text of each process, by its number."""
    own = f"{jax.process_index()} {text}".encode()
    size = _rows(np.array([len(own)], np.int32), mesh).max()
    found = _rows(np.frombuffer(own.ljust(size), np.uint8), mesh)
    pairs = (row.tobytes().decode().rstrip().partition(" ") for row in found)
    return {int(number): text for number, _, text in pairs}


def _rows(own: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Return the arrays (n,) of all processes as rows, each as often as its process has places on the data axis."""
    rows = NamedSharding(mesh, PartitionSpec(data_axis(mesh)))
    return gathered(put_own(np.tile(own, (own_devices(mesh), 1)), rows))
