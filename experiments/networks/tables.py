"""Networks for tables: columns of categories go through embeddings, and beside numbers into dense layers."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

import jaxnn
from jaxnn import nn
from jaxnn.typing import Shapes

WIDEST = 50


def embedding_width(levels: int) -> int:
    """Return how many numbers stand for each of a category's levels: 1.6 n^0.56, rounded, at most 50.

    Example:
      >>> [embedding_width(n) for n in (2, 10, 100, 1000, 10_000)]
      [2, 6, 21, 50, 50]

    Source: fastai's `emb_sz_rule`, whose maximum is 600; Howard and Gugger, "fastai: a layered API for deep learning",
    2020. It is a rule of thumb. With 50, a table of 10 000 levels has half a million params.
    """
    return min(WIDEST, round(1.6 * levels**0.56))


def in_shape_of(numbers: int, levels: Sequence[int]) -> Shapes:
    """Return the shape of a row: its numbers, and a whole number for each category; (n,) if there are no categories."""
    if not levels:
        return (numbers,)
    level = jax.ShapeDtypeStruct((), jnp.int32)
    return (jax.ShapeDtypeStruct((numbers,), jnp.float32), *(level for _ in levels))


def embed_categories(levels: Sequence[int]) -> tuple[jaxnn.Layer, ...]:
    """Return the layers from a row, as `in_shape_of` has it, to one vector of its numbers and embeddings.

    Embeddings start near 0, so that a level that training never sees adds almost nothing.
    """
    if not levels:
        return ()
    tables = (nn.embedding(n, embedding_width(n), "normal") for n in levels)
    return nn.parallel(nn.identity(), *tables), nn.fan_in_concat()


def embedded_size(numbers: int, levels: Sequence[int]) -> int:
    """Return the size of that vector."""
    return numbers + sum(map(embedding_width, levels))
