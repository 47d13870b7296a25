"""The batches of an epoch, drawn on the device from data that are whole or lie in shards."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint
from jaxnn.data.batches import Batch, batch_indices, number_of_examples, take
from jaxnn.data.examples import check_rows
from jaxnn.data.shards import Shards, in_each_shard, in_shards, rows_of, shard_indices, take_in_shards, weight_of_places
from jaxnn.data.weights import check_weight, in_range, mean_weight
from jaxnn.train.carries import has_carry
from jaxnn.train.objectives import Objective
from jaxnn.train.steps import TrainState, shuffle_key
from jaxnn.typing import Array, Key


def batch_at(
    state: TrainState,
    data: Batch,
    batch_size: int,
    shuffle: bool,
    order: Key | None = None,
    shards: Shards | None = None,
) -> Batch:
    """Return the batch of the next step of `run_epoch`: x (batch_size, ...)."""
    if is_one_batch(data, batch_size, shuffle, shards):
        return data if shards is None else whole_batch(data, shards)
    drawn = epoch_batches(state, data, batch_size, shuffle, order, shards)
    steps = len(jax.tree.leaves(drawn)[0])
    return take_drawn(data, jax.tree.map(lambda of_steps: of_steps[state.step % steps], drawn), shards)


def shards_of(data: Batch, n: int) -> Shards:
    """Return how the examples of data (m, ...) lie in n shards."""
    return Shards(number_of_examples(data), n)


def laid_out(data: Batch, shards: Shards) -> Batch:
    """Return data (m, ...) as (n, rows, ...)."""
    x, y = in_shards((data.x, data.y), shards)
    weight, normalizer = data.weight, data.normalizer
    if weight is not None:
        weight, normalizer = in_range(weight, normalizer)
        normalizer = shards.m * mean_weight(weight) if normalizer is None else normalizer
    return Batch(x, y, weight_of_places(weight, shards), normalizer)


def whole_batch(data: Batch, shards: Shards) -> Batch:
    """Return data in shards as one batch, in which padding counts 0."""
    weight, normalizer = data.weight, data.normalizer
    if weight is None and shards.m % shards.n:
        weight, normalizer = jnp.asarray(shards.is_example, jnp.result_type(float)), None
    return Batch(rows_of(data.x), rows_of(data.y), None if weight is None else weight.reshape(-1), normalizer)


def is_one_batch(data: Batch, batch_size: int, shuffle: bool, shards: Shards | None) -> bool:
    """Return whether all data are one batch, in their own order."""
    if shards is None:
        return batch_size == number_of_examples(data) and not shuffle
    return batch_size == shards.n * shards.rows and not shuffle


def epoch_batches(
    state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None, shards: Shards | None
) -> tuple[Array, Array | None, Array | None]:
    """Return the rows (steps, batch_size) of the state's epoch, their weights, and the normalizers (steps,).

    With shards, rows and weights are (steps, n, batch_size/n).
    """
    m = number_of_examples(data) if shards is None else shards.m
    key = state.key if order is None else order
    key = shuffle_key(key, state.step // -(-m // batch_size)) if shuffle else None
    indices, weight = batch_indices(key, m, batch_size) if shards is None else shard_indices(key, shards, batch_size)
    inside = tuple(range(1, indices.ndim))
    if data.weight is None:
        # Without padding, all examples count the same.
        return (indices, None, None) if m == indices.size else (indices, weight, weight.sum(axis=inside))
    own, normalizer = in_range(data.weight, data.normalizer)
    mean, weight = mean_weight(own) if normalizer is None else normalizer / m, weight.astype(own.dtype)
    counts = own[indices] if shards is None else jax.vmap(partial(in_each_shard, own))(indices)
    return indices, weight * counts, weight.sum(axis=inside) * mean


def take_drawn(data: Batch, drawn: tuple[Array, Array | None, Array | None], shards: Shards | None) -> Batch:
    """Return the batch of the rows, the weights and the normalizer that `epoch_batches` drew for one step."""
    rows, weight, normalizer = drawn
    if shards is None:
        return Batch(take(data.x, rows), take(data.y, rows), weight, normalizer)
    weight = None if weight is None else weight.reshape(-1)
    return Batch(take_in_shards(data.x, rows), take_in_shards(data.y, rows), weight, normalizer)


def check_shards(objective: Objective, shards: int | None, batch_size: int | None, m: int | None = None) -> None:
    """Raise ValueError unless each of m examples' shards can draw an equal part of a batch."""
    if shards in (None, 1):
        return
    most = np.inf if m is None else m
    Constraint(
        "None for an objective with a carry",
        fix="each of its batches continues the one before, row by row",
        test=lambda shards: not has_carry(objective),
    ).check("shards", shards)
    Constraint(
        f"at most the number of examples, {m}",
        fix="shards=1 draws batches from all rows",
        test=lambda shards: shards <= most,
    ).check("shards", shards)
    nearest = shards * max(1, round((batch_size or shards) / shards))
    Constraint(
        f"a multiple of the {shards} shards",
        fix=f"each has an equal part of a batch: {nearest}, or another number of shards",
        test=lambda size: size is None or size % shards == 0,
    ).check("batch_size", batch_size)


def check_lengths(data: Batch) -> None:
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
