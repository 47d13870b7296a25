"""Mark values inside a program, so that `jaxnn.harvesting` finds them in its jaxpr."""

from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jaxnn.typing import PyTree

MARKING = jax.make_user_context(False)
"""Whether `mark` adds equations. JAX traces a jitted function again if it changes, so no trace lacks its marks."""

MARK = core.Primitive("mark")
"""The identity. Its parameters: `what` is marked, and whether as a "value", its "tangent" or its "cotangent"."""


def mark(what: str, tree: PyTree, kind: str = "value") -> PyTree:
    """Return the tree, each of its arrays marked if the program is traced by `harvest`; by itself an identity.

    A program that is traced otherwise has no equation of it, so marks cost nothing where nobody reads them. The
    derivatives that JAX computes of a marked value are marked too: with `kind="cotangent"` in the reverse pass.

    Args:
      what: the name of what is marked.
      tree: a pytree; leaves that are no JAX arrays, such as the float0 gradient of whole numbers, are not marked.
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
    return jax.tree.map(lambda a: MARK.bind(a, what=what, kind=kind) if isinstance(a, jax.Array) else a, tree)


def mark_leaves(what: str, tree: PyTree) -> PyTree:
    """Mark each array of a tree with its path in the name, such as "grads['W']"."""
    if not MARKING.value:
        return tree
    return jax.tree_util.tree_map_with_path(lambda path, a: mark(f"{what}{jax.tree_util.keystr(path)}", a), tree)


def _differentiate(primals: Any, tangents: Any, *, what: str, kind: str) -> Any:
    (x,), (tangent,) = primals, tangents
    marked = MARK.bind(x, what=what, kind=kind)
    return marked, tangent if isinstance(tangent, ad.Zero) else MARK.bind(tangent, what=what, kind="tangent")


def _transpose(cotangent: Any, x: Any, *, what: str, kind: str) -> list[Any]:
    return [cotangent if isinstance(cotangent, ad.Zero) else MARK.bind(cotangent, what=what, kind="cotangent")]


def _batch(inputs: Any, axes: Any, **params: str) -> Any:
    return MARK.bind(*inputs, **params), axes[0]


MARK.def_impl(lambda x, **params: x)
MARK.def_abstract_eval(lambda aval, **params: aval)
mlir.register_lowering(MARK, lambda context, x, **params: [x])
ad.primitive_jvps[MARK] = _differentiate
ad.primitive_transposes[MARK] = _transpose
batching.primitive_batchers[MARK] = _batch
