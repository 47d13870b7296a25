"""A trained layer inside a network that is trained: held as it infers, without a gradient for its params."""

import jax
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import zero_cotangent
from jaxnn.constraints import checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.activations import tanh
from jaxnn.nn.batch_normalization import batch_norm
from jaxnn.nn.composition import chain
from jaxnn.nn.from_functions import autodiff_pair
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.linear import dense
from jaxnn.typing import Statistics

__all__ = ["frozen"]


@factory
@checked(layer=LAYER)
def frozen(layer: Layer, stats: Statistics = ()) -> Layer:
    """Return the layer as it infers, in training too: y = infer(params, stats, x), with dparams = 0.

    For fine-tuning: the layers of a trained network that are kept as they are. Without randomness, nothing is dropped,
    and a batch normalization keeps the statistics of its training.

    Derivation. params are constants here, so dparams = 0, and dx is the vector-Jacobian product of `infer`, by
    `jax.vjp`.

    An optimizer with weight decay, or a regularizer, still changes the params: mask them there, as by `optax.masked`.

    Args:
      layer: any `Layer`.
      stats: its statistics, as `Fit.stats` has them; `()` for a layer without any.

    Returns:
      A `Layer` with the params of `layer`, which observes nothing.

    Raises:
      ValueError: if it is not a `Layer`; when called, if the statistics are those of another.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = jaxnn.chain(frozen(jaxnn.dense(4)), jaxnn.tanh(), jaxnn.dense(2))
      >>> params, _ = network.init(jax.random.key(0), (3,))
      >>> y, cache = network.forward(params, jnp.ones((2, 3)))
      >>> [bool(jnp.any(leaf)) for leaf in jax.tree.leaves(network.backward(params, cache, y)[0])]
      [False, False, True, True]
    """
    if not all(isinstance(leaf, np.ndarray | Tracer) for leaf in jax.tree.leaves(stats)):
        return frozen(layer, jax.tree.map(np.asarray, stats))  # so that equal numbers make equal layers

    def held_infer(held, x):
        params, stats = jax.lax.stop_gradient(held)
        return layer.infer(params, stats, x)

    pair = autodiff_pair(held_infer)

    def backward(params, cache, dy):
        return jax.tree.map(zero_cotangent, params), pair.backward((params, stats), cache, dy)[1]

    def infer(params, _, x):
        return layer.infer(params, stats, x)

    def forward(params, x, key=None):
        return pair.forward((params, stats), x)

    carried = layer.carried and layer.carried._replace(layer=frozen(layer.carried.layer, stats))
    return Layer(layer.init, forward, backward, infer, parts=layer.parts, carried=carried)


CASES = {
    "frozen": (lambda: frozen(chain(dense(4), tanh())), (5,), {"held": True}),
    "frozen_batch_norm": (
        lambda: frozen(batch_norm(), {"mean": np.arange(5.0, dtype="float32"), "var": np.ones(5, "float32")}),
        (5,),
        {"held": True},
    ),
}
