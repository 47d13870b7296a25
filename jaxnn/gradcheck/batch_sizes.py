"""Check at other batch sizes, so that a factor m or 1/m and a gradient of one example alone are found."""

from collections.abc import Iterator

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Examination, Examiner, OutsideDomainError
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.points import TestPoint, is_label, make_cotangents
from jaxnn.gradcheck.resizing import resized
from jaxnn.gradcheck.runner import Arrays, BackwardRaisedError, Runner

_MOST_SIZES = 3
_REJECTED = "f takes this size, but"


def at_other_batch_sizes(
    examiner: Examiner, given: TestPoint, seed: int, batch: int | None
) -> Iterator[Examination | Row]:
    """Yield the examinations with the batch axis at other sizes, or a row that states that f takes none."""
    runner, any_size = examiner.runner, False
    y_has_axes = any(y.shape for y in runner.output(given.leaves))
    sizes = [batch] if batch else sorted(_candidate_sizes(runner, given.leaves), key=lambda size: size == 1)
    for size in sizes[:_MOST_SIZES]:
        this_size = False
        # Larger first: if the backward does not take that, the axis is not a batch, and a smaller one proves nothing.
        for new in dict.fromkeys((2 * size + 1 if size <= 64 else 7, 1)):
            results = list(_at_size(examiner, given, size, new, seed, explicit=batch is not None))
            this_size |= bool(results)
            yield from results
            if batch is None and any(isinstance(r, Row) and r.text.startswith(_REJECTED) for r in results):
                break
        any_size |= this_size
        if this_size and y_has_axes:
            break  # it is the leading axis of y; if y is a number, every leading axis may be the batch
    if not any_size:
        yield Row("other batch sizes", "all", "skip", text="f takes no other leading size")


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
        other = resized(examiner.runner, leaves, size, new, leading=True, together=explicit, seed=seed)
        if other is None:
            return
        name = f"batch {size} -> {new}{', negated' if negated else ''}"
        try:
            cotangents = make_cotangents("random", examiner.runner, other.leaves, seed)
            examination = examiner.examine(name, "size", other.leaves, cotangents)._replace(size=(size, new))
            if size == 1 and any(row.text.startswith("shape") for row in examination.rows):
                # An axis of 1 that is broadcast, such as that of a row of biases, is not a batch.
                yield Row(name, "all", "skip", text="an axis of size 1 that the backward does not treat as a batch")
                return
            yield examination
        except OutsideDomainError as reason:
            yield Row(name, "all", "skip", text=str(reason))
        except BackwardRaisedError as error:
            # It may not be a batch: only a size given by the caller is certain.
            yield Row(name, "all", "fail" if explicit else "note", text=f"{_REJECTED} {error.text}")
            return


def _candidate_sizes(runner: Runner, leaves: Arrays) -> list[int]:
    """Return candidates for the batch size, likely ones first: leading axes of y, then those of the arguments."""
    shapes = [y.shape for y in runner.output(leaves)] + [leaf.shape for leaf in leaves]
    return list(dict.fromkeys(shape[0] for shape in shapes if len(shape) > 0 and shape[0] > 0))
