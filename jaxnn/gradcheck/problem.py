"""The problem that every check reduces to: a plain function, a manual backward and arguments."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxnn.constraints import Count, Flag, Function, Nothing


class GradcheckError(ValueError):
    """The check could not be run: what was expected, what was passed, and the likely fix."""


@dataclass(frozen=True)
class Problem:
    """A plain function and a claim about its gradient.

    Attributes:
      title: what is checked, for the report.
      f: the plain function, `f(*args) -> y`, pytrees of arrays.
      manual: `manual(args, dy)` -> a tuple with a cotangent for each argument.
      args: the arguments, pytrees of arrays. Python ints, bools, strings, functions and random keys are constants.
      names: a name for each argument.
      scalar: True if y is one number and its cotangent is 1: `manual` is the gradient of a scalar function.
      value: the forward of the rule under test, `value(*args) -> y`, if it has one.
      wrt: for each argument, whether `manual` differentiates with respect to it; empty means all.
      subgradient: True if, at a kink, every slope between the one-sided slopes is right, not only JAX's.
    """

    title: str
    f: Callable[..., Any]
    manual: Callable[[tuple[Any, ...], Any], tuple[Any, ...]]
    args: tuple[Any, ...]
    names: tuple[str, ...]
    scalar: bool = False
    value: Callable[..., Any] | None = None
    wrt: tuple[bool, ...] = ()
    subgradient: bool = False


def make_problem(
    title: str,
    f: Callable[..., Any],
    manual: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    scalar: bool = False,
    value: Callable[..., Any] | None = None,
    wrt: tuple[bool, ...] = (),
    subgradient: bool = False,
) -> Problem:
    """Return a `Problem`, with the names of the arguments taken from the signature of f; see there for the attributes.

    Raises:
      GradcheckError: if there is no argument, or f is not a function of that many arguments.
    """
    if not args:
        raise GradcheckError(f"{title}: args must hold at least one array, got none: pass them after the functions")
    names = _argument_names(f, len(args))
    with as_gradcheck_error():
        Function(*names).check("f", f)
    return Problem(title, f, manual, args, names, scalar, value, wrt, subgradient)


@contextmanager
def as_gradcheck_error() -> Iterator[None]:
    """Raise a `GradcheckError` in place of a ValueError, with the same message."""
    try:
        yield
    except GradcheckError:
        raise
    except ValueError as error:
        raise GradcheckError(str(error)) from error


OPTIONS = {"fast": Flag(), "seed": Count(0), "batch": Count() | Nothing()}
"""The constraints of the options that the checks have."""


def _argument_names(f: Callable[..., Any], n: int) -> tuple[str, ...]:
    """Return the names of the first n parameters of f, or arg0, arg1, ... if its signature cannot be read."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(positional[i] if i < len(positional) else f"arg{i}" for i in range(n))


def function_name(f: Callable[..., Any]) -> str:
    """Return the name of a function for a title."""
    name = getattr(f, "__name__", None) or type(f).__name__
    return "the function" if name == "<lambda>" else name
