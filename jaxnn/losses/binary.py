"""Cross-entropy of binary labels, from logits and from probabilities."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlog1py, xlogy

from jaxnn.constraints import Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.smoothing import SMOOTHING, even_binary_labels, smoothed
from jaxnn.losses.targets import OUTPUTS, Targets, check_between_0_and_1, per_example
from jaxnn.typing import AnyArray, Array, Scalar
from jaxnn.validation import is_constant

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "binary_cross_entropy_value",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_gradient",
    "sigmoid_cross_entropy_value",
]


@checked(z=OUTPUTS, y=Targets())
def sigmoid_cross_entropy_value(z: Array, y: AnyArray) -> Array:
    """Compute L = -(y log σ(z) + (1 - y) log(1 - σ(z))), summed over an example's outputs, from logits.

    σ(z) = 1/(1 + e^-z) is the probability of label 1. The loss is computed as softplus(z) - yz, rearranged to
    y softplus(-z) + (1 - y) softplus(z): no exponential overflows and no logarithm of 0 is taken, for |z| up to the
    largest float. A term whose factor is 0 is omitted, so an infinite logit has zero loss if it is right and infinite
    loss if it is wrong.

    Args:
      z: logits, (m,), or (m, k) for k independent binary labels.
      y: labels in [0, 1], in the shape of z, or (m,) for z (m, 1).

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if z and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(sigmoid_cross_entropy_value(jnp.array([0.0, 1e4, -1e4]), jnp.array([1, 1, 1])))
      [6.931472e-01 0.000000e+00 1.000000e+04]

    Source: negative log-likelihood of p(y|x) = ŷ^y (1 - ŷ)^(1 - y), ŷ = σ(z); Cox, "The regression analysis of binary
    sequences", 1958.
    """
    positive, negative = _terms_of_labels(z, y)
    return per_example(positive + negative)


def _terms_of_labels(z: Array, y: AnyArray) -> tuple[Array, Array]:
    return jnp.where(y == 0, 0, y * jax.nn.softplus(-z)), jnp.where(y == 1, 0, (1 - y) * jax.nn.softplus(z))


@checked(z=OUTPUTS, y=Targets())
def sigmoid_cross_entropy_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = σ(z) - y, (m,) or (m, k).

    For y > ½ it is computed as (1 - y) - σ(-z), which is equal and keeps the digits that σ(z) - 1 loses if a
    prediction is confident and right.

    Derivation. With a = σ(z): dL/da = -y/a + (1 - y)/(1 - a) and da/dz = a(1 - a), whose product is
    -y(1 - a) + (1 - y)a = a - y. Fused with the sigmoid, the two divisions that diverge at a = 0 and 1 cancel.

    Example:
      >>> import jax.numpy as jnp
      >>> print(sigmoid_cross_entropy_gradient(jnp.array([0.0, 1e4, -1e4]), jnp.array([1, 1, 1])))
      [-0.5  0.  -1. ]
    """
    nearer = jnp.greater(y, 0.5).astype(z.dtype)
    sign = 1 - 2 * nearer
    return sign * jax.nn.sigmoid(sign * z) + (nearer - y)


@checked(a=OUTPUTS, y=Targets("a"))
def binary_cross_entropy_value(a: Array, y: AnyArray) -> Array:
    """Compute L = -(y log a + (1 - y) log(1 - a)), summed over an example's outputs, from probabilities.

    For a network that ends in a sigmoid layer. On logits, `sigmoid_cross_entropy` is the same loss and stays
    finite if a rounds to 0 or 1; here a confident wrong prediction has infinite loss. 0 log 0 is 0.

    Args:
      a: probabilities in [0, 1], (m,) or (m, k).
      y: labels in [0, 1], in the shape of a, or (m,) for a (m, 1).

    Returns:
      The loss of each example, (m,).

    Raises:
      ValueError: if a and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> print(binary_cross_entropy_value(jnp.array([0.5, 0.0]), jnp.array([1, 1])))
      [0.6931472       inf]
    """
    return per_example(-xlogy(y, a) - xlog1py(1 - y, -a))


@checked(a=OUTPUTS, y=Targets("a"))
def binary_cross_entropy_gradient(a: Array, y: AnyArray) -> Array:
    """Compute da = -y/a + (1 - y)/(1 - a), (m,) or (m, k).

    Derivation. The derivative of the logarithm, twice. A term whose numerator is 0 is omitted from the
    loss and has gradient 0, even if its denominator is 0.

    Example:
      >>> import jax.numpy as jnp
      >>> print(binary_cross_entropy_gradient(jnp.array([0.5, 1.0]), jnp.array([1, 1])))
      [-2. -1.]
    """
    # The inner `where` avoids computing 0/0, so that second derivatives are not NaN either.
    ones = jnp.ones_like(a)
    positive = jnp.divide(y, jnp.where(y == 0, ones, a))
    negative = jnp.divide(1 - y, jnp.where(y == 1, ones, 1 - a))
    return negative - positive


