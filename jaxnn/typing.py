"""Type aliases and shape letters used in the whole library.

Shape letters, used in every docstring:

    m       examples, always the leading axis (examples are rows)
    n_in    units, or features, before a layer
    n_out   units of a layer
    k       outputs of a network: classes or targets
    ...     any axes
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np
from jax.typing import DTypeLike as DTypeLike

if TYPE_CHECKING:
    from numpy.typing import ArrayLike as ArrayLike  # lists and data frames too
else:
    from jax.typing import ArrayLike as ArrayLike  # loaded already, which numpy.typing is not

Array: TypeAlias = jax.Array
"""What functions return, and what they compute on."""
AnyArray: TypeAlias = jax.Array | np.ndarray
"""Data, on the device or on the host. An argument that also takes numbers, lists and data frames is an `ArrayLike`."""
Scalar: TypeAlias = float | np.floating | jax.Array
"""A number, or an array of shape (), which may be traced."""
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
Shapes: TypeAlias = Any
"""A `Shape` for one array of floats, else a pytree of `jax.ShapeDtypeStruct`, without the leading m."""
Statistics: TypeAlias = PyTree
"""What layers observe in training and need for inference, such as means over examples; `()` without any."""
State: TypeAlias = tuple[Array, ...]
"""What a recurrent cell hands on from one step to the next; the first array is its output."""
Rows: TypeAlias = Array
"""How much each example counts, (m,), or each position of each example, (m, T)."""
Initializer: TypeAlias = Callable[..., Array]
"""`init(key, (n_in, n_out), dtype)`, as the functions of `jax.nn.initializers` return."""
TreeStructure: TypeAlias = Any
"""A `jax.tree_util.PyTreeDef`, which JAX declares as a variable, so that annotations cannot name it."""
Device: TypeAlias = Any
"""A `jax.Device`, likewise."""
