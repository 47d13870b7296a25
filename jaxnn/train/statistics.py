"""Averages of what layers observe in training, for inference."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.caching import bounded_cache
from jaxnn.constraints import Constraint, ParamsTree, Real, checked
from jaxnn.data.batches import BATCH, Batch, number_of_examples
from jaxnn.data.weights import in_range, relative
from jaxnn.optim.nonfinite import all_finite
from jaxnn.train.carries import begun_again
from jaxnn.train.objectives import OBJECTIVE, Continued, Objective
from jaxnn.typing import Array, Params, Statistics

DECAY = Real(0, 1, "right", description="the factor of earlier batches in an average, above 0 and at most 1")


class Averages(NamedTuple):
    """Weighted means of the statistics of batches.

    Attributes:
      value: the means, in float32 at least, in the structure of what the network observes.
      weight: how many examples they are of, the earlier ones discounted, a scalar.
    """

    value: Statistics
    weight: Array


@checked(objective=OBJECTIVE, params=ParamsTree(), batch=BATCH)
def empty_averages(objective: Objective, params: Params, batch: Batch) -> Averages | tuple[()]:
    """Return the averages before the first batch, of weight 0; `()` if the network observes nothing.

    Args:
      objective: whose statistics they are.
      params: its params; only shapes are read.
      batch: examples to train on, any number; only shapes are read.

    Raises:
      ValueError: if an argument is of another type, and as the objective.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = jaxnn.chain(jaxnn.dense(3), jaxnn.nn.batch_norm(), jaxnn.dense(1))
      >>> params, _ = network.init(jax.random.key(0), (2,))
      >>> batch = jaxnn.Batch(jnp.ones((4, 2)), jnp.zeros(4))
      >>> empty_averages(jaxnn.objective(network, jaxnn.squared_error()), params, batch).value[1]["mean"].tolist()
      [0.0, 0.0, 0.0]
    """
    if not getattr(objective, "observes", True):
        return ()
    # Inside another program it is traced with that: a program kept here would hold an objective with traced numbers.
    inside = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, batch, jax.device_put(0.0))))
    observed = (_observed(objective) if inside else _observed_program(objective)).eval_shape(params, batch)
    return Averages(jax.tree.map(_zeros, observed), jax.device_put(np.zeros((), np.float32))) if observed else ()


def _observed(objective: Objective) -> Any:
    """Return the compiled function of params and a batch that returns what the network observed."""

    def observed(params, batch):
        returned = objective.value(params, batch, jax.random.key(0))
        stats = _LOSS_AND_STATISTICS.check("objective.value(params, batch, key)", returned)[1]
        stats = stats.stats if isinstance(stats, Continued) else stats
        return stats if jax.tree.leaves(stats) else ()

    return jax.jit(observed)


_observed_program = bounded_cache(_observed)


def _zeros(like: jax.ShapeDtypeStruct) -> Array:
    return jax.device_put(np.zeros(like.shape, jnp.promote_types(like.dtype, jnp.float32)))


def averages_value(stats: Averages | tuple[()]) -> Statistics:
    """Return the statistics that inference takes: the means, or `()`."""
    return stats.value if isinstance(stats, Averages) else ()


def updated(stats: Any, observed: Statistics, batch: Batch, decay: float, skipped: Any = False) -> Any:
    """Return the averages after a batch: w <- decay w + n, value <- value + (n/w) (observed - value).

    n is the sum of the weights of its examples. With decay 1 it is the mean over all examples since w was 0; below 1
    earlier batches are discounted, and nothing of the start value is left after the first. A batch that was skipped,
    or whose statistics are not finite, changes nothing.
    """
    if not jax.tree.leaves(observed):
        return stats
    _OF_NETWORK.check("statistics of the state", (stats, observed))
    dtype = stats.weight.dtype
    weights = None if batch.weight is None else _beside_others(batch)
    n = number_of_examples(batch) if weights is None else weights.sum().astype(dtype)
    weight = decay * stats.weight + n
    share = n / jnp.where(weight == 0, 1, weight)
    value = jax.tree.map(lambda old, new: old + share.astype(old.dtype) * (new - old), stats.value, observed)
    kept = all_finite(observed) & ~jnp.asarray(skipped)
    return jax.tree.map(lambda new, old: jnp.where(kept, new, old), Averages(value, weight), stats)


def begun(state: Any, decay: float) -> Any:
    """Return the state at the beginning of an epoch: nothing is carried, averages with decay 1 are of that epoch."""
    state = begun_again(state)
    if decay < 1 or not isinstance(state.stats, Averages):
        return state
    return state._replace(stats=state.stats._replace(weight=jnp.zeros_like(state.stats.weight)))


def _beside_others(batch: Batch) -> Array:
    """Return the weights of examples on the scale of other batches: that of the normalizer, or relative without one."""
    return relative(batch.weight) if batch.normalizer is None else in_range(batch.weight, batch.normalizer)[0]


class _OfNetwork(Constraint):
    """Averages, with what the network observed."""

    def __init__(self):
        super().__init__(
            "averages of what the network observes",
            fix="train_state(params, optimizer, key, empty_averages(objective, params, batch))",
        )

    def accepts(self, value: Any) -> bool:
        """Return whether both have one structure."""
        stats, observed = value
        return jax.tree.structure(averages_value(stats)) == jax.tree.structure(observed)

    def got(self, value: Any) -> str:
        """Return what the averages are instead."""
        return "()" if value[0] == () else "those of another network"


_OF_NETWORK = _OfNetwork()
_LOSS_AND_STATISTICS = Constraint(
    "(loss, stats)",
    fix="without statistics, return loss, ()",
    test=lambda returned: isinstance(returned, tuple) and len(returned) == 2,
)
