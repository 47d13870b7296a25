"""The text in and around the box of a variable: label, captions, source line."""

import linecache
import re

import numpy as np

from jaxnn.graph.formatting import format_array, format_type
from jaxnn.graph.rows import Row
from jaxnn.graph.tracing.nodes import Node, Operation
from jaxnn.graph.tracing.summaries import root_mean_square, summarize

_LONGEST_LABEL = 30


def short_label(row: Row) -> str:
    """Return the label of a variable, truncated to fit into a box."""
    label = full_label(row)
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"


def full_label(row: Row) -> str:
    """Return the name of a variable, with its formula."""
    assert row.node is not None
    op = row.operation
    if op is None:
        return row.node.name
    return row.formula if op.primitive is None else f"{row.node.name} = {row.formula}"


def captions(node: Node) -> tuple[str, str]:
    """Return the captions above and below a box: the value and the derivative, or for large arrays type and size."""
    derivative = node.derivative
    if np.size(node.value) <= 3:
        return format_array(node.value), "" if derivative is None else format_array(derivative)
    summary = summarize(node.value)
    above = format_type(node) + (f", {summary.not_finite} not finite" if summary and summary.not_finite else "")
    return above, "" if derivative is None else f"rms {root_mean_square(derivative):.3g}"


def source_location(op: Operation) -> str:
    """Return file:line of an operation; empty if unknown.

    The file's name only: a picture may be shared, and the folders of this machine mean nothing elsewhere.
    """
    return re.split(r"[\\/]", op.source)[-1]


def source_line(op: Operation) -> str:
    """Return the line of code of an operation; empty if it cannot be read."""
    file, _, line = op.source.rpartition(":")
    return linecache.getline(file, int(line)).strip() if file else ""
