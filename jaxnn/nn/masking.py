"""Layers with all but their first units masked."""

import jax
import jax.numpy as jnp

from jaxnn.constraints import Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.typing import Array


@factory
@checked(layer=LAYER, n=Real(1, whole=True, description="a whole number of at least 1"))
def mask_units(layer: Layer, n: Array | int) -> Layer:
    """Return the layer with all but its first n units masked: y_j = f(x)_j for j < n, and 0 for the others.

    n may be traced, such as a hyperparameter that varies over a population: networks of different widths then share one
    program, that of the widest. A masked unit has no influence and its cotangent is 0, so its weights get no gradient:
    with a mask after every hidden layer, a network computes and learns what the narrow one does.

    Derivation. y = f(x) ⊙ 1[j < n] is linear in f(x), element by element, so f(x)'s cotangent is dy ⊙ 1[j < n], and
    f's own backward does the rest.

    Args:
      layer: any `Layer`, such as an activation; its last axis is that of the units.
      n: number of units to keep, a whole number of at least 1; with fewer units, all are kept.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: if n is not a whole number of at least 1.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> layer = mask_units(jaxnn.sigmoid(), 2)
      >>> layer.forward((), jnp.zeros((1, 4)))[0].tolist()
      [[0.5, 0.5, 0.0, 0.0]]
    """

    def forward(params, x, key=None):
        y, cache = layer.forward(params, x, key)
        return _first(y, n), cache

    def backward(params, cache, dy):
        return layer.backward(params, cache, _first(dy, n))

    return Layer(layer.init, forward, backward, layer.parts)


def _first(y: Array, n: Array | int) -> Array:
    # `where`, not a product: a masked unit may have overflowed.
    return jnp.where(jax.lax.broadcasted_iota(jnp.int32, y.shape, y.ndim - 1) < n, y, 0)
