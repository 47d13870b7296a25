"""Transformations of updates: a bound on the norm of each unit's weights."""

import jax
import jax.numpy as jnp
import optax

from jaxnn.constraints import Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.optim.layout import with_layout
from jaxnn.roles import axes_of, is_weight
from jaxnn.typing import Scalar


@factory
@checked(limit=Real(0, closed="right", fix="max_norm(3.0) is usual"))
def max_norm(limit: Scalar) -> optax.GradientTransformation:
    """Limit the norm of each unit's incoming weights: after each update, w := w min(1, limit/|w|).

    This projects the weights w of each unit onto the ball of that radius: each row of a `W`, each vector of an
    embedding `E`, and all weights of each channel that comes out of a `K`, which must not be one of a stack. Biases are
    not limited. It must be the last of a chain, since it needs the update to be made:
    `optax.chain(optax.sgd(0.1), max_norm(3.0))`.

    Args:
      limit: the largest Euclidean norm of a row, positive and finite, a scalar. May be traced.

    Returns:
      An `optax.GradientTransformation`, whose update needs params.

    Raises:
      ValueError: if the limit is not positive and finite; when called, if params have no weight.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.array([[3.0, 0.0], [0.1, 0.2]]), "b": jnp.array([9.0, 9.0])}
      >>> optimizer = optax.chain(optax.sgd(1.0), max_norm(2.0))
      >>> grads = {"W": jnp.array([[0.0, -4.0], [0.0, 0.1]]), "b": jnp.zeros(2)}
      >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
      >>> print(optax.apply_updates(params, updates)["W"])
      [[1.2 1.6]
       [0.1 0.1]]

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014, section 5.1.
    """

    def project(path, update, w):
        axes = axes_of(path)
        if axes is None:
            return update
        after = w + update
        along = tuple(range(after.ndim - 1)) if axes.along is None else axes.along
        norm = jnp.sqrt((after**2).sum(along, keepdims=True))
        return jnp.where(norm > limit, after * (limit / norm) - w, update).astype(update.dtype)

    def update(updates, state, params=None):
        if params is None or not any(is_weight(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)):
            got = "None" if params is None else "params without weights"
            raise ValueError(f"params must have weights for max_norm, got {got}: call update(updates, state, params)")
        return jax.tree_util.tree_map_with_path(project, updates, params), state

    return with_layout(optax.GradientTransformation(lambda params: optax.EmptyState(), update), "jaxnn")
