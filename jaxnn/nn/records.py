"""Sort what is marked in a network by layer."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxnn.marking.harvested import Mark
from jaxnn.marking.places import Place, params_path

Measures = dict[str, list[Any]]
"""The measures of "params", "inputs" and "activations", one for each of their arrays."""

_FORWARD = {"params": 0, "inputs": 1, "activations": 2}
_BACKWARD = {"activations": 0, "params": 1, "inputs": 1}


class LayerRecord(NamedTuple):
    """The measures of one layer, or of one copy of a repeated layer.

    Attributes:
      number: from 1, in the order of the forward pass.
      path: of its params, such as "params[1][0]", with the number of the copy.
      values: of params, inputs and activations.
      gradients: of the derivatives with respect to them, empty lists if the program does not compute them.
    """

    number: int
    path: str
    values: Measures
    gradients: Measures


def layer_records(marks: Iterable[Mark]) -> list[LayerRecord]:
    """Return the records of a network's layers, in the order of the forward pass.

    A layer is one that is not made of others: activations, dropout and each copy that `repeat` makes count. The forward
    passes that `remat` repeats in the backward pass are left out.

    Args:
      marks: those of one forward and backward pass, in the order of evaluation.
    """
    marks = [one for one in marks if one.what in _FORWARD]
    places = {one.place for one in marks}
    composed = {place[:n] for place in places for n in range(len(place))}
    turn = next((i for i, one in enumerate(marks) if one.kind == "cotangent"), len(marks))
    forward = _grouped((one for one in marks[:turn] if one.kind == "value"), composed, _FORWARD)
    backward = _grouped((one for one in marks[turn:] if one.kind == "cotangent"), composed, _BACKWARD)

    times, copies = Counter(group[0].place for group in forward), Counter[Place]()
    records, unmatched = [], defaultdict(list)
    for number, group in enumerate(forward, 1):
        place = group[0].place
        copies[place] += 1
        copy = f", copy {copies[place]}" if group[0].steps or times[place] > 1 else ""
        path = f"params{params_path(place)}{copy}"
        records.append(LayerRecord(number, path, _measures(group), _measures([])))
        unmatched[place].append(records[-1])
    for group in backward:
        if unmatched[group[0].place]:
            unmatched[group[0].place].pop().gradients.update(_measures(group))
    return records


def _grouped(marks: Iterable[Mark], composed: set[Place], order: dict[str, int]) -> list[list[Mark]]:
    """Group consecutive marks by layer: at one place, in the order in which a layer makes them."""
    groups: list[list[Mark]] = []
    for one in marks:
        if one.place in composed:
            continue
        last = groups[-1][-1] if groups else None
        if last is not None and last.place == one.place and order[last.what] <= order[one.what]:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _measures(group: list[Mark]) -> Measures:
    measures: Measures = {what: [] for what in _FORWARD}
    for one in group:
        measures[one.what].append(one.measured)
    return measures
