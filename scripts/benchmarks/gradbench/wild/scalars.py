"""Scalar parameters and keywords: temperatures, margins, orders, modes."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import integers, normal, uniform, wild

digamma, gammaln = jax.scipy.special.digamma, jax.scipy.special.gammaln


def focal(logits, labels, gamma):
    """Return (1 - p)^gamma times the cross entropy, where p belongs to the label."""
    log_p = -jax.nn.softplus(jnp.where(labels == 1, -logits, logits))
    return -((1 - jnp.exp(log_p)) ** gamma) * log_p


def focal_backward(args, dy):
    logits, labels, gamma = args
    sign = jnp.where(labels == 1, 1, -1).astype(logits.dtype)
    p, q = jax.nn.sigmoid(sign * logits), jax.nn.sigmoid(-sign * logits)
    log_p = -jax.nn.softplus(-sign * logits)
    d_logits = sign * q**gamma * (gamma * p * log_p - q)
    log_q = -jax.nn.softplus(sign * logits)
    return dy * d_logits, None, jnp.sum(-dy * q**gamma * log_p * log_q)


def distillation(student, teacher, temperature):
    t = temperature
    log_p, log_q = jax.nn.log_softmax(teacher / t), jax.nn.log_softmax(student / t)
    return t * t * jnp.sum(jnp.exp(log_p) * (log_p - log_q))


def distillation_gradient(student, teacher, temperature):
    t = temperature
    log_p, log_q = jax.nn.log_softmax(teacher / t), jax.nn.log_softmax(student / t)
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    gap = log_p - log_q
    divergence = jnp.sum(p * gap)
    d_teacher = t * p * (gap - divergence)
    d_t = 2 * t * divergence - jnp.sum(p * (gap - divergence) * teacher) - jnp.sum((q - p) * student)
    return t * (q - p), d_teacher, d_t


def smoothed(logits, labels, *, label_smoothing=0.0):
    k = logits.shape[-1]
    one_hot = jax.nn.one_hot(labels, k, dtype=logits.dtype)
    targets = (1 - label_smoothing) * one_hot + label_smoothing / k
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


def smoothed_backward(args, dy, *, label_smoothing=0.0):
    logits, labels = args
    k = logits.shape[-1]
    one_hot = jax.nn.one_hot(labels, k, dtype=logits.dtype)
    targets = (1 - label_smoothing) * one_hot + label_smoothing / k
    return dy[:, None] * (jax.nn.softmax(logits) - targets), None


def cosine(a, b, *, axis=-1, epsilon=1e-6):
    squares = jnp.sum(a * a, axis=axis) * jnp.sum(b * b, axis=axis) + epsilon
    return jnp.sum(a * b, axis=axis) / jnp.sqrt(squares)


def cosine_backward(args, dy, *, axis=-1, epsilon=1e-6):
    a, b = args
    aa, bb = jnp.sum(a * a, axis=axis, keepdims=True), jnp.sum(b * b, axis=axis, keepdims=True)
    r = jax.lax.rsqrt(aa * bb + epsilon)
    dy = jnp.expand_dims(dy, axis)
    cubed = jnp.sum(a * b, axis=axis, keepdims=True) * r**3
    return dy * (b * r - cubed * bb * a), dy * (a * r - cubed * aa * b)


def reduced(predictions, targets, *, reduction="mean", power=2):
    errors = jnp.abs(predictions - targets) ** power
    return errors.mean() if reduction == "mean" else errors.sum()


def reduced_gradient(predictions, targets, *, reduction="mean", power=2):
    error = predictions - targets
    d = power * jnp.sign(error) * jnp.abs(error) ** (power - 1)
    d = d / error.size if reduction == "mean" else d
    return d, -d


def student_t(x, degrees, loc, scale):
    """Return the log density, without 0.5 log pi."""
    z = (x - loc) / scale
    half = (degrees + 1) / 2
    constant = gammaln(half) - gammaln(degrees / 2) - 0.5 * jnp.log(degrees) - jnp.log(scale)
    return constant - half * jnp.log1p(z * z / degrees)


def student_t_gradient(x, degrees, loc, scale):
    z = (x - loc) / scale
    u = (degrees + 1) * z / (degrees + z * z)
    ratio = z * z / degrees
    d_degrees = (digamma((degrees + 1) / 2) - digamma(degrees / 2) - 1 / degrees - jnp.log1p(ratio)) / 2
    return -u / scale, d_degrees + u * z / (2 * degrees), u / scale, (u * z - 1) / scale


def polynomial(coefficients, x):
    """Return the value of a polynomial at a scalar, by Horner's rule in a scan."""
    return jax.lax.scan(lambda y, c: (y * x + c, None), jnp.zeros_like(x), coefficients)[0]


