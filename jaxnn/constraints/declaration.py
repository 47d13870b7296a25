"""`checked`: the arguments of a public function, declared beside it and checked once, where it begins.

A `Constraint` states what an argument must be. From it come the check, the message of the error and the values that the
tests expect to be rejected, so that the body of the function holds nothing but what the function does.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import takewhile
from typing import Any, TypeVar

from jaxnn.validation import described

F = TypeVar("F", bound=Callable[..., Any])
Fix = str | Callable[[Any], str]
"""The end of a message, or a function from the rejected value to it."""


class Call:
    """What is known while the arguments of one call are checked.

    Attributes:
      function: the name of the function.
      arguments: name -> value, of the arguments given; those that were checked as the function takes them.
      sizes: axis -> size, of the arrays checked so far; "..." has a tuple of sizes.
      arrays: their names and shapes.
    """

    __slots__ = ("arguments", "arrays", "function", "sizes")

    def __init__(self, function: str = "", arguments: Mapping[str, Any] | None = None, **sizes: Any):
        self.function, self.arguments, self.sizes, self.arrays = function, arguments or {}, sizes, []


NO_CALL = Call()


class Constraint:
    """What one argument must be.

    Attributes:
      description: what is expected, in the words of the message: "{name} must be {description}, got {value}: {fix}".
      rejects: examples of what is rejected, for the tests.
      fix: the likely fix, or a function from the rejected value to it; "" for none.
      test: returns whether a value is valid, unless a subclass has a method for that.
      convert: returns a valid value as the function takes it.

    Example:
      >>> Constraint("even", rejects=(1,), fix="double it", test=lambda n: n % 2 == 0).check("n", 3)
      Traceback (most recent call last):
      ...
      ValueError: n must be even, got 3: double it
    """

    def __init__(
        self,
        description: str,
        rejects: Sequence[Any] = (),
        fix: Fix = "",
        test: Callable[[Any], bool] = bool,
        convert: Callable[[Any], Any] = lambda value: value,
    ):
        self.description, self.fix, self._rejects = description, fix, tuple(rejects)
        self._test, self._convert = test, convert

    @property
    def phrases(self) -> tuple[str, ...]:
        """What a message may name, of which one is in each."""
        return (self.description,)

    @property
    def rejects(self) -> Sequence[Any]:
        """Examples of what is rejected, for the tests."""
        return self._rejects

    def accepts(self, value: Any) -> bool:
        """Return whether the value is valid. Of a traced value only the dtype and the shape are known."""
        return self._test(value)

    def resembles(self, value: Any) -> bool:
        """Return whether the value is meant for this constraint, if others were possible too."""
        return self.accepts(value)

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the value as the function takes it; raise ValueError if it is rejected."""
        if not self.accepts(value):
            raise self.error(name, value, call)
        return self._convert(value)

    def error(self, name: str, value: Any, call: Call) -> ValueError:
        """Return the error for a rejected value."""
        fix = self.likely_fix(value)
        return ValueError(f"{name} must be {self.expected(name, call)}, got {self.got(value)}{': ' * bool(fix)}{fix}")

    def expected(self, name: str, call: Call) -> str:
        """Return the description, for one argument of one call."""
        return self.description

    def got(self, value: Any) -> str:
        """Return the text of a rejected value."""
        return described(value)

    def likely_fix(self, value: Any) -> str:
        """Return the end of the message, or ""."""
        return self.fix(value) if callable(self.fix) else self.fix

    def __or__(self, other: "Constraint") -> "Constraint":
        return AnyOf(*(one for part in (self, other) for one in (part.options if isinstance(part, AnyOf) else (part,))))

    def __repr__(self) -> str:
        return f"<{self.description}>"


