"""A line of metrics.jsonl, whichever experiment wrote it: of which training, how far that is, what was measured."""

from typing import Any, NamedTuple

STEPS = ("epoch", "iteration", "step")
"""What a line may be counted by: the first of them that it has."""


class Measured(NamedTuple):
    """A line of metrics, sorted.

    Attributes:
      training: the line's words, such as the data set's name and the network's.
      counted: one of `STEPS`.
      step: how many of them.
      values: each other number by its name; NaN where it was not finite.
    """

    training: tuple[str, ...]
    counted: str
    step: int
    values: dict[str, float]


def measured(line: dict[str, Any]) -> Measured | None:
    """The line sorted; `None` where no number counts it, as none does that of a divergence."""
    counted = next((name for name in STEPS if name in line), None)
    if counted is None or type(line[counted]) not in (int, float):
        return None
    numbers = {name: value for name, value in line.items() if value is None or type(value) in (int, float)}
    return Measured(
        tuple(value for value in line.values() if isinstance(value, str)),
        counted,
        line[counted],
        {name: float("nan") if value is None else value for name, value in numbers.items() if name not in STEPS},
    )
