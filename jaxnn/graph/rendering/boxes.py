"""What stands in and at the box of a variable, in pictures and on pages: label, figures, histogram, line of code."""

import linecache
import re

import numpy as np

from jaxnn.graph.rendering.view import Row
from jaxnn.graph.tracing.formulas import rms, short, type_of
from jaxnn.graph.tracing.nodes import Node, Operation, summarise, to_numpy

ON_WHITE = "--ink: #1b1f24; --line: #8a929c; --box: #eef1f5; --page: #ffffff; --value: #0b57b0; --slope: #b3261e;"
ON_DARK = "--ink: #e6e9ee; --line: #7b8490; --box: #262c34; --page: #12161b; --value: #86b7ff; --slope: #ff9b8e;"
"""The colours, for white pages and for dark ones, as variables of CSS."""
BARS_WIDTH, BARS_HEIGHT = 48.0, 18.0
"""Of a histogram, in pixels."""
_MOST_LETTERS, _BINS = 30, 16


def label(row: Row) -> str:
    """What stands in the box of a variable of any shape, cut to what a box can hold."""
    words = full_label(row)
    return words if len(words) <= _MOST_LETTERS else words[: _MOST_LETTERS - 1] + "…"


def full_label(row: Row) -> str:
    """The name of a variable of any shape, and how it is made."""
    assert row.node is not None
    op = row.operation
    if op is None:
        return row.node.name
    return row.formula if op.primitive is None else f"{row.node.name} = {row.formula}"


def figures(node: Node) -> tuple[str, str]:
    """What stands above and below a box: numbers of scalars and small arrays; of others the shape, and the size."""
    derivative = node.derivative
    if np.size(node.value) <= 3:
        return short(node.value), "" if derivative is None else short(derivative)
    summary = summarise(node.value)
    above = type_of(node) + (f", {summary.not_finite} not finite" if summary and summary.not_finite else "")
    return above, "" if derivative is None else f"rms {rms(derivative):.3g}"


def has_bars(node: Node) -> bool:
    """Whether a histogram of the value, an array of any shape, says more than its figures."""
    array = to_numpy(node.value)
    return array is not None and array.size > 3 and array.dtype.kind in "fiub"


def bars(value: object, x: float = 0.0, y: float = 0.0) -> str:
    """The path of a histogram of the finite elements of an array of any shape; empty where there are none."""
    array = to_numpy(value)
    finite = np.asarray(array)[np.isfinite(array)].astype(np.float64)
    if not finite.size or finite.max() - finite.min() > 1e300:
        return ""
    counts, _ = np.histogram(finite, _BINS)
    high = counts / counts.max() * (BARS_HEIGHT - 3)
    step = BARS_WIDTH / _BINS
    return "".join(
        f"M{x + step * i:.1f} {y + BARS_HEIGHT - h:.1f}h2.4v{h:.1f}h-2.4z" for i, h in enumerate(high) if h > 0
    )


def place(op: Operation) -> str:
    """The file and the line of an operation, on nodes of any shapes; empty where they are unknown.

    The file's name alone: a picture travels, and the folders it was drawn in are nobody else's.
    """
    return re.split(r"[\\/]", op.source)[-1]


def code(op: Operation) -> str:
    """The line itself, where it can be read; operations are on nodes of any shapes."""
    file, _, line = op.source.rpartition(":")
    return linecache.getline(file, int(line)).strip() if file else ""
