"""The Kullback-Leibler divergence of a predicted distribution from a target, as in distillation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.targets import LOGITS, Targets, check_at_least_0
from jaxnn.typing import AnyArray, Array, Scalar
from jaxnn.validation import is_constant

__all__ = ["kl_divergence", "kl_divergence_gradient", "kl_divergence_value"]


@checked(z=LOGITS, y=Targets())
def kl_divergence_value(z: Array, y: AnyArray) -> Array:
    """Compute L = Σ_j y_j (log y_j - log p_j), p = softmax(z), from logits and distributions over the classes.

    It is `softmax_cross_entropy_value` less the entropy of y, -Σ_j y_j log y_j, which does not depend on z: the
    gradient is the same. If y sums to one, the minimum is 0, at p = y. 0 log 0 is 0.

    Args:
      z: logits, (m, k), k >= 2 classes; or (m, ..., k) for distributions at each position.
      y: target distributions in the shape of z, numbers of at least 0, which need not sum to one.

    Returns:
      The loss of each distribution, (m, ...).

    Raises:
      ValueError: if z and y differ in shape or are not numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> z, y = jnp.zeros((3, 2)), jnp.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])
      >>> print(kl_divergence_value(z, y))
      [0.         0.6931472  0.13081202]

    Source: Kullback and Leibler, "On information and sufficiency", 1951.
    """
    log_y = jnp.log(jnp.where(y == 0, 1, y))
    # A class of probability 0 has no term, so that a logit of -inf, which excludes a class, has zero loss there.
    return jnp.where(y == 0, 0, y * (log_y - jax.nn.log_softmax(z))).sum(axis=-1)


@checked(z=LOGITS, y=Targets())
def kl_divergence_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = p Σ_j y_j - y, (m, ..., k), with p = softmax(z): p - y for distributions that sum to one.

    Derivation. log p_j = z_j - log Σ_l e^{z_l}, so ∂log p_j/∂z_i = [i = j] - p_i, and
    ∂L/∂z_i = -Σ_j y_j([i = j] - p_i) = p_i Σ_j y_j - y_i.

    Example:
      >>> import jax.numpy as jnp
      >>> print(kl_divergence_gradient(jnp.array([[0.0, 0.0]]), jnp.array([[0.25, 0.75]])))
      [[ 0.25 -0.25]]
    """
    return jax.nn.softmax(z) * y.sum(axis=-1, keepdims=True) - y


@factory(computes="kl_divergence_value(z, y)")
@checked(temperature=Real(0, closed="right", fix="above 1 to soften the distributions"))
def kl_divergence(temperature: Scalar = 1.0) -> Loss:
    """Return the Kullback-Leibler divergence from target distributions: `kl_divergence_value`, `..._gradient`.

    With a temperature T, the loss is T² KL(y ‖ softmax(z/T)), as in distillation: y is the softmax of the teacher's
    logits over T, and the factor T² keeps the size of the gradient.

    Derivation. The chain rule through z/T: dz = T² · 1/T · (softmax(z/T) Σ_j y_j - y).

    Args:
      temperature: T, a scalar above 0; may be traced. It is that of y, which is not changed.

    Returns:
      A `Loss`, whose terms are (m, ...) for logits (m, ..., k).

    Raises:
      ValueError: if temperature is not positive and finite.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> teacher, student = jnp.array([[4.0, 0.0], [0.0, 2.0]]), jnp.zeros((2, 2))
      >>> loss, y = kl_divergence(2.0), jax.nn.softmax(teacher / 2.0)
      >>> print(loss.value(student, y))
      [1.311253   0.44377643]
      >>> print(loss.gradient(student, y))
      [[-0.7615941   0.7615941 ]
       [ 0.46211714 -0.4621172 ]]

    `losses.weighted_sum` adds the cross-entropy of labels, for outputs from `nn.fan_out` of two `nn.identity()`.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, section 2.
    """
    if is_constant(temperature, 1):
        return Loss(kl_divergence_value, kl_divergence_gradient, check_at_least_0)

    @checked(z=LOGITS, y=Targets())
    def value(z, y):
        return (temperature**2 * kl_divergence_value(_over(z), y)).astype(z.dtype)

    @checked(z=LOGITS, y=Targets())
    def gradient(z, y):
        return (temperature * kl_divergence_gradient(_over(z), y)).astype(z.dtype)

    def _over(z):
        return (z / temperature).astype(z.dtype)

    return Loss(value, gradient, check_at_least_0)


def _distributions(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    return 2 * rng.normal(size=shape), rng.dirichlet([1.0] * shape[-1], shape[:-1])


CASES = {
    "kl_divergence": (kl_divergence, lambda r, m: _distributions(r, m, 4)),
    "kl_divergence_one_hot": (kl_divergence, lambda r, m: (r.normal(size=(m, 2)), np.eye(2)[r.integers(0, 2, m)])),
    "kl_divergence_sum": (kl_divergence, lambda r, m: (r.normal(size=(m, 4)), 3 * r.uniform(size=(m, 4)))),
    "kl_divergence_positions": (kl_divergence, lambda r, m: _distributions(r, m, 3, 4)),
    "kl_divergence_temperature": (partial(kl_divergence, 2.5), lambda r, m: _distributions(r, m, 4)),
}
