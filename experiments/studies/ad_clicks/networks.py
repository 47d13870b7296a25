"""The three networks that are compared: their inputs and hidden layers."""

from typing import NamedTuple

import jax

import jaxnn
from experiments.networks.tables import embed_categories, in_shape_of
from experiments.studies.ad_clicks.data import CATEGORIES, NUMBERS
from jaxnn import nn

LEVELS = tuple(category.levels for category in CATEGORIES)
IN_SHAPE = in_shape_of(len(NUMBERS), LEVELS)
HIDDEN = (64, 32)


class Candidate(NamedTuple):
    """A network for a row, and the bytes of a row as its first dense layer takes it from memory.

    Attributes:
      name: of the inputs and the network.
      network: the `Layer` from rows to logits.
      row_bytes: of a row in memory.
    """

    name: str
    network: jaxnn.Layer
    row_bytes: int


def candidates() -> list[Candidate]:
    """Return logistic regression and a network on one-hot inputs, and the same network on embeddings."""
    one_hot, whole_numbers = 4 * (len(NUMBERS) + sum(LEVELS)), 4 * (len(NUMBERS) + len(LEVELS))
    return [
        Candidate("one-hot, logistic", nn.chain(*one_hot_categories(), nn.dense(1, "zeros")), one_hot),
        Candidate("one-hot, network", nn.chain(*one_hot_categories(), *_dense_layers()), one_hot),
        Candidate("embeddings, network", nn.chain(*embed_categories(LEVELS), *_dense_layers()), whole_numbers),
    ]


def one_hot_categories() -> tuple[jaxnn.Layer, ...]:
    """Return the layers from a row to one vector: its numbers, and for each category 1 at its level, 0 elsewhere."""

    def one_hot(levels):
        return nn.layer_from(lambda params, x: jax.nn.one_hot(x, levels))

    return nn.parallel(nn.identity(), *map(one_hot, LEVELS)), nn.fan_in_concat()


def _dense_layers() -> list[jaxnn.Layer]:
    hidden = [layer for n in HIDDEN for layer in (nn.dense(n, "he"), nn.relu())]
    return [*hidden, nn.dense(1)]
