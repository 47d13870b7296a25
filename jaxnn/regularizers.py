"""Regularizers of params, as pairs: a number added to the objective, and its gradient.

By default a regularizer penalizes weights only: a bias shifts an output, and shrinking it does not simplify the
network. A leaf is a weight by its name: see `jaxnn.roles`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.arrays import floats
from jaxnn.constraints import Function, Real, checked
from jaxnn.factories.decorator import factory, factory_made
from jaxnn.roles import is_weight
from jaxnn.typing import Array, Params, Scalar
from jaxnn.validation import is_number

__all__ = ["LeafFilter", "Regularizer", "all_leaves", "elastic_net", "is_weight", "l1", "l2", "no_regularizer"]

LeafFilter = Callable[[tuple[Any, ...]], bool]
"""Selects leaves by their key path, as in `jax.tree_util.tree_flatten_with_path`."""


def _computing(strength: Any) -> str:
    return "" if is_number(strength) else "compute with l2(0.01).value(params)"


_STRENGTH, _WHERE = Real(0, fix=_computing), Function("path")


@factory_made
class Regularizer(NamedTuple):
    """A scalar function of the params, and its gradient.

    Attributes:
      value: `value(params) -> scalar`.
      gradient: `gradient(params) -> dparams`, with the structure, shapes and dtypes of params.
    """

    value: Callable[[Params], Array]
    gradient: Callable[[Params], Params]


def all_leaves(path: tuple[Any, ...]) -> bool:
    """Return True for every key path, to penalize biases too."""
    return True


@factory(computes="no_regularizer().value(params)")
def no_regularizer() -> Regularizer:
    """Return a regularizer that adds nothing: a scalar 0, and gradients of 0 in the shapes of params."""
    return Regularizer(lambda params: jnp.asarray(0.0), lambda params: jax.tree.map(jnp.zeros_like, params))


@factory
@checked(strength=_STRENGTH, where=_WHERE)
def l2(strength: Scalar, where: LeafFilter = is_weight) -> Regularizer:
    """Return the regularizer strength/2 · Σ w², with gradient strength · w, over the entries w of the selected leaves.

    Under plain gradient descent it is weight decay. A regularizer written λ/(2m) · Σ w² is l2(λ/m).

    Derivation. d(w²/2)/dw = w. Leaves that are not selected have gradient 0.

    Args:
      strength: a scalar of at least 0; may be traced.
      where: selects the leaves to penalize; `is_weight` by default, `all_leaves` for biases too.

    Returns:
      A `Regularizer`.

    Raises:
      ValueError: if a strength is not a number of at least 0, or `where` is not a function; when called, if no leaf of
        params is selected.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.array([[3.0, 4.0]]), "b": jnp.array([100.0])}
      >>> print(l2(0.1).value(params))
      1.25
      >>> print(l2(0.1).gradient(params))
      {'W': Array([[0.3, 0.4]], dtype=float32), 'b': Array([0.], dtype=float32)}

    Source: Hoerl and Kennard, "Ridge regression", 1970; Krogh and Hertz, "A simple weight decay can improve
    generalization", 1991.
    """
    return _on_leaves(where, lambda w: strength / 2 * (w * w).sum(), lambda w: strength * w)


@factory
@checked(strength=_STRENGTH, where=_WHERE)
def l1(strength: Scalar, where: LeafFilter = is_weight) -> Regularizer:
    """Return the regularizer strength · Σ |w|, with gradient strength · sign(w), 0 at w = 0, over the selected leaves.

    Derivation. d|w|/dw is -1 below 0 and 1 above; at 0 every slope from -1 to 1 is a subgradient, and the slope is 0:
    the choice of `jnp.sign`, with which a weight of 0 stays 0.

    Args:
      strength: a scalar of at least 0; may be traced.
      where: selects the leaves to penalize; `is_weight` by default, `all_leaves` for biases too.

    Returns:
      A `Regularizer`.

    Raises:
      ValueError: if a strength is not a number of at least 0, or `where` is not a function; when called, if no leaf of
        params is selected.

    Example:
      >>> import jax.numpy as jnp
      >>> print(l1(0.5).gradient({"W": jnp.array([[-3.0, 0.0, 4.0]])}))
      {'W': Array([[-0.5,  0. ,  0.5]], dtype=float32)}

    Source: Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """
    # |w| as max(w, -w): its derivative in JAX is sign(w), 0 at 0, whereas that of `jnp.abs` at 0 is 1.
    return _on_leaves(where, lambda w: strength * jnp.maximum(w, -w).sum(), lambda w: strength * jnp.sign(w))


@factory
@checked(l1_strength=_STRENGTH, l2_strength=_STRENGTH, where=_WHERE)
def elastic_net(l1_strength: Scalar, l2_strength: Scalar, where: LeafFilter = is_weight) -> Regularizer:
    """Return the regularizer l1_strength · Σ |w| + l2_strength/2 · Σ w², the sum of `l1` and `l2`.

    w runs over the entries of the selected leaves.

    Derivation. The gradient of a sum is the sum of the gradients: l1_strength · sign(w) + l2_strength · w.

    Args:
      l1_strength: a scalar of at least 0; may be traced.
      l2_strength: a scalar of at least 0; may be traced.
      where: selects the leaves to penalize; `is_weight` by default, `all_leaves` for biases too.

    Returns:
      A `Regularizer`.

    Raises:
      ValueError: if a strength is not a number of at least 0, or `where` is not a function; when called, if no leaf of
        params is selected.

    Example:
      >>> import jax.numpy as jnp
      >>> print(elastic_net(1.0, 0.5).value({"W": jnp.array([[-2.0]])}))
      3.0

    Source: Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.
    """
    lasso, ridge = l1(l1_strength, where), l2(l2_strength, where)
    return Regularizer(
        lambda params: lasso.value(params) + ridge.value(params),
        lambda params: jax.tree.map(jnp.add, lasso.gradient(params), ridge.gradient(params)),
    )


def _on_leaves(where: LeafFilter, value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Regularizer:
    """Return the sum of `value(leaf)` over the selected leaves, where d value/d leaf = `slope(leaf)`."""

    def total(params):
        selected = _selected(params, where)
        leaves = [floats(w, "params") for w, yes in zip(jax.tree.leaves(params), selected, strict=True) if yes]
        return sum(map(value, leaves), jnp.asarray(0.0))

    def gradient(params):
        leaves, structure = jax.tree.flatten(params)
        selected = _selected(params, where)
        leaves = [floats(w, "params") for w in leaves]
        slopes = [
            slope(w).astype(w.dtype) if yes else jnp.zeros_like(w) for w, yes in zip(leaves, selected, strict=True)
        ]
        return jax.tree.unflatten(structure, slopes)

    return Regularizer(total, gradient)


def _selected(params: Params, where: LeafFilter) -> list[bool]:
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    selected = [where(path) for path in paths]
    if selected and not any(selected):
        names = ", ".join(jax.tree_util.keystr(path) for path in paths[:6])
        raise ValueError(
            f"where must select at least one leaf of params, got none of ({names}): "
            "name weights W, or pass where=all_leaves"
        )
    return selected


CASES = {
    "no_regularizer": (no_regularizer,),
    "l2": (lambda: l2(0.3),),
    "l2_everywhere": (lambda: l2(0.3, where=all_leaves),),
    "l1": (lambda: l1(0.2),),
    "l1_everywhere": (lambda: l1(0.2, where=all_leaves),),
    "elastic_net": (lambda: elastic_net(0.2, 0.3),),
    "elastic_net_ridge_only": (lambda: elastic_net(0, 0.3),),
}
