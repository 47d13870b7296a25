"""Constraints of numbers, and of lists of values."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxnn.arrays import is_tree
from jaxnn.constraints.declaration import NO_CALL, Call, Constraint
from jaxnn.validation import is_count, is_finite, is_number

Fix = str | Callable[[Any], str]
_INFINITY = float("inf")


class Count(Constraint):
    """A whole number of at least `least`, a Python or NumPy int, as an int. Bools are rejected."""

    def __init__(self, least: int = 1, fix: Fix = ""):
        rejects = (least - 1, least + 0.5, str(least), None, True)
        super().__init__(f"a whole number of at least {least}", rejects, fix, partial(is_count, least=least))
        self.least = least

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> int:
        """Return the number as an int."""
        return int(super().check(name, value, call))

    def resembles(self, value: Any) -> bool:
        """Return whether it is a number."""
        return is_number(value)


class UpTo(Count):
    """A whole number from `least` to another argument, or to the number of its rows.

    Args:
      argument: the name of the other argument: a number, checked before, or an array or list.
      what: what it is, in words.
      least: the smallest number.
    """

    def __init__(self, argument: str, what: str, least: int = 1):
        super().__init__(least)
        self.argument, self.description = argument, f"from {least} to {what}"

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> int:
        """Return the number; raise ValueError if it exceeds the other argument."""
        most = self._most(call)
        if not self.accepts(value) or (most is not None and value > most):
            raise self.error(name, value, call)
        return int(value)

    def expected(self, name: str, call: Call) -> str:
        """Return the range, with the number that it ends at."""
        most = self._most(call)
        return self.description + (f", {most}" if most is not None else "")

    def _most(self, call: Call) -> int | None:
        other: Any = call.arguments.get(self.argument)
        other = jax.tree.leaves(other)[0] if is_tree(other) else other
        if hasattr(other, "shape"):
            return (*other.shape, 0)[0]
        return len(other) if isinstance(other, list | tuple) else other if is_count(other, least=0) else None


class Real(Constraint):
    """A finite real scalar between two bounds. The range of a traced number is not checked; bools are rejected.

    Args:
      low: the lower bound.
      high: the upper bound.
      closed: which bounds belong to the range: "both", "left", "right" or "neither".
      whole: whether it must be a whole number, of any dtype.
      description: in place of the one made from the bounds.
      fix: the likely fix.
    """

    def __init__(
        self,
        low: float = -_INFINITY,
        high: float = _INFINITY,
        closed: str = "both",
        *,
        whole: bool = False,
        description: str = "",
        fix: Fix = "",
    ):
        self.low, self.high, self.whole = low, high, whole
        self.with_low, self.with_high = closed in ("both", "left"), closed in ("both", "right")
        outside = [low - 1] if low > -_INFINITY else []
        outside += [high + 1] if high < _INFINITY else []
        outside += [*([] if self.with_low else [low]), *([] if self.with_high else [high])]
        rejects = ("0.5", None, True, np.zeros(2), float("nan"), _INFINITY, *outside, *([low + 0.5] if whole else []))
        super().__init__(description or self._range(), rejects, fix, partial(is_number, within=self._within))

    def _range(self) -> str:
        low, high = f"{self.low:g}", f"{self.high:g}"
        if self.low == -_INFINITY:
            return "a finite number"
        if self.high == _INFINITY:
            positive = self.low == 0 and not self.with_low
            return "positive and finite" if positive else f"finite and {'at least' if self.with_low else 'above'} {low}"
        if self.with_low and self.with_high:
            return f"from {low} to {high}"
        return f"{'at least' if self.with_low else 'above'} {low} and {'at most' if self.with_high else 'below'} {high}"

    def resembles(self, value: Any) -> bool:
        """Return whether it is a number, in the range or not."""
        return is_number(value)

    def _within(self, value: Any) -> bool:
        above = self.low <= value if self.with_low else self.low < value
        below = value <= self.high if self.with_high else value < self.high
        return above and below and is_finite(value) and (not self.whole or value == int(value))


class ListOf(Constraint):
    """A list of at least `least` values that satisfy a constraint; other iterables are converted.

    Args:
      of_one: the constraint of each.
      description: what the list is.
      least: the smallest number of values.
      fix: the likely fix.
    """

    def __init__(self, of_one: Constraint, description: str, least: int = 1, fix: Fix = ""):
        lists = [[value] * max(least, 1) for value in of_one.rejects]
        super().__init__(description, ("ab", None, *([()] if least else []), *lists), fix)
        self.of_one, self.least = of_one, least

    def accepts(self, value: Any) -> bool:
        """Return whether it is iterable, and of such values."""
        if not np.iterable(value) or isinstance(value, str):
            return False
        return len(values := list(value)) >= self.least and all(map(self.of_one.accepts, values))

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> list[Any]:
        """Return the list."""
        value = super().check(name, list(value) if isinstance(value, Iterator) else value, call)
        return [self.of_one.check(name, one, call) for one in value]
