"""Loss scaling: gradients computed in float16, at a scale at which they neither vanish nor overflow."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnn.factories.decorator import factory
from jaxnn.optim.interface import accepting, check_optimizer
from jaxnn.optim.nonfinite import skip_nonfinite
from jaxnn.typing import Array, PyTree
from jaxnn.validation import described, is_count, is_number

_MOST = 2.0**24


class LossScale(NamedTuple):
    """The state of an optimiser `with_loss_scale`.

    Attributes:
      scale: S, a float32 scalar.
      sound: how many steps in a row were finite since S last changed, an int32 scalar.
      inner: the state of the optimiser itself.
    """

    scale: Array
    sound: Array
    inner: PyTree


@factory
def with_loss_scale(
    optimizer: optax.GradientTransformation, scale: float = 2.0**15, *, growth_interval: int | None = 2000
) -> optax.GradientTransformation:
    """The optimiser, whose steps compute their gradients S times as large as they are, and divide by S at the end.

    For networks in float16, `with_dtype(network, jnp.float16)`: there a number below 2⁻²⁵ becomes 0, one above 65504
    infinite, and the cotangents of a mean over many examples lie near the lower end. A step that finds a scale in its
    optimiser's state, as `make_step`'s does, multiplies dz by it before the network's backward, and divides dparams by
    it after that, in the dtype of params, float32. bfloat16 has the range of float32, and needs none of this.

    Derivation. A backward is linear in its cotangent, B(S dz) = S B(dz), so B(S dz)/S is the gradient itself. Where S
    is a power of 2, both products are exact: what neither vanishes nor overflows is what it would be without them.

    S adapts: where gradient or loss is not finite, the update is skipped and counted, as by `skip_nonfinite`, and S
    halved; after `growth_interval` finite steps in a row it is doubled. It stays between 1 and 2²⁴. A step that fails
    at S = 1 too is no matter of scale: after 25 failing in a row, the update is made as it is.

    Args:
      optimizer: any optax optimiser.
      scale: S at the start, a scalar from 1 to 2²⁴, best a power of 2.
      growth_interval: finite steps after which S is doubled, at least 1; `None` keeps S as it is, and skips nothing.

    Returns:
      An `optax.GradientTransformation`, whose state holds S: `loss_scale`.

    Raises:
      ValueError: a scale outside 1 to 2²⁴, growth_interval below 1, or what is no optax optimiser.

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
    check_optimizer(optimizer)
    if not is_number(scale, lambda scale: 1 <= scale <= _MOST):
        raise ValueError(f"a loss scale is from 1 to 2**24, got {described(scale)}: 2**15 is where most begin")
    if growth_interval is None:
        inner = accepting(optimizer)
    elif is_count(growth_interval):
        inner = skip_nonfinite(optimizer, max_consecutive_errors=25)
    else:
        got = described(growth_interval)
        raise ValueError(
            f"growth_interval is a number of steps of at least 1, or None for a scale that stays, got {got}"
        )

    def init(params):
        return LossScale(jnp.asarray(scale, jnp.float32), jnp.zeros((), jnp.int32), inner.init(params))

    def update(grads, state, params=None, **given):
        updates, after = inner.update(grads, state.inner, params, **given)
        if growth_interval is None:
            return updates, state._replace(inner=after)
        sound = jnp.where(after.last_finite, state.sound + 1, 0)
        grown = jnp.where(sound == growth_interval, jnp.minimum(2 * state.scale, _MOST), state.scale)
        new_scale = jnp.where(after.last_finite, grown, jnp.maximum(state.scale / 2, 1))
        return updates, LossScale(new_scale, jnp.where(sound == growth_interval, 0, sound), after)

    return optax.GradientTransformationExtraArgs(init, update)


def loss_scale(opt_state: Any) -> Array | None:
    """S, a scalar, by the state of an optimiser `with_loss_scale`, or of one around it; `None` where there is none."""
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, LossScale))
    return next((leaf.scale for leaf in leaves if isinstance(leaf, LossScale)), None)
