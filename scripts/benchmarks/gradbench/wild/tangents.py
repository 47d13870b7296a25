"""Functions with a jax.custom_jvp."""

from functools import partial

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, normal, uniform, wild


def with_jvp(f, *tangents):
    """Return `f` with a jax.custom_jvp from the derivatives, each of which takes (t, y, *args)."""
    g = jax.custom_jvp(lambda *args: f(*args))
    g.defjvps(*tangents)
    return g


def log1pexp(x):
    return jnp.logaddexp(x, 0)


@jax.custom_jvp
def product_of_sine(x, y):
    return jnp.sin(x) * y


@product_of_sine.defjvp
def product_of_sine_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return product_of_sine(x, y), jnp.cos(x) * dx * y + jnp.sin(x) * dy


def plain_norm(x):
    return jnp.sqrt(jnp.sum(x * x))


@jax.custom_jvp
def norm(x):
    """Return the norm; its derivative is 0 at 0."""
    return jnp.sqrt(jnp.sum(x * x))


@norm.defjvp
def norm_jvp(primals, tangents):
    y = norm(*primals)
    return y, jnp.sum(primals[0] * tangents[0]) / jnp.where(y > 0, y, 1)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def to_power(x, n):
    return x**n


@to_power.defjvp
def to_power_jvp(n, primals, tangents):
    (x,), (dx,) = primals, tangents
    return to_power(x, n), n * x ** (n - 1) * dx


@jax.custom_jvp
def total(x):
    return jax.nn.logsumexp(x, axis=-1)


@total.defjvp
def total_jvp(primals, tangents):
    y = total(*primals)
    return y, jnp.sum(jnp.exp(primals[0] - y[..., None]) * tangents[0], axis=-1)


@jax.custom_jvp
def moments(x):
    """Return the mean and the variance."""
    return {"mean": x.mean(), "variance": x.var()}


@moments.defjvp
def moments_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    out = moments(x)
    return out, {"mean": dx.mean(), "variance": 2 * ((x - out["mean"]) * dx).mean()}


@jax.custom_jvp
def log_ndtr(x):
    return jax.scipy.stats.norm.logcdf(x)


@log_ndtr.defjvp
def log_ndtr_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = log_ndtr(x)
    return y, dx * jnp.exp(-x * x / 2 - y) / (2 * jnp.pi) ** 0.5


@jax.custom_jvp
def inverse(A):
    return jnp.linalg.inv(A)


@inverse.defjvp
def inverse_jvp(primals, tangents):
    B = inverse(*primals)
    return B, -B @ tangents[0] @ B


ARCTAN = with_jvp(jnp.arctan2, lambda t, _, y, x: t * x / (x * x + y * y), lambda t, _, y, x: -t * y / (x * x + y * y))
WILD = [
    wild("custom_jvp: relu, 0 at 0", "custom", lambda x: jnp.maximum(x, 0),
         with_jvp(lambda x: jnp.maximum(x, 0), lambda t, y, x: jnp.where(x > 0, t, 0)),
         array([-1, 0, 2, 0, -3]), source="jax.nn.relu"),
    wild("custom_jvp: log(1 + e^x)", "custom", log1pexp,
         with_jvp(log1pexp, lambda t, y, x: t * jax.nn.sigmoid(x)),
         array([-100, -2, 0, 3, 100]), source="JAX documentation, custom_jvp: log1pexp"),
    wild("custom_jvp: sin(x) y", "custom", lambda x, y: jnp.sin(x) * y, product_of_sine, normal(481, 4), normal(482, 4),
         source="JAX documentation, custom_jvp"),
    wild("custom_jvp: norm at 0", "custom", plain_norm, norm, jnp.zeros(3), source="optax.safe_norm"),
    wild("custom_jvp: power by nondiff_argnums", "custom", lambda x, n: x**n, to_power, normal(483, 4), 3,
         source="JAX documentation, custom_jvp with nondiff_argnums"),
    wild("custom_jvp: log-sum-exp", "custom", lambda x: jax.nn.logsumexp(x, axis=-1), total, normal(484, 3, 4),
         source="jax.nn.logsumexp"),
    wild("custom_jvp: mean and variance in a dict", "custom", lambda x: {"mean": x.mean(), "variance": x.var()},
         moments, normal(485, 6), source="flax.linen.normalization"),
    wild("custom_jvp: log of the normal distribution", "custom", jax.scipy.stats.norm.logcdf, log_ndtr,
         array([-4, -1, 0, 2, 4]), source="jax.scipy.special.log_ndtr"),
    wild("custom_jvp: inverse of a matrix", "custom", jnp.linalg.inv, inverse,
         normal(486, 3, 3) + 3 * jnp.eye(3, dtype=jnp.float32), source="jax.numpy.linalg.inv"),
    wild("custom_jvp: angle of a point, by defjvps", "custom", jnp.arctan2, ARCTAN, normal(487, 4), uniform(488, 4),
         source="jax.numpy.arctan2"),
]  # fmt: skip
