"""What few need: training in the space that the rows of the data span."""

from jaxnn.contrib.row_spaces import RowSpace, fit_in_row_space, row_space

__all__ = [
    "RowSpace",
    "fit_in_row_space",
    "row_space",
]
