"""Specialized tools: training in the row space of the data, and networks whose widths may be traced."""

from jaxnn.contrib.row_spaces import RowSpace, fit_in_row_space, row_space
from jaxnn.contrib.traced_widths import mask_units, slice_params, sliced_initializer, traced_width_mlp

__all__ = [
    "RowSpace",
    "fit_in_row_space",
    "mask_units",
    "row_space",
    "slice_params",
    "sliced_initializer",
    "traced_width_mlp",
]
