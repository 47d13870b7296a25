"""Batches from the host: read, validated, padded to one size and grouped."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, count, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint, Function, Real
from jaxnn.data.batches import Batch, number_of_examples, take
from jaxnn.data.examples import check_floats, checked
from jaxnn.data.weights import beside_normalizer
from jaxnn.sequences import Sequences
from jaxnn.typing import PyTree
from jaxnn.validation import warn_outside


def batch_after(batches: Callable[[int], Iterable[Batch]], epoch: int, n: int) -> Batch:
    """Return the batch that follows n others, counted from the beginning of an epoch."""
    return next(islice(chain.from_iterable(map(batches, count(epoch))), n, None))


def stacked(batches: Iterable[Batch], size: int) -> Iterator[tuple[Batch, int]]:
    """Stack batches into groups, each leaf (size, ...); yield each group with its number of batches.

    Every group is a new array, since on a CPU the device may use its memory without a copy. A batch of other shapes, of
    longer or shorter sequences, begins a new group.
    """
    n, group, shapes = 0, Batch((), ()), []
    for batch in batches:
        arrays, structure = jax.tree.flatten(batch)
        if n and shapes != [*map(np.shape, arrays)]:
            yield group, n
            n = 0
        if n == 0:
            shapes = [*map(np.shape, arrays)]
            group = structure.unflatten([np.zeros((size, *np.shape(a)), np.asarray(a).dtype) for a in arrays])
        for target, a in zip(jax.tree.leaves(group), arrays, strict=True):
            target[n] = a
        n += 1
        if n == size:
            yield group, n
            n = 0
    if n:
        yield group, n


def checked_groups(
    groups: Iterable[tuple[Batch, int]], epoch: int, check: Callable[[Batch], None]
) -> Iterator[tuple[Batch, int]]:
    """Yield the groups after `check` has accepted their batches."""
    number = 0
    for group, n in groups:
        try:
            # All n batches at once, since a check has a fixed cost that exceeds that of reading the numbers.
            check(jax.tree.map(lambda a, n=n: a[:n].reshape(-1, *a.shape[2:]), group))
        except ValueError:
            for i in range(n):
                naming(number + i, epoch, check, take(group, i))
            raise
        number += n
        yield group, n


def by_epoch(batches: Any, steps: int | None) -> Callable[[int], Any]:
    """Return a function from an epoch to its batches: all, or the first `steps`."""
    if callable(batches):
        _BY_EPOCH.check("batches", batches)
        return batches if steps is None else partial(_first, batches, steps)
    if isinstance(batches, Iterator) and steps is not None:
        return _shared(batches, steps)
    _AGAIN.check("batches", batches)
    return (lambda epoch: batches) if steps is None else partial(_first, lambda epoch: batches, steps)


_BY_EPOCH = Function("epoch")
_AGAIN = Constraint(
    "iterable in every epoch",
    fix="pass a list of batches, the function of the epoch's number that makes the generator, or the generator and "
    "steps_per_epoch",
    test=lambda batches: isinstance(batches, Iterable) and not isinstance(batches, Iterator | Batch),
)


def _first(batches: Callable[[int], Any], steps: int, epoch: int) -> Any:
    of_epoch = batches(epoch)
    if not isinstance(of_epoch, Iterable):
        return of_epoch  # `of_one_size` raises
    return _all_of(islice(of_epoch, steps), steps, epoch)


def _all_of(batches: Iterable, steps: int, epoch: int) -> Iterator:
    """Yield the batches of an epoch; raise ValueError if there are fewer than `steps`."""
    n = 0
    for batch in batches:
        n += 1
        yield batch
    if n < steps:
        raise ValueError(f"batches must be steps_per_epoch={steps} in each epoch, got {n} in epoch {epoch} (from 0)")


def _shared(batches: Iterator, steps: int) -> Callable[[int], Iterator]:
    """Split one iterator into epochs of `steps` batches."""
    position = 0

    def counted():
        nonlocal position
        for batch in batches:
            position += 1
            yield batch

    rest = counted()

    def of_epoch(epoch):
        # Skip the batches of epochs that a checkpoint has.
        for _ in islice(rest, epoch * steps - position):
            pass
        yield from _all_of(islice(rest, steps), steps, epoch)

    return of_epoch


def of_one_size(
    batches: Callable[[int], Iterable], many: float, multiple: int = 1, own_rows: bool = False
) -> Callable[[int], Iterator[Batch]]:
    """Validate batches, add weights and normalizers, and pad them to the number of examples of the first.

    This number is rounded up to a multiple. Warn if the first epoch has more than `many` batches. With `own_rows`, a
    batch is a part of one of all processes.
    """
    first = None

    def of_epoch(epoch):
        nonlocal first
        received, number = batches(epoch), -1
        if not isinstance(received, Iterable):
            raise ValueError(f"batches({epoch}) must be iterable, got {received!r}: does the function yield?")
        for number, item in enumerate(received):
            batch = naming(number, epoch, _checked, item, first, own_rows)
            if number == many and epoch == 0:
                warn_outside(
                    f"the first epoch of fit_stream has not ended after {many} batches: if they never end, pass "
                    "steps_per_epoch"
                )
            if first is None:
                if own_rows and number_of_examples(batch) % multiple:
                    raise ValueError(
                        f"the rows of a process must be a multiple of its {multiple} devices, got "
                        f"{number_of_examples(batch)} in the first batch: choose another batch size"
                    )
                first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), tuple(batch[:2]))
            yield _padded(batch, -(-number_of_examples(first) // multiple) * multiple)
        if number < 0:
            hint = "" if first is None else ": return a new generator for every epoch"
            raise ValueError(f"batches({epoch}) must have at least one batch, got none{hint}")

    return of_epoch


def peeked(batches: Callable[[int], Iterator[Batch]]) -> tuple[Batch, Callable[[int], Iterator[Batch]]]:
    """Return the first batch, and the batches with that one again, though it is read once."""
    of_first = batches(0)
    first = next(of_first)
    rest = [chain([first], of_first)]
    return first, lambda epoch: rest.pop() if epoch == 0 and rest else batches(epoch)


def naming(number: int, epoch: int, check: Callable, *args: Any) -> Any:
    """Call `check`; its errors name the batch and the epoch."""
    try:
        return check(*args)
    except ValueError as error:
        raise ValueError(f"batch {number} of epoch {epoch} (both from 0): {error}") from error


def _checked(item: Any, first: PyTree, own_rows: bool = False) -> Batch:
    """Return a `Batch` of NumPy arrays with the dtypes and shapes of the first, with a weight and a normalizer.

    A part of a batch has no normalizer unless it is given: the program adds up the weights of all parts, which have
    one scale.
    """
    _ITEM.check("batch", item)
    x, y, weight, normalizer = Batch(*item)[:4]
    valid: Any = jax.tree.map(np.asarray, checked(x, y, weight, some=False, whole_numbers=True))
    x, y, ratios = valid[:3]
    m = number_of_examples(valid)
    if first is not None:
        _check_like_first((x, y), first)
    if normalizer is None and own_rows:
        return Batch(x, y, np.ones(m) if weight is None else np.asarray(weight, float))
    ratios = np.ones(m) if ratios is None else ratios.astype(float)
    if normalizer is None:
        ratios = ratios / (ratios.max() or 1)  # no other batch has their scale
        return Batch(x, y, ratios, ratios.sum())
    _NORMALIZER.check("normalizer", normalizer)
    normalizer = float(normalizer)
    return Batch(x, y, *beside_normalizer(ratios if weight is None else weight, normalizer))


def _check_like_first(batch: PyTree, first: PyTree) -> None:
    named, names = jax.tree_util.tree_flatten_with_path(dict(zip("xy", batch, strict=True)))
    expected, structure = jax.tree.flatten(dict(zip("xy", first, strict=True)))
    with_time = jax.tree.leaves(jax.tree.map(_with_time, first, is_leaf=lambda a: isinstance(a, Sequences)))
    if names != structure:
        raise ValueError(f"x and y must be the arrays of the first batch, {structure}, got {names}")
    for (path, a), like, has_time in zip(named, expected, with_time, strict=True):
        name = f"{path[0].key}{jax.tree_util.keystr(path[1:])}"
        if path[0].key == "x" and jnp.issubdtype(like.dtype, jnp.floating):
            check_floats(name, a, a)
        kept = 2 if has_time else 1
        if a.dtype != like.dtype or a.shape[kept:] != like.shape[kept:] or a.shape[0] > like.shape[0]:
            other = "fewer rows or another number of times" if has_time else "fewer rows"
            raise ValueError(
                f"{name} must be {like.dtype} {like.shape} as in the first batch, or have {other}, "
                f"got {a.dtype} {a.shape}"
            )


def _with_time(a: Any) -> Any:
    """Return whether an array has an axis of time, of which batches may have more or less; of both of `Sequences`."""
    return Sequences(True, False) if isinstance(a, Sequences) else False


_ITEM = Constraint(
    "a Batch, (x, y) or (x, y, weight)",
    fix=lambda item: f"it has {len(item)} entries" if hasattr(item, "__len__") else "",
    test=lambda item: isinstance(item, Batch) or (isinstance(item, tuple | list) and 2 <= len(item) <= 4),
)
_NORMALIZER = Real(0)


def _padded(batch: Batch, size: int) -> Batch:
    """Pad a batch with copies of its first example, a valid input, at weight 0."""
    m = number_of_examples(batch)
    if m == size:
        return batch
    x, y = jax.tree.map(lambda a: np.concatenate([a, np.repeat(a[:1], size - m, axis=0)]), tuple(batch[:2]))
    return Batch(x, y, np.concatenate([np.asarray(batch.weight), np.zeros(size - m)]), batch.normalizer)
