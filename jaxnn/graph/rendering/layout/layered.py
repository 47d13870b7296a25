"""Layered layout from left to right: the column of each box, the order in a column, and the vertical position.

Source: Sugiyama, Tagawa & Toda, Methods for visual understanding of hierarchical system structures, 1981.
"""

from collections.abc import Callable, Collection, Hashable
from typing import NamedTuple

Key = Hashable
_SWEEPS = 8


class DummyBox(NamedTuple):
    """The place in a column that edges of a box pass through on their way to later columns.

    Attributes:
      source: the box.
      column: the number of the column.
    """

    source: Key
    column: int


def arrange_columns(
    boxes: list[Key],
    edges: list[tuple[Key, Key]],
    height: Callable[[Key], float],
    first: Collection[Key] = (),
    last: Collection[Key] = (),
) -> tuple[list[list[Key]], dict[Key, float]]:
    """Return the columns, boxes and dummy boxes from the top down, and the vertical center of each box.

    Every edge goes to the right; `edges` must have no cycle. A box without inputs is in the column before its first
    use. An edge over several columns passes through a dummy box in each column between, which all edges of its source
    share. A column is ordered by the mean position of the neighbors of its boxes, improved in alternating sweeps
    (the barycenter method); boxes do not overlap.

    Args:
      boxes: in the order of evaluation.
      edges: pairs of boxes.
      height: the height of a box or dummy box.
      first: boxes of the first column.
      last: boxes of the last column.
    """
    columns = _assign_columns(boxes, edges)
    columns |= dict.fromkeys(first, 0)
    columns |= dict.fromkeys(last, max(columns.values(), default=0))
    chains, dummies = _insert_dummies(edges, columns)
    ranks: list[list[Key]] = [[] for _ in range(max(columns.values(), default=0) + 1)]
    for key, column in (columns | dummies).items():
        ranks[column].append(key)
    links = [pair for chain in chains for pair in zip(chain, chain[1:], strict=False)]
    return ranks, _assign_positions(ranks, links, {key: height(key) for rank in ranks for key in rank})


def _assign_columns(boxes: list[Key], edges: list[tuple[Key, Key]]) -> dict[Key, int]:
    """Return the length of the longest path to each box; for a box without inputs, the column before its first use."""
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


def _insert_dummies(edges: list[tuple[Key, Key]], columns: dict[Key, int]) -> tuple[list[list[Key]], dict[Key, int]]:
    """Return each edge as a chain from column to column, and the columns of the dummy boxes."""
    chains: list[list[Key]] = []
    dummies: dict[Key, int] = {}
    for source, target in edges:
        between: list[Key] = [DummyBox(source, c) for c in range(columns[source] + 1, columns[target])]
        dummies.update((key, columns[source] + 1 + i) for i, key in enumerate(between))
        chains.append([source, *between, target])
    return chains, dummies


def _assign_positions(
    ranks: list[list[Key]], links: list[tuple[Key, Key]], heights: dict[Key, float]
) -> dict[Key, float]:
    """Order each column, and return the vertical center of each box."""
    neighbors: dict[Key, list[Key]] = {key: [] for rank in ranks for key in rank}
    for a, b in links:
        neighbors[a].append(b)
        neighbors[b].append(a)
    y: dict[Key, float] = {}
    for rank in ranks:
        y.update(_stack(rank, {}, heights))
    for _ in range(_SWEEPS):
        for order in (ranks, ranks[::-1]):
            for rank in order:
                wanted = {key: _mean([y[other] for other in neighbors[key]], y[key]) for key in rank}
                rank.sort(key=wanted.__getitem__)
                y.update(_stack(rank, wanted, heights))
    return y


def _stack(rank: list[Key], wanted: dict[Key, float], heights: dict[Key, float]) -> dict[Key, float]:
    """Stack boxes without overlap, then shift all of them so that they are where they are wanted on average."""
    y: dict[Key, float] = {}
    low = float("-inf")
    for key in rank:
        y[key] = max(wanted.get(key, 0.0), low + heights[key] / 2)
        low = y[key] + heights[key] / 2
    shift = _mean([wanted.get(key, 0.0) - y[key] for key in rank], 0.0)
    return {key: value + shift for key, value in y.items()}


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default
