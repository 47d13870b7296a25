"""Initial params, and params as scikit-learn holds them: matrices (n_in, n_out) and biases."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.caching import bounded_cache
from jaxnn.models.model import Model, shapes_of_params
from jaxnn.nn.layer import Layer
from jaxnn.sklearn.parameters import SCIKIT_LEARN_START
from jaxnn.typing import Params

Coefs = list[np.ndarray]


def draw_start(
    init: str, activation: str, sizes: Sequence[int], model: Model, random: np.random.RandomState, dtype: str
) -> tuple[Coefs, Coefs]:
    """Draw the initial coefs and intercepts of a network of these sizes, (n_0, ..., n_L).

    With "glorot_uniform", they are the numbers that scikit-learn's networks draw from the same random state: weights
    and biases are uniform in ±√(6/(n_in + n_out)), in ±√(2/(n_in + n_out)) for the logistic activation. With another
    name they are jaxnn's, with biases of 0.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    if init != SCIKIT_LEARN_START:
        return coefs_of_params(model.init(jax.random.key(draw_seed(random))))
    coefs, intercepts = [], []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (n_in + n_out))
        coefs.append(random.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
        intercepts.append(random.uniform(-bound, bound, n_out).astype(dtype))
    return coefs, intercepts


def draw_seed(random: np.random.RandomState) -> int:
    """Draw the seed of a random key."""
    return int(random.randint(np.iinfo(np.int32).max))


def params_of_coefs(model: Model, coefs: Coefs, intercepts: Coefs) -> Params:
    """Return the params of a network of dense layers, W = coefᵀ and b, as NumPy arrays."""
    structure = _structure(model.network, model.in_shape)
    pairs = zip(coefs, intercepts, strict=True)
    return jax.tree.unflatten(structure, [leaf for coef, intercept in pairs for leaf in (coef.T, intercept)])


def coefs_of_params(params: Params) -> tuple[Coefs, Coefs]:
    """Return the coefs and intercepts of params."""
    leaves = [np.array(leaf) for leaf in jax.tree.leaves(params)]
    return [np.ascontiguousarray(W.T) for W in leaves[::2]], leaves[1::2]


@bounded_cache
def _structure(network: Layer, in_shape: tuple[int]) -> Any:
    return jax.tree.structure(shapes_of_params(network, in_shape))
