"""The bench: RIGHT, HARD (right, but easily mistaken for wrong), WILD (right, in the style of public code), WRONG.

ERRORS cannot be checked. Each family of functions has its own file; this one only collects them.
"""

from scripts.benchmarks.gradbench import (
    activations,
    attention,
    branches,
    cotangents,
    dense,
    factors,
    jacobians,
    losses,
    networks,
    norms,
    recurrence,
    reductions,
    situations,
    unseen,
    windows,
)
from scripts.benchmarks.gradbench.case import KINDS, Case, Witness, backward_of
from scripts.benchmarks.gradbench.errors import ERRORS
from scripts.benchmarks.gradbench.hard import HARD
from scripts.benchmarks.gradbench.wild import (
    callbacks,
    complexes,
    counts,
    deliberate,
    domains,
    fused,
    guards,
    implicit,
    kinks,
    masks,
    scalars,
    solvers,
    tangents,
    trees,
)

_FAMILIES = (activations, losses, dense, networks, norms, windows, recurrence, attention, reductions, cotangents,
             situations, factors, jacobians, unseen)  # fmt: skip
_STYLES = (kinks, guards, fused, implicit, solvers, domains, trees, counts, complexes, masks, callbacks, tangents,
           deliberate, scalars)  # fmt: skip

RIGHT: list[Case] = [case for family in _FAMILIES for case in family.RIGHT]
WRONG: list[Case] = [case for family in (*_FAMILIES, branches) for case in family.WRONG]
WILD: list[Case] = [case for family in _STYLES for case in family.WILD]

__all__ = ["ERRORS", "HARD", "KINDS", "RIGHT", "WILD", "WRONG", "Case", "Witness", "backward_of"]
