"""Loss scaling: scale gradients in float16 so that they neither vanish nor overflow."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnn.constraints import Count, Nothing, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.optim.interface import OPTIMIZER, accepting
from jaxnn.optim.nonfinite import skip_nonfinite
from jaxnn.typing import Array, PyTree, Scalar

_MOST = 2.0**24


class LossScale(NamedTuple):
    """The state of an optimizer `with_loss_scale`.

    Attributes:
      scale: S, a float32 scalar.
      good_steps: the number of consecutive finite steps since S last changed, an int32 scalar.
      inner: the state of the wrapped optimizer.
    """

    scale: Array
    good_steps: Array
    inner: PyTree


@factory
@checked(
    optimizer=OPTIMIZER,
    scale=Real(1, _MOST, description="from 1 to 2**24", fix="2**15 is usual"),
    growth_interval=Count(fix="None keeps the scale constant") | Nothing(),
)
def with_loss_scale(
    optimizer: optax.GradientTransformation, scale: Scalar = 2.0**15, *, growth_interval: int | None = 2000
) -> optax.GradientTransformation:
    """Wrap an optimizer so that its steps compute gradients S times as large and divide them by S.

    For networks in float16, `with_dtype(network, jnp.float16)`: there a number below 2⁻²⁵ becomes 0, one above 65504
    infinite, and the cotangents of a mean over many examples are near the lower end. A step whose optimizer state has a
    scale, such as that of `make_step`, multiplies dz by it before the network's backward and divides dparams by
    it afterwards, in the dtype of params, float32. bfloat16 has the range of float32 and does not need it.

    Derivation. A backward is linear in its cotangent, B(S dz) = S B(dz), so B(S dz)/S is the gradient. If S is a power
    of 2, both products are exact: a number that neither vanishes nor overflows is the same as without scaling.

    S adapts: if the gradient or the loss is not finite, the update is skipped and counted, as by `skip_nonfinite`, and
    S is halved; after `growth_interval` consecutive finite steps it is doubled. It stays between 1 and 2²⁴. A step that
    fails at S = 1 too does not fail because of its scale: after 25 consecutive failures, the update is applied.

    Args:
      optimizer: any optax optimizer.
      scale: the initial S, a scalar from 1 to 2²⁴, preferably a power of 2.
      growth_interval: number of finite steps after which S is doubled, at least 1; with `None`, S is constant and no
        update is skipped.

    Returns:
      An `optax.GradientTransformation`, whose state holds S: `loss_scale`.

    Raises:
      ValueError: if the scale is outside 1 to 2²⁴, growth_interval is below 1, or the optimizer is not an optax
        optimizer.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.mlp((1, 1), output="linear", init="zeros")
      >>> half = jaxnn.objective(jaxnn.with_dtype(model.network, jnp.float16), model.loss)
      >>> batch = jaxnn.Batch(jnp.array([[1.0]]), jnp.array([1e-8]))
      >>> for optimizer in (optax.sgd(1.0), with_loss_scale(optax.sgd(1.0))):
      ...     state = jaxnn.train_state(model.init(jax.random.key(0)), optimizer, jax.random.key(1))
      ...     state, _ = jaxnn.make_step(half, optimizer)(state, batch)
      ...     print(state.params[0]["W"])
      [[0.]]
      [[1.0e-08]]

    Source: Micikevicius et al., "Mixed precision training", 2018, section 3.2.
    """
    inner: Any = (
        accepting(optimizer) if growth_interval is None else skip_nonfinite(optimizer, max_consecutive_errors=25)
    )

    def init(params):
        return LossScale(jnp.asarray(scale, jnp.float32), jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates, state, params=None, **kwargs):
        updates, after = inner.update(updates, state.inner, params, **kwargs)
        if growth_interval is None:
            return updates, state._replace(inner=after)
        good_steps = jnp.where(after.last_finite, state.good_steps + 1, 0)
        grown = jnp.where(good_steps == growth_interval, jnp.minimum(2 * state.scale, _MOST), state.scale)
        new_scale = jnp.where(after.last_finite, grown, jnp.maximum(state.scale / 2, 1))
        return updates, LossScale(new_scale, jnp.where(good_steps == growth_interval, 0, good_steps), after)

    return optax.GradientTransformationExtraArgs(init, update)


def loss_scale(opt_state: Any) -> Array | None:
    """Return S from the state of an optimizer `with_loss_scale`, or of one that wraps it; `None` without a scale."""
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, LossScale))
    return next((leaf.scale for leaf in leaves if isinstance(leaf, LossScale)), None)
