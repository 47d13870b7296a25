"""Batches of sequences of like lengths, padded to a few lengths: little is computed on padding, little is compiled."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jaxnn.arrays import map_arrays
from jaxnn.constraints import Constraint, Count, Flag, UpTo, checked
from jaxnn.data.batches import Batch, number_of_examples, take
from jaxnn.data.examples import check_rows, on_host
from jaxnn.data.host_arrays import PROCESS, check_equal_parts, part_of_batch
from jaxnn.data.splitting import SEED
from jaxnn.sequences import Sequences, split_lengths
from jaxnn.typing import PyTree

__all__ = ["bucketed_batches", "padding"]


@checked(batch_size=UpTo("x", "the number of examples"), seed=SEED, buckets=Count(), shuffle=Flag(), process=PROCESS)
def bucketed_batches(
    x: PyTree,
    y: PyTree,
    batch_size: int,
    *,
    seed: int,
    buckets: int = 8,
    shuffle: bool = True,
    process: tuple[int, int] = (0, 1),
) -> Callable[[int], Iterator[Batch]]:
    """Return batches of sequences of like lengths for `fit_stream`: every example once per epoch.

    The length of an example is that of its longest sequence, at least 1. At most `buckets` lengths are chosen, so that
    the least is padding if each example is padded to the next of them; each epoch puts the examples in a random order,
    sorts them by these lengths, and cuts that order into batches, which come in random order. A batch is cut off behind
    the largest of these lengths that its examples are padded to. `fit_stream` compiles a program for each length.

    Args:
      x: inputs: `Sequences` of host arrays, or a pytree with several, such as (source, target). Arrays that are not in
        `Sequences` are taken as they are.
      y: targets, likewise.
      batch_size: examples per batch, from 1 to m. The last batch, that of the longest examples, has the rest, and is
        not the first of an epoch.
      seed: of the shuffles; the batches of epoch e depend only on (seed, e).
      buckets: the number of lengths. More save computations; each costs a compilation.
      shuffle: whether examples and batches come in random order; otherwise in the order of lengths.
      process: (i, n) for the rows of process i of n, as in `host_batches`.

    Returns:
      A function from the number of an epoch to its batches. `padding` measures how much of them is padding.

    Raises:
      ValueError: if x and y have no `Sequences`, lengths are outside of their axis, the numbers of examples differ, the
        batch size is outside 1..m or not a multiple of the processes, buckets is below 1, or the seed is not a whole
        number.

    Example:
      >>> import numpy as np
      >>> words = Sequences(np.ones((4, 9), int), np.array([2, 9, 3, 8]))
      >>> batches = bucketed_batches(words, np.arange(4), 2, seed=0, buckets=2)
      >>> sorted((batch.x.x.shape, sorted(batch.y.tolist())) for batch in batches(0))
      [((2, 3), [0, 2]), ((2, 9), [1, 3])]
      >>> round(padding(batches(0)), 3), round(padding([Batch(words, np.arange(4))]), 3)
      (0.083, 0.389)

    Source: Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", 2014, section 3.4.
    """
    x, y = map_arrays(on_host, "x", x), map_arrays(on_host, "y", y)
    check_rows(x, y)
    found = _WITH_SEQUENCES.check("x and y", _sequences((x, y)))
    lengths = np.max([_checked_lengths(one) for one in found], axis=0).clip(1)  # layers need a time
    least_padding = _least_padding(lengths, buckets)
    padded = least_padding[np.searchsorted(least_padding, lengths)]
    m = number_of_examples(x)
    check_equal_parts(batch_size, process)

    def batches(epoch):
        random = np.random.default_rng((seed, epoch))
        order = random.permutation(m) if shuffle else np.arange(m)
        order = order[np.argsort(padded[order], kind="stable")]
        starts = np.arange(0, m, batch_size)
        if shuffle:
            random.shuffle(starts)
            if starts[0] + batch_size > m:  # the first batch sets the size of all
                starts = np.roll(starts, 1)
        for i in starts:
            rows = order[i : i + batch_size]
            length, counted = padded[rows].max(), ()
            if process[1] > 1:
                normalizer = float(len(rows))
                rows, counts = part_of_batch(rows, batch_size, process)
                counted = (counts, normalizer)
            yield Batch(*(_cut(take(a, rows), length) for a in (x, y)), *counted)

    return batches


def padding(batches: Iterable[Batch]) -> float:
    """Return the share of the places of sequences, in x and in y, that are beyond a length.

    Args:
      batches: of host arrays, such as those of an epoch, each a `Batch` or (x, y).

    Raises:
      ValueError: if they have no `Sequences`.

    Example:
      >>> import numpy as np
      >>> padding([Batch(Sequences(np.zeros((2, 4)), np.array([4, 2])), np.zeros(2))])
      0.25
    """
    found = [
        (one.x.shape[0] * one.x.shape[1], int(np.sum(one.lengths)))
        for x, y, *_ in batches
        for one in _sequences((x, y))
    ]
    places, within = np.sum(_WITH_SEQUENCES.check("batches", found), axis=0).tolist()
    return (places - within) / max(places, 1)


def _is_sequences(a: Any) -> bool:
    return isinstance(a, Sequences)


def _sequences(tree: PyTree) -> list[Sequences]:
    return [a for a in jax.tree.leaves(tree, is_leaf=_is_sequences) if _is_sequences(a)]


_WITH_SEQUENCES = Constraint("Sequences, or a tree with some", fix="Sequences(x, lengths)", test=bool)


def _checked_lengths(sequences: Sequences) -> np.ndarray:
    # One number in place of the array, which may be larger than the memory.
    _, lengths = split_lengths(Sequences(np.broadcast_to(0.0, np.shape(sequences.x)), sequences.lengths))
    return np.asarray(lengths).astype(int)


def _cut(tree: PyTree, length: int) -> PyTree:
    """Return the tree with the sequences cut off behind a length."""

    def one(a):
        return Sequences(a.x[:, :length], a.lengths) if _is_sequences(a) else a

    return jax.tree.map(one, tree, is_leaf=_is_sequences)


def _least_padding(lengths: np.ndarray, buckets: int) -> np.ndarray:
    """Return at most `buckets` of the lengths, the largest among them, that leave the least padding, ascending.

    By the number of buckets: the best cost for the lengths up to l_j is the least, over the largest length l_i < l_j of
    the bucket before, of the best cost up to l_i plus n l_j, n the number of examples between them.
    """
    different, counts = np.unique(lengths, return_counts=True)
    until = np.cumsum(counts)  # the number of examples up to each length
    best, before = (until * different).astype(float), []
    for _ in range(min(buckets, len(different)) - 1):
        last, cost = np.zeros(len(different), int), np.full(len(different), np.inf)
        for j in range(1, len(different)):
            of_each = best[:j] + (until[j] - until[:j]) * different[j]
            last[j] = of_each.argmin()
            cost[j] = of_each[last[j]]
        before.append(last)
        best = cost
    chosen = [len(different) - 1]
    for last in reversed(before):
        chosen.append(last[chosen[-1]])
    return different[chosen[::-1]]
