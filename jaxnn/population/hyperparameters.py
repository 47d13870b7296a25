"""One number for each member: grids, and their checks."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint
from jaxnn.typing import PyTree
from jaxnn.validation import described


def grid(**axes: Iterable[float]) -> dict[str, np.ndarray]:
    """Return every combination of the values of several hyperparameters, the last one varying fastest.

    Args:
      **axes: name = values, one or more numbers each.

    Returns:
      name -> values of all members, (n,), where n is the product of the lengths.

    Raises:
      ValueError: if there is no axis, an axis has no values, or values are not numbers.

    Example:
      >>> members = grid(learning_rate=[0.1, 0.01], seed=range(3))
      >>> members["learning_rate"].tolist(), members["seed"].tolist()
      ([0.1, 0.1, 0.1, 0.01, 0.01, 0.01], [0, 1, 2, 0, 1, 2])
    """
    if not axes:
        raise ValueError("grid must have at least one hyperparameter, got none: grid(rate=[0.1, 0.01])")
    values = {name: _axis(name, axis) for name, axis in axes.items()}
    return dict(zip(values, (a.ravel() for a in np.meshgrid(*values.values(), indexing="ij")), strict=True))


def as_members(hyperparameters: PyTree) -> tuple[PyTree, int]:
    """Return the hyperparameters as NumPy arrays, and the number of members.

    Raises:
      ValueError: if they are not finite numbers that a program can hold, one entry each for every member.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(hyperparameters, lambda node: isinstance(node, list))
    names = [f"hyperparameters{jax.tree_util.keystr(path)}" for path, _ in leaves]
    arrays = [_numbers(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) != 1 or min(lengths) < (1,):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise ValueError(
            f"hyperparameters must be arrays with one entry for each member, at least one, got {shapes or 'none'}: "
            "grid(...) makes all combinations; what is common to all members, the member function captures"
        )
    return jax.tree.unflatten(structure, arrays), len(arrays[0])


def _axis(name: str, values: Any) -> np.ndarray:
    axis = _numbers(name, list(values) if np.iterable(values) and not hasattr(values, "dtype") else values)
    if axis.ndim != 1 or axis.size == 0:
        raise ValueError(f"{name} must be a list of one or more numbers, got {described(values)}")
    return axis


def _numbers(name: str, values: Any) -> np.ndarray:
    """Convert the values to a dtype of JAX's; raise a ValueError unless they are finite numbers that it can hold."""
    array = np.asarray(_NUMBERS.check(name, values))
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    whole = np.issubdtype(array.dtype, np.integer)
    with np.errstate(over="ignore"):
        held = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    # A whole number would wrap: the seeds 5 and 2**32 + 5 would give the same training.
    lost = held != array if whole else ~np.isfinite(held)
    if lost.any():
        most = (jnp.iinfo if whole else jnp.finfo)(held.dtype).max
        raise ValueError(
            f"{name} must be finite numbers that {held.dtype} can hold, at most {most}, got {array[lost][0]}"
        )
    return held


def _are_numbers(values: Any) -> bool:
    dtype = values.dtype if isinstance(values, jax.Array) else np.asarray(values).dtype
    return jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_)


def _way_to_numbers(values: Any) -> str:
    if isinstance(values, jax.Array):
        return "give seeds, and make the keys of them"
    return (
        "what is no number, such as an activation or the number of layers, makes another program: train a population "
        "for each"
    )


_NUMBERS = Constraint("numbers", fix=_way_to_numbers, test=_are_numbers)
