"""Shapes of examples: a tuple of sizes for one array of floats, else a pytree of `jax.ShapeDtypeStruct`.

A tuple of tuples would be ambiguous, since `()` is both the shape of a single number and a tree without leaves. No
shape has the batch axis.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint
from jaxnn.sequences import Sequences
from jaxnn.typing import PyTree, Shape, Shapes
from jaxnn.validation import sizes_of

__all__ = ["shapes_of"]

SEQUENCE_SHAPE = Constraint(
    "the shape of one sequence of floats, (T, n)",
    rejects=((4,), 4, None),
    fix="examples are sequences (T, n), without the axis of examples",
    test=lambda shape: len(structs(shape).shape if is_sizes(shape) else getattr(shape, "shape", ())) == 2,
)
"""The constraint of the shape of an example that is a sequence of vectors."""


def shapes_of(x: PyTree) -> Shapes:
    """Return the shape of one example of a batch, as `init` takes it.

    Args:
      x: a pytree of arrays with the batch axis first.

    Returns:
      A tuple of sizes for one array of floats; else the tree with a `jax.ShapeDtypeStruct` for each array.

    Example:
      >>> shapes_of(jnp.ones((8, 3))), shapes_of({"words": jnp.ones((8, 7), int)})
      ((3,), {'words': ShapeDtypeStruct(shape=(7,), dtype=int32)})
    """
    return simplified(jax.tree.map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a)[1:], jnp.result_type(a)), x))


def is_sizes(shape: Any) -> bool:
    """Return whether it is the shape of one array of floats, a tuple or list of whole numbers."""
    return isinstance(shape, tuple | list) and all(isinstance(n, int) for n in shape)


def simplified(shape: Any) -> Shapes:
    """Return a tuple of sizes for the shape of one array of floats; other shapes unchanged."""
    return (*shape,) if is_sizes(shape) else sizes_of(shape)


def structs(shape: Shapes) -> PyTree:
    """Return the shape as a pytree of `jax.ShapeDtypeStruct`, an array of floats in JAX's default float dtype."""
    return jax.ShapeDtypeStruct(tuple(shape), jnp.result_type(float)) if is_sizes(shape) else shape


def with_lengths_of(in_shape: Shapes, shape: Shape) -> Shapes:
    """Return the shape (T, ...) as that of `Sequences` if the layer's input is one."""
    return Sequences(structs(shape), in_shape.lengths) if isinstance(in_shape, Sequences) else shape


def hashable(shape: Shapes) -> Any:
    """Return a key that is equal for equal shapes."""
    leaves, structure = jax.tree.flatten(shape)
    return tuple(shape) if is_sizes(shape) else (tuple(leaves), structure)


def from_hashable(key: Any) -> Shapes:
    """Return the shape of a key."""
    return key if is_sizes(key) else key[1].unflatten(key[0])
