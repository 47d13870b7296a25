"""Cross-entropy of two or more classes, from logits."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_index, check_labels
from jaxnn.constraints import Nothing, checked
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.losses.smoothing import SMOOTHING, even_class_labels, smoothed
from jaxnn.losses.targets import (
    CLASS_WEIGHTS,
    IGNORED,
    LOGITS,
    ClassTargets,
    are_class_numbers,
    check_classes,
    class_numbers,
)
from jaxnn.typing import AnyArray, Array, ArrayLike, Scalar

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_gradient", "softmax_cross_entropy_value"]


@checked(z=LOGITS, y=ClassTargets())
def softmax_cross_entropy_value(z: Array, y: AnyArray) -> Array:
    """Compute L = -Σ_j y_j log p_j, p = softmax(z), from logits and class numbers or distributions over the classes.

    A class number c stands for y_j = [j = c]: 1 for j = c, and 0 elsewhere.

    Args:
      z: logits, (m, k), k >= 2 classes; or (m, ..., k) for labels of each position of a sequence or pixel of an image.
      y: class numbers 0..k-1, (m, ...) or (m, ..., 1), of an integer dtype; or one-hot or soft labels, (m, ..., k),
        which need not sum to one.

    Returns:
      The loss of each label, (m, ...). A class number outside 0..k-1 makes that label's loss NaN, since a
      compiled program cannot raise; `fit` checks labels before it compiles.

    Raises:
      ValueError: if z and y do not fit or are not numbers, or class numbers are floats.

    Example:
      >>> import jax.numpy as jnp
      >>> z = jnp.array([[0.0, 0.0], [1e4, -1e4]])
      >>> print(softmax_cross_entropy_value(z, jnp.array([0, 1])))
      [6.931472e-01 2.000000e+04]
      >>> print(softmax_cross_entropy_value(z, jnp.array([[0.5, 0.5], [0.5, 0.5]])))
      [6.931472e-01 1.000000e+04]

    Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
    """
    log_p = jax.nn.log_softmax(z)
    if are_class_numbers(z, y):
        index = as_index(class_numbers(z, y), z.shape[-1])[..., None]
        return -jnp.take_along_axis(log_p, index, axis=-1, mode="fill")[..., 0]
    # A class of probability 0 has no term, so that a logit of -inf, which excludes a class, has zero loss there.
    return -jnp.where(y == 0, 0, y * log_p).sum(axis=-1)


@checked(z=LOGITS, y=ClassTargets())
def softmax_cross_entropy_gradient(z: Array, y: AnyArray) -> Array:
    """Compute dz = p Σ_j y_j - y, (m, ..., k), with p = softmax(z): p - y for labels that sum to one.

    Derivation. log p_j = z_j - log Σ_l e^{z_l}, so ∂log p_j/∂z_i = [i = j] - p_i, and
    ∂L/∂z_i = -Σ_j y_j([i = j] - p_i) = p_i Σ_j y_j - y_i. A class number outside 0..k-1, whose loss is NaN, has dz = p.

    Example:
      >>> import jax.numpy as jnp
      >>> print(softmax_cross_entropy_gradient(jnp.array([[0.0, 0.0]]), jnp.array([1])))
      [[ 0.5 -0.5]]
    """
    p = jax.nn.softmax(z)
    if are_class_numbers(z, y):
        return p - jax.nn.one_hot(class_numbers(z, y), z.shape[-1], dtype=z.dtype)
    return (p * y.sum(axis=-1, keepdims=True) - y).astype(z.dtype)


@factory(computes="softmax_cross_entropy_value(z, y)")
@checked(
    smoothing=SMOOTHING,
    class_weights=CLASS_WEIGHTS | Nothing(),
    ignore=IGNORED | Nothing(),
)
def softmax_cross_entropy(
    smoothing: Scalar = 0.0, class_weights: ArrayLike | None = None, ignore: int | None = None
) -> Loss:
    """Return the cross-entropy over k classes from logits: `softmax_cross_entropy_value`, `..._gradient`.

    With smoothing ε, a fraction ε of each label is spread evenly over all classes: y'_j = (1 - ε) y_j + ε/k. Class
    weights c make the mean Σ c_y L / Σ c_y, and ignored labels have no part in it: both are the loss's counts. Without
    smoothing, that is the mean of PyTorch's `CrossEntropyLoss(weight, ignore_index)` for class numbers.

    Derivation. L is linear in y, so L' = (1 - ε) L(z, y) + ε L(z, u) with u_j = 1/k, and dz' is the same sum of the two
    gradients, p - y'. (If labels sum to s instead of one, u_j = s/k, and the labels y' sum to s too.)

    Args:
      smoothing: ε, a scalar with 0 <= ε < 1; may be traced.
      class_weights: c, (k,), numbers of at least 0, such as one over the frequency of each class; only their ratios
        matter. A distribution y counts Σ_j y_j c_j. May be traced.
      ignore: a class number whose labels count 0, such as -100, or one of 0..k-1: their loss and dz are 0, even if z
        is not finite there. Labels must then be class numbers.

    Returns:
      A `Loss`, whose terms are (m, ...) for logits (m, ..., k).

    Raises:
      ValueError: if smoothing is outside [0, 1), class weights are not numbers (k,) of at least 0, finite, one of them
        positive, or `ignore` is not a whole number.

    Example:
      >>> import jax.numpy as jnp
      >>> smoothed = softmax_cross_entropy(0.2)
      >>> z, y = jnp.array([[2.0, 0.0]]), jnp.array([0])
      >>> print(smoothed.value(z, y), softmax_cross_entropy().value(z, jnp.array([[0.9, 0.1]])))
      [0.32692805] [0.32692805]

    Two sequences of different lengths, padded with the label -1, and a rare class 1:

      >>> loss = softmax_cross_entropy(class_weights=[1, 5], ignore=-1)
      >>> z, y = jnp.zeros((2, 3, 2)), jnp.array([[0, 1, 0], [1, -1, -1]])
      >>> print(loss.value(z, y))
      [[0.6931472 0.6931472 0.6931472]
       [0.6931472 0.        0.       ]]
      >>> print(loss.counts(z, y))
      [[1. 5. 1.]
       [5. 0. 0.]]

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, section 7; class weights
    as in King and Zeng, "Logistic regression in rare events data", 2001.
    """
    value, gradient = (
        smoothed(f, smoothing, even_class_labels) for f in (softmax_cross_entropy_value, softmax_cross_entropy_gradient)
    )
    if class_weights is None and ignore is None:
        return Loss(value, gradient, check_classes)
    if ignore is not None:
        value, gradient = (_ignoring(f, ignore) for f in (value, gradient))

    @checked(z=LOGITS, y=ClassTargets(numbers=ignore is not None))
    def counts(z, y):
        k, weights = z.shape[-1], class_weights
        weights = jnp.ones(k) if weights is None else jnp.asarray(_for_classes(weights, k), jnp.result_type(float))
        if not are_class_numbers(z, y):
            return (y.astype(weights.dtype) * jnp.broadcast_to(weights, z.shape)).sum(axis=-1)
        y = class_numbers(z, y)
        # A class number outside 0..k-1, whose loss is NaN, counts: the mean is NaN too.
        counts = weights.at[as_index(y, k)].get(mode="fill", fill_value=1)
        return counts if ignore is None else jnp.where(y == ignore, 0, counts)

    @checked(z=LOGITS, y=ClassTargets(convert=False, numbers=ignore is not None))
    def check(z, y):
        if class_weights is not None:
            _for_classes(class_weights, z.shape[-1])
        if ignore is None:
            check_classes(z, y)
        elif (kept := np.asarray(y)[np.asarray(y) != ignore]).size:
            check_labels(kept, z.shape[-1])

    return Loss(value, gradient, check, counts)


def _ignoring(f: Callable[[Array, AnyArray], Array], ignore: int) -> Callable[[Array, AnyArray], Array]:
    """Return f, 0 where labels are ignored: of logits that are finite there, so that JAX's gradient of f is 0 too."""

    @checked(z=LOGITS, y=ClassTargets(numbers=True))
    def of_kept(z, y):
        y = class_numbers(z, y)
        ignored = y == ignore
        result = f(jnp.where(ignored[..., None], 0, z), jnp.where(ignored, 0, y))
        return jnp.where(ignored[..., None] if result.ndim > ignored.ndim else ignored, 0, result)

    return of_kept