@factory(computes="sigmoid_cross_entropy_value(z, y)")
@checked(
    positive_weight=Real(0, closed="right", fix="the number of negative labels over that of positive ones"),
    smoothing=SMOOTHING,
)
def sigmoid_cross_entropy(positive_weight: Scalar = 1.0, smoothing: Scalar = 0.0) -> Loss:
    """Return the cross-entropy of binary labels from logits: `sigmoid_cross_entropy_value`, `..._gradient`.

    With a positive weight p, the term of positive labels is multiplied by it, so that rare ones matter more:
    L = -(p y log σ(z) + (1 - y) log(1 - σ(z))). It is a part of the loss, not a count: the mean is over the number of
    examples, as with PyTorch's `BCEWithLogitsLoss(pos_weight)`.

    With smoothing ε, y' = (1 - ε) y + ε/2 is used in place of y, so that labels are ε/2 and 1 - ε/2. The positive
    weight multiplies the term of y'.

    Derivation. The derivatives of the two terms are -p y σ(-z) and (1 - y) σ(z), whose sum is dz. L is affine in y, so
    L' = (1 - ε) L(z, y) + ε L(z, ½), and dz' is the same sum of the two gradients.

    Args:
      positive_weight: p, a scalar above 0; may be traced.
      smoothing: ε, a scalar with 0 <= ε < 1; may be traced.

    Returns:
      A `Loss`.

    Raises:
      ValueError: if positive_weight is not positive and finite, or smoothing is outside [0, 1).

    Example:
      >>> import jax.numpy as jnp
      >>> loss, z, y = sigmoid_cross_entropy(3.0), jnp.zeros(2), jnp.array([1, 0])
      >>> print(loss.value(z, y), loss.gradient(z, y))
      [2.0794415 0.6931472] [-1.5  0.5]
      >>> print(sigmoid_cross_entropy(smoothing=0.2).gradient(z, y))
      [-0.4  0.4]

    Source: for smoothing, Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, section 7.
    """
    value, gradient = sigmoid_cross_entropy_value, sigmoid_cross_entropy_gradient
    if not is_constant(positive_weight, 1):
        value, gradient = _positive_weighted(positive_weight)
    value, gradient = (smoothed(f, smoothing, even_binary_labels) for f in (value, gradient))
    return Loss(value, gradient, check_between_0_and_1)


def _positive_weighted(weight: Scalar) -> tuple[Callable[..., Array], Callable[..., Array]]:
    @checked(z=OUTPUTS, y=Targets())
    def value(z, y):
        positive, negative = _terms_of_labels(z, y)
        return per_example((weight * positive + negative).astype(z.dtype))

    @checked(z=OUTPUTS, y=Targets())
    def gradient(z, y):
        return ((1 - y) * jax.nn.sigmoid(z) - weight * y * jax.nn.sigmoid(-z)).astype(z.dtype)

    return value, gradient


@factory(computes="binary_cross_entropy_value(a, y)")
@checked(smoothing=SMOOTHING)
def binary_cross_entropy(smoothing: Scalar = 0.0) -> Loss:
    """Return the cross-entropy of binary labels from probabilities: `binary_cross_entropy_value`, `..._gradient`.

    With smoothing ε, y' = (1 - ε) y + ε/2 is used in place of y, as in `sigmoid_cross_entropy`.

    Args:
      smoothing: ε, a scalar with 0 <= ε < 1; may be traced.

    Returns:
      A `Loss`.

    Raises:
      ValueError: if smoothing is outside [0, 1).

    Example:
      >>> import jax.numpy as jnp
      >>> a, y = jnp.array([0.9, 0.9]), jnp.array([1, 0])
      >>> print(binary_cross_entropy(0.2).value(a, y))
      [0.325083  2.0828624]
      >>> print(binary_cross_entropy_value(a, jnp.array([0.9, 0.1])))
      [0.32508302 2.0828624 ]
    """
    value, gradient = (
        smoothed(f, smoothing, even_binary_labels) for f in (binary_cross_entropy_value, binary_cross_entropy_gradient)
    )
    return Loss(value, gradient, check_between_0_and_1)


def _logits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return 2 * rng.normal(size=shape)


def _labels(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 2, shape)


def _soft(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    return rng.dirichlet([1.0] * k, m)


def _shares(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.1, 0.9, shape)


CASES = {
    "sigmoid_cross_entropy": (sigmoid_cross_entropy, lambda r, m: (_logits(r, m, 1), _labels(r, m))),
    "sigmoid_cross_entropy_flat": (sigmoid_cross_entropy, lambda r, m: (_logits(r, m), _labels(r, m, 1))),
    "sigmoid_cross_entropy_many": (sigmoid_cross_entropy, lambda r, m: (_logits(r, m, 3), _labels(r, m, 3))),
    "sigmoid_cross_entropy_soft": (sigmoid_cross_entropy, lambda r, m: (_logits(r, m, 3), _soft(r, m, 3))),
    "sigmoid_cross_entropy_weighted": (
        partial(sigmoid_cross_entropy, 3.0),
        lambda r, m: (_logits(r, m, 3), _soft(r, m, 3)),
    ),
    "sigmoid_cross_entropy_smoothed": (
        partial(sigmoid_cross_entropy, smoothing=0.1),
        lambda r, m: (_logits(r, m), _labels(r, m)),
    ),
    "sigmoid_cross_entropy_weighted_smoothed": (
        partial(sigmoid_cross_entropy, 3.0, 0.3),
        lambda r, m: (_logits(r, m, 3), _soft(r, m, 3)),
    ),
    "binary_cross_entropy": (binary_cross_entropy, lambda r, m: (_shares(r, m, 1), _labels(r, m))),
    "binary_cross_entropy_soft": (binary_cross_entropy, lambda r, m: (_shares(r, m, 3), _soft(r, m, 3))),
    "binary_cross_entropy_smoothed": (
        partial(binary_cross_entropy, 0.1),
        lambda r, m: (_shares(r, m, 3), _labels(r, m, 3)),
    ),
}
