"""Functions with a `where` for the arguments at which the plain formula has no gradient."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, normal, uniform, wild, with_value


def safe_norm(x, *, min_norm=1e-6):
    squares = jnp.sum(x * x, axis=-1)
    small = squares <= min_norm**2
    return jnp.where(small, min_norm, jnp.sqrt(jnp.where(small, 1, squares)))


def safe_norm_backward(args, dy, *, min_norm=1e-6):
    (x,) = args
    norm = safe_norm(x, min_norm=min_norm)
    return (jnp.where(norm > min_norm, dy / norm, 0)[:, None] * x,)


def xlogy(x, y):
    return jnp.where(x == 0, 0, x * jnp.log(jnp.where(x == 0, 1, y)))


def xlogy_backward(args, dy):
    x, y = args
    return dy * jnp.log(y), dy * x / y


def poisson(rates, counts):
    """Return the mean of rate - count log(rate); a rate of 0 is allowed if nothing was counted."""
    some = counts > 0
    return jnp.mean(rates - jnp.where(some, counts * jnp.log(jnp.where(some, rates, 1)), 0))


def poisson_gradient(rates, counts):
    some = counts > 0
    return (1 - jnp.where(some, counts / jnp.where(some, rates, 1), 0)) / rates.size, None


def binary(p, y, *, epsilon=1e-3):
    p = jnp.clip(p, epsilon, 1 - epsilon)
    return -jnp.where(y == 1, jnp.log(p), jnp.log1p(-p))


def binary_backward(args, dy, *, epsilon=1e-3):
    p, y = args
    inside = (p > epsilon) & (p < 1 - epsilon)
    q = jnp.where(inside, p, 0.5)
    return dy * jnp.where(inside, jnp.where(y == 1, -1 / q, 1 / (1 - q)), 0), None


def safe_sqrt(x):
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def sinc(x):
    return jnp.where(x == 0, 1, jnp.sin(x) / jnp.where(x == 0, 1, x))


def sinc_backward(args, dy):
    # cos x - sin x / x cancels near 0, so its series is used there.
    (x,) = args
    near = jnp.abs(x) < 0.5
    far = jnp.where(near, 1, x)
    s = x * x
    series = -x / 3 * (1 - s / 10 * (1 - s / 28 * (1 - s / 54 * (1 - s / 88 * (1 - s / 130 * (1 - s / 180))))))
    return (dy * jnp.where(near, series, (jnp.cos(far) - jnp.sin(far) / far) / far),)


def log1mexp(x):
    """Return log(1 - exp(-x)) for positive x."""
    small = x < jnp.log(2.0).astype(x.dtype)
    return jnp.where(small, jnp.log(-jnp.expm1(-x)), jnp.log1p(-jnp.exp(-x)))


def differences(positions):
    return positions[:, None] - positions[None]


def distances(positions):
    squares = jnp.sum(differences(positions) ** 2, axis=-1)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def distances_backward(args, dy):
    (positions,) = args
    d = distances(positions)
    forces = jnp.where(d > 0, dy / jnp.where(d > 0, d, 1), 0)[..., None] * differences(positions)
    return (forces.sum(axis=1) - forces.sum(axis=0),)


def normalize(x, *, eps=1e-12):
    norm = jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
    return x / jnp.maximum(norm, eps)


def normalize_fwd(x):
    norm = jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True))
    return x / jnp.maximum(norm, 0.25), (x, norm)


def normalize_bwd(residuals, dy):
    x, norm = residuals
    long = norm > 0.25
    n = x / jnp.where(long, norm, 1)
    tangential = (dy - n * jnp.sum(n * dy, axis=-1, keepdims=True)) / jnp.where(long, norm, 1)
    return (jnp.where(long, tangential, dy / 0.25),)


def cutoff_energy(distances):
    """Return 1/r times a smooth switch that ends at r = 2."""
    inside = (distances < 2) & (distances > 0)
    r = jnp.where(inside, distances, 1)
    return jnp.where(inside, (1 - r * r / 4) ** 2 / r, 0)


def cutoff_energy_backward(args, dy):
    (distances,) = args
    inside = (distances < 2) & (distances > 0)
    r = jnp.where(inside, distances, 1)
    switch = 1 - r * r / 4
    return (dy * jnp.where(inside, -switch - switch**2 / r**2, 0),)


def branch_product(x, y):
    return jnp.where(y == 0, 0, x * y)


ROWS = with_value(normal(311, 4, 3), 1, 0)
WILD = [
    wild("norm of rows, one of them 0", "vjp", safe_norm, safe_norm_backward, ROWS, source="optax.safe_norm",
         min_norm=0.01),
    wild("x log y with zeros", "vjp", xlogy, xlogy_backward, array([0, 1.5, 0, 2, -1]),
         uniform(312, 5), source="scipy.special.xlogy", domain={"y": "positive"}),
    wild("Poisson loss, counts and rates of 0", "gradient", poisson, poisson_gradient,
         array([0, 0.5, 2, 0, 3]), array([0, 1, 3, 0, 2], jnp.int32),
         source="torch.nn.PoissonNLLLoss"),
    wild("binary cross entropy of clipped probabilities", "vjp", binary, binary_backward,
         array([0, 1, 0.3, 0.9, 0, 1]), array([1, 0, 1, 0, 0, 1], jnp.int32),
         source="keras.losses.binary_crossentropy", epsilon=0.01),
    wild("square root, 0 for negative numbers", "vjp", safe_sqrt,
         lambda args, dy: (jnp.where(args[0] > 0, dy / (2 * jnp.sqrt(jnp.where(args[0] > 0, args[0], 1))), 0),),
         array([-1, 0.25, 2, -0.5, 4])),
    wild("sin x / x at 0 and near it", "vjp", sinc, sinc_backward,
         array([0, 1e-3, -0.2, 0.49, 2, -7]), source="jax.numpy.sinc"),
    wild("log(1 - exp(-x))", "vjp", log1mexp, lambda args, dy: (dy / jnp.expm1(args[0]),),
         array([0.01, 0.5, 0.7, 3, 9]), source="tfp.math.log1mexp", domain="positive"),
    wild("distances between particles, 0 on the diagonal", "vjp", distances, distances_backward, normal(313, 4, 3),
         source="jax_md.space.distance"),
    wild("unit vectors, one of length 0", "rule", lambda x: normalize(x, eps=0.25), (normalize_fwd, normalize_bwd),
         ROWS, source="torch.nn.functional.normalize"),
    wild("energy with a smooth cutoff", "vjp", cutoff_energy, cutoff_energy_backward,
         array([0.5, 1, 1.5, 2, 3]), source="jax_md.energy.multiplicative_isotropic_cutoff",
         domain="positive"),
    wild("a product that `where` hides at y = 0", "vjp", branch_product, lambda args, dy: (dy * args[1], dy * args[0]),
         normal(314, 4), array([0, 1, -2, 0])),
    wild("logistic loss split by sign", "vjp", lambda x: jnp.where(x > 0, x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))),
         lambda args, dy: (dy * jax.nn.sigmoid(args[0]),), array([-30, -1, 0, 2, 30]),
         source="tf.nn.sigmoid_cross_entropy_with_logits"),
]  # fmt: skip
