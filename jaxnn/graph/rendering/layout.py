"""A layered layout from left to right: which column a box is in, in what order, and how high.

Source: Sugiyama, Tagawa & Toda, Methods for visual understanding of hierarchical system structures, 1981.
"""

from collections.abc import Callable, Collection, Hashable
from typing import NamedTuple

Key = Hashable
_SWEEPS = 8


class Way(NamedTuple):
    """Where the edges of a box pass through a column on their way to others.

    Attributes:
      source: the box.
      column: the number of the column.
    """

    source: Key
    column: int


def arrange(
    boxes: list[Key],
    edges: list[tuple[Key, Key]],
    height: Callable[[Key], float],
    first: Collection[Key] = (),
    last: Collection[Key] = (),
) -> tuple[list[list[Key]], dict[Key, float]]:
    """The columns, each from the top down with the ways through it; and how high the middle of each is.

    Every edge goes to the right; `edges` must have no cycle. A source is put right before what takes it first, the
    boxes in `first` into the first column, those in `last` into the last one. Edges over several columns have a way
    through those between. The order in a column is that of the mean of its neighbours' places, improved in sweeps to
    and fro; none is over another.
    """
    columns = _columns(boxes, edges)
    columns |= dict.fromkeys(first, 0)
    columns |= dict.fromkeys(last, max(columns.values(), default=0))
    chains, ways = _chains(edges, columns)
    ranks: list[list[Key]] = [[] for _ in range(max(columns.values(), default=0) + 1)]
    for key, column in (columns | ways).items():
        ranks[column].append(key)
    links = [pair for chain in chains for pair in zip(chain, chain[1:], strict=False)]
    return ranks, _places(ranks, links, {key: height(key) for rank in ranks for key in rank})


def _columns(boxes: list[Key], edges: list[tuple[Key, Key]]) -> dict[Key, int]:
    """The longest way to each box, which for a source is the place before its first use; boxes are in order of use."""
    before: dict[Key, list[Key]] = {box: [] for box in boxes}
    after: dict[Key, list[Key]] = {box: [] for box in boxes}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    column: dict[Key, int] = {}
    waiting = {box: len(before[box]) for box in boxes}
    ready = [box for box in boxes if not waiting[box]]
    for box in ready:
        column[box] = max((column[b] + 1 for b in before[box]), default=0)
        for target in after[box]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for box in boxes:
        if not before[box] and after[box]:
            column[box] = max(min(column[target] for target in after[box]) - 1, 0)
    return column


def _chains(edges: list[tuple[Key, Key]], columns: dict[Key, int]) -> tuple[list[list[Key]], dict[Key, int]]:
    """Each edge as a chain from column to column, and the places that it takes between, shared by edges of a source."""
    chains: list[list[Key]] = []
    places: dict[Key, int] = {}
    for source, target in edges:
        between: list[Key] = [Way(source, c) for c in range(columns[source] + 1, columns[target])]
        places.update((key, columns[source] + 1 + i) for i, key in enumerate(between))
        chains.append([source, *between, target])
    return chains, places


def _places(ranks: list[list[Key]], links: list[tuple[Key, Key]], heights: dict[Key, float]) -> dict[Key, float]:
    """The middle of each box in its column: near the mean of its neighbours', and none over another."""
    near: dict[Key, list[Key]] = {key: [] for rank in ranks for key in rank}
    for a, b in links:
        near[a].append(b)
        near[b].append(a)
    y: dict[Key, float] = {}
    for rank in ranks:
        y.update(_stacked(rank, {}, heights))
    for _ in range(_SWEEPS):
        for order in (ranks, ranks[::-1]):
            for rank in order:
                wish = {key: _mean([y[other] for other in near[key]], y[key]) for key in rank}
                rank.sort(key=wish.__getitem__)
                y.update(_stacked(rank, wish, heights))
    return y


def _stacked(rank: list[Key], wish: dict[Key, float], heights: dict[Key, float]) -> dict[Key, float]:
    """One under the other without overlap, moved as a whole to where they wish to be on average."""
    y: dict[Key, float] = {}
    low = float("-inf")
    for key in rank:
        y[key] = max(wish.get(key, 0.0), low + heights[key] / 2)
        low = y[key] + heights[key] / 2
    shift = _mean([wish.get(key, 0.0) - y[key] for key in rank], 0.0)
    return {key: value + shift for key, value in y.items()}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
