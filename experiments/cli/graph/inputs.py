"""Build the graph that the command line describes: of an expression with values, or of a function with shapes."""

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.cli.graph import Options
from experiments.cli.graph.expression import as_function
from jaxnn import graph
from jaxnn.graph.tracing.nodes import leaf_operations

_FUNCTION = re.compile(r"[\w.]+:[\w.]+")


def traced(options: Options) -> graph.Graph:
    """Return the graph of the expression or function in the options.

    Raises:
      ValueError: if the options do not fit it, or if the function cannot be found or raises.
    """
    if options.depth < 0:
        raise ValueError(f"--depth must be at least 0, got {options.depth}")
    if _FUNCTION.fullmatch(options.what):
        return _of_function(options)
    if options.shapes:
        raise ValueError("an expression must be used with numbers such as a=5, got --shapes")
    values = _values(options.values)
    return _without_sources(graph.trace(as_function(options.what, list(values)), depth=options.depth)(*values.values()))


def _without_sources(g: graph.Graph) -> graph.Graph:
    """Return the graph without source locations, which are not in the user's code; its retraced graphs too."""
    for op in leaf_operations(g.operations):
        op.source = ""
    return replace(g, retrace=lambda values: _without_sources(g.retrace(values)))


def _of_function(options: Options) -> graph.Graph:
    if options.values:
        raise ValueError(f"a function must be used with --shapes, got {options.values[0]!r}")
    if not options.shapes:
        raise ValueError("a function needs a shape for each argument: --shapes 4,3, or --shapes '()' for a number")
    rng = np.random.default_rng(options.seed)
    function, args = _find(options.what), [_array(rng, shape) for shape in options.shapes]
    try:
        return graph.trace(function, depth=options.depth)(*args)
    except ValueError:
        raise
    except Exception as error:  # the function may raise anything
        raise ValueError(f"{options.what} raised {type(error).__name__}: {error}") from error


def _values(assignments: tuple[str, ...]) -> dict[str, float]:
    values: dict[str, float] = {}
    for text in assignments:
        name, _, number = text.strip().partition("=")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"{text!r}: expected a variable and its number, such as a=5") from None
        if not name.isidentifier():
            raise ValueError(f"{name!r} is not the name of a variable: expected letters and digits, such as w1=0.5")
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = value
    return values


def _find(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    sys.path.insert(0, "")
    try:
        target: Any = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except Exception as error:  # the module may raise anything
        raise ValueError(f"cannot find {name!r}: {error}") from error
    if not callable(target):
        raise ValueError(f"{name} is a {type(target).__name__}: expected a function")
    return target


def _array(rng: np.random.Generator, text: str) -> np.ndarray:
    kind, colon, shape = text.rpartition(":")
    message = f"--shapes {text!r}: expected sizes such as 4,3, () for a number, or int10:4 for integers from 0 to 9"
    try:
        sizes = tuple(int(size) for size in shape.strip("()").split(",") if size.strip())
        if min(sizes, default=1) < 0 or (colon and not kind.startswith("int")):
            raise ValueError(message)
        if colon:
            return rng.integers(0, int(kind.removeprefix("int")), sizes).astype(np.int32)
        return rng.normal(size=sizes).astype(np.float32)
    except (ValueError, MemoryError):
        raise ValueError(message) from None
