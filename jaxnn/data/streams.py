"""Batches that the host makes: of one size, checked, in groups."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, count, islice
from typing import Any

import jax
import numpy as np

from jaxnn.data.batches import Batch, check_batch_size
from jaxnn.data.examples import checked, columns_as_rows, on_host
from jaxnn.data.weights import beside_normalizer, check_weight, simplified
from jaxnn.validation import check_callable, check_flag, check_seed, described, is_count, warn_outside


def host_batches(
    x: Any, y: Any, batch_size: int, *, seed: int, weight: Any = None, shuffle: bool = True, block: int = 1
) -> Callable[[int], Iterator[Batch]]:
    """The batches of arrays that stay where they are, such as memory maps: every example once an epoch.

    Only a batch's rows are read, in ascending order: their order does not matter to a mean, but it does to a disk.
    Where the data are larger than the memory and each row must be fetched from the disk by itself, `block=16`, say,
    shuffles blocks of 16 neighbours instead of examples. Neighbours then meet in every epoch, so the data should not
    lie sorted by class.

    Args:
      x: inputs, (m, ...): an array, or anything with a shape that takes an ascending index array, as `np.memmap` does.
      y: targets, (m,) or (m, k), likewise.
      batch_size: examples of a batch, from 1 to m; the last batch has the rest.
      seed: of the shuffles; epoch e is in the order of (seed, e), always the same.
      weight: example weights (m,), which do fit into memory.
      shuffle: a fresh order each epoch; else the order of the data.
      block: how many neighbours stay together when shuffled.

    Returns:
      A function from the epoch's number to its batches. For images in bytes, turn what it brings into floats:
      `lambda epoch: ((x.astype("float32") / 255, y) for x, y, *_ in batches(epoch))`.

    Raises:
      ValueError: lengths that differ, a batch size outside 1..m, a block below 1, a seed that is no whole number, or
        weights that `fit` would refuse.

    Example:
      >>> import numpy as np
      >>> batches = host_batches(np.arange(5.0)[:, None], np.arange(5), 2, seed=0)
      >>> [batch.y.tolist() for batch in batches(0)], [batch.y.tolist() for batch in batches(1)]
      ([[2, 4], [0, 3], [1]], [[1, 4], [0, 3], [2]])
    """
    check_seed(seed)
    check_flag("shuffle", shuffle)
    x, y = _with_rows("x", x), _with_rows("y", y)
    m = x.shape[0]
    if y.shape[:1] != (m,):
        fix = columns_as_rows(x.shape, y.shape)
        raise ValueError(f"x has {m} examples, y has shape {y.shape}: expected a target for each, (m,) or (m, k){fix}")
    if batch_size is None:
        raise ValueError(f"batch_size is None, expected a whole number from 1 to the {m} examples there are")
    check_batch_size(batch_size, m)
    if not is_count(block):
        raise ValueError(
            f"block is how many neighbours stay together, a whole number of at least 1, got {described(block)}"
        )
    if weight is not None:
        weight = np.asarray(simplified(check_weight(on_host("weight", weight), m, some=True)), float)
        mean = weight.mean()

    def batches(epoch):
        if shuffle:
            starts = block * np.random.default_rng((seed, epoch)).permutation(-(-m // block))
            order = (starts[:, None] + np.arange(block)[None]).reshape(-1)
            order = order[order < m]
        for i in range(0, m, batch_size):
            rows = np.sort(order[i : i + batch_size]) if shuffle else slice(i, i + batch_size)
            if weight is None:
                yield Batch(x[rows], y[rows])
            else:
                w = weight[rows]
                yield Batch(x[rows], y[rows], w, len(w) * mean)

    return batches


def _with_rows(name: str, a: Any) -> Any:
    """What takes an index array of rows; of a data frame, whose [...] takes names of columns, its array (m, ...)."""
    a = a if hasattr(a, "shape") and not hasattr(a, "iloc") else on_host(name, a)
    if len(a.shape) == 0:
        raise ValueError(f"{name} is {described(a)}, expected an array of examples as rows")
    return a


def batch_after(batches: Callable[[int], Iterable[Batch]], epoch: int, n: int) -> Batch:
    """The batch that comes after n others (a count), from the beginning of an epoch on."""
    return next(islice(chain.from_iterable(map(batches, count(epoch))), n, None))


def stacked(batches: Iterable[Batch], size: int) -> Iterator[tuple[Batch, int]]:
    """The batches in groups, each leaf (size, ...), and how many of a group are there.

    The memory of every group is its own: on a CPU, the device may use it as it is.
    """
    n = 0
    for batch in batches:
        if n == 0:
            group = [np.zeros((size, *a.shape), a.dtype) for a in batch]
        for place, a in zip(group, batch, strict=True):
            place[n] = a
        n += 1
        if n == size:
            yield Batch(*group), n
            n, group = 0, None
    if n:
        yield Batch(*group), n


def checked_groups(
    groups: Iterable[tuple[Batch, int]], epoch: int, check: Callable[[Batch], None]
) -> Iterator[tuple[Batch, int]]:
    """The groups, whose batches fit the network and the loss."""
    number = 0
    for group, n in groups:
        try:
            # All n batches at once: the check of one takes longer than to look at its numbers.
            check(Batch(*(a[:n].reshape(-1, *a.shape[2:]) for a in group[:3])))
        except ValueError:
            for i in range(n):
                _naming(number + i, epoch, check, Batch(group.x[i], group.y[i], group.weight[i]))
            raise
        number += n
        yield group, n


def by_epoch(batches: Any, steps: int | None) -> Callable[[int], Iterable]:
    """`batches(epoch)`: those that end, or the first of them, so many steps (a count)."""
    if isinstance(batches, Batch):
        raise ValueError("batches is one Batch, expected what can be iterated every epoch: [batch], or host_batches")
    if callable(batches):
        check_callable("batches", batches, "epoch")
        return batches if steps is None else partial(_first, batches, steps)
    if isinstance(batches, Iterator) and steps is not None:
        return _shared(batches, steps)
    if not isinstance(batches, Iterable) or isinstance(batches, Iterator):
        raise ValueError(
            f"batches is a {type(batches).__name__}, expected what can be iterated every epoch: "
            "pass the function that makes the generator, called with the epoch's number, or a list; or the generator, "
            "and steps_per_epoch"
        )
    return (lambda epoch: batches) if steps is None else partial(_first, lambda epoch: batches, steps)


def _first(batches: Callable[[int], Any], steps: int, epoch: int) -> Any:
    given = batches(epoch)
    if not isinstance(given, Iterable):
        return given  # which is refused for what it is
    return _all_of(islice(given, steps), steps, epoch)


def _all_of(batches: Iterable, steps: int, epoch: int) -> Iterator:
    """The batches of an epoch; a ValueError if they end before so many steps."""
    n = 0
    for batch in batches:
        n += 1
        yield batch
    if n < steps:
        raise ValueError(f"batches must be steps_per_epoch={steps} in each epoch, got {n} in epoch {epoch} (from 0)")


def _shared(batches: Iterator, steps: int) -> Callable[[int], Iterator]:
    """Of one iterator, each epoch's batches after those of the epoch before."""
    position = 0

    def counted():
        nonlocal position
        for batch in batches:
            position += 1
            yield batch

    rest = counted()

    def of_epoch(epoch):
        # Those of epochs that a checkpoint has.
        for _ in islice(rest, epoch * steps - position):
            pass
        yield from _all_of(islice(rest, steps), steps, epoch)

    return of_epoch


