"""A layered layout from left to right: which column a box is in, in what order, and where.

Source: Sugiyama, Tagawa & Toda, Methods for visual understanding of hierarchical system structures, 1981.
"""

from collections.abc import Callable, Collection, Hashable
from typing import NamedTuple

Point = tuple[float, float]
Key = Hashable
_SWEEPS = 8


class Layout(NamedTuple):
    """Where things are.

    Attributes:
      centres: of the boxes.
      paths: for each edge, the points that it runs through, from the source's centre to the target's.
      width, height: of it all.
    """

    centres: dict[Key, Point]
    paths: list[list[Point]]
    width: float
    height: float


class Way(NamedTuple):
    """Where the edges of a box pass through a column on their way to others.

    Attributes:
      source: the box.
      column: the number of the column.
    """

    source: Key
    column: int


def layout(
    boxes: list[Key],
    edges: list[tuple[Key, Key]],
    size: Callable[[Key], tuple[float, float]],
    gap: tuple[float, float] = (46.0, 14.0),
) -> Layout:
    """Boxes of width and height `size(box)`, every edge going to the right; `edges` must have no cycle.

    A source is put right before what takes it first. Edges over several columns pass through places of their own in
    those between. The order in a column is that of the mean of its neighbours' places, improved in sweeps to and fro.
    """

    def extent(key):
        return (0.0, 8.0) if isinstance(key, Way) else size(key)

    ranks, y, chains = arrange(boxes, edges, lambda key: extent(key)[1] + gap[1])
    heights = {key: extent(key)[1] + gap[1] for key in y}
    x, half, left = {}, {}, 0.0
    for rank in ranks:
        wide = max((extent(key)[0] for key in rank), default=0.0)
        x.update((key, left + wide / 2) for key in rank)
        half.update((key, wide / 2 if isinstance(key, Way) else 0.0) for key in rank)
        left += wide + gap[0]
    top = min((y[key] - heights[key] / 2 for key in y), default=0.0)
    centres = {key: (x[key], y[key] - top) for key in y}
    height = max((centres[key][1] + heights[key] / 2 for key in y), default=0.0)
    # Straight through the columns between, so that edges bend only in the gaps.
    sides = {key: [(cx - half[key], cy), (cx + half[key], cy)] for key, (cx, cy) in centres.items()}
    paths = [[point for key in chain for point in dict.fromkeys(sides[key])] for chain in chains]
    return Layout({box: centres[box] for box in boxes}, paths, max(left - gap[0], 0.0), height)


def arrange(
    boxes: list[Key],
    edges: list[tuple[Key, Key]],
    height: Callable[[Key], float],
    first: Collection[Key] = (),
    last: Collection[Key] = (),
) -> tuple[list[list[Key]], dict[Key, float], list[list[Key]]]:
    """The columns, each in order and with the ways through it; the middle of each; and the chain of each edge.

    The boxes in `first` are put into the first column, those in `last` into the last one.
    """
    columns = _columns(boxes, edges)
    columns |= dict.fromkeys(first, 0)
    columns |= dict.fromkeys(last, max(columns.values(), default=0))
    chains, ways = _chains(edges, columns)
    ranks: list[list[Key]] = [[] for _ in range(max(columns.values(), default=0) + 1)]
    for key, column in (columns | ways).items():
        ranks[column].append(key)
    links = [pair for chain in chains for pair in zip(chain, chain[1:], strict=False)]
    y = _places(ranks, links, {key: height(key) for rank in ranks for key in rank})
    return ranks, y, chains


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
