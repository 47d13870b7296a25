"""A gradient of one example alone, where the sum over the batch is missing."""

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.resizing import resized
from jaxnn.gradcheck.runner import Arrays, Runner


def one_example_only(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that the first or the last example of the batch alone would have."""
    failed = leaf.failed
    sizes = {dy.shape[0] for dy in failed.cotangents if dy.ndim}
    if leaf.runner.flat.problem.scalar:
        sizes = {a.shape[0] for a in failed.leaves if a.ndim}
    elif len(sizes) != 1 or not all(dy.ndim for dy in failed.cotangents):
        return None  # an output without the axis of examples
    for m in sizes - {1}:
        for i in (0, m - 1):
            alone = _gradients_of_example(leaf, failed, m, i)
            if alone is None or close(alone[leaf.k], leaf.reference) or not _independent(leaf, alone, m, i):
                continue  # this leaf belongs to no example
            for scale, mean in ((1.0, ""), (1 / m, " over m"), (float(m), "")):
                expected = scale * alone[leaf.k]
                if not close(leaf.manual, expected) or close(leaf.reference, expected):
                    continue

                def predict(e: Examination, m=m, i=i, scale=scale) -> np.ndarray | None:
                    part = _gradients_of_example(leaf, e, m, i)
                    return None if part is None else scale * part[leaf.k]

                if leaf.explained_by(predict):
                    which = "first" if i == 0 else "last"
                    text = f"it is the {which} example's part alone{mean}: sum over the batch of {m}"
                    return Diagnosis("missing sum", leaf.name, text)
    return None


def _gradients_of_example(leaf: WrongLeaf, e: Examination, m: int, i: int) -> Arrays | None:
    """Return the reference gradients of example i of m alone, or `None` if f does not take one example."""
    key = ("example", id(e), m, i)
    if key not in leaf.computed:
        leaf.computed[key] = _computed_of_example(leaf.runner, e, m, i)
    return leaf.computed[key]


def _computed_of_example(runner: Runner, e: Examination, m: int, i: int) -> Arrays | None:
    if not runner.flat.problem.scalar:
        kept = []
        for dy in e.cotangents:
            mask = np.zeros(dy.shape)
            mask[i] = 1
            kept.append((dy * mask).astype(dy.dtype))
        return runner.reference(e.leaves, kept)[1]
    rolled = [np.roll(a, -i, 0) if a.ndim and a.shape[0] == m else a for a in e.leaves]
    one = resized(runner, rolled, m, 1, leading=True, noise=0.0)
    if one is None:
        return None
    gradients = runner.reference(one.leaves, e.cotangents)[1]
    # In a mean, one example alone weighs m times what it weighs in the batch; `scale` above accounts for that.
    return gradients if [g.shape for g in gradients] == [r.shape for r in e.reference] else None


def _independent(leaf: WrongLeaf, alone: Arrays, m: int, i: int) -> bool:
    """Return True if output i of m depends only on row i of a leaf with m rows: an example, not a step in time."""
    if leaf.runner.flat.problem.scalar:
        return True
    rows = [g for g, r in zip(alone, leaf.failed.reference, strict=True) if r.ndim and r.shape[0] == m]
    return any(g[i].any() and not np.delete(g, i, 0).any() for g in rows)