def _for_classes(class_weights: Any, k: int) -> Any:
    if class_weights.shape != (k,):
        raise ValueError(
            f"class_weights must be {k} numbers, one for each class of the outputs, got {class_weights.shape[0]}"
        )
    return class_weights


def _logits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return 2 * rng.normal(size=shape)


def _classes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 4, shape)


def _soft(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    return rng.dirichlet([1.0] * k, m)


CASES = {
    "softmax_cross_entropy": (softmax_cross_entropy, lambda r, m: (_logits(r, m, 4), _classes(r, m))),
    "softmax_cross_entropy_column": (softmax_cross_entropy, lambda r, m: (_logits(r, m, 4), _classes(r, m, 1))),
    "softmax_cross_entropy_one_hot": (
        softmax_cross_entropy,
        lambda r, m: (_logits(r, m, 4), np.eye(4)[_classes(r, m)]),
    ),
    "softmax_cross_entropy_soft": (softmax_cross_entropy, lambda r, m: (_logits(r, m, 4), _soft(r, m, 4))),
    "softmax_cross_entropy_sum": (softmax_cross_entropy, lambda r, m: (_logits(r, m, 4), 3 * _soft(r, m, 4))),
    "softmax_cross_entropy_positions": (softmax_cross_entropy, lambda r, m: (_logits(r, m, 3, 4), _classes(r, m, 3))),
    "softmax_cross_entropy_positions_soft": (
        softmax_cross_entropy,
        lambda r, m: (_logits(r, m, 3, 4), r.dirichlet([1.0] * 4, (m, 3))),
    ),
    "softmax_cross_entropy_counted": (
        partial(softmax_cross_entropy, 0.2, [0.5, 2, 1, 3], -1),
        lambda r, m: (_logits(r, m, 3, 4), r.integers(-1, 4, (m, 3))),
    ),
    "softmax_cross_entropy_weighted_soft": (
        partial(softmax_cross_entropy, class_weights=[0.5, 2, 1, 0]),
        lambda r, m: (_logits(r, m, 4), _soft(r, m, 4)),
    ),
    "softmax_cross_entropy_smoothed": (
        partial(softmax_cross_entropy, 0.1),
        lambda r, m: (_logits(r, m, 4), _classes(r, m)),
    ),
    "softmax_cross_entropy_smoothed_sum": (
        partial(softmax_cross_entropy, 0.3),
        lambda r, m: (_logits(r, m, 4), 3 * _soft(r, m, 4)),
    ),
}
