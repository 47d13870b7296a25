"""The words the rest of the library is written in: type aliases, shape letters, `Batch`.

Shape letters, used in every docstring:

    m       examples, always the leading axis (examples are rows)
    n_in    units, or features, before a layer
    n_out   units of a layer
    k       outputs of a network: classes or targets
    ...     any axes
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
PyTree: TypeAlias = Any
"""Nested tuples, lists and dictionaries of arrays."""
Params: TypeAlias = PyTree
"""What a layer learns; `()` for a layer that learns nothing."""
Cache: TypeAlias = PyTree
"""What a forward leaves for its backward: a pytree of arrays."""
Key: TypeAlias = Array
"""A random key, as `jax.random.key(0)` makes it."""
Shape: TypeAlias = tuple[int, ...]
"""Sizes of one example's axes: without the leading m."""
Initializer: TypeAlias = Callable[..., Array]
"""`init(key, (n_in, n_out), dtype)`, as the functions of `jax.nn.initializers` return."""


class Batch(NamedTuple):
    """Examples that are trained on, or measured, together.

    Attributes:
      x: inputs, (m, ...).
      y: targets, (m,) or (m, k).
      weight: how much each example counts, (m,), or `None` where all count the same. Only ratios matter: dtype and
        common factor change nothing, and a weight too small to be a number beside the largest is 0. An example of
        weight 0 counts for nothing, which is how a short batch is padded to a full one.
      total: what the weighted sum is divided by, a scalar; `None` for Σ weight. A mini-batch of weighted examples is
        given the total that its size has on average, so that a light example's step is a light one also in a batch
        of its own.
    """

    x: Array
    y: Array
    weight: Array | None = None
    total: Array | None = None
