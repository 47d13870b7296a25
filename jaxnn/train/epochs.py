"""A pass over the data in one program: batches drawn on the device, and steps scanned."""

from functools import partial

import jax
import optax

from jaxnn.constraints import Count, Flag, Nothing, checked
from jaxnn.data.batches import Batch
from jaxnn.data.shards import Shards
from jaxnn.explicit_axes import on_any_axes
from jaxnn.train.carries import check_order
from jaxnn.train.drawing import (
    check_lengths,
    check_shards,
    epoch_batches,
    is_one_batch,
    laid_out,
    shards_of,
    take_drawn,
    whole_batch,
)
from jaxnn.train.objectives import Gradients, Objective
from jaxnn.train.statistics import begun
from jaxnn.train.steps import Step, TrainState, make_step, on_held_data, places_after_steps
from jaxnn.typing import Array, Key


@checked(batch_size=Count(), shuffle=Flag(), shards=Count() | Nothing())
def make_epoch(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    gradients: Gradients = "hand",
    shuffle: bool = True,
    stats_decay: float = 0.99,
    shards: int | None = None,
) -> Step:
    """Make the compiled function of one pass over the data: shuffle, then ceil(m / batch_size) updates.

    A short last batch is padded to full size with examples of weight 0. If the examples have weights, a batch's sum of
    weighted losses is divided by batch_size times the mean weight, so that the steps of an epoch follow, on average,
    the gradient of the weighted mean over the whole data.

    Args:
      objective: what to minimize.
      optimizer: any optax optimizer.
      batch_size: the number of examples in a batch.
      gradients: "hand" or "auto".
      shuffle: a new order in each epoch; otherwise the order of the data.
      stats_decay: the factor of earlier batches in the averages of statistics, in each step; with 1, they are the means
        over the epoch.
      shards: in how many equal parts the data lie. Each draws its own part of every batch, so that data that are split
        over devices, a multiple of each other, stay where they are. The numbers depend on it, not on the devices.
        `None` to draw from all data.

    Returns:
      A compiled function `epoch(state, data) -> (state, losses)`, losses (steps,). The state is donated. It
      raises a ValueError if there are fewer examples than batch_size, or not one target and weight for each example.

    Raises:
      ValueError: if batch_size is below 1 or not a multiple of the shards, or shuffle is not a bool, or True for an
        objective with a carry, and as `make_step`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.logistic_regression(1)
      >>> epoch = make_epoch(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), batch_size=2)
      >>> state = jaxnn.train_state(model.init(jax.random.key(0)), optax.sgd(1.0), jax.random.key(1))
      >>> state, losses = epoch(state, jaxnn.Batch(jnp.array([[-1.0], [1.0], [2.0]]), jnp.array([0, 1, 1])))
      >>> losses.shape, int(state.step)
      ((2,), 2)

    For a given order, pass the data in that order and do not shuffle. Examples 2 and 0 are the first batch, 1 the next:

      >>> epoch = make_epoch(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), batch_size=2, shuffle=False)
      >>> x, y, order = jnp.array([[-1.0], [1.0], [2.0]]), jnp.array([0, 1, 1]), jnp.array([2, 0, 1])
      >>> state, losses = epoch(state, jaxnn.Batch(x[order], y[order]))

    To continue a `fit`, start from `result.state`: with the same objective, optimizer, batch_size and shuffle, the next
    epochs are, bit for bit, those of a longer `fit`.
    """
    step = make_step(objective, optimizer, gradients, stats_decay)
    check_order(objective, shuffle)
    check_shards(objective, shards, batch_size)

    @partial(jax.jit, donate_argnums=0)
    @partial(on_any_axes, places=places_after_steps)
    def epoch(state, data):
        laid = None
        if shards is not None and shards > 1:
            check_lengths(data)
            laid = shards_of(data, shards)
            check_shards(objective, shards, batch_size, laid.m)
            data = laid_out(data, laid)
        return run_epoch(step, begun(state, stats_decay), data, batch_size=batch_size, shuffle=shuffle, shards=laid)

    return on_held_data(epoch)


def run_epoch(
    step: Step,
    state: TrainState,
    data: Batch,
    order: Key | None = None,
    *,
    batch_size: int,
    shuffle: bool,
    shards: Shards | None = None,
) -> tuple[TrainState, Array]:
    """Make one pass over the data; return the state after it and the losses, (steps,).

    `order` is the key that shuffles, the state's key by default: members of a population can share their batches.
    With shards, the data are `laid_out` in them.
    """
    if shards is None:
        check_lengths(data)
    if is_one_batch(data, batch_size, shuffle, shards):
        state, loss = step(state, data if shards is None else whole_batch(data, shards))
        return state, loss[None]
    drawn = epoch_batches(state, data, batch_size, shuffle, order, shards)
    return jax.lax.scan(lambda state, one: step(state, take_drawn(data, one, shards)), state, drawn)


def run_epochs(
    step: Step,
    state: TrainState,
    data: Batch,
    n: int,
    order: Key | None = None,
    *,
    batch_size: int,
    shuffle: bool,
    stats_decay: float = 0.99,
    shards: Shards | None = None,
) -> tuple[TrainState, Array]:
    """Make n passes over the data, as `run_epoch`; return the state after them and the losses, (n, steps)."""

    def epoch(state, _):
        state = begun(state, stats_decay)
        return run_epoch(step, state, data, order, batch_size=batch_size, shuffle=shuffle, shards=shards)

    return jax.lax.scan(epoch, state, length=n)
