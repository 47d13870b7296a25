"""Inverted dropout: kept elements are scaled up while training, so inference is the identity."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import floats
from jaxnn.constraints import Floats, Mask, RandomKey, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import NO_STATISTICS, Layer
from jaxnn.typing import Array, Key, Scalar

RATE = Real(0, 1, "left", description="the fraction to drop, 0 <= rate < 1", fix="0.2 drops 20 % of the units")

__all__ = ["dropout", "dropout_backward", "dropout_forward"]


TRAINING_KEY = RandomKey(without="infer(params, stats, x) is the network without randomness")
"""The constraint of the key of a layer that is random in training."""


@checked(x=Floats(lists=True), rate=RATE, key=TRAINING_KEY)
def dropout_forward(x: Array, rate: Scalar, key: Key) -> tuple[Array, Array]:
    """Compute y = x · mask/(1 - rate), where each element of mask is 0 with probability `rate` and 1 otherwise.

    The mean of y over masks is x, so inference needs no scaling.

    Args:
      x: inputs, of any shape.
      rate: the fraction to drop (not to keep), 0 <= rate < 1.
      key: a random key.

    Returns:
      y, in the shape and dtype of x (whole numbers become floats), and the cache: the mask, one byte per element.

    Raises:
      ValueError: if the rate is outside [0, 1), or the key is not a random key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> y, mask = dropout_forward(jnp.ones(1000), 0.2, jax.random.key(0))
      >>> sorted({round(v, 2) for v in y.tolist()}), mask.dtype.name
      ([0.0, 1.25], 'bool')

    The mean of y over masks is x to the precision of x's dtype: in bfloat16, 1/(1 - 0.001) is 1.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """
    mask = jax.random.bernoulli(key, 1 - _as_float(rate), x.shape)
    return _masked(mask, x, rate), mask


@checked(mask=Mask(), dy=Floats(lists=True), rate=RATE)
def dropout_backward(mask: Array, dy: Array, rate: Scalar) -> Array:
    """Compute dx = dy · mask/(1 - rate), since y is linear in x, element by element.

    Derivation. Each entry of y is that of x times that of mask/(1 - rate); neither mask nor rate depends on x.

    The mask must be the one of the forward: a new one would give the gradient of another function.

    Raises:
      ValueError: if the mask and dy differ in shape.

    Example:
      >>> import jax.numpy as jnp
      >>> print(dropout_backward(jnp.array([True, False]), jnp.array([1.0, 1.0]), 0.5))
      [2. 0.]
    """
    return _masked(mask, dy, rate)


@factory(computes="dropout_forward(x, rate, key)")
@checked(rate=RATE)
def dropout(rate: Scalar) -> Layer:
    """Return a layer that drops each element with probability `rate` in training, and is the identity in inference.

    Args:
      rate: the fraction to drop, a scalar with 0 <= rate < 1. May be traced, such as a hyperparameter
        that varies over a population; then it is not checked.

    Returns:
      A `Layer` without params. `forward(params, x, key)` is random; `infer(params, stats, x)` is x.

    Raises:
      ValueError: if the rate is outside [0, 1); when called, if forward has no key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = dropout(0.5)
      >>> layer.infer((), (), jnp.ones((2, 3))).tolist()
      [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
      >>> layer.forward((), jnp.ones((2, 3)), jax.random.key(0))[0].max().item()
      2.0

    The mask depends only on the key: the same key gives the same mask. To train with a given mask, make the layer from
    the pure function. Dropout is linear in x, and symmetric, so with a mask its forward is its backward:

      >>> import jaxnn
      >>> mask = jnp.array([[True, False, True], [False, True, True]])  # in the shape of x
      >>> fixed = jaxnn.stateless(
      ...     lambda x: (dropout_backward(mask, x, 0.5), ()), lambda cache, dy: dropout_backward(mask, dy, 0.5)
      ... )
      >>> network = jaxnn.chain(jaxnn.dense(3), fixed, jaxnn.dense(1))
      >>> fixed.forward((), jnp.ones((2, 3)))[0].tolist()
      [[2.0, 0.0, 2.0], [0.0, 2.0, 2.0]]
    """

    def forward(params, x, key: Any = None):
        return dropout_forward(x, rate, key)

    def backward(params, mask, dy):
        return (), dropout_backward(mask, dy, rate)

    @checked(stats=NO_STATISTICS)
    def infer(params, stats, x):
        return floats(x)

    return Layer(lambda key, in_shape: ((), in_shape), forward, backward, infer)


def _as_float(rate: Scalar) -> Scalar:
    """Return the rate; a whole number such as 0 as a float."""
    return floats(rate) if jnp.issubdtype(jnp.result_type(rate), jnp.integer) else rate


def _masked(mask: Array, x: Array, rate: Scalar) -> Array:
    # `where`, not a product: a dropped inf or NaN becomes 0.
    return jnp.where(mask, x / jnp.asarray(1 - rate, x.dtype), 0)


CASES = {
    "dropout": (lambda: dropout(0.4), (5,), {"random": True}),
    "dropout_none": (lambda: dropout(0.0), (5,), {"random": True}),
}
