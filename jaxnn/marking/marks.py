"""Mark values inside a program, so that `jaxnn.marking.harvesting` finds them in its jaxpr."""

import jax

from jaxnn.typing import PyTree

MARKING = jax.make_user_context(False)
"""Whether `mark` adds equations. JAX traces a jitted function again if it changes, so no trace lacks its marks."""


def mark(what: str, tree: PyTree, kind: str = "value") -> PyTree:
    """Return the tree, each of its arrays marked if the program is traced by `harvest`; else the identity.

    A program that is traced otherwise has no equation of it, so marks that are not read cost nothing. The
    derivatives that JAX computes of a marked value are marked too: with `kind="cotangent"` in the reverse pass.

    Args:
      what: the name of what is marked.
      tree: a pytree; leaves other than JAX arrays, such as the float0 gradient of whole numbers, are not marked.
      kind: "value", or "cotangent" if it is the derivative of the objective with respect to what is named.

    Returns:
      A tree of the same values.

    Example:
      >>> import jax.numpy as jnp
      >>> mark("inputs", jnp.ones(2))
      Array([1., 1.], dtype=float32)
    """
    if not MARKING.value:
        return tree
    from jaxnn.marking.primitive import MARK  # here, so that importing jaxnn does not import jax.extend

    return jax.tree.map(lambda a: MARK.bind(a, what=what, kind=kind) if isinstance(a, jax.Array) else a, tree)


def mark_leaves(what: str, tree: PyTree) -> PyTree:
    """Mark each array of a tree with its path in the name, such as "grads['W']"."""
    if not MARKING.value:
        return tree
    return jax.tree_util.tree_map_with_path(lambda path, a: mark(f"{what}{jax.tree_util.keystr(path)}", a), tree)
