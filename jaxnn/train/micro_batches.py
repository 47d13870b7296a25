"""A batch in parts, computed one after another: their gradients add up to that of the batch, with the memory of a part.

J = Σ s L is a sum over the terms of a loss, whose shares s = w c / Σ w c are known before the network is computed: they
depend on weights and targets. So with the shares of the whole batch, each part has its own terms of J, and the gradient
of J is the sum of the parts' gradients.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import cast_like
from jaxnn.data.batches import Batch, number_of_examples
from jaxnn.data.weights import relative
from jaxnn.losses.loss import Loss
from jaxnn.losses.terms import check_terms
from jaxnn.marking.places import MICRO_BATCH
from jaxnn.train.means import mean_of, shared, shares_of
from jaxnn.typing import Array, Key, Params, PyTree, Statistics

Forward = Callable[[Params, PyTree, Key | None, Array | None], tuple[PyTree, Any, Statistics]]
"""`forward(params, x, key, rows) -> (z, cache, observed)`."""
Backward = Callable[[Params, Any, PyTree], Params]
"""`backward(params, cache, dz) -> dparams`."""


class Part(NamedTuple):
    """A part of a batch; of all parts, arrays (n, ...).

    Attributes:
      x, y: its inputs and targets.
      shares: the share of each of its terms in the mean over the whole batch.
      weight: how much each of its examples counts, (size,).
      number: its number, for the random key.
    """

    x: PyTree
    y: PyTree
    shares: PyTree
    weight: Array
    number: Array


def parts_of(n: int, forward: Forward, loss: Loss, params: Params, batch: Batch, key: Key | None) -> Part:
    """Return a batch in n parts of one size, filled up with examples that count 0.

    Part i has the examples i, n + i, 2n + i, ...: of rows that are split over devices, each has some of every part.
    """
    m = number_of_examples(batch)
    weight = jnp.ones(m) if batch.weight is None else relative(batch.weight)
    split = partial(_split, n)
    z, terms = jax.eval_shape(partial(_outputs, forward, loss), params, batch.x, batch.y, key, weight)
    check_terms(terms, z)
    numbers = jnp.arange(n, dtype="int32")
    x, y = jax.tree.map(split, batch.x), jax.tree.map(split, batch.y)
    parts, counts, count = Part(x, y, (), _zero_padded(n, weight), numbers), None, loss.counts
    if count is not None:  # of z only shapes and whole numbers are read: XLA leaves out the rest
        of_parts = jax.lax.map(
            lambda one: count(forward(params, one.x, _key_of(key, one), one.weight)[0], one.y), parts
        )
        counts = jax.tree.map(lambda a: _joined(a, m), of_parts)
    return parts._replace(shares=jax.tree.map(partial(_zero_padded, n), shares_of(batch, terms, counts)))


def value_in_parts(forward: Forward, loss: Loss, params: Params, parts: Part, key: Key | None) -> Any:
    """Return the mean of the loss over all parts and what the network observed; a derivative computes parts again."""

    @jax.checkpoint
    @jax.named_scope(MICRO_BATCH)
    def of_part(wide, part):
        params = jax.tree.map(cast_like, like, wide)
        z, _, observed = forward(params, part.x, _key_of(key, part), part.weight)
        return mean_of(loss.value(z, part.y), part.shares), observed

    like, wide = params, jax.tree.map(_wide, params)  # whose cotangents add up without losing digits

    def add(total, part):
        mean, observed = of_part(wide, part)
        return total + _wide(mean), observed

    dtype = _dtype_of(parts)
    total, observed = jax.lax.scan(add, _wide(jnp.zeros((), dtype)), parts)
    return total.astype(dtype), _averaged(observed, parts)


def gradient_in_parts(
    forward: Forward,
    backward: Backward,
    loss: Loss,
    times: Callable[[PyTree], PyTree],
    params: Params,
    parts: Part,
    key: Key | None,
) -> Any:
    """Return the mean of the loss over all parts, what the network observed, and the sum of the parts' dparams."""

    @jax.named_scope(MICRO_BATCH)
    def add(sums, part):
        z, cache, observed = forward(params, part.x, _key_of(key, part), part.weight)
        mean = mean_of(loss.value(z, part.y), part.shares)
        dparams = backward(params, cache, times(shared(loss.gradient(z, part.y), part.shares)))
        return jax.tree.map(lambda a, b: a + _wide(b), sums, (mean, dparams)), observed

    zeros = jnp.zeros((), _dtype_of(parts)), jax.tree.map(jnp.zeros_like, params)
    sums, observed = jax.lax.scan(add, jax.tree.map(_wide, zeros), parts)
    total, dparams = jax.tree.map(cast_like, zeros, sums)
    return total, _averaged(observed, parts), dparams


def _wide(a: Array) -> Array:
    """Return an array in float32 at least, in which many small numbers add up."""
    return a.astype(jnp.promote_types(a.dtype, jnp.float32))


def _outputs(forward: Forward, loss: Loss, params: Params, x: PyTree, y: PyTree, key: Any, weight: Array) -> Any:
    z, *_ = forward(params, x, key, weight)
    return z, loss.value(z, y)


def _key_of(key: Key | None, part: Part) -> Key | None:
    return None if key is None else jax.random.fold_in(key, part.number)


def _dtype_of(parts: Part) -> Any:
    return jnp.result_type(*jax.tree.leaves(parts.shares))


def _averaged(observed: Statistics, parts: Part) -> Statistics:
    """Return the means of what the parts observed, by how much their examples count."""
    weight = parts.weight.sum(axis=1)
    weight = weight / jnp.where(weight.sum() == 0, 1, weight.sum())
    return jax.tree.map(lambda a: jnp.tensordot(weight.astype(a.dtype), a, 1), observed)


def _split(n: int, a: Array) -> Array:
    """Return rows (m, ...) as (n, size, ...), example 0 again as padding."""
    m = a.shape[0]
    rows = np.concatenate([np.arange(m), np.zeros(-m % n, int)])
    a = jnp.asarray(a) if m % n == 0 else jnp.asarray(a)[rows]
    return jnp.moveaxis(a.reshape(-1, n, *a.shape[1:]), 1, 0)


def _zero_padded(n: int, a: Array) -> Array:
    """Return rows (m, ...) as (n, size, ...), 0 at padding."""
    a = jnp.pad(a, ((0, -len(a) % n), *[(0, 0)] * (a.ndim - 1)))
    return jnp.moveaxis(a.reshape(-1, n, *a.shape[1:]), 1, 0)


def _joined(a: Array, m: int) -> Array:
    """Return (n, size, ...) as the rows (m, ...) that it was made of."""
    return jnp.moveaxis(a, 0, 1).reshape(-1, *a.shape[2:])[:m]
