"""A pass over the data in one program: batches drawn on the device, and steps scanned."""

from collections.abc import Callable

import jax
import optax

from jaxnn.data.batches import Batch, batch_indices
from jaxnn.data.weights import in_range, mean_weight
from jaxnn.train.objectives import Objective
from jaxnn.train.steps import Step, TrainState, make_step, of_held, shuffle_key
from jaxnn.typing import Array, Key
from jaxnn.validation import check_flag, described, is_count

Many = Callable[[Step], Callable[..., tuple["TrainState", Array]]]


def make_epoch(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    gradients: str = "hand",
    shuffle: bool = True,
) -> Step:
    """One pass over the data in mini-batches as one compiled program: shuffle, then ceil(m/batch_size) updates.

    The last short batch is trained on: it is padded to full size with examples of weight 0. Where the examples have
    weights of their own, a batch's weighted sum is divided by what the weights of so many examples are on average, so
    that the steps of an epoch follow, on average, the gradient of the whole data's weighted mean.

    Args:
      objective: what to minimise.
      optimizer: any optax optimiser.
      batch_size: examples of a batch.
      gradients: "hand" or "auto".
      shuffle: a fresh order each epoch; else the order of the data.

    Returns:
      A compiled function `epoch(state, data) -> (state, losses)`, losses (steps,). It takes over (donates) the
      state's memory. It raises a ValueError when there are fewer examples than batch_size, or not as many targets,
      or weights, as examples.

    Raises:
      ValueError: batch_size below 1, a shuffle that is neither True nor False, or what `make_step` refuses.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.logistic_regression(1)
      >>> epoch = make_epoch(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), batch_size=2)
      >>> state = jaxnn.train_state(model.init(jax.random.key(0)), optax.sgd(1.0), jax.random.key(1))
      >>> state, losses = epoch(state, jaxnn.Batch(jnp.array([[-1.0], [1.0], [2.0]]), jnp.array([0, 1, 1])))
      >>> losses.shape, int(state.step)
      ((2,), 2)

    An order of one's own: the data in that order, not shuffled. Examples 2 and 0 are the first batch, 1 the second:

      >>> epoch = make_epoch(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), batch_size=2, shuffle=False)
      >>> x, y, order = jnp.array([[-1.0], [1.0], [2.0]]), jnp.array([0, 1, 1]), jnp.array([2, 0, 1])
      >>> state, losses = epoch(state, jaxnn.Batch(x[order], y[order]))

    To continue a training that `fit` made, start from `result.state`: with the same objective, optimizer, batch_size
    and shuffle, the epochs after it are, bit for bit, those of a longer `fit`.
    """
    if not is_count(batch_size):
        raise ValueError(
            f"make_epoch takes batches of a whole number of at least 1 example, got {described(batch_size)}"
        )
    check_flag("shuffle", shuffle)
    epoch = epoch_of(make_step(objective, optimizer, gradients), batch_size, shuffle)
    return of_held(jax.jit(epoch, donate_argnums=0))


def epoch_of(step: Step, batch_size: int, shuffle: bool) -> Callable[..., tuple[TrainState, Array]]:
    """`epoch(state, data, order=None) -> (state, losses (steps,))`: one pass over the data.

    `order` is the key that shuffles, the state's own by default: a population's members can share their batches.
    """

    def epoch(state, data, order=None):
        m = _check_lengths(data)
        if batch_size == m and not shuffle:
            state, loss = step(state, data)
            return state, loss[None]
        drawn = _drawn(state, data, batch_size, shuffle, order)
        return jax.lax.scan(lambda state, one: step(state, _gathered(data, one)), state, drawn)

    return epoch


def batch_at(state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None = None) -> Batch:
    """The batch of the step that comes next in `epoch_of`: x (batch_size, ...)."""
    m = data.x.shape[0]
    if batch_size == m and not shuffle:
        return data
    drawn = _drawn(state, data, batch_size, shuffle, order)
    return _gathered(data, jax.tree.map(lambda of_steps: of_steps[state.step % -(-m // batch_size)], drawn))


def _drawn(
    state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None
) -> tuple[Array, Array | None, Array | None]:
    """Of the state's epoch: rows (steps, batch_size), their weights, and the normalizers (steps,)."""
    m = data.x.shape[0]
    key = state.key if order is None else order
    key = shuffle_key(key, state.step // -(-m // batch_size)) if shuffle else None
    indices, weight = batch_indices(key, m, batch_size)
    if data.weight is None:
        # Where nothing is padded, all count the same.
        return (indices, None, None) if m % batch_size == 0 else (indices, weight, weight.sum(axis=1))
    own, normalizer = in_range(data.weight, data.normalizer)
    mean, weight = mean_weight(own) if normalizer is None else normalizer / m, weight.astype(own.dtype)
    return indices, weight * own[indices], weight.sum(axis=1) * mean


def _gathered(data: Batch, drawn: tuple[Array, Array | None, Array | None]) -> Batch:
    rows, weight, normalizer = drawn
    return Batch(data.x[rows], data.y[rows], weight, normalizer)


def epochs_of(batch_size: int, shuffle: bool) -> Many:
    """Many steps that are epochs: `(state, data, n, order=None) -> (state, losses (n, steps))`, `order` as above."""

    def many(step):
        epoch = epoch_of(step, batch_size, shuffle)
        return lambda state, data, n, order=None: jax.lax.scan(
            lambda state, _: epoch(state, data, order), state, length=n
        )

    return many


def _check_lengths(data: Batch) -> int:
    """The number of examples."""
    if not isinstance(data, Batch) or any(not hasattr(a, "shape") for a in data[:3] if a is not None):
        raise ValueError(f"data is {described(data)}, expected a jaxnn.Batch of arrays: jaxnn.Batch(x, y)")
    m = data.x.shape[0]
    # A row that is not there would be read as the last one, without a word.
    if data.y.shape[:1] != (m,) or (data.weight is not None and data.weight.shape != (m,)):
        weights = None if data.weight is None else data.weight.shape
        raise ValueError(f"x has {m} examples, y has shape {data.y.shape}, weight {weights}: expected one for each")
    return m
