"""What a leaf of params is, by its name: which are weights, and which axes are their inputs and their units.

A layer names its leaves by this table, and what treats weights apart from biases and gains reads it: regularizers,
weight decay, the bound on a unit's norm, optimizers that read rows and columns, export.
"""

from typing import Any, NamedTuple

import jax

from jaxnn.typing import Params

__all__ = ["WEIGHTS", "WeightAxes", "is_weight"]


class WeightAxes(NamedTuple):
    """The axes of a weight, counted from the end, since scanned layers are stacked in front.

    Attributes:
      inputs: the axis of what goes in.
      units: the axis of the units, or channels, that come out.
      along: the axis along which the weights of one unit lie; `None` for all but `units`. What comes out of an
        embedding is a vector of it.
    """

    inputs: int
    units: int
    along: int | None


WEIGHTS = {
    "W": WeightAxes(-1, -2, -1),
    "W_x": WeightAxes(-1, -2, -1),
    "W_a": WeightAxes(-1, -2, -1),
    "K": WeightAxes(-2, -1, None),
    "E": WeightAxes(-2, -1, -1),
}
"""The names of weights: W (n_out, n_in) of a dense layer, W_x and W_a (gates, n) of a recurrent one, K (..., c_in,
c_out) of a convolution and E (vocabulary, n) of an embedding. Others, such as b, gamma and beta, are no weights."""


_NO_WEIGHTS = ("b", "gamma", "beta")


def name_of(path: tuple[Any, ...]) -> str | None:
    """Return the name of the leaf at a key path, as `jax.tree_util.tree_flatten_with_path` gives it."""
    return getattr(path[-1], "key", getattr(path[-1], "name", None)) if path else None


def is_weight(path: tuple[Any, ...]) -> bool:
    """Return whether the leaf at this key path is a weight, by its name: W, W_x, W_a, K or E.

    Example:
      >>> params = {"W": 1.0, "b": 2.0}
      >>> [is_weight(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
      [True, False]
    """
    return name_of(path) in WEIGHTS


def axes_of(path: tuple[Any, ...]) -> WeightAxes | None:
    """Return the axes of the weight at this key path; `None` for another leaf."""
    return WEIGHTS.get(name_of(path) or "")


def weights_of(params: Params) -> Params:
    """Return a tree of truth values: which leaves are weights; all, if no leaf has a name of jaxnn's layers."""
    known = any(name_of(path) in {*WEIGHTS, *_NO_WEIGHTS} for path, _ in jax.tree_util.tree_leaves_with_path(params))
    return jax.tree_util.tree_map_with_path(lambda path, leaf: is_weight(path) or not known, params)