def of_one_size(batches: Callable[[int], Iterable], many: float) -> Callable[[int], Iterator[Batch]]:
    """The batches, checked, each with a weight and a normalizer, and filled up to the size of the first.

    A warning says if there are as many as `many` in the first epoch.
    """
    first = None

    def of_epoch(epoch):
        nonlocal first
        given, number = batches(epoch), -1
        if not isinstance(given, Iterable):
            raise ValueError(f"batches({epoch}) is {given!r}, expected what can be iterated: does the function yield?")
        for number, one in enumerate(given):
            batch = _naming(number, epoch, _checked, one, first)
            if number == many and epoch == 0:
                warn_outside(
                    f"the first epoch of fit_stream has not ended after {many} batches: if they never end, pass "
                    "steps_per_epoch, how many an epoch has"
                )
            if first is None:
                first = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in batch[:2]]
            yield _filled_up(batch, first[0].shape[0])
        if number < 0:
            hint = "" if first is None else ", though an earlier one had: it must be another generator each time"
            raise ValueError(f"batches gave no batch for epoch {epoch}{hint}")

    return of_epoch


def _naming(number: int, epoch: int, check: Callable, *given: Any) -> Any:
    try:
        return check(*given)
    except ValueError as error:
        raise ValueError(f"batch {number} of epoch {epoch} (both from 0): {error}") from error


def _checked(given: Any, first: list[jax.ShapeDtypeStruct] | None) -> Batch:
    """As a `Batch` of NumPy arrays like those of the first, with a weight and a normalizer."""
    if not (isinstance(given, tuple | list) and 2 <= len(given) <= 4):
        what = f"{type(given).__name__} of {len(given)}" if hasattr(given, "__len__") else type(given).__name__
        raise ValueError(f"expected a Batch, (x, y) or (x, y, weight), got a {what}")
    x, y, weight, normalizer = Batch(*given)
    x, y, ratios = (None if a is None else np.asarray(a) for a in checked(x, y, weight, some=False)[:3])
    m = x.shape[0]
    for name, a, like in zip("xy", (x, y), first or (x, y), strict=True):
        if a.dtype != like.dtype or a.shape[1:] != like.shape[1:] or m > like.shape[0]:
            raise ValueError(
                f"{name} is {a.dtype} {a.shape}, expected {like.dtype} {like.shape} as in the first batch, "
                "or fewer rows"
            )
    ratios = np.ones(m) if ratios is None else ratios.astype(float)
    if normalizer is None:
        return Batch(x, y, ratios, ratios.sum())
    normalizer = np.asarray(normalizer, float)
    if normalizer.shape != () or not 0 <= normalizer < np.inf:
        raise ValueError(
            f"normalizer is {normalizer}, expected a number of at least 0: what the weighted sum is divided by"
        )
    return Batch(x, y, *beside_normalizer(ratios if weight is None else weight, normalizer))


def _filled_up(batch: Batch, size: int) -> Batch:
    """With examples of weight 0: the first one again, whose values the network can take."""
    m = batch.x.shape[0]
    if m == size:
        return batch
    x, y = (np.concatenate([a, np.repeat(a[:1], size - m, axis=0)]) for a in batch[:2])
    return Batch(x, y, np.concatenate([batch.weight, np.zeros(size - m)]), batch.normalizer)
