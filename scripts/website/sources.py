"""The code of functions as it stands in the sources, without docstrings, and the functions of the library it calls."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

FAMILIES = ("jaxnn.nn", "jaxnn.losses", "jaxnn.regularizers")
# What checks, converts and places arrays is no part of the mathematics.
_GROUND = ("jaxnn.nn.layer", "jaxnn.nn.boundaries", "jaxnn.nn.shapes", "jaxnn.nn.records", "jaxnn.nn.operation_counts")


def code(function: Callable[..., Any]) -> str:
    """Return the source of a function without its docstring and the decorators that check and place its arguments."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    [node] = ast.parse(source).body
    lines = source.splitlines()
    if not isinstance(node, ast.FunctionDef):
        return source
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno
        del lines[first:last]
        while len(lines) > first and not lines[first].strip():
            del lines[first]
    return re.sub("  # noqa.*", "", "\n".join(lines[node.lineno - 1 :]))


def called(function: Callable[..., Any], besides: Iterable[Any] = ()) -> list[Callable[..., Any]]:
    """Return the library's functions that a function uses, and those that these use, in the order of their use."""
    found, seen, waiting = [], {id(inspect.unwrap(f)) for f in [function, *besides]}, [function]
    while waiting:
        used = inspect.unwrap(waiting.pop(0))
        module = sys.modules[used.__module__]
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(used)))):
            other = vars(module).get(node.id) if isinstance(node, ast.Name) else None
            if not inspect.isfunction(other) or id(inspect.unwrap(other)) in seen:
                continue
            seen.add(id(inspect.unwrap(other)))
            if other.__module__.startswith(FAMILIES) and other.__module__ not in _GROUND:
                found.append(other)
                waiting.append(other)
    return found


def place(function: Callable[..., Any]) -> str:
    """Return the file of a function in the repository, such as "jaxnn/nn/linear.py"."""
    return inspect.unwrap(function).__module__.replace(".", "/") + ".py"
