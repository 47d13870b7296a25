"""Networks for tables: columns of categories go through embeddings, and beside numbers into dense layers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

import jaxnn
from experiments.networks.spec import LayersSpec, NetworkSpec, Spec
from jaxnn import nn
from jaxnn.nn.activations import ACTIVATIONS
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


class RowShape(NamedTuple):
    """How many numbers and categories a row has."""

    numbers: int
    categories: int


def shape_of_row(in_shape: Shapes) -> RowShape | None:
    """Return what a row of this shape has, or `None` if it is not that of a row, as `in_shape_of` returns it."""
    if isinstance(in_shape, tuple) and len(in_shape) == 1 and isinstance(in_shape[0], int):
        return RowShape(in_shape[0], 0)
    if isinstance(in_shape, tuple) and in_shape and isinstance(in_shape[0], jax.ShapeDtypeStruct):
        numbers, *categories = in_shape
        row = RowShape(math.prod(numbers.shape), len(categories))
        return row if in_shape == in_shape_of(row.numbers, [1] * row.categories) else None
    return None


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


def table_spec(
    numbers: int,
    levels: Sequence[int],
    sizes: Sequence[int],
    activation: str = "relu",
    output: str = "binary",
    init: str = "lecun",
) -> Spec:
    """Return a network for rows of numbers and categories: embeddings, then dense layers of the given sizes.

    Args:
      numbers: how many numbers a row has.
      levels: the number of levels of each category; without categories, it is the network of `mlp`.
      sizes: units of the dense layers, from the first hidden layer to the outputs.
      activation: of hidden layers.
      output: as `mlp` takes it.
      init: of the dense layers' weights.
    """
    if not levels:
        return NetworkSpec((numbers, *sizes), activation, output, init)
    *hidden, n_out = sizes
    dense = [layer for n in hidden for layer in (nn.dense(n, init), ACTIVATIONS[activation]())]
    last = [nn.dense(n_out, init), *([nn.relu()] if output == "relu" else [])]
    network = nn.chain(*embed_categories(levels), *dense, *last)
    return LayersSpec(network, in_shape_of(numbers, levels), output)
