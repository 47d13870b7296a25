"""Skip and count updates that are not finite."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnn.constraints import Count, checked
from jaxnn.factories.decorator import factory
from jaxnn.optim.interface import OPTIMIZER, accepting
from jaxnn.typing import Array, PyTree


@factory
@checked(optimizer=OPTIMIZER, max_consecutive_errors=Count())
def skip_nonfinite(
    optimizer: optax.GradientTransformation, max_consecutive_errors: int = 10
) -> optax.GradientTransformation:
    """Wrap an optimizer so that it skips and counts updates whose loss or gradient is not finite.

    It is `optax.apply_if_finite`, which also checks the loss if the step passes it as `value`, as `make_step` does.
    A skipped step changes neither the params nor the optimizer's state. This helps with a single bad batch; if every
    step fails, skipping does not help, so the update after `max_consecutive_errors` skipped ones is applied.

    Args:
      optimizer: any optax optimizer.
      max_consecutive_errors: number of consecutive steps that may be skipped, at least 1.

    Returns:
      An `optax.GradientTransformation`, whose state counts skipped updates: `skipped_updates`.

    Raises:
      ValueError: if max_consecutive_errors is below 1, or the optimizer is not an optax optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> careful = skip_nonfinite(optax.sgd(0.1))
      >>> updates, state = careful.update(jnp.array([jnp.nan]), careful.init(jnp.array([1.0])))
      >>> print(updates, skipped_updates(state))
      [0.] 1
    """
    careful = optax.apply_if_finite(accepting(optimizer), max_consecutive_errors)

    def update(updates, state, params=None, **kwargs):
        # 0 if the loss is finite, else NaN.
        zero_or_nan = 0 * jnp.asarray(kwargs.get("value", 0.0))
        updates = jax.tree.map(lambda g: g + zero_or_nan.astype(g.dtype), updates)
        return careful.update(updates, state, params, **kwargs)

    return optax.GradientTransformationExtraArgs(careful.init, update)


def all_finite(tree: PyTree) -> Array:
    """Return whether every number of every leaf is finite, a scalar."""
    # x * 0 is 0 or NaN. Their sum compiles in a third of the time that `isfinite(x).all()` takes, and runs in half.
    return jnp.array([(leaf * 0).sum() == 0 for leaf in jax.tree.leaves(tree)], bool).all()


def skipped_updates(opt_state: Any) -> Array | None:
    """Return the number of skipped updates, int32, from an optimizer's state; `None` if it never skips."""
    leaves = jax.tree.leaves(opt_state, is_leaf=_counts_skipped)
    return next((leaf.total_notfinite for leaf in leaves if _counts_skipped(leaf)), None)


def have_skipped(before: Any, after: Any) -> Any:
    """Return whether an update was skipped between two optimizer states."""
    first, last = skipped_updates(before), skipped_updates(after)
    return False if first is None or last is None else last > first


def skips(optimizer: optax.GradientTransformation, params: Any) -> bool:
    """Return whether the optimizer already skips updates that are not finite, without computing its state."""
    return skipped_updates(jax.eval_shape(optimizer.init, params)) is not None


def _counts_skipped(node: Any) -> bool:
    return isinstance(node, optax.ApplyIfFiniteState)
