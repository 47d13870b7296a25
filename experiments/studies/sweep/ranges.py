"""The grammar of ranges: the values of a hyperparameter, as an option of a sweep lists them.

    0.01            one value
    0.1,0.03,0.01   these values
    1e-4..1e-1:8    8 values between two ends, both included
    lin:0.1..0.9:5  linearly spaced; log:0.1..0.9:5 logarithmically
    0..7            for integers, every value between two ends, both included
    1e-4..1e-1      for others, an interval to sample from

Without `lin:` or `log:`, the spacing is logarithmic if the hyperparameter is a scale, such as a learning rate, and both
ends are positive; otherwise it is linear.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")

MOST_VALUES = 10_000
"""The maximum number of values of a range, and of trainings of a sweep."""


class Kind(NamedTuple):
    """The valid values of a hyperparameter.

    Attributes:
      values: a description for messages.
      lowest, highest: the bounds, inclusive. They are within float32, in which 1e-50 would be 0.
      scale: whether it is spaced logarithmically by default.
      whole: whether it must be an integer.
    """

    values: str
    lowest: float
    highest: float
    scale: bool = False
    whole: bool = False


POSITIVE = Kind("positive numbers, 1e-30 to 1e30", 1e-30, 1e30, scale=True)
STRENGTH = Kind("numbers from 0 to 1e30", 0, 1e30, scale=True)
FRACTION = Kind("numbers from 0 to 0.999", 0, 0.999)
WIDTH = Kind("integers from 1 to 4096", 1, 4096, scale=True, whole=True)
DEPTH = Kind("integers from 0 to 32", 0, 32, whole=True)
SEED = Kind("integers from 0 to 2147483647", 0, 2**31 - 1, whole=True)


class Choices(NamedTuple):
    """Values that were listed one by one, or computed from a range."""

    values: tuple[float, ...]

    def draw(self, random: np.random.Generator, n: int) -> list[float]:
        """Sample n of them, each with the same probability."""
        return [self.values[i] for i in random.integers(len(self.values), size=n)]


class Interval(NamedTuple):
    """All values between two ends, to sample from."""

    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, random: np.random.Generator, n: int) -> list[float]:
        """Sample n values, uniformly between the ends or, on a log scale, between their logarithms."""
        if self.whole and not self.log:
            return random.integers(self.low, self.high, size=n, endpoint=True).tolist()
        # Each integer k is the interval from k to k + 1, so that the last one is as likely as the others.
        ends = np.array([self.low, self.high + self.whole])
        drawn = np.exp(random.uniform(*np.log(ends), n)) if self.log else random.uniform(*ends, n)
        # By rounding, a value may be just beyond an end.
        drawn = np.clip(np.floor(drawn) if self.whole else drawn, self.low, self.high)
        return [int(value) if self.whole else _plain(value) for value in drawn]


def parse(option: str, text: str, kind: Kind, *, to_draw_from: bool = False) -> Choices | Interval:
    """Return the values of a range.

    Args:
      option: the option's name, for messages.
      text: the range.
      kind: the valid values of the hyperparameter.
      to_draw_from: return an `Interval` for a range a..b, with or without :n, instead of n values.

    Raises:
      ValueError: if the text is invalid; the message is one line.
    """
    try:
        return _parse(text.strip(), kind, to_draw_from)
    except ValueError as error:
        raise ValueError(f"--{option} {text!r}: {error}") from None


def number(text: str, kind: Kind) -> float:
    """Return a single value of that kind.

    Raises:
      ValueError: if it is not a number, or out of bounds.
    """
    text = text.strip()
    if kind.whole:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None
    else:
        value = float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else None
    if value is None:
        what = "an integer" if kind.whole else "a number"
        raise ValueError(f"{text!r} is not {what}: expected {kind.values}; {_FORMS}")
    if not kind.lowest <= value <= kind.highest:
        raise ValueError(f"{text} is out of bounds: expected {kind.values}")
    return value


def distinct(values: Sequence[T]) -> tuple[T, ...]:
    """Return the values; raise a ValueError if one occurs twice."""
    if len(set(values)) < len(values):
        twice = next(value for i, value in enumerate(values) if value in values[:i])
        raise ValueError(f"{twice} is there twice: expected each value once")
    return tuple(values)


def _parse(text: str, kind: Kind, to_draw_from: bool) -> Choices | Interval:
    match = re.fullmatch(r"(?:(lin|log):)?(.*?)\.\.(.*?)(?::(.*))?", text)
    if not match:
        values = [number(part, kind) for part in text.split(",")]
        if len(values) > MOST_VALUES:
            raise ValueError(f"{len(values)} values are too many, expected at most {MOST_VALUES}")
        return Choices(distinct(values))
    spacing, low, high = match[1], number(match[2], kind), number(match[3], kind)
    if low > high:
        raise ValueError(f"the range is empty: expected its lower end first, {match[3].strip()}..{match[2].strip()}")
    if spacing == "log" and low <= 0:
        raise ValueError(f"a log range cannot hold {low:g}: expected two positive ends, or lin:")
    log = spacing == "log" or (spacing is None and kind.scale and low > 0)
    n = None if match[4] is None else _count(match[4])
    if to_draw_from:
        return Interval(low, high, log, kind.whole)
    if n is None:
        return Choices(_each(low, high, kind, spacing))
    if (n == 1) != (low == high):
        raise ValueError(f"{n} of the values between {low:g} and {high:g}: expected :2 or more, or a single number")
    return Choices(_spaced(low, high, n, log, kind.whole))


def _each(low: float, high: float, kind: Kind, spacing: str | None) -> tuple[float, ...]:
    """Return every integer of a range without a count."""
    if not kind.whole or spacing == "log":
        raise ValueError(f"how many values? expected {low:g}..{high:g}:n, such as :8, or --random N")
    if high - low >= MOST_VALUES:
        raise ValueError(f"{high - low + 1} values are too many, expected at most {MOST_VALUES}")
    return tuple(range(low, high + 1))


def _spaced(low: float, high: float, n: int, log: bool, whole: bool) -> tuple[float, ...]:
    inner = (np.geomspace if log else np.linspace)(low, high, n)[1:-1]
    values = (low, *(round(value) if whole else _plain(value) for value in inner), high)[:n]
    if len(set(values)) < n:
        known = "integers" if whole else "numbers"
        raise ValueError(f"of {n} values between {low:g} and {high:g} some are the same {known}: expected fewer")
    return values


def _count(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()) or int(text) < 1:
        raise ValueError(f"{text.strip()!r} is not a count of values: expected an integer of at least 1 after the ':'")
    if int(text) > MOST_VALUES:
        raise ValueError(f"{int(text)} values are too many, expected at most {MOST_VALUES}")
    return int(text)


_FORMS = "a number, a list such as 1,2,5, or a range such as 1..8:4"


def _plain(value: float) -> float:
    """Return the number without the last digits, which are due to rounding: 0.3, not 0.30000000000000004."""
    return float(f"{value:.12g}")
