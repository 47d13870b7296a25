"""Check at other sizes of the batch and of other axes, so that factors and rows that fit one size alone are found."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Examination, Examiner
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.points import TestPoint, is_label, make_cotangents
from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.references import OutsideDomainError
from jaxnn.gradcheck.resizing import resized
from jaxnn.gradcheck.runner import Arrays, BackwardRaisedError, Runner, raised

_MOST_SIZES = 3
ONE_EXAMPLE = "right for more examples, another gradient for one alone"
"""The text of a note on a batch of one."""
_REJECTED = "f takes this size, but"


def at_other_batch_sizes(
    examiner: Examiner, given: TestPoint, seed: int, batch: int | None
) -> Iterator[Examination | Row]:
    """Yield the examinations with the batch axis at other sizes, or a row that states that f takes none."""
    runner, any_size = examiner.runner, False
    y_has_axes = any(y.shape for y in runner.output(given.leaves))
    sizes = [batch] if batch else sorted(_candidate_sizes(runner, given.leaves), key=lambda size: size == 1)
    for size in sizes[:_MOST_SIZES]:
        if size == 1 and any_size:
            break  # there is a batch, so an axis of 1 is another one, such as that of a single output
        this_size = False
        # Larger first: if the backward does not take that, the axis is not a batch, and a smaller one proves nothing.
        for new in dict.fromkeys((2 * size + 1 if size <= 64 else size + 1, 1)):
            results = list(_at_size(examiner, given, size, new, seed, explicit=batch is not None))
            if new == 1 and batch is None and this_size and not y_has_axes:
                results = [_for_one_example(result) for result in results]
            this_size |= bool(results)
            yield from results
            if batch is None and any(isinstance(r, Row) and r.text.startswith(_REJECTED) for r in results):
                break
        any_size |= this_size
        if this_size and y_has_axes:
            break  # it is the leading axis of y; if y is a number, every leading axis may be the batch
    if not any_size:
        yield Row("other batch sizes", "all", "skip", text="f takes no other leading size")


def _for_one_example(result: Examination | Row) -> Examination | Row:
    """Return notes in place of failures: f may not mean what it means for more, as a mean of the two largest."""
    if isinstance(result, Row):
        return result
    return result._replace(
        rows=[row._replace(status="note", text=ONE_EXAMPLE) if row.status == "fail" else row for row in result.rows]
    )


def _at_size(
    examiner: Examiner, given: TestPoint, size: int, new: int, seed: int, explicit: bool
) -> Iterator[Examination | Row]:
    """Yield the examinations with the batch of `size` brought to `new`, with the given signs and with opposite ones.

    `explicit` states that the caller gave the batch size, so that a backward that rejects another size is wrong.
    """
    if new == size:
        return
    for negated in (False, True):
        leaves = [-leaf if negated and is_floating(leaf) and not is_label(leaf) else leaf for leaf in given.leaves]
        name = f"batch {size} -> {new}{', negated' if negated else ''}"
        result: Examination | Row | None = None
        # An axis of 1 may be that of a batch of one, or be there to be broadcast, as that of a row of biases is.
        for together in (True, False) if size == 1 else (explicit,):
            other = resized(examiner.runner, leaves, size, new, leading=True, together=together, seed=seed)
            result = None if other is None else _examined(examiner, name, (size, new), other.leaves, seed)
            if result is None or isinstance(result, Examination) and not _wrong_shape(result):
                break
        if result is None:
            return
        if isinstance(result, Examination) and _wrong_shape(result) and not explicit:
            text = f"f takes an axis of {new} in place of {size}; the backward returns other shapes"
            yield Row(name, "all", "note", text=text)
            return
        if isinstance(result, Row) and explicit and result.status == "note":
            result = result._replace(status="fail")
        yield result
        if isinstance(result, Row):
            return


def _examined(examiner: Examiner, name: str, size: tuple[int, int], leaves: Arrays, seed: int) -> Examination | Row:
    """Return the examination at leaves of another size, or a row with the reason why it cannot be."""
    try:
        leaves = examiner.runner.flat.project(leaves)
        cotangents = make_cotangents("random", examiner.runner, leaves, seed)
        return examiner.examine(name, "size", leaves, cotangents, examiner.working)._replace(size=size)
    except OutsideDomainError as reason:
        return Row(name, "all", "skip", text=str(reason))
    except BackwardRaisedError as error:
        # It may not be a batch: only a size given by the caller is certain.
        return Row(name, "all", "note", text=f"{_REJECTED} {error.text}")
    except GradcheckError:
        raise
    except Exception as error:  # f is what does not take it, or its loop does not end
        return Row(name, "all", "skip", text=raised(error))


def _wrong_shape(examination: Examination) -> bool:
    return any(row.text.startswith("shape") for row in examination.rows)


def at_other_trailing_sizes(examiner: Examiner, given: TestPoint, seed: int) -> Iterator[Examination | Row]:
    """Yield examinations with other axes than the leading ones at another size, so that a size in a constant is found.

    All of them at once, if the backward takes that, else one after another. They are doubled, so that halves stay so,
    and one more if f takes the numbers along the axis in any order.
    """
    runner, leaves = examiner.runner, given.leaves
    sizes = dict.fromkeys(size for leaf in given.leaves for size in leaf.shape[1:])
    sizes |= dict.fromkeys(1 for leaf in given.leaves if 1 in leaf.shape[:1])
    alone = []
    for size in list(sizes)[:_MOST_TRAILING]:
        new = 2 * size + _takes_any_order(runner, given.leaves, size)
        other = resized(runner, given.leaves, size, new, leading=False, seed=seed)
        if other is None:
            continue
        alone.append((f"size {size} -> {new}", (size, new), other.leaves))
        # Another size may already be the new size of this one.
        together = resized(runner, leaves, size, new, leading=False, seed=seed) if new not in sizes else None
        leaves = leaves if together is None else together.leaves
    if len(alone) > 1:
        name = f"sizes {' and '.join(name.removeprefix('size ') for name, *_ in alone)}"
        result = _examined(examiner, name, (0, 0), leaves, seed)
        if isinstance(result, Examination) and not result.failed:
            yield result._replace(size=None)
            return
    for name, size, leaves in alone:
        result = _examined(examiner, name, size, leaves, seed)
        if isinstance(result, Examination) and _wrong_shape(result):
            text = f"f takes an axis of {size[1]} in place of {size[0]}; the backward returns other shapes"
            result = Row(result.name, "all", "note", text=text)
        yield result


def _takes_any_order(runner: Runner, leaves: Arrays, size: int) -> bool:
    """Return whether rotating all trailing axes of a size leaves the outputs as they are, or rotates them likewise."""

    def rotated(a):
        axes = [axis for axis in range(1, a.ndim) if a.shape[axis] == size]
        return np.roll(a, 1, axes) if axes else a

    def equal(a, b):
        return np.allclose(a, b, rtol=1e-4, atol=1e-6)

    try:
        before, after = runner.f(leaves), runner.f([rotated(leaf) for leaf in leaves])
    except Exception:  # f does not take that order
        return False
    return all(equal(b, a) or equal(b, rotated(np.asarray(a))) for a, b in zip(before, after, strict=True))


def with_leading_axis(examiner: Examiner, given: TestPoint, seed: int) -> Iterator[Examination | Row]:
    """Yield the examination with several rows in place of one, if f treats them like rows of a batch."""
    runner = examiner.runner
    vectors = [i for i, leaf in enumerate(given.leaves) if is_floating(leaf) and leaf.ndim == 1]
    for chosen in ([i] for i in vectors):
        rows = _rows_of(runner, given.leaves, chosen, seed)
        if rows is not None:
            result = _examined(examiner, f"{_ROWS} rows of {runner.flat.names[chosen[0]]}", (1, _ROWS), rows, seed)
            if isinstance(result, Examination) and _wrong_shape(result):
                text = "f takes several rows at once; the backward returns other shapes"
                result = Row(result.name, "all", "note", text=text)
            yield result._replace(size=None) if isinstance(result, Examination) else result
            return


_ROWS = 3
_MOST_TRAILING = 2


def _rows_of(runner: Runner, leaves: Arrays, chosen: list[int], seed: int) -> Arrays | None:
    """Return the leaves with `_ROWS` rows instead of each chosen one, if f maps each row like the one alone."""
    rng = np.random.default_rng([seed, 909])
    before = [y.shape for y in runner.output(leaves)]
    stacked = list(leaves)
    for i in chosen:
        if is_label(leaves[i]) or not np.isfinite(leaves[i]).all():
            return None
        rows = [leaves[i] * (1 + 0.3 * k * rng.normal(size=leaves[i].shape)) for k in range(_ROWS)]
        stacked[i] = np.stack(rows).astype(leaves[i].dtype)
    if not any(before):
        return None
    try:
        if [y.shape for y in runner.output(stacked)] != [(_ROWS, *shape) for shape in before]:
            return None
        together = runner.f(stacked)
        for k in range(_ROWS):
            alone = runner.f([leaf[k] if i in chosen else leaf for i, leaf in enumerate(stacked)])
            if not all(_close(y[k], a) for y, a in zip(together, alone, strict=True)):
                return None
    except Exception:  # any error that f raises for this shape
        return None
    return stacked


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a, b, rtol=max(1e-9, 100 * float(jnp.finfo(b.dtype).eps)), atol=0)


def _candidate_sizes(runner: Runner, leaves: Arrays) -> list[int]:
    """Return candidates for the batch size, likely ones first: leading axes of y, then those of the arguments."""
    shapes = [y.shape for y in runner.output(leaves)] + [leaf.shape for leaf in leaves]
    return list(dict.fromkeys(shape[0] for shape in shapes if len(shape) > 0 and shape[0] > 0))
