"""Type aliases and shape letters used in the whole library.

Shape letters, used in every docstring:

    m       examples, always the leading axis (examples are rows)
    n_in    units, or features, before a layer
    n_out   units of a layer
    k       outputs of a network: classes or targets
    ...     any axes
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
PyTree: TypeAlias = Any
"""Nested tuples, lists and dictionaries of arrays."""
Params: TypeAlias = PyTree
"""The arrays that a layer learns; `()` for a layer without any."""
Cache: TypeAlias = PyTree
"""The arrays that a forward saves for its backward, as a pytree."""
Key: TypeAlias = Array
"""A random key, as `jax.random.key(0)` makes it."""
Shape: TypeAlias = tuple[int, ...]
"""Sizes of one example's axes: without the leading m."""
Initializer: TypeAlias = Callable[..., Array]
"""`init(key, (n_in, n_out), dtype)`, as the functions of `jax.nn.initializers` return."""
