"""The terms of a loss: arrays (m, ...), a prefix of the outputs z in their tree and in their axes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.typing import Array, PyTree


def beside_terms(f: Callable[[Array, Array], Array], outputs: PyTree, terms: PyTree) -> PyTree:
    """Return f(leaf, terms of the leaf) for each leaf of the outputs, the terms with axes of 1 appended.

    Args:
      f: takes an array (m, ..., k) and its terms, (m, ..., 1), which broadcast.
      outputs: a pytree of arrays, such as dz.
      terms: a number for each term of the loss, or for all terms of an example, (m,).

    Example:
      >>> dz = {"label": jnp.ones((2, 3)), "box": jnp.ones((2, 1))}
      >>> jax.tree.map(jnp.shape, beside_terms(jnp.multiply, dz, jnp.array([1.0, 2.0])))
      {'box': (2, 1), 'label': (2, 3)}
    """

    def beside(terms, outputs):
        def with_axes(leaf):
            is_float0 = leaf.dtype == jax.dtypes.float0  # of lengths, to which no term belongs
            return leaf if is_float0 else f(leaf, terms.reshape(terms.shape + (leaf.ndim - terms.ndim) * (1,)))

        return jax.tree.map(with_axes, outputs)

    return jax.tree.map(beside, terms, outputs)


def check_terms(terms: PyTree, z: PyTree) -> None:
    """Raise ValueError unless terms have the first axes of their outputs z, at least (m,): others would broadcast."""
    structure = jax.tree.structure(terms)
    try:
        outputs = structure.flatten_up_to(z)
    except ValueError:
        raise ValueError(
            f"terms of the loss must have the structure of the outputs z or its first levels, {jax.tree.structure(z)}, "
            f"got {structure}"
        ) from None
    for one, below in zip(jax.tree.leaves(terms), outputs, strict=True):
        shapes = [leaf.shape for leaf in jax.tree.leaves(below) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        if jnp.ndim(one) == 0 or any(shape[: jnp.ndim(one)] != jnp.shape(one) for shape in shapes):
            raise ValueError(
                f"terms of the loss must have the first axes of the outputs z, {', '.join(map(str, shapes))}, got "
                f"{jnp.shape(one)}: one number for each example, or for each position of it, without a mean"
            )


def check_counts(counts: PyTree) -> None:
    """Raise ValueError unless counts are finite, at least 0, and some of each array above 0; or they are traced.

    If all terms of an array count 0, their mean is 0, and nothing is learned from it.
    """
    for path, one in jax.tree_util.tree_leaves_with_path(counts):
        if isinstance(one, Tracer):
            continue
        where, numbers = jax.tree_util.keystr(path), np.asarray(one)
        if not (numbers >= 0).all() or not np.isfinite(numbers).all():
            raise ValueError(
                f"counts{where} of the loss must be finite and at least 0, got {numbers.min()} to {numbers.max()}"
            )
        if not numbers.any():
            raise ValueError(
                f"y{where} must have a label that counts in the loss, got none: every label is ignored, or of a class "
                "of weight 0"
            )
