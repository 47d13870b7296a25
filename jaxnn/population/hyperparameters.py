"""One number for each member: grids, and their checks."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
    for name, axis in axes.items():
        if isinstance(axis, str) or not isinstance(axis, Iterable):
            raise ValueError(f"a grid takes a list of numbers of each hyperparameter, got {name}={described(axis)}")
    values = {name: _numbers(name, a if hasattr(a, "dtype") else list(a)) for name, a in axes.items()}
    empty = [name for name, axis in values.items() if axis.size == 0]
    if not values or empty:
        raise ValueError(f"a grid takes one or more values of each hyperparameter, got none of {empty or 'any'}")
    for name, axis in values.items():
        if axis.ndim != 1:
            raise ValueError(f"a grid takes numbers of each hyperparameter, got {name} of shape {axis.shape}")
    return dict(zip(values, (a.ravel() for a in np.meshgrid(*values.values(), indexing="ij")), strict=True))


def check_hyperparameters(hyperparameters: PyTree) -> tuple[PyTree, int]:
    """Validate the hyperparameters; return them as NumPy arrays, and the number of members."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        hyperparameters, is_leaf=lambda node: isinstance(node, list)
    )
    if not leaves:
        raise ValueError("hyperparameters are empty, so there is no member: grid(rate=[0.1, 0.01]) makes two")
    names = [f"hyperparameters{jax.tree_util.keystr(path)}" for path, _ in leaves]
    arrays = [_numbers(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim == 0:
            raise ValueError(
                f"{name} is one number, {array:g}, expected an array with one for each member; "
                "what all have in common, the member function captures"
            )
    lengths = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"hyperparameters have different lengths, {lengths}, expected one entry each for every member; for all "
            "combinations, grid(...)"
        )
    n = len(arrays[0])
    if n == 0:
        raise ValueError(f"hyperparameters have length 0 ({', '.join(names)}), so there is no member to train")
    return jax.tree.unflatten(structure, arrays), n


def _numbers(name: str, values: Any) -> np.ndarray:
    """Convert the values to a dtype of JAX's; raise a ValueError unless they are finite numbers that it can hold."""
    if isinstance(values, jax.Array) and jnp.issubdtype(values.dtype, jax.dtypes.prng_key):
        raise ValueError(f"{name} holds random keys, expected numbers: give seeds, and make the keys of them")
    array = np.asarray(values)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == object or not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(
            f"{name} holds {array.ravel()[:1].tolist()}, expected numbers: what is no number, such as an activation or "
            "the number of layers, makes another program: train a population for each"
        )
    whole = array if np.issubdtype(array.dtype, np.integer) else None
    with np.errstate(over="ignore"):
        array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    if whole is not None and (array != whole).any():
        # It would wrap: the seeds 5 and 2**32 + 5 would give the same training.
        raise ValueError(f"{name} holds {whole[array != whole][0]}, which {array.dtype} cannot hold: at most 2**31 - 1")
    given = np.asarray(values)[~np.isfinite(array)]
    if given.size and np.isfinite(given).any():
        most = jnp.finfo(array.dtype).max
        raise ValueError(
            f"{name} holds {given[np.isfinite(given)][0]}, which {array.dtype} cannot hold: at most {most}"
        )
    if given.size:
        raise ValueError(f"{name} holds values that are not finite: {array[~np.isfinite(array)][:3].tolist()}")
    return array
