"""Mistakes in the arrangement of a gradient: not summed, transposed, swapped with that of another leaf."""

import math

import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, close, manual_gradient
from jaxnn.gradcheck.report import Diagnosis


def wrong_shape(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient of the wrong shape: transposed, not summed over an axis, or swapped."""
    manual, reference = leaf.manual, leaf.reference
    if manual.shape == reference.shape:
        return None
    if close(manual.T, reference):
        text = f"the gradient of shape {manual.shape} is transposed, expected shape {reference.shape}"
        return Diagnosis("transpose", leaf.name, text)
    axes = [(a,) for a in range(manual.ndim)] + [tuple(range(n)) for n in range(2, manual.ndim + 1)]
    for axis in axes:
        terms = math.prod(manual.shape[a] for a in axis)
        if terms > 1 and (close(manual.sum(axis), reference) or close(manual.sum(axis, keepdims=True), reference)):
            over = f"axis {axis[0]}" if len(axis) == 1 else f"axes {axis}"
            text = f"the gradient of shape {manual.shape} holds {terms} terms: sum over {over}"
            return Diagnosis("missing sum", leaf.name, text)
    return swapped(leaf)


def transposed(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient whose last two axes, of equal size, are transposed."""
    manual, reference = leaf.manual, leaf.reference
    if manual.ndim < 2:
        return None
    if close(np.swapaxes(manual, -1, -2), reference) and not close(manual, reference):
        return Diagnosis("transpose", leaf.name, "the gradient is transposed")
    return None


def swapped(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain two gradients that were returned in each other's place."""
    failed, k = leaf.failed, leaf.k
    for j in range(len(failed.manual)):
        if j != k and close(leaf.manual, failed.reference[j]) and close(manual_gradient(failed, j), leaf.reference):
            names = sorted((leaf.name, failed.rows[j].leaf))
            return Diagnosis("swapped", " and ".join(names), "each of the two has the gradient of the other")
    return None
