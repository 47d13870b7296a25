"""Specialized tools: training in the row space of the data."""

from jaxnn.contrib.row_spaces import RowSpace, fit_in_row_space, row_space

__all__ = [
    "RowSpace",
    "fit_in_row_space",
    "row_space",
]
