"""Parse a line of metrics.jsonl of any experiment: the training, its step, and the metrics."""

from typing import Any, NamedTuple

STEPS = ("epoch", "iteration", "step")
"""Units of a line's steps: the first of them that the line has is used."""


class MetricsLine(NamedTuple):
    """A parsed line of metrics.

    Attributes:
      training: the line's texts, such as the names of data set and network.
      counted: one of `STEPS`.
      step: the number of these.
      values: each other number by name; NaN if it was not finite.
    """

    training: tuple[str, ...]
    counted: str
    step: int
    values: dict[str, float]


def parse_line(line: dict[str, Any]) -> MetricsLine | None:
    """Return the parsed line; `None` if it has no step, such as the line of a divergence."""
    counted = next((name for name in STEPS if name in line), None)
    if counted is None or type(line[counted]) not in (int, float):
        return None
    numbers = {name: value for name, value in line.items() if value is None or type(value) in (int, float)}
    return MetricsLine(
        tuple(value for value in line.values() if isinstance(value, str)),
        counted,
        line[counted],
        {name: float("nan") if value is None else value for name, value in numbers.items() if name not in STEPS},
    )
