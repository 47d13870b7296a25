"""Gradients that are right in a domain, which the author states: matrices, knots, probabilities, unit vectors."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, normal, positive_definite, simplex, uniform, wild, with_rule

digamma, gammaln = jax.scipy.special.digamma, jax.scipy.special.gammaln


def sym(a):
    return (a + a.T) / 2


def gaussian(x, mean, S):
    """Return the log density at x, by Cholesky."""
    L = jnp.linalg.cholesky(S)
    z = jax.scipy.linalg.solve_triangular(L, x - mean, lower=True)
    return -0.5 * z @ z - jnp.sum(jnp.log(jnp.diag(L))) - 0.5 * x.size * jnp.log(2 * jnp.pi).astype(x.dtype)


def gaussian_gradient(x, mean, S):
    inverse = jnp.linalg.inv(S)
    u = inverse @ (x - mean)
    return -u, u, (jnp.outer(u, u) - inverse) / 2


def divergence(S, T):
    """Return KL(N(0, S) || N(0, T))."""
    half = jnp.linalg.slogdet(T)[1] - jnp.linalg.slogdet(S)[1]
    return 0.5 * (jnp.trace(jnp.linalg.solve(T, S)) - S.shape[0] + half)


def divergence_backward(args, dy):
    # Both inverses are symmetric because S and T are.
    S, T = args
    inverse = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(T), True), jnp.eye(T.shape[0], dtype=T.dtype))
    return dy / 2 * (inverse - jnp.linalg.inv(S)), dy / 2 * (inverse - inverse @ S @ inverse)


def logm(S):
    w, V = jnp.linalg.eigh(S)
    return V * jnp.log(w)[None] @ V.T


def logm_backward(args, dy):
    """Divide differences of the logarithm by those of the eigenvalues (Daleckii and Krein)."""
    w, V = jnp.linalg.eigh(args[0])
    ratio = w[:, None] / w[None]
    near = jnp.abs(ratio - 1) < 1e-3
    gap = jnp.where(near, 1, w[:, None] - w[None])
    # Near equal eigenvalues, the slope at the geometric mean is right to (1e-3)² / 24.
    quotient = jnp.where(near, 1 / jnp.sqrt(w[:, None] * w[None]), jnp.log(ratio) / gap)
    return (V @ (quotient * (V.T @ sym(dy) @ V)) @ V.T,)


def interpolate_backward(args, dy):
    x, knots, values = args
    i = jnp.clip(jnp.searchsorted(knots, x, side="right") - 1, 0, knots.size - 2)
    width, rise = knots[i + 1] - knots[i], values[i + 1] - values[i]
    inside = (x >= knots[0]) & (x <= knots[-1])
    t = jnp.clip((x - knots[i]) / width, 0, 1)
    dx = jnp.where(inside, dy * rise / width, 0)
    d_knots = jnp.zeros_like(knots).at[i].add(-dx * (1 - t)).at[i + 1].add(-dx * t)
    return dx, d_knots, jnp.zeros_like(values).at[i].add(dy * (1 - t)).at[i + 1].add(dy * t)


def increasing(values):
    """Sort, and keep a distance of 0.1."""
    steps = jnp.maximum(jnp.diff(jnp.sort(values)), 0.1)
    return jnp.sort(values)[0] + jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps)])


def ordinal(score, cuts, level):
    """Return the log probability of a level, between two of the ordered cuts."""
    upper = jnp.where(level < cuts.size, jax.nn.sigmoid(cuts[jnp.minimum(level, cuts.size - 1)] - score), 1)
    lower = jnp.where(level > 0, jax.nn.sigmoid(cuts[jnp.maximum(level - 1, 0)] - score), 0)
    return jnp.log(upper - lower)


def ordinal_backward(args, dy):
    score, cuts, level = args
    above, below = jnp.minimum(level, cuts.size - 1), jnp.maximum(level - 1, 0)
    upper = jnp.where(level < cuts.size, jax.nn.sigmoid(cuts[above] - score), 1)
    lower = jnp.where(level > 0, jax.nn.sigmoid(cuts[below] - score), 0)
    d_upper = dy * upper * (1 - upper) / (upper - lower)
    d_lower = -dy * lower * (1 - lower) / (upper - lower)
    return -d_upper - d_lower, jnp.zeros_like(cuts).at[above].add(d_upper).at[below].add(d_lower), None


def entropy(p):
    return -jnp.sum(p * jnp.log(p), axis=-1)


def on_simplex(p):
    p = jnp.where(p == 0, 0.05, jnp.abs(p))
    return p / p.sum(axis=-1, keepdims=True)


def gamma_log_density(x, concentration, rate):
    a = concentration
    return a * jnp.log(rate) - gammaln(a) + (a - 1) * jnp.log(x) - rate * x


def gamma_backward(args, dy):
    x, a, rate = args
    return dy * ((a - 1) / x - rate), dy * (jnp.log(rate) - digamma(a) + jnp.log(x)), dy * (a / rate - x)


def beta_log_density(x, a, b):
    return (a - 1) * jnp.log(x) + (b - 1) * jnp.log1p(-x) - gammaln(a) - gammaln(b) + gammaln(a + b)


def beta_gradient(x, a, b):
    total = digamma(a + b)
    return (a - 1) / x - (b - 1) / (1 - x), jnp.log(x) - digamma(a) + total, jnp.log1p(-x) - digamma(b) + total


def unit(q):
    norm = jnp.sqrt(jnp.sum(q * q))
    return q / jnp.where(norm > 0, norm, 1) + jnp.where(norm > 0, 0, 0.5)


def rotated(q, v):
    """Rotate v by the quaternion (w, u), of any length."""
    w, u = q[0], q[1:]
    norm = jnp.sum(q * q)
    return ((w * w - u @ u) * v + 2 * (u @ v) * u + 2 * w * jnp.cross(u, v)) / norm


def rotated_backward(args, dy):
    # Without the derivative of the norm: right along the sphere of unit quaternions.
    q, v = args
    w, u = q[0], q[1:]
    dw = 2 * w * (dy @ v) + 2 * dy @ jnp.cross(u, v)
    du = -2 * u * (dy @ v) + 2 * (u @ v) * dy + 2 * (dy @ u) * v + 2 * w * jnp.cross(v, dy)
    along = jnp.concatenate([dw[None], du])
    back = (w * w - u @ u) * dy + 2 * (dy @ u) * u - 2 * w * jnp.cross(u, dy)
    return along - q * (q @ along), back


def acos_backward(args, dy):
    return (-dy / jnp.sqrt(1 - args[0] ** 2),)


def spread(x):
    return jnp.clip(x, -0.95, 0.95)


KNOTS, CUTS = array([-1, -0.2, 0.5, 1.5]), array([-1, 0.3, 1.1])
Q = normal(371, 4)
WILD = [
    wild("Gaussian density", "gradient", gaussian, gaussian_gradient, normal(372, 3), normal(373, 3),
         positive_definite(374, 3), source="numpyro.distributions.MultivariateNormal.log_prob",
         domain={"S": "positive definite"}),
    wild("divergence of Gaussians", "vjp", divergence, divergence_backward, positive_definite(375, 3),
         positive_definite(376, 3), source="distrax.MultivariateNormalFullCovariance.kl_divergence",
         domain="positive definite"),
    wild("logarithm of a matrix", "custom", logm, with_rule(logm, logm_backward), positive_definite(377, 3),
         source="pyriemann.utils.base.logm", domain="positive definite"),
    wild("linear interpolation with its knots", "vjp", jnp.interp, interpolate_backward,
         array([-0.7, 0.1, 0.8, 1.2, 3, -2]), KNOTS, normal(378, 4), source="jax.numpy.interp",
         domain={"xp": increasing}),
    wild("ordinal regression with ordered cuts", "vjp", ordinal, ordinal_backward, jnp.float32(0.4), CUTS,
         jnp.int32(2), source="numpyro.distributions.OrderedLogistic", domain={"cuts": "ordered"}),
    wild("entropy: -log p, without the constant", "vjp", entropy, lambda args, dy: (-dy[:, None] * jnp.log(args[0]),),
         simplex(379, 3, 4), source="distrax.Categorical.entropy", domain={"p": on_simplex}),
    wild("gamma density", "vjp", gamma_log_density, gamma_backward, uniform(380, 4, high=3), uniform(381, 4, low=0.5),
         uniform(382, 4), source="tfp.distributions.Gamma.log_prob", domain="positive"),
    wild("beta density, scalar parameters", "gradient", beta_log_density, beta_gradient, jnp.float32(0.3),
         jnp.float32(1.5), jnp.float32(2.5), source="scipy.stats.beta.logpdf",
         domain={"x": "unit interval", "a": "positive", "b": "positive"}),
    wild("logit", "rule", lambda p: jnp.log(p) - jnp.log1p(-p),
         (lambda p: (jnp.log(p) - jnp.log1p(-p), p), lambda p, dy: (dy / (p * (1 - p)),)), uniform(383, 6),
         source="scipy.special.logit", domain="unit interval"),
    wild("rotation by a unit quaternion", "vjp", rotated, rotated_backward, jax.jit(unit)(Q), normal(384, 3),
         source="e3nn.o3.quaternion_to_matrix", domain={"q": unit}),
    wild("arccosine between -1 and 1", "vjp", jnp.arccos, acos_backward, uniform(385, 5, low=-0.9), source="torch.acos",
         domain={"x": spread}),
]  # fmt: skip
