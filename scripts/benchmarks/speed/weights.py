"""The shape of the weights of one layer of a workload, and how often an example uses them."""

import math
from typing import NamedTuple


class Weights(NamedTuple):
    """The weights of one layer.

    Attributes:
      shape: of the filters, or of W.
      places: of an example at which they are used.
      normalized: whether batch norm follows.
      bias: whether a bias follows.
      start: what a vector begins with, if it is one; weights begin with random numbers.
    """

    shape: tuple[int, ...]
    places: int = 1
    normalized: bool = False
    bias: bool = True
    start: float | None = None

    @property
    def size(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the layer's params."""
        return [self.shape] + [(self.units,)] * (3 if self.normalized else int(self.bias))

    @property
    def units(self) -> int:
        """The number of outputs: units or filters."""
        return self.shape[0] if len(self.shape) == 2 else self.shape[-1]
