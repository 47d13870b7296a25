"""Kinks where the author's convention is not that of JAX: relu'(0) = 0, sign(0) = 0, the first of equal maxima."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, normal, wild


def hinge(scores, targets):
    return jnp.maximum(1 - scores * targets, 0)


def hinge_backward(args, dy):
    scores, targets = args
    dz = jnp.where(scores * targets < 1, -dy, 0)
    return dz * targets, dz * scores


def relu6(x):
    return jnp.minimum(jnp.maximum(x, 0), 6)


def soft_threshold(x, *, l1reg=1.0):
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - l1reg, 0)


def soft_threshold_backward(args, dy, *, l1reg=1.0):
    return (jnp.where(jnp.abs(args[0]) > l1reg, dy, 0),)


def onto_simplex(x):
    u = jnp.sort(x)[::-1]
    levels = (jnp.cumsum(u) - 1) / jnp.arange(1, x.size + 1, dtype=x.dtype)
    n = jnp.sum(u > levels)
    return jnp.maximum(x - levels[n - 1], 0)


def onto_simplex_backward(p, dy):
    # The threshold moves with the mean of the entries that stay positive.
    support = (p > 0).astype(dy.dtype)
    return (support * (dy - jnp.sum(support * dy) / jnp.sum(support)),)


def onto_ball(x, *, scale=1.0):
    norm = jnp.sqrt(jnp.sum(x * x))
    return jnp.where(norm > scale, scale * x / jnp.where(norm > scale, norm, 1), x)


def onto_ball_backward(args, dy, *, scale=1.0):
    (x,) = args
    norm = jnp.sqrt(jnp.sum(x * x))
    n = x / jnp.where(norm > scale, norm, 1)
    return (jnp.where(norm > scale, scale * (dy - n * jnp.sum(n * dy)) / jnp.where(norm > scale, norm, 1), dy),)


def max_pool(x):
    return x.reshape(-1, 2).max(axis=1)


def max_pool_backward(args, dy):
    windows = args[0].reshape(-1, 2)
    first = jax.nn.one_hot(jnp.argmax(windows, axis=1), 2, dtype=dy.dtype)
    return ((first * dy[:, None]).reshape(-1),)


def median_backward(args, dy):
    (x,) = args
    order = jnp.argsort(x)
    middle = jnp.stack([order[(x.size - 1) // 2], order[x.size // 2]])
    return (jnp.zeros_like(x).at[middle].add(dy / 2),)


def worst_two(losses):
    return jnp.mean(jnp.sort(losses)[-2:])


def worst_two_gradient(losses):
    return jnp.zeros_like(losses).at[jnp.argsort(losses)[-2:]].set(1 / 2)


def total_variation(image):
    return jnp.sum(jnp.abs(jnp.diff(image, axis=0))) + jnp.sum(jnp.abs(jnp.diff(image, axis=1)))


def total_variation_gradient(image):
    down, right = jnp.sign(jnp.diff(image, axis=0)), jnp.sign(jnp.diff(image, axis=1))
    grad = jnp.zeros_like(image).at[1:].add(down).at[:-1].add(-down)
    return grad.at[:, 1:].add(right).at[:, :-1].add(-right)


def triplet(anchors, positives, negatives, *, margin=1.0):
    near = jnp.sum((anchors - positives) ** 2, axis=-1)
    far = jnp.sum((anchors - negatives) ** 2, axis=-1)
    return jnp.maximum(near - far + margin, 0)


def triplet_backward(args, dy, *, margin=1.0):
    anchors, positives, negatives = args
    dz = jnp.where(triplet(*args, margin=margin) > 0, 2 * dy, 0)[:, None]
    return dz * (negatives - positives), dz * (positives - anchors), dz * (anchors - negatives)


def pinball(predictions, targets, alpha):
    residuals = targets - predictions
    return jnp.mean(jnp.maximum(alpha * residuals, (alpha - 1) * residuals))


def pinball_gradient(predictions, targets, alpha):
    residuals = targets - predictions
    slopes = jnp.where(residuals > 0, alpha, jnp.where(residuals < 0, alpha - 1, 0)) / residuals.size
    return -slopes, slopes, jnp.mean(residuals)


def huber(predictions, targets, delta):
    error = jnp.abs(predictions - targets)
    quadratic = jnp.minimum(error, delta)
    return 0.5 * quadratic**2 + delta * (error - quadratic)


def huber_backward(args, dy):
    predictions, targets, delta = args
    error = predictions - targets
    dz = dy * jnp.sign(error) * jnp.minimum(jnp.abs(error), delta)
    return dz, -dz, jnp.sum(dy * jnp.maximum(jnp.abs(error) - delta, 0))


SCORES = array([1, 0.5, -1.25, 2, -1])
SIGNS = array([1, -1, 1, -1, -1])
STEPS = array([[1, 1, 2], [1, 3, 2], [0, 3, 5]])
TRIPLETS = array([[[0, 0], [1, 2]], [[1, 0], [0, 1]], [[1, 1], [3, 1]]])
WILD = [
    wild("hinge loss on its margin", "vjp", hinge, hinge_backward, SCORES, SIGNS, source="optax.losses.hinge_loss"),
    wild("relu6 at 0 and 6", "vjp", relu6, lambda args, dy: (dy * ((args[0] > 0) & (args[0] < 6)),),
         array([-2, 0, 3.5, 6, 9]), source="jax.nn.relu6"),
    wild("soft threshold at the threshold", "vjp", soft_threshold, soft_threshold_backward,
         array([-2, -0.5, 0, 0.25, 0.5, 1.5]), source="jaxopt.prox.prox_lasso", l1reg=0.5),
    wild("projection onto the simplex, an entry on the threshold", "rule", onto_simplex,
         (lambda x: (onto_simplex(x),) * 2, onto_simplex_backward), array([0.75, 0, 0.25, -0.5]),
         source="optax.projections.projection_simplex"),
    wild("projection onto a ball, a point on the sphere", "vjp", onto_ball, onto_ball_backward,
         array([3, 0, -4]), source="optax.projections.projection_l2_ball", scale=5.0),
    wild("max pooling: the first of equal entries", "vjp", max_pool, max_pool_backward,
         array([1, 1, 0, 2, -1, -3, 4, 4]), source="flax.linen.max_pool"),
    wild("median of six, two equal below the middle", "vjp", jnp.median, median_backward,
         array([5, 1, 1, 3, 7, 9]), source="torch.median"),
    wild("mean of the two largest losses, a tie at the cut", "gradient", worst_two, worst_two_gradient,
         array([2, 0.5, 2, 3, 1])),
    wild("total variation with equal neighbors", "gradient", total_variation, total_variation_gradient, STEPS,
         source="tf.image.total_variation"),
    wild("triplet loss on its margin", "vjp", triplet, triplet_backward, *TRIPLETS,
         source="optax.losses.triplet_margin_loss", margin=1.0),
    wild("pinball loss, one residual 0, the quantile a Python float", "gradient", pinball, pinball_gradient,
         array([1, 2, 3, -1]), array([1, 2.5, 2, 0]), 0.7,
         source="sklearn.metrics.mean_pinball_loss", domain={"alpha": "unit interval"}),
    wild("huber loss with its delta", "vjp", huber, huber_backward, normal(301, 6, scale=2), normal(302, 6),
         jnp.float32(0.75), source="optax.losses.huber_loss"),
]  # fmt: skip
