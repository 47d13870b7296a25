"""Constraints of numbers, names, functions and objects."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.constraints.declaration import Call, Constraint
from jaxnn.validation import check_callable, check_key, check_params, described, is_count, is_number

Fix = str | Callable[[Any], str]
_INFINITY = float("inf")


class Count(Constraint):
    """A whole number of at least `least`, as a Python or NumPy int. Bools are rejected."""

    def __init__(self, least: int = 1, fix: Fix = ""):
        super().__init__(f"a whole number of at least {least}", (least - 1, least + 0.5, str(least), None, True), fix)
        self.least = least

    def accepts(self, value: Any) -> bool:
        """Return whether it is a whole number in the range."""
        return is_count(value, self.least)

    def resembles(self, value: Any) -> bool:
        """Return whether it is a number."""
        return is_number(value)


class UpTo(Count):
    """A whole number from `least` to another argument, which is checked before.

    Args:
      argument: the name of the other argument.
      what: what it is, in words.
      least: the smallest number.
    """

    def __init__(self, argument: str, what: str, least: int = 1):
        super().__init__(least)
        self.argument, self.description = argument, f"from {least} to {what}"

    def check(self, name: str, value: Any, call: Call) -> int:
        """Return the number; raise ValueError if it exceeds the other argument."""
        if not self.accepts(value) or value > call.arguments.get(self.argument, value):
            raise self.error(name, value, call)
        return value

    def expected(self, name: str, call: Call) -> str:
        """Return the range, with the other argument's value."""
        most = call.arguments.get(self.argument)
        return self.description + (f", {most}" if most is not None else "")


class Counts(Constraint):
    """A sequence of at least `entries` whole numbers of at least 1, as a tuple of ints; one number is a sequence."""

    def __init__(self, entries: int, description: str):
        super().__init__(description, ((), "ab", None, (0,) * entries, (2.5,) * entries))
        self.entries = entries

    def accepts(self, value: Any) -> bool:
        """Return whether all of them are whole numbers."""
        return np.iterable(value) and len(tuple(value)) >= self.entries and all(map(is_count, value))

    def check(self, name: str, value: Any, call: Call) -> tuple[int, ...]:
        """Return a tuple of ints."""
        value = tuple(value) if np.iterable(value) else (value,)
        return tuple(map(int, super().check(name, value, call)))


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
        super().__init__(description or self._range(), rejects, fix)

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

    def accepts(self, value: Any) -> bool:
        """Return whether it is a real scalar in the range."""
        return is_number(value, self._within)

    def resembles(self, value: Any) -> bool:
        """Return whether it is a number, in the range or not."""
        return is_number(value)

    def _within(self, value: Any) -> bool:
        above = self.low <= value if self.with_low else self.low < value
        below = value <= self.high if self.with_high else value < self.high
        return above and below and abs(value) < _INFINITY and (not self.whole or value == int(value))


class Flag(Constraint):
    """True or False; a string such as "no" would count as True."""

    def __init__(self, fix: Fix = ""):
        super().__init__("True or False", ("no", 1, None, [True]), fix)

    def accepts(self, value: Any) -> bool:
        """Return whether it is a bool."""
        return isinstance(value, bool | np.bool_)


class OneOf(Constraint):
    """One of several names; the message suggests the nearest.

    Args:
      names: the names, or a table that has them as keys.
      of: what they are, such as "the schedules ", if the name of the argument does not imply it.
      fix: the likely fix, if no name is near.
    """

    def __init__(self, names: Iterable[str], fix: Fix = "", *, of: str = ""):
        super().__init__(f"one of {of}{sorted(names)}", ("no such name", None, ["x"], 3), fix)
        self.names = names

    def likely_fix(self, value: Any) -> str:
        """Return the nearest name."""
        near = get_close_matches(value.lower(), self.names, 1, cutoff=0.7) if isinstance(value, str) else []
        return f"did you mean {near[0]!r}?" if near else super().likely_fix(value)

    def accepts(self, value: Any) -> bool:
        """Return whether it is one of the names."""
        return isinstance(value, str) and value in self.names


