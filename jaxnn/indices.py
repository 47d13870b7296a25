"""Whole numbers that must be within a range: rows of an embedding, lengths of sequences."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxnn.constraints import NO_CALL, Call, Integers
from jaxnn.typing import Array

indices_found: ContextVar[list[tuple[Array, int]] | None] = ContextVar("indices_found", default=None)
"""Where traced numbers and the size that they must be below are listed, while a network is traced to check its data."""


@contextmanager
def same_indices(x: Array, changed: Array) -> Iterator[None]:
    """List x, too, if the same numbers in another shape are listed meanwhile."""
    found = indices_found.get()
    before = 0 if found is None else len(found)
    yield
    if found is not None:
        found.extend([(x, n) for index, n in found[before:] if index is changed])


class Indices(Integers):
    """An array of whole numbers with named axes, from 0 to the size of another axis; traced numbers are not compared.

    Args:
      axes: as of `Floats`.
      below: the name of the axis that they index, of an argument checked before.
      also: whether the size itself is accepted too, as of a length.
    """

    def __init__(self, axes: str = "...", below: str = "", *, also: bool = False):
        super().__init__(axes)
        self.below, self.also = below, also

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the array; raise ValueError if a number is outside of the axis."""
        array = super().check(name, value, call)
        size, found = call.sizes.get(self.below), indices_found.get()
        n = None if size is None else size + self.also
        if isinstance(array, Tracer) and found is not None and n is not None:
            found.append((array, n))
        if n is not None and array.size and not isinstance(array, Tracer):
            host = np.asarray(jax.device_get(array))  # inside a program, `array.min()` would be traced
            least, most = int(host.min()), int(host.max())
            if least < 0 or most >= n:
                raise ValueError(f"{name} must be whole numbers from 0 to {n - 1}, got {least} to {most}")
        return array