def polynomial_backward(args, dy):
    c, x = args
    n = jnp.arange(c.size - 1, -1, -1)
    return dy * x**n, dy * jnp.sum(c[:-1] * n[:-1].astype(c.dtype) * x ** n[1:])


def leapfrog(position, momentum, step_size):
    """Take one step of Hamiltonian dynamics in the potential cosh q."""
    p = momentum - 0.5 * step_size * jnp.sinh(position)
    q = position + step_size * p
    return q, p - 0.5 * step_size * jnp.sinh(q)


def leapfrog_backward(args, dy):
    q0, p0, h = args
    p = p0 - 0.5 * h * jnp.sinh(q0)
    q = q0 + h * p
    dq = dy[0] - 0.5 * h * jnp.cosh(q) * dy[1]
    dp = dy[1] + h * dq
    d_h = jnp.sum(-0.5 * jnp.sinh(q) * dy[1] + p * dq - 0.5 * jnp.sinh(q0) * dp)
    return dq - 0.5 * h * jnp.cosh(q0) * dp, dp, d_h


SMALL = normal(501, 4)
WILD = [
    wild("focal loss with its exponent", "vjp", focal, focal_backward, normal(502, 5), integers(503, 2, 5),
         jnp.float32(1.5), source="optax.losses.sigmoid_focal_loss", domain={"gamma": "positive"}),
    wild("distillation with its temperature, a Python float", "gradient", distillation, distillation_gradient, SMALL,
         normal(504, 4), 2.0, source="optax.losses.kl_divergence", domain={"temperature": "positive"}),
    wild("label smoothing as a keyword", "vjp", smoothed, smoothed_backward, normal(505, 4, 3), integers(506, 3, 4),
         source="optax.smooth_labels", label_smoothing=0.1),
    wild("cosine similarity along axis 0, a keyword", "vjp", cosine, cosine_backward, normal(507, 3, 4),
         normal(508, 3, 4), source="optax.losses.cosine_similarity", axis=0, epsilon=0.01),
    wild("power and reduction as keywords", "gradient", reduced, reduced_gradient, normal(509, 2, 3),
         normal(510, 2, 3), reduction="sum", power=3),
    wild("Student's t, four scalars", "gradient", student_t, student_t_gradient, jnp.float32(0.7), jnp.float32(4),
         jnp.float32(-0.5), jnp.float32(1.5), source="tfp.distributions.StudentT.log_prob",
         domain={"degrees": "positive", "scale": "positive"}),
    wild("polynomial at a scalar", "vjp", polynomial, polynomial_backward, SMALL, jnp.float32(0.8),
         source="jax.numpy.polyval"),
    wild("leapfrog with its step size", "vjp", leapfrog, leapfrog_backward, normal(511, 3), normal(512, 3),
         jnp.float32(0.3), source="blackjax.mcmc.integrators.velocity_verlet"),
    wild("weighted mean and its weight", "rule", lambda a, b, w: w * a + (1 - w) * b,
         (lambda a, b, w: (w * a + (1 - w) * b, (a, b, w)),
          lambda r, dy: (r[2] * dy, (1 - r[2]) * dy, jnp.sum(dy * (r[0] - r[1])))), normal(513, 4), normal(514, 4),
         jnp.float32(0.9), source="optax.incremental_update"),
    wild("generalized Lennard-Jones, three scalars", "vjp",
         lambda r, sigma, epsilon: 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6),
         lambda args, dy: (lambda s, r, sigma, epsilon: (
             dy * 4 * epsilon * (6 * s - 12 * s * s) / r, jnp.sum(dy * 4 * epsilon * (12 * s * s - 6 * s) / sigma),
             jnp.sum(dy * 4 * (s * s - s))))((args[1] / args[0]) ** 6, *args), uniform(515, 5, low=0.9, high=2),
         jnp.float32(1), jnp.float32(0.5), source="jax_md.energy.lennard_jones", domain="positive"),
]  # fmt: skip
