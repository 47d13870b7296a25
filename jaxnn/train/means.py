"""The mean of the terms of a loss: the only one in training.

For an array of terms L with counts c and weights w of the examples, it is J = Σ s L with shares s = w c / Σ w c. Its
gradient with respect to z is s dz, where dz is the gradient of the sum of the terms.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import as_array
from jaxnn.data.batches import Batch
from jaxnn.data.weights import in_range, relative
from jaxnn.losses.terms import beside_terms
from jaxnn.typing import Array, PyTree


def shares_of(batch: Batch, terms: PyTree, counts: PyTree | None) -> PyTree:
    """Return w c / Σ w c for each array of terms (m, ...): the share of each term in the mean, 0 if all counts are 0.

    If the batch has a normalizer N, the shares are multiplied by Σ w / N.

    Args:
      batch: a `Batch`, of which the weight w and the normalizer are read.
      terms: what the loss returned.
      counts: what each term counts, c: a tree of the same arrays, or a prefix of it with `None` for 1.

    Returns:
      A tree of the terms' structure, the shares of an array (m, ...) in its shape, or (m,) if all terms of an example
      have the same.
    """

    def below(counts, terms):
        return jax.tree.map(lambda one: _shares(batch, one, counts), terms)

    return jax.tree.map(below, counts, terms, is_leaf=lambda counts: counts is None)


def mean_of(terms: PyTree, shares: PyTree) -> Array:
    """Return Σ s L, summed over the arrays of terms, (); a term of share 0 may be NaN or infinite."""
    return jax.tree.reduce(jnp.add, jax.tree.map(jnp.sum, shared(terms, shares)))


def shared(outputs: PyTree, shares: PyTree) -> PyTree:
    """Multiply terms, or the gradient dz of their sum, by their shares.

    The result is 0 where a share is 0, since 0 · inf would be NaN.
    """
    return beside_terms(lambda leaf, share: jnp.where(share == 0, 0, leaf * share), outputs, shares)


def _shares(batch: Batch, terms: Array, counts: Array | None) -> Array:
    m = terms.shape[0]
    if m == 0:
        raise ValueError("batch must hold at least one example, got x of shape (0, ...)")
    dtype, of_examples = jnp.promote_types(terms.dtype, jnp.float32), None
    if batch.weight is not None:
        of_examples = _shares_of_examples(batch, m, dtype)
    if counts is None:
        if of_examples is None:
            return jnp.full_like(terms, 1 / max(terms.size, 1))
        positions = max(terms.size // m, 1)
        return (of_examples if positions == 1 else of_examples / positions).astype(terms.dtype)
    if jnp.shape(counts) != terms.shape:
        raise ValueError(f"counts of the loss must have the shape of its terms, {terms.shape}, got {jnp.shape(counts)}")
    counts, factor = jnp.asarray(counts).astype(dtype), 1
    if of_examples is not None:
        counts, factor = shared(counts, of_examples), 1 if batch.normalizer is None else of_examples.sum()
    counts = relative(counts, dtype)
    return (factor * _quotient(counts, counts.sum())).astype(terms.dtype)


def _shares_of_examples(batch: Batch, m: int, dtype: Any) -> Array:
    """Return w / Σ w, or w / N, (m,)."""
    weight = as_array("weight", batch.weight)
    if weight.shape != (m,):
        raise ValueError(f"weight must have shape {(m,)}, one number per example, got {weight.shape}")
    if batch.normalizer is not None and jnp.shape(batch.normalizer) != ():
        raise ValueError(f"normalizer must be a scalar, got shape {jnp.shape(batch.normalizer)}")
    if batch.normalizer is None:
        weight = relative(weight, dtype)
        return _quotient(weight, weight.sum())
    return _quotient(*in_range(weight, batch.normalizer, dtype))


def _quotient(a: Array, total: Array) -> Array:
    return a / jnp.where(total == 0, 1, total)
