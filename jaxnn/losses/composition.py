"""Losses made of others, and of plain functions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint, Function, Nothing, Real, checked
from jaxnn.factories.decorator import ByAutodiff, factory
from jaxnn.losses.categorical import softmax_cross_entropy
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error
from jaxnn.typing import PyTree, Scalar
from jaxnn.validation import described

__all__ = ["loss_from", "weighted_sum"]

_Parts = Mapping[str, tuple[Loss, Scalar]] | Sequence[tuple[Loss, Scalar]]


def _are_parts(value: Any) -> bool:
    if type(value) not in (dict, tuple, list) or not value:
        return False
    parts = value.values() if type(value) is dict else value
    return all(type(part) in (tuple, list) and len(part) == 2 and _is_part(*part) for part in parts)


def _is_part(loss: Any, factor: Any) -> bool:
    return isinstance(loss, Loss) and Real().accepts(factor)


_PARTS = Constraint(
    "a dictionary, tuple or list of pairs (loss, factor), each factor a finite number",
    (
        {},
        (),
        None,
        {"a": squared_error()},
        [(squared_error(), "1")],
        [(squared_error(), 10**400)],
        (squared_error(), 1.0),
        {"a": (1.0, 1.0)},
    ),
    "{'label': (jaxnn.softmax_cross_entropy(), 1.0), 'box': (jaxnn.squared_error(), 0.5)}",
    test=_are_parts,
)


@factory
@checked(losses=_PARTS)
def weighted_sum(losses: _Parts) -> Loss:
    """Return the sum of the losses of several outputs, each multiplied by a factor: J = Σ_n factor_n J_n.

    Each J_n is the mean over the terms of loss n, by what they count: if labels of one output are ignored, the means of
    the others are the same.

    Derivation. J_n depends on the output z_n alone, so dz_n is factor_n times the gradient of loss n.

    Args:
      losses: a pair (loss, factor) for each output: a dictionary with the keys of the outputs z and of the targets y,
        or a tuple or list if z is one. The loss may be a `weighted_sum` too, of an output of several parts. A factor is
        a finite number, and may be traced.

    Returns:
      A `Loss`, whose terms are those of the losses, each times its factor, in the container of z.

    Raises:
      ValueError: if `losses` is not such pairs; when called, if outputs or targets have other keys or another length.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> loss = weighted_sum({"label": (jaxnn.softmax_cross_entropy(), 1.0), "box": (jaxnn.squared_error(), 0.5)})
      >>> z = {"label": jnp.zeros((1, 2)), "box": jnp.array([[3.0, 1.0]])}
      >>> y = {"label": jnp.array([1]), "box": jnp.array([[1.0, 1.0]])}
      >>> for name, terms in loss.value(z, y).items():
      ...     print(name, terms)
      label [0.6931472]
      box [1.]

    Source: Caruana, "Multitask learning", 1997.
    """
    parts: Mapping[Any, tuple[Loss, Scalar]] = losses if isinstance(losses, Mapping) else dict(enumerate(losses))

    def check_entries(z, y):
        for name, tree in (("z", z), ("y", y)):
            _check_entries(name, tree, losses)

    def of_parts(of_part: Callable[..., Any], z: PyTree, y: PyTree) -> PyTree:
        """Return of_part(loss, factor, its z, its y) for each part, in the container of z."""
        check_entries(z, y)
        made = {n: of_part(loss, factor, z[n], y[n]) for n, (loss, factor) in parts.items()}
        return made if isinstance(losses, Mapping) else (list if isinstance(z, list) else tuple)(made.values())

    def check(z, y):
        check_entries(z, y)
        for n, (loss, _) in parts.items():
            try:
                loss.check(z[n], y[n])
            except ValueError as error:
                raise ValueError(f"y[{n!r}] must be targets of output {n!r}, got others: {error}") from error

    def counts(z, y):
        return of_parts(lambda loss, factor, z, y: loss.counts and loss.counts(z, y), z, y)

    return Loss(
        partial(of_parts, lambda loss, factor, z, y: _times(factor, loss.value(z, y))),
        partial(of_parts, lambda loss, factor, z, y: _times(factor, loss.gradient(z, y))),
        check,
        counts if any(loss.counts is not None for loss, _ in parts.values()) else None,
    )


def _check_entries(name: str, tree: Any, losses: Any) -> None:
    if isinstance(losses, Mapping):
        if not isinstance(tree, dict) or tree.keys() != losses.keys():
            got = f"one with keys {[*tree]}" if isinstance(tree, dict) else described(tree)
            raise ValueError(f"{name} must be a dictionary with the keys of the losses, {[*losses]}, got {got}")
    elif not isinstance(tree, tuple | list) or len(tree) != len(losses):
        got = f"{len(tree)} entries" if isinstance(tree, tuple | list) else described(tree)
        raise ValueError(f"{name} must be one entry for each of the {len(losses)} losses, got {got}")


def _times(factor: Scalar, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: (factor * a).astype(a.dtype), tree)


class _ByAutodiff(ByAutodiff, Loss):
    """A loss whose gradient is JAX's, as its repr states."""


@factory
@checked(function=Function("z", "y"), counts=Function("z", "y") | Nothing())
def loss_from(function: Callable[[Any, Any], PyTree], counts: Callable[[Any, Any], PyTree] | None = None) -> Loss:
    """Return the loss of a plain function, with the gradient that JAX derives from it.

    Args:
      function: `function(z, y) -> terms`, the loss of each example, (m,), or of each position in it, (m, ...), as in
        `Loss.value`, without a mean. It is pure and made of JAX's functions.
      counts: what each term counts, as in `Loss.counts`; `None` for 1.

    Returns:
      A `Loss`. Two are equal if their functions are the same objects, so that they share compiled programs: define the
      function once, outside of loops.

    Raises:
      ValueError: if an argument is not a function of (z, y).

    Example:
      >>> import jax.numpy as jnp
      >>> def log_cosh(z, y):
      ...     return jnp.log(jnp.cosh(z - y)).sum(axis=-1)
      >>> loss = loss_from(log_cosh)
      >>> loss
      loss_from(log_cosh) by autodiff
      >>> print(loss.gradient(jnp.array([[1.0]]), jnp.array([[1.0]])))
      [[0.]]
    """

    def gradient(z, y):
        terms, pullback = jax.vjp(lambda z: function(z, y), z)
        return pullback(jax.tree.map(jnp.ones_like, terms))[0]

    return _ByAutodiff(function, gradient, counts=counts)


def _log_cosh(z, y):
    return jnp.log(jnp.cosh(z - y))


def _draw(rng: np.random.Generator, m: int) -> tuple[PyTree, PyTree]:
    z = {"label": rng.normal(size=(m, 4)), "box": (rng.normal(size=(m, 2)), rng.normal(size=m))}
    return z, {"label": rng.integers(-1, 4, m), "box": (rng.normal(size=(m, 2)), rng.normal(size=m))}


CASES = {
    "weighted_sum": (
        lambda: weighted_sum(
            {
                "label": (softmax_cross_entropy(class_weights=[1, 2, 3, 4], ignore=-1), 2.0),
                "box": (weighted_sum(((squared_error(), 0.5), (loss_from(_log_cosh), 1.0))), 0.5),
            }
        ),
        _draw,
    ),
    "loss_from": (lambda: loss_from(_log_cosh), lambda r, m: (r.normal(size=(m, 3)), r.normal(size=(m, 3)))),
}
