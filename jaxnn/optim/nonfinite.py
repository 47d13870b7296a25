"""An optimizer that skips updates that are not finite, and counts them."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnn.factories.decorator import factory
from jaxnn.optim.interface import accepting, check_optimizer
from jaxnn.typing import Array
from jaxnn.validation import described, is_count


@factory
def skip_nonfinite(
    optimizer: optax.GradientTransformation, max_consecutive_errors: int = 10
) -> optax.GradientTransformation:
    """The optimiser, which leaves out the update of a step whose loss or gradient is not finite, and counts it.

    It is `optax.apply_if_finite`, told of the loss too where the step passes it as `value`, as those of `make_step` do.
    A skipped step changes neither the params nor the optimiser's state. One bad batch is so left out; where step after
    step fails, leaving out helps no more: the update after `max_consecutive_errors` skipped ones is made as it is.

    Args:
      optimizer: any optax optimiser.
      max_consecutive_errors: so many steps one after another may be skipped, at least 1.

    Returns:
      An `optax.GradientTransformation`, whose state counts what was skipped: `skipped_updates`.

    Raises:
      ValueError: max_consecutive_errors below 1, or what is no optax optimiser.

    Example:
      >>> import jax.numpy as jnp
      >>> careful = skip_nonfinite(optax.sgd(0.1))
      >>> updates, state = careful.update(jnp.array([jnp.nan]), careful.init(jnp.array([1.0])))
      >>> print(updates, skipped_updates(state))
      [0.] 1
    """
    check_optimizer(optimizer)
    if not is_count(max_consecutive_errors):
        raise ValueError(f"skip_nonfinite leaves out at least 1 step in a row, got {described(max_consecutive_errors)}")
    careful = optax.apply_if_finite(accepting(optimizer), max_consecutive_errors)

    def update(grads, state, params=None, **given):
        # 0 where the loss is finite, else NaN.
        unsound = 0 * jnp.asarray(given.get("value", 0.0))
        seen = jax.tree.map(lambda g: g + unsound.astype(g.dtype), grads)
        return careful.update(seen, state, params, **given)

    return optax.GradientTransformationExtraArgs(careful.init, update)


def skipped_updates(opt_state: Any) -> Array | None:
    """How many updates an optimiser left out, by its state: int32, a scalar; `None` where it leaves out none."""
    leaves = jax.tree.leaves(opt_state, is_leaf=_counts_skipped)
    return next((leaf.total_notfinite for leaf in leaves if _counts_skipped(leaf)), None)


def skips(optimizer: optax.GradientTransformation, params: Any) -> bool:
    """Whether the optimiser already leaves out what is not finite; a scalar decision, nothing is computed."""
    return skipped_updates(jax.eval_shape(optimizer.init, params)) is not None


def _counts_skipped(node: Any) -> bool:
    return isinstance(node, optax.ApplyIfFiniteState)