class Function(Constraint):
    """A function that accepts these positional arguments. It is not called.

    Args:
      *arguments: their names.
      called: what the function is called in a message; the name of the argument by default.
    """

    def __init__(self, *arguments: str, called: str = ""):
        super().__init__("a function", (3, "f", None, *([lambda: 0] if arguments else [])))
        self.arguments, self.called = arguments, called

    def resembles(self, value: Any) -> bool:
        """Return whether it is a function of any arguments."""
        return callable(value)

    def accepts(self, value: Any) -> bool:
        """Return whether it is a function of these arguments."""
        try:
            check_callable("", value, *self.arguments)
        except ValueError:
            return False
        return True

    def check(self, name: str, value: Any, call: Call) -> Any:
        """Raise ValueError with the arguments of the function given, if they are others."""
        check_callable(self.called or name, value, *self.arguments, name=name)
        return value


class Instance(Constraint):
    """An instance of a class."""

    def __init__(self, cls: type, description: str = "", fix: Fix = ""):
        article = "an" if cls.__name__[0] in "AEIOU" else "a"
        super().__init__(description or f"{article} {cls.__name__}", (None, 3, "x", cls, lambda: 0), fix)
        self.cls = cls

    def accepts(self, value: Any) -> bool:
        """Return whether it is an instance."""
        return isinstance(value, self.cls)


class Nothing(Constraint):
    """None."""

    def __init__(self):
        super().__init__("None", (0, False, ""))

    def accepts(self, value: Any) -> bool:
        """Return whether it is `None`."""
        return value is None


class RandomKey(Constraint):
    """One random key: a typed scalar, or an old-style key, uint32 (2,)."""

    def __init__(self):
        super().__init__("random key", (0, None, "a", np.zeros(2)))

    def accepts(self, value: Any) -> bool:
        """Return whether it is one random key."""
        return _passes(check_key, value)

    def resembles(self, value: Any) -> bool:
        """Return whether the argument is given: any value is meant as a key."""
        return value is not None

    def check(self, name: str, value: Any, call: Call) -> Any:
        """Raise ValueError unless it is one random key."""
        check_key(value)
        return value


class ParamsTree(Constraint):
    """The params of a network: not None, nor an object that holds or makes params."""

    def __init__(self):
        super().__init__("a network's params", (None, lambda: 0))

    def accepts(self, value: Any) -> bool:
        """Return whether they may be params."""
        return _passes(check_params, value)

    def check(self, name: str, value: Any, call: Call) -> Any:
        """Raise ValueError with the likely fix unless they may be params."""
        check_params(value)
        return value


class ExampleShape(Constraint):
    """The shape of one example, without the batch axis."""

    def __init__(self):
        fix = "omit the batch axis, such as (4,) for 4 features"
        super().__init__("the shape of one example", (4, (0,), (-1,), (4.0,), "4", None, (True,)), fix)

    def accepts(self, value: Any) -> bool:
        """Return whether it is a tuple or a list of positive whole numbers."""
        return isinstance(value, tuple | list) and all(map(is_count, value))


class VectorShape(ExampleShape):
    """The shape of one example that is a vector."""

    def check(self, name: str, value: Any, call: Call) -> Any:
        """Return the shape; raise ValueError if it has more axes, or none."""
        super().check(name, value, call)
        if len(value) != 1:
            got = f"{tuple(value)}: put flatten() before it"
            raise ValueError(f"{name} must be the shape of one example that is a vector, (n_in,), got {got}")
        return value


class FloatDtype(Constraint):
    """A floating dtype."""

    def __init__(self):
        super().__init__("a floating dtype, such as jnp.bfloat16", ("int32", jnp.int32, None, "no dtype", 3))

    def accepts(self, value: Any) -> bool:
        """Return whether NumPy or JAX reads it as a floating dtype."""
        try:
            return value is not None and jnp.issubdtype(jnp.dtype(value), jnp.floating)
        except TypeError:
            return False

    def got(self, value: Any) -> str:
        """Return the name of another dtype."""
        try:
            return described(value) if value is None else jnp.dtype(value).name
        except TypeError:
            return described(value)


def _passes(check: Callable[[Any], None], value: Any) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True
