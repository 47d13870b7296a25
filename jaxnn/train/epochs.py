"""A pass over the data in one program: batches drawn on the device, and steps scanned."""

from functools import partial
from typing import Any

import jax
import optax

from jaxnn.constraints import Constraint, Count, Flag, checked
from jaxnn.data.batches import Batch, batch_indices, number_of_examples, take
from jaxnn.data.examples import check_rows
from jaxnn.data.weights import check_weight, in_range, mean_weight
from jaxnn.train.carries import check_order
from jaxnn.train.objectives import Gradients, Objective
from jaxnn.train.statistics import begun
from jaxnn.train.steps import Step, TrainState, make_step, on_held_data, shuffle_key
from jaxnn.typing import Array, Key


@checked(batch_size=Count(), shuffle=Flag())
def make_epoch(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    gradients: Gradients = "hand",
    shuffle: bool = True,
    stats_decay: float = 0.99,
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

    Returns:
      A compiled function `epoch(state, data) -> (state, losses)`, losses (steps,). The state is donated. It
      raises a ValueError if there are fewer examples than batch_size, or not one target and weight for each example.

    Raises:
      ValueError: if batch_size is below 1 or shuffle is not a bool, or True for an objective with a carry, and as
        `make_step`.

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

    @partial(jax.jit, donate_argnums=0)
    def epoch(state, data):
        return run_epoch(step, begun(state, stats_decay), data, batch_size=batch_size, shuffle=shuffle)

    return on_held_data(epoch)


def run_epoch(
    step: Step, state: TrainState, data: Batch, order: Key | None = None, *, batch_size: int, shuffle: bool
) -> tuple[TrainState, Array]:
    """Make one pass over the data; return the state after it and the losses, (steps,).

    `order` is the key that shuffles, the state's key by default: members of a population can share their batches.
    """
    _check_lengths(data)
    if batch_size == number_of_examples(data) and not shuffle:
        state, loss = step(state, data)
        return state, loss[None]
    drawn = _epoch_batches(state, data, batch_size, shuffle, order)
    return jax.lax.scan(lambda state, one: step(state, _take(data, one)), state, drawn)


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
) -> tuple[TrainState, Array]:
    """Make n passes over the data, as `run_epoch`; return the state after them and the losses, (n, steps)."""

    def epoch(state, _):
        return run_epoch(step, begun(state, stats_decay), data, order, batch_size=batch_size, shuffle=shuffle)

    return jax.lax.scan(epoch, state, length=n)


def batch_at(state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None = None) -> Batch:
    """Return the batch of the next step of `run_epoch`: x (batch_size, ...)."""
    m = number_of_examples(data)
    if batch_size == m and not shuffle:
        return data
    drawn = _epoch_batches(state, data, batch_size, shuffle, order)
    return _take(data, jax.tree.map(lambda of_steps: of_steps[state.step % -(-m // batch_size)], drawn))


def _epoch_batches(
    state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None
) -> tuple[Array, Array | None, Array | None]:
    """Return the rows (steps, batch_size) of the state's epoch, their weights, and the normalizers (steps,)."""
    m = number_of_examples(data)
    key = state.key if order is None else order
    key = shuffle_key(key, state.step // -(-m // batch_size)) if shuffle else None
    indices, weight = batch_indices(key, m, batch_size)
    if data.weight is None:
        # Without padding, all examples count the same.
        return (indices, None, None) if m % batch_size == 0 else (indices, weight, weight.sum(axis=1))
    own, normalizer = in_range(data.weight, data.normalizer)
    mean, weight = mean_weight(own) if normalizer is None else normalizer / m, weight.astype(own.dtype)
    return indices, weight * own[indices], weight.sum(axis=1) * mean


def _take(data: Batch, drawn: tuple[Array, Array | None, Array | None]) -> Batch:
    rows, weight, normalizer = drawn
    return Batch(take(data.x, rows), take(data.y, rows), weight, normalizer)


def _check_lengths(data: Batch) -> None:
    """Raise a ValueError unless there is a target, and a weight, for each example: JAX would repeat the last one."""
    _ARRAYS.check("data", data)
    check_rows(data.x, data.y)
    if data.weight is not None:
        check_weight(data.weight, number_of_examples(data))


_ARRAYS = Constraint(
    "a jaxnn.Batch of arrays",
    fix="jaxnn.Batch(x, y)",
    test=lambda data: isinstance(data, Batch) and all(hasattr(a, "shape") for a in _arrays_or_lists(data)),
)


def _arrays_or_lists(data: Batch) -> list[Any]:
    # The numbers of a list have shapes if they are traced.
    return jax.tree.leaves(data[:3], is_leaf=lambda a: isinstance(a, list))
