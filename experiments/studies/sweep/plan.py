"""Plan a sweep: the points of a grid, or of a random search, and their seeds."""

import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np

import jaxnn
from experiments.runs.options import check_at_least_one
from experiments.studies.sweep import Options, ranges
from experiments.studies.sweep.ranges import Choices, Interval

Point = dict[str, Any]
"""The value of each hyperparameter, by the name of its option."""

KINDS = {
    "depth": ranges.DEPTH,
    "width": ranges.WIDTH,
    "learning_rate": ranges.POSITIVE,
    "momentum": ranges.FRACTION,
    "l2": ranges.STRENGTH,
    "dropout": ranges.FRACTION,
    "init_scale": ranges.POSITIVE,
    "label_smoothing": ranges.FRACTION,
}
DEFAULTS = {"depth": "1", "width": "32", "momentum": "0.9"}


class Plan(NamedTuple):
    """All trainings of a sweep.

    Attributes:
      points: each is trained with every seed.
      seeds: integers.
      swept: the values of each hyperparameter that has more than one, numbers in ascending order.
      drawn: whether the points are sampled at random instead of a grid.
    """

    points: list[Point]
    seeds: tuple[int, ...]
    swept: dict[str, tuple[Any, ...]]
    drawn: bool


def make_plan(options: Options) -> Plan:
    """Return the plan that the options describe.

    Raises:
      ValueError: if they are invalid; the message is one line.
    """
    check_at_least_one("epochs", options.epochs)
    if options.batch_size is not None:
        check_at_least_one("batch-size", options.batch_size)
    for name in ("random_seed", "split_seed"):
        if not 0 <= getattr(options, name) < 2**32:
            raise ValueError(f"--{name.replace('_', '-')} must be from 0 to {2**32 - 1}, got {getattr(options, name)}")
    if options.random is not None and not 1 <= options.random <= ranges.MOST_VALUES:
        raise ValueError(f"--random must be from 1 to {ranges.MOST_VALUES} points, got {options.random}")
    _check_names("optimizer", [options.optimizer], jaxnn.optim.OPTIMIZERS)
    if options.momentum is not None and options.optimizer != "momentum":
        raise ValueError(f"--momentum must be used with --optimizer momentum, got --optimizer {options.optimizer}")
    axes = _axes(options)
    seeds = ranges.parse("seed", options.seed, ranges.SEED).values
    n = options.random or math.prod(len(axis.values) for axis in axes.values())
    if n * len(seeds) > ranges.MOST_VALUES:
        raise ValueError(
            f"{n} points with {len(seeds)} seeds are {n * len(seeds)} trainings, expected at most "
            f"{ranges.MOST_VALUES}: give fewer values, or sample points with --random N"
        )
    points = _drawn(axes, options.random, options.random_seed) if options.random else _grid(axes)
    swept = {name: _in_order(dict.fromkeys(point[name] for point in points)) for name in axes}
    swept = {name: values for name, values in swept.items() if len(values) > 1}
    _check_used(points, swept)
    return Plan(points, seeds, swept, bool(options.random))


def sizes(point: Point) -> tuple[int, ...]:
    """Return the units of each hidden layer."""
    return point["hidden"] if "hidden" in point else (point["width"],) * point["depth"]


def format_value(value: Any) -> str:
    """Return a hyperparameter's value with four digits."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else f"{value:.4g}"


def label(name: str) -> str:
    """Return a hyperparameter's name for tables and plots."""
    return {"l2": "L2"}.get(name, name.replace("_", " "))


def _axes(options: Options) -> dict[str, Choices | Interval]:
    """Return the values of each hyperparameter; those that need separate programs come first."""
    activations = ranges.distinct([name.strip() for name in options.activation.split(",")])
    _check_names("activation", activations, jaxnn.nn.ACTIVATIONS)
    axes = {"activation": Choices(activations)}
    texts = {name: getattr(options, name) for name in KINDS}
    if options.hidden is not None:
        if texts.pop("width") is not None or texts.pop("depth") is not None:
            raise ValueError("--hidden must be used without --width and --depth: it sets the units of every layer")
        axes["hidden"] = Choices((_hidden(options.hidden),))
    if options.optimizer != "momentum":
        del texts["momentum"]
    return axes | {
        name: ranges.parse(
            name.replace("_", "-"),
            DEFAULTS[name] if text is None else text,
            KINDS[name],
            to_draw_from=options.random is not None,
        )
        for name, text in texts.items()
    }


def _hidden(text: str) -> tuple[int, ...]:
    try:
        hidden = tuple(ranges.number(part, ranges.WIDTH) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"--hidden {text!r}: {error}") from None
    if len(hidden) > ranges.DEPTH.highest:
        raise ValueError(f"--hidden has {len(hidden)} layers, expected at most {ranges.DEPTH.highest}")
    return hidden


def _check_names(option: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {option} {name!r}: expected one of {', '.join(sorted(known))}")


def _grid(axes: dict[str, Choices | Interval]) -> list[Point]:
    """Return every combination, the last hyperparameter varying fastest."""
    places = jaxnn.grid(**{name: range(len(axis.values)) for name, axis in axes.items()})
    return [
        {name: axes[name].values[i] for name, i in zip(axes, point, strict=True)}
        for point in zip(*places.values(), strict=True)
    ]


def _drawn(axes: dict[str, Choices | Interval], n: int, seed: int) -> list[Point]:
    random = np.random.default_rng(seed)
    columns = [axis.draw(random, n) for axis in axes.values()]
    return [dict(zip(axes, values, strict=True)) for values in zip(*columns, strict=True)]


def _in_order(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return numbers in ascending order, names unchanged."""
    values = tuple(values)
    return values if isinstance(values[0], str) else tuple(sorted(values))


def _check_used(points: list[Point], swept: dict[str, tuple[Any, ...]]) -> None:
    """Raise if the sweep varies a hyperparameter that a network lacks: it would train the same network repeatedly."""
    idle = [name for name in ("activation", "width", "dropout") if name in swept]
    if idle and any(sizes(point) == () for point in points):
        raise ValueError(
            f"--depth must be at least 1 if {label(idle[0])} is swept, got 0, without hidden layers: use depths > 0, "
            f"or a single {label(idle[0])}"
        )
