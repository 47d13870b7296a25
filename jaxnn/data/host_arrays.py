"""Batches of arrays that stay on the host, such as memory maps, of which a process reads all rows or its own."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxnn.arrays import map_arrays
from jaxnn.constraints import Constraint, Count, Flag, UpTo, checked
from jaxnn.data.batches import Batch, number_of_examples, take
from jaxnn.data.examples import check_rows, on_host
from jaxnn.data.splitting import SEED
from jaxnn.data.weights import check_weight, simplified


def _is_process(process: Any) -> bool:
    return (
        isinstance(process, tuple)
        and len(process) == 2
        and all(isinstance(one, int | np.integer) for one in process)
        and 0 <= process[0] < process[1]
    )


PROCESS = Constraint(
    "(i, n) of whole numbers with 0 <= i < n",
    rejects=(3, (2, 2), (0.0, 1)),
    fix="(jax.process_index(), jax.process_count())",
    test=_is_process,
)
"""The constraint of which process of how many reads."""


@checked(batch_size=UpTo("x", "the number of examples"), seed=SEED, shuffle=Flag(), block=Count(), process=PROCESS)
def host_batches(
    x: Any,
    y: Any,
    batch_size: int,
    *,
    seed: int,
    weight: Any = None,
    shuffle: bool = True,
    block: int = 1,
    process: tuple[int, int] = (0, 1),
) -> Callable[[int], Iterator[Batch]]:
    """Return the batches of arrays that are not copied to memory, such as memory maps: every example once per epoch.

    Only the rows of one batch are read at a time, in ascending order: the order does not affect a mean, but it does
    affect the disk. If the data are larger than the memory and rows are read from the disk one by one, `block=16`, for
    example, shuffles blocks of 16 neighbors instead of examples. Neighbors are then in one batch in every epoch, so the
    data should not be sorted by class.

    Args:
      x: inputs, (m, ...): an array, or an object with a shape that takes an ascending index array, such as `np.memmap`.
      y: targets, (m,) or (m, k), likewise.
      batch_size: examples per batch, from 1 to m; the last batch has the rest.
      seed: of the shuffles; the order of epoch e depends only on (seed, e).
      weight: example weights (m,), which must fit into memory.
      shuffle: whether each epoch has a new random order; otherwise the order of the data.
      block: number of neighbors that stay together when shuffled.
      process: (i, n) for the rows that process i of n reads, the i-th of n equal parts of every batch, as
        `fit_stream(..., own_rows=True)` takes them; `(jax.process_index(), jax.process_count())` of the one that calls.
        Keep weight and normalizer of these batches: where a short last batch has no row left, one counts 0.

    Returns:
      A function from the number of an epoch to its batches. To convert images in bytes to floats:
      `lambda epoch: ((x.astype("float32") / 255, y) for x, y, *_ in batches(epoch))`.

    Raises:
      ValueError: if lengths differ, the batch size is outside 1..m, the block is below 1, the seed is not a whole
        number, or the weights are not finite numbers of at least 0 with a positive one; if batch_size is not a
        multiple of the processes.

    Example:
      >>> import numpy as np
      >>> batches = host_batches(np.arange(5.0)[:, None], np.arange(5), 2, seed=0)
      >>> [batch.y.tolist() for batch in batches(0)], [batch.y.tolist() for batch in batches(1)]
      ([[2, 4], [0, 3], [1]], [[1, 4], [0, 3], [2]])
      >>> of_second = host_batches(np.arange(5.0)[:, None], np.arange(5), 2, seed=0, process=(1, 2))
      >>> [(batch.y.tolist(), batch.weight.tolist()) for batch in of_second(0)]
      [([4], [1.0]), ([3], [1.0]), ([1], [0.0])]
    """
    x, y = map_arrays(_with_rows, "x", x), map_arrays(_with_rows, "y", y)
    check_rows(x, y)
    m, mean = number_of_examples(x), 0.0
    if weight is not None:
        weight = np.asarray(simplified(check_weight(on_host("weight", weight), m, some=True)), float)
        mean = weight.mean()
    check_equal_parts(batch_size, process)

    def batches(epoch):
        order = np.empty(0, int)
        if shuffle:
            starts = block * np.random.default_rng((seed, epoch)).permutation(-(-m // block))
            order = (starts[:, None] + np.arange(block)[None]).reshape(-1)
            order = order[order < m]
        for i in range(0, m, batch_size):
            if process[1] > 1:
                yield part(np.sort(order[i : i + batch_size]) if shuffle else np.arange(i, min(i + batch_size, m)))
                continue
            rows = np.sort(order[i : i + batch_size]) if shuffle else slice(i, i + batch_size)
            if weight is None:
                yield Batch(take(x, rows), take(y, rows))
            else:
                w = weight[rows]
                yield Batch(take(x, rows), take(y, rows), w, len(w) * mean)

    def part(rows):
        own, counts = part_of_batch(rows, batch_size, process)
        w, each = (counts, 1.0) if weight is None else (counts * weight[own], mean)
        return Batch(take(x, own), take(y, own), w, len(rows) * each)

    return batches


def check_equal_parts(batch_size: int, process: tuple[int, int]) -> None:
    """Raise ValueError unless each process can have an equal part of a batch."""
    _, n = process
    Constraint(f"a multiple of the {n} processes", test=lambda size: size % n == 0).check("batch_size", batch_size)


def part_of_batch(rows: np.ndarray, batch_size: int, process: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a batch that process i of n reads, and 1 for each; of an empty part one row that counts 0.

    Process i has the places from i/n to (i + 1)/n of batch_size, of which a short batch leaves the last empty.
    """
    i, n = process
    own = rows[i * (batch_size // n) :][: batch_size // n]
    return (own, np.ones(len(own))) if own.size else (rows[:1], np.zeros(1))


def _with_rows(name: str, a: Any) -> Any:
    """Return an object that takes an index array of rows; for a data frame, whose [...] takes columns, its array."""
    return a if hasattr(a, "shape") and not hasattr(a, "iloc") else on_host(name, a)
