"""The marks that `jaxnn.marking.harvesting` found in a program, with a measure of each array."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from jaxnn.marking.places import Place


@partial(jax.tree_util.register_dataclass, data_fields=["measured"], meta_fields=["what", "kind", "place", "in_loop"])
@dataclass(frozen=True)
class Mark:
    """A marked array as it was measured.

    Attributes:
      what, kind: as in `mark`.
      place: the scopes around it.
      measured: what the `measure` of `harvest` returned for the array.
      in_loop: whether it is of one of the steps of a scan.
    """

    what: str
    kind: str
    place: Place
    measured: Any
    in_loop: bool = False


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
                yield replace(inner, in_loop=True)
