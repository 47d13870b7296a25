"""The problem that every check reduces to: a plain function, a manual backward and arguments."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxnn.constraints import Function


class GradcheckError(ValueError):
    """The check could not be run: what was expected, what was passed, and the likely fix."""


@dataclass(frozen=True)
class Problem:
    """A plain function and a claim about its gradient.

    Attributes:
      title: what is checked, for the report.
      f: the function whose gradient is meant, `f(*args) -> y`, pytrees of arrays.
      manual: `manual(args, dy)` -> a tuple with a cotangent for each argument.
      args: the arguments, pytrees of arrays. Python ints, bools, strings, functions and random keys are constants.
      names: a name for each argument.
      scalar: True if y is one number and its cotangent is 1: `manual` is the gradient of a scalar function.
      values: name -> function with the values that f must have: those of the rule, and of its forward.
      plain: the function that `values` are compared with; it is f, unless another function's gradient is meant.
      wrt: for each argument, whether `manual` differentiates with respect to it; empty means all.
      ruled: the function with the rule under test, to run in forward mode, if it may have one.
      meant: True if the caller stated that it is the gradient of f that is meant, so that f may contain rules.
      assumed: what was assumed about the functions, in sentences.
      constants: the numbers of the arguments that are constants, as nondiff_argnums states.
    """

    title: str
    f: Callable[..., Any]
    manual: Callable[[tuple[Any, ...], Any], tuple[Any, ...]]
    args: tuple[Any, ...]
    names: tuple[str, ...]
    scalar: bool
    values: Mapping[str, Callable[..., Any]]
    plain: Callable[..., Any]
    wrt: tuple[bool, ...]
    ruled: Callable[..., Any] | None
    meant: bool
    assumed: tuple[str, ...]
    constants: tuple[int, ...] = ()


def make_problem(
    title: str,
    f: Callable[..., Any],
    manual: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    scalar: bool = False,
    values: Mapping[str, Callable[..., Any]] | None = None,
    wrt: tuple[bool, ...] = (),
    ruled: Callable[..., Any] | None = None,
    instead: Callable[..., Any] | None = None,
    assumed: tuple[str, ...] = (),
    constants: tuple[int, ...] = (),
) -> Problem:
    """Return a `Problem`, with the names of the arguments taken from the signature of f; see there for the attributes.

    `instead` is the function whose gradient is meant in place of that of f, if any.

    Raises:
      GradcheckError: if there is no argument, or f is not a function of that many arguments.
    """
    if not args:
        raise GradcheckError(f"{title}: args must hold at least one array, got none: pass them after the functions")
    names = _argument_names(f, len(args))
    check_function("f", f, *names)
    if instead is not None:
        check_function("instead", instead, *names)
    meant = f if instead is None else instead
    values = dict(values or {})
    return Problem(
        title, meant, manual, args, names, scalar, values, f, wrt, ruled, instead is not None, assumed, constants
    )


def check_function(name: str, function: Any, *arguments: str) -> None:
    """Raise GradcheckError if a value is not a function of these arguments."""
    with as_gradcheck_error():
        Function(*arguments).check(name, function)


@contextmanager
def as_gradcheck_error() -> Iterator[None]:
    """Raise a `GradcheckError` in place of a ValueError, with the same message."""
    try:
        yield
    except GradcheckError:
        raise
    except ValueError as error:
        raise GradcheckError(str(error)) from None


def with_keywords(check: str, f: Callable[..., Any], keywords: Mapping[str, Any]) -> Callable[..., Any]:
    """Return f with these keywords.

    Raises:
      TypeError: if f has no parameter of that name: it is a misspelled option of the check.
    """
    for name in keywords:
        if not accepts_keyword(f, name):
            raise TypeError(
                f"{check}() got an unexpected keyword argument {name!r}: it is neither an option nor a parameter of "
                f"{function_name(f)}"
            )
    return partial(f, **keywords) if keywords else f


def with_accepted(f: Callable[..., Any], keywords: Mapping[str, Any]) -> Callable[..., Any]:
    """Return f with those of these keywords that it accepts."""
    accepted = {name: value for name, value in keywords.items() if accepts_keyword(f, name)}
    return partial(f, **accepted) if accepted else f


def accepts_keyword(f: Callable[..., Any], name: str) -> bool:
    """Return whether a function accepts a keyword, as far as its signature can be read."""
    parameters = parameters_of(f)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(p.kind is p.VAR_KEYWORD or p.name == name and p.kind in named for p in parameters)


def parameters_of(f: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, none if its signature cannot be read."""
    try:
        return list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return []


def _argument_names(f: Callable[..., Any], n: int) -> tuple[str, ...]:
    """Return the names of the first n parameters of f, or arg0, arg1, ... if its signature cannot be read."""
    positional = [p.name for p in parameters_of(f) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(positional[i] if i < len(positional) else f"arg{i}" for i in range(n))


def function_name(f: Callable[..., Any]) -> str:
    """Return the name of a function for a title."""
    f = f.func if isinstance(f, partial) else f
    name = getattr(f, "__name__", None) or type(f).__name__
    return "the function" if name == "<lambda>" else name
