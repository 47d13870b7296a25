"""The marks that `jaxnn.marking.harvesting` found in a program, with a measure of each array."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from jaxnn.marking.places import MICRO_BATCH, Place


@partial(jax.tree_util.register_dataclass, data_fields=["measured"], meta_fields=["what", "kind", "place", "steps"])
@dataclass(frozen=True)
class Mark:
    """A marked array as it was measured.

    Attributes:
      what, kind: as in `mark`.
      place: the scopes around it.
      measured: what the `measure` of `harvest` returned for the array.
      steps: of each scan around it, from the outside in, the number of the step.
    """

    what: str
    kind: str
    place: Place
    measured: Any
    steps: tuple[int, ...] = ()


@partial(jax.tree_util.register_dataclass, data_fields=["marks"], meta_fields=["length", "reverse"])
@dataclass(frozen=True)
class Loop:
    """The marks of a scan's steps, their measures stacked to (length, ...)."""

    marks: list["Mark | Loop"]
    length: int
    reverse: bool


Marks = list[Mark | Loop]


def each_mark(marks: Marks) -> Iterator[Mark]:
    """Iterate over the marks in the order of evaluation, those of a loop step by step."""
    for one in marks:
        if isinstance(one, Mark):
            yield one
            continue
        for i in reversed(range(one.length)) if one.reverse else range(one.length):
            for inner in each_mark(jax.tree.map(lambda leaf, i=i: leaf[i, ...], one.marks)):
                yield replace(inner, steps=(i, *inner.steps))


def micro_batches(marks: Marks) -> list[list[Mark]]:
    """Return the marks of each micro-batch, forward and backward; an empty list without micro-batches.

    JAX computes them again for its derivative, in another scan, of which only the cotangents are taken.
    """
    loops = [one for one in marks if isinstance(one, Loop)]
    loops = [loop for loop in loops if any(MICRO_BATCH in one.place for one in each_mark([loop]))]
    parts = defaultdict(list)
    for loop in loops:
        for one in each_mark([loop]):
            if loop is loops[0] or one.kind == "cotangent":
                parts[one.steps[0]].append(replace(one, steps=one.steps[1:]))
    return [parts[i] for i in sorted(parts)]
