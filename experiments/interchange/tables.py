"""What the table of a format is made of: for each layer, by the name of its factory, a row of code and of arrays.

A new layer is one more row in each table that can hold it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.interchange.layers import Placed

Arrange = Callable[[np.ndarray, Placed], np.ndarray]


def _same(array: np.ndarray, layer: Placed) -> np.ndarray:
    return array


def transposed(a: np.ndarray, layer: Placed) -> np.ndarray:
    """Return a matrix with its axes swapped, as libraries with (n_in, n_out) have it; there and here alike."""
    return a.T


def swapped(K: np.ndarray, layer: Placed) -> np.ndarray:
    """Return filters with the axes of their channels swapped; there and here alike."""
    return np.swapaxes(K, -1, -2)


class Array(NamedTuple):
    """How an array of a layer is stored in a format.

    Attributes:
      name: its name there.
      there: makes the array there of that here.
      here: makes the array here of that there.
      default: the value of its entries if a file lacks it; `None` if it must have it.
    """

    name: str
    there: Arrange = _same
    here: Arrange = _same
    default: float | None = None


class Code(NamedTuple):
    """Expressions of modules of another library that together are a layer; `main` has the arrays."""

    main: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Joint(NamedTuple):
    """How the arrays of a layer are stored in a format if they do not belong to each other one by one.

    Attributes:
      there: `there(layer)`, the arrays there by name.
      here: `here(stored, layer)`, the arrays here of those there.
      may_lack: the names of those there that are 0 if a file lacks them.
    """

    there: Callable[[Placed], dict[str, np.ndarray]]
    here: Callable[[Mapping[str, np.ndarray], Placed], dict[str, np.ndarray]]
    may_lack: frozenset[str] = frozenset()


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      code: `code(layer, *parts)`, the expressions that make the layer there; parts are those of the layers inside. Of
        ONNX, a function that adds operators to a graph.
      arrays: its arrays by their names here.
      joint: how they are stored, if not one by one.
    """

    code: Callable[..., Any]
    arrays: Mapping[str, Array] = {}
    joint: Joint | None = None


Table = Mapping[str, Row]


def row_of(table: Table, layer: Placed, form: str) -> Row:
    """Return the row of a layer.

    Raises:
      ValueError: if the format cannot hold it.
    """
    if layer.kind not in table:
        raise ValueError(f"{form} must have layers of {', '.join(table)}, got {layer.kind}(...): stablehlo has any")
    return table[layer.kind]


def code_of(row: Row, layer: Placed, *parts: str) -> Code:
    """Return the expressions of a layer."""
    code = row.code(layer, *parts)
    return code if isinstance(code, Code) else Code(code)


def arrays_there(row: Row, layer: Placed) -> dict[str, np.ndarray]:
    """Return the arrays of a layer as the format stores them, in C order."""
    if row.joint is not None:
        arrays = row.joint.there(layer) if layer.arrays else {}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return {
        array.name: np.ascontiguousarray(array.there(np.asarray(layer.arrays[name]), layer))
        for name, array in row.arrays.items()
        if name in layer.arrays
    }


def call(function: str, *args: object, **options: object) -> str:
    """Return the expression of a call.

    Example:
      >>> call("nn.Conv2d", 1, 6, brief((5, 5)), stride=(1, 2))
      'nn.Conv2d(1, 6, 5, stride=(1, 2))'
    """
    stated = [repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in options.items()]
    return f"{function}({', '.join(stated)})"


def brief(numbers: Sequence[Any]) -> Any:
    """Return one number for several equal ones, else a tuple."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def given(**options: tuple[object, object]) -> dict[str, object]:
    """Return the options that differ from their defaults: name=(value, default).

    Example:
      >>> given(stride=(1, 1), groups=(2, 1))
      {'groups': 2}
    """
    return {name: value for name, (value, default) in options.items() if value != default}


def with_helpers(code: str, helpers: Mapping[str, str]) -> str:
    """Return code after the classes that it names, such as Residual."""
    return "\n".join([*(text.strip() for name, text in helpers.items() if f"{name}(" in code), code])


def lines(codes: Sequence[str], depth: int = 1) -> str:
    """Return expressions, each on a line, indented, for the arguments of a call that ends on the next line."""
    indent = "    " * depth
    return "".join(f"\n{indent}{code}," for code in codes) + f"\n{indent[4:]}"
