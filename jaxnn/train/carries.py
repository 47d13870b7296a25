"""What a network remembers from one batch to the next, in truncated backpropagation through time."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint
from jaxnn.data.batches import Batch
from jaxnn.sequences import beside
from jaxnn.train.objectives import Objective, no_carry
from jaxnn.typing import Params, PyTree

IN_ORDER = Constraint(
    "False for an objective with a carry",
    fix="jaxnn.data.pieces puts the examples in an order in which each batch continues the one before",
    test=lambda shuffle: not shuffle,
)
"""The constraint of `shuffle`, for an objective with a carry."""


def has_carry(objective: Objective) -> bool:
    """Return whether batches of an objective begin where the ones before ended."""
    return getattr(objective, "start", no_carry) is not no_carry


def start_of(objective: Objective, params: Params, data: Batch, batch_size: int, shuffle: Any = False) -> PyTree:
    """Return the carry before the first batch of a size, `()` for an objective without one.

    Raises:
      ValueError: if the objective has a carry, and batches are shuffled.
    """
    if not has_carry(objective):
        return ()
    IN_ORDER.check("shuffle", shuffle)
    of_size = jax.tree.map(lambda a: jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), a.dtype), Batch(data.x, data.y))
    return objective.start(params, of_size)


def with_carry(objective: Objective, state: Any, batch: Batch) -> Batch:
    """Return the batch with the carry of a `TrainState`.

    Raises:
      ValueError: if it is that of another network, or of another number of examples.
    """
    expected = jax.eval_shape(objective.start, state.params, batch)
    got, want = (jax.tree.map(lambda a: f"{a.dtype} {a.shape}", carry) for carry in (state.carry, expected))
    if got != want:
        raise ValueError(
            f"carry of the state must be {want}, got {got}: train_state(params, optimizer, key, "
            "carry=objective.start(params, batch))"
        )
    return batch._replace(carry=state.carry)


def continued(before: PyTree, after: PyTree) -> PyTree:
    """Return the carry after a batch, without a gradient; for an example where it is not finite, the one before it.

    So a batch that was skipped does not make every later one NaN.
    """
    leaves = [leaf for leaf in jax.tree.leaves(after) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not leaves:
        return after
    finite = reduce(jnp.logical_and, (jnp.isfinite(leaf).all(range(1, leaf.ndim)) for leaf in leaves))
    chosen = jax.tree.map(lambda new, old: jnp.where(beside(finite, new), new, old), after, before)
    return jax.lax.stop_gradient(chosen)


def begun_again(state: Any) -> Any:
    """Return a `TrainState` that carries nothing from an earlier epoch: zeros."""
    return state._replace(carry=jax.tree.map(jnp.zeros_like, state.carry))