class AnyOf(Constraint):
    """One of several constraints, made by `|`."""

    def __init__(self, *options: Constraint):
        descriptions = [option.description for option in options]
        super().__init__((", or " if any(" or " in one for one in descriptions) else " or ").join(descriptions))
        self.options = options

    @property
    def phrases(self) -> tuple[str, ...]:
        """The phrases of all options."""
        return (self.description, *(phrase for option in self.options for phrase in option.phrases))

    @property
    def rejects(self) -> list[Any]:
        """What every option rejects."""
        examples = [value for option in self.options for value in option.rejects]
        return [value for value in examples if not self.accepts(value)]

    def accepts(self, value: Any) -> bool:
        """Return whether an option accepts the value."""
        return any(option.accepts(value) for option in self.options)

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Check the option that the value is meant for."""
        for option in self.options:
            if option.resembles(value):
                return option.check(name, value, call)
        raise self.error(name, value, call)

    def likely_fix(self, value: Any) -> str:
        """Return the fix of the first option that has one."""
        return next(filter(None, (option.likely_fix(value) for option in self.options)), "")


class Each(Constraint):
    """A constraint for each of the positional arguments `*name`, of which there must be at least `least`."""

    def __init__(self, of_one: Constraint, least: int = 0):
        super().__init__(of_one.description, of_one.rejects, of_one.fix)
        self.of_one, self.least = of_one, least

    def accepts(self, value: Any) -> bool:
        """Return whether each of them is accepted."""
        return len(value) >= self.least and all(map(self.of_one.accepts, value))

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Check each of them; messages name it by its position."""
        if len(value) < self.least:
            noun = self.description.split()[-1]
            raise ValueError(f"arguments of {call.function} must be at least {self.least} {noun}, got {len(value)}")
        return [self.of_one.check(f"argument {i} of {call.function}", one, call) for i, one in enumerate(value)]


def checked(**constraints: Constraint) -> Callable[[F], F]:
    """Declare what the arguments of a function, or the fields of a class, must be; others raise ValueError.

    Arguments are checked in the order of the declaration, as far as they are given, so defaults must be valid.
    A constraint may convert its argument, such as whole numbers to floats. Of traced arrays the shapes and dtypes are
    checked, and of traced numbers only that they are numbers. Under `jit` the check costs nothing: it runs when the
    function is traced. With `factory`, `checked` stands below it: a factory copies its arguments first.

    The declaration is `function.constraints`. `function.with_sizes(n_out=3)` is the function with the size of an axis
    given beforehand, so that arrays of other sizes raise.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxnn.constraints import Count, Floats
      >>> @checked(a=Floats("m n"), b=Floats("n"), times=Count())
      ... def product(a, b, times=1):
      ...     return times * (a @ b)
      >>> product(jnp.ones((2, 3)), jnp.ones(3), 2).tolist()
      [6.0, 6.0]
      >>> product(jnp.ones((2, 3)), jnp.ones(2))
      Traceback (most recent call last):
      ...
      ValueError: b must be floats (n=3,) for a (2, 3), got float32 (2,)
      >>> product(jnp.ones((2, 3)), jnp.ones(3), times=0)
      Traceback (most recent call last):
      ...
      ValueError: times must be a whole number of at least 1, got 0
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, type):
            maker = "__new__" if issubclass(function, tuple) else "__init__"
            setattr(function, maker, decorate(getattr(function, maker)))
            return function
        # Not by `inspect.signature`, which would take a tenth of the time to import jaxnn.
        code = function.__code__
        named = code.co_varnames[: code.co_argcount]
        is_variadic = code.co_flags & inspect.CO_VARARGS
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if is_variadic else None

        def with_sizes(**sizes):
            @wraps(function)
            def call(*args, **kwargs):
                given = dict(zip(named, args, strict=False))
                more = args[len(named) :]
                if (more and rest is None) or not given.keys().isdisjoint(kwargs):
                    return function(*args, **kwargs)  # Python's own error
                given.update(kwargs)
                if rest is not None:
                    given[rest] = more
                now = Call(function.__name__, given, **sizes)
                for name, constraint in constraints.items():
                    if name in given:
                        given[name] = constraint.check(name, given[name], now)
                more = () if rest is None else given.pop(rest)
                # The function may free its arguments, so that nothing else may hold them.
                del args, kwargs, now
                return function(*[given.pop(name) for name in takewhile(given.__contains__, named)], *more, **given)

            vars(call).update(constraints=constraints, with_sizes=with_sizes)
            return call

        return with_sizes()

    return decorate
