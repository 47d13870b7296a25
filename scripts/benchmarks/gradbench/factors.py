"""Factors that are missing or too many: epsilons, factors of rows and arguments, slopes of steps, and NaN."""

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import (
    Witness,
    array,
    integers,
    normal,
    right,
    uniform,
    with_rule,
    with_value,
    wrong,
)

X, V, P = normal(181, 5, 4), normal(182, 6), uniform(183, 6, low=0.3, high=2)
EPSILON = "epsilon"


def log(x):
    return jnp.log(x + 1e-2)


def unit(x):
    return x / jnp.sqrt(jnp.sum(x * x) + 1e-2)


def unit_backward(args, dy, eps):
    (x,) = args
    r = jax.lax.rsqrt(jnp.sum(x * x) + eps)
    return (r * dy - r**3 * x * jnp.sum(x * dy),)


def ratio(x, y):
    return x / (y + 1e-2)


def adam_step(m, v):
    return m / (jnp.sqrt(v) + 1e-2)


def adam_step_inside(args, dy):
    # The epsilon is under the root.
    m, v = args
    r = jnp.sqrt(v + 1e-2)
    return dy / r, -dy * m / (2 * r**3)


def standardized(x):
    return (x - x.mean(0, keepdims=True)) * jax.lax.rsqrt(x.var(0, keepdims=True) + 1e-2)


def standardized_backward(args, dy):
    # eps of 1e-3 for 1e-2.
    (x,) = args
    r = jax.lax.rsqrt(x.var(0, keepdims=True) + 1e-3)
    y = (x - x.mean(0, keepdims=True)) * r
    return (r * (dy - dy.mean(0, keepdims=True) - y * (dy * y).mean(0, keepdims=True)),)


EPSILONS = [
    wrong("log: an epsilon that f does not have", "vjp", jnp.log, lambda args, dy: (dy / (args[0] + 1e-2),), P,
          kind=EPSILON),
    wrong("log(x + eps): eps dropped", "vjp", log, lambda args, dy: (dy / args[0],), P, kind=EPSILON),
    wrong("unit length: eps dropped", "vjp", unit, lambda args, dy: unit_backward(args, dy, 0), V, kind=EPSILON),
    wrong("unit length: ten times eps", "custom", unit,
          with_rule(unit, lambda args, dy: unit_backward(args, dy, 1e-1)), V, kind=EPSILON),
    wrong("x / (y + eps): eps dropped", "vjp", ratio, lambda args, dy: (dy / args[1], -dy * args[0] / args[1] ** 2),
          V, P, kind=EPSILON),
    wrong("adam's step: eps under the root", "vjp", adam_step, adam_step_inside, V, P, kind=EPSILON),
    wrong("standardized columns: eps of 1e-3 for 1e-2", "vjp", standardized, standardized_backward, X, kind=EPSILON),
]  # fmt: skip

SHARES = array([0.5, 2, 3, 0.2, 1.5])[:, None]
COUNTS = array([1, 4, 2, 5, 3], jnp.int32)


def share(x):
    return jnp.asarray(SHARES, x.dtype)


def unit_rows(x):
    return x / jnp.sqrt(jnp.sum(x * x, axis=1, keepdims=True))


def unit_rows_backward(args, dy):
    # 1/|x| of each row is forgotten.
    y = unit_rows(args[0])
    return (dy - y * jnp.sum(y * dy, axis=1, keepdims=True),)


def norm_of_rows(x):
    return jnp.sum(x * x, axis=1) ** 2


def segment_means(x, ids):
    """Return the mean of the rows of each of three segments."""
    counts = jnp.zeros(3, x.dtype).at[ids].add(1)
    return jnp.zeros((3, x.shape[1]), x.dtype).at[ids].add(x) / jnp.maximum(counts, 1)[:, None]


def per_row(x):
    return jnp.mean(x * x, axis=1) * COUNTS.astype(x.dtype)


ROW = "factor per row"
PER_ROW = [
    wrong("weighted sines: weights of examples forgotten", "vjp", lambda x: share(x) * jnp.sin(x),
          lambda args, dy: (dy * jnp.cos(args[0]),), X, kind=ROW),
    wrong("weighted squares: weights of examples twice", "gradient", lambda x: jnp.sum(share(x) * x * x),
          lambda x: 2 * share(x) ** 2 * x, X, kind=ROW),
    wrong("rows of unit length: 1/|x| forgotten", "vjp", unit_rows, unit_rows_backward, X, kind=ROW),
    wrong("fourth powers of norms: |x|^2 forgotten", "vjp", norm_of_rows,
          lambda args, dy: (4 * dy[:, None] * args[0],), X, kind=ROW),
    wrong("means of segments: counts forgotten", "vjp", segment_means, lambda args, dy: (dy[args[1]], None), X,
          array([0, 2, 2, 1, 2], jnp.int32), kind=ROW),
    wrong("squares times counts: counts forgotten", "custom", per_row,
          with_rule(per_row, lambda args, dy: (2 * dy[:, None] * args[0] / args[0].shape[1],)), X, kind=ROW),
]  # fmt: skip


def scaled(x, s):
    return s * jnp.sin(x)


def scaled_backward(args, dy):
    return dy * jnp.cos(args[0]), jnp.sum(dy * jnp.sin(args[0]))


def tempered(z, t):
    return jax.nn.softmax(z / t)


def tempered_backward(args, dy):
    # 1/t is forgotten in dz.
    z, t = args
    p = tempered(z, t)
    dlogits = p * (dy - jnp.sum(p * dy, axis=-1, keepdims=True))
    return dlogits, -jnp.sum(dlogits * z) / t**2


def gated(g, x):
    return g * jnp.tanh(x)


def log_density(x, mu, sigma):
    return -((x - mu) ** 2) / (2 * sigma**2) - jnp.log(sigma)


def log_density_backward(args, dy):
    # 1/sigma for 1/sigma² in dmu.
    x, mu, sigma = args
    z = (x - mu) / sigma
    return -dy * z / sigma, dy * z, dy * (z * z - 1) / sigma


def penalized(w, rate):
    return rate * jnp.sum(w * w) / 2


def divided(x, s):
    return jnp.sin(x) / s


ARGUMENT, S = "factor of an argument", jnp.float32(1.7)
OF_AN_ARGUMENT = [
    wrong("scaled sines: scale forgotten in dx", "vjp", scaled, scaled_backward, V, S, kind=ARGUMENT),
    wrong("two outputs: the scale, which f does not have", "vjp", lambda a, b, s: (jnp.sin(a), b * b),
          lambda args, dy: (args[2] * dy[0] * jnp.cos(args[0]), 2 * args[2] * dy[1] * args[1], jnp.zeros_like(args[2])),
          V, normal(184, 3), jnp.float32(0.5), kind=ARGUMENT),
    wrong("softmax with a temperature: 1/t forgotten in dz", "vjp", tempered, tempered_backward, X, S, kind=ARGUMENT),
    wrong("gate: forgotten in dx", "vjp", gated,
          lambda args, dy: (dy * jnp.tanh(args[1]), dy * (1 - jnp.tanh(args[1]) ** 2)), normal(185, 6), V,
          kind=ARGUMENT),
    wrong("log density: 1/sigma once in dmu", "vjp", log_density, log_density_backward, V, normal(186, 6), P,
          kind=ARGUMENT),
    wrong("weight decay: rate twice", "gradient", penalized,
          lambda w, rate: (rate * rate * w, jnp.sum(w * w) / 2), V, jnp.float32(0.3), kind=ARGUMENT),
    wrong("divided sines: 1/s twice in dx", "custom", divided,
          with_rule(divided, lambda args, dy: (dy * jnp.cos(args[0]) / args[1] ** 2,
                                               -jnp.sum(dy * jnp.sin(args[0])) / args[1] ** 2)), V, S, kind=ARGUMENT),
    wrong("weighted rows: weights forgotten in dx", "vjp", lambda x, c: c[:, None] * jnp.sin(x),
          lambda args, dy: (dy * jnp.cos(args[0]), jnp.sum(dy * jnp.sin(args[0]), axis=1)), X, SHARES[:, 0],
          kind=ARGUMENT, also=[ROW]),
]  # fmt: skip


def passed(args, dy):
    return (dy,)


def clipped(x):
    return jnp.clip(x, -0.5, 0.5)


def spike(x):
    return (x > 0).astype(x.dtype)


def quantized(x):
    return jnp.round(8 * x) / 8


def rounded_sines(x):
    return jnp.round(4 * jnp.sin(x)) / 4


THROUGH = "straight-through"
STRAIGHT_THROUGH = [
    wrong("round: straight through", "vjp", jnp.round, passed, 3 * V, kind=THROUGH),
    wrong("floor: straight through", "custom", jnp.floor, with_rule(jnp.floor, passed), 3 * V, kind=THROUGH),
    wrong("sign: straight through", "rule", jnp.sign, (lambda x: (jnp.sign(x), None), lambda r, dy: (dy,)), V,
          kind=THROUGH),
    wrong("spike: straight through", "vjp", spike, passed, V, kind=THROUGH),
    wrong("eighths: straight through", "gradient", lambda x: jnp.sum(quantized(x)), jnp.ones_like, V, kind=THROUGH),
    wrong("clip: straight through", "vjp", clipped, passed, V, kind=THROUGH),
    wrong("rounded sines: straight through the rounding", "vjp", rounded_sines,
          lambda args, dy: (dy * jnp.cos(args[0]),), V, kind=THROUGH),
]  # fmt: skip


def square_norm(x):
    return jnp.sum(x * x)


def square_norm_by_norm(args, dy):
    n = jnp.sqrt(square_norm(args[0]))
    return (2 * dy * n * args[0] / n,)


def angle(y, x):
    return jnp.arctan2(y, x)


def angle_backward(args, dy):
    # Through y/x.
    y, x = args
    r = y / x
    return dy / (x * (1 + r * r)), -dy * r / (x * (1 + r * r))


def square_by_logarithm(args, dy):
    # 2 x² / x, with x² = exp(2 log x).
    return (2 * dy * jnp.exp(2 * jnp.log(args[0])) / args[0],)


def product_backward(args, dy):
    return (dy * jnp.prod(args[0]) / args[0],)


def geometric(x):
    return jnp.sum(x[:, 0] * x[:, 1] * x[:, 2])


WITH_ZERO = array([2, 0, 3, -1])
NAN = "nan where smooth"
ZERO = Witness((WITH_ZERO,))
NANS = [
    wrong("product, with a 0: product / x", "vjp", jnp.prod, product_backward, WITH_ZERO, kind=NAN),
    wrong("product: product / x", "vjp", jnp.prod, product_backward, V, kind=NAN, witness=lambda: ZERO),
    wrong("cube, with a 0: 3 y / x", "vjp", lambda x: x**3, lambda args, dy: (3 * dy * args[0] ** 3 / args[0],),
          WITH_ZERO, kind=NAN),
    wrong("cube: 3 y / x", "rule", lambda x: x**3,
          (lambda x: (x**3, (x, x**3)), lambda r, dy: (3 * dy * r[1] / r[0],)), V, kind=NAN, witness=lambda: ZERO),
    wrong("square norm: by the norm", "vjp", square_norm, square_norm_by_norm, V, kind=NAN,
          witness=lambda: Witness((jnp.zeros(3),))),
    wrong("angle, with x = 0: by y / x", "vjp", angle, angle_backward, array([1.0, 2, -1]),
          array([2.0, 0, 1]), kind=NAN),
    wrong("square, below 0: by its logarithm", "vjp", lambda x: x * x, square_by_logarithm, V, kind=NAN,
          also=["only for z < 0"]),
    wrong("products of rows, with a 0: product / x", "gradient", geometric,
          lambda x: jnp.prod(x, axis=1, keepdims=True) / x, with_value(np.asarray(X)[:, :3], (1, 2), 0), kind=NAN),
]  # fmt: skip

DATA, TARGETS, LABELS = normal(187, 6, 4), normal(188, 6), integers(189, 2, 6)


def of(array, w):
    return jnp.asarray(array, w.dtype)


def line_cost(w):
    return jnp.mean((of(DATA, w) @ w - of(TARGETS, w)) ** 2) / 2


def logistic_cost(w):
    z = of(DATA, w) @ w
    return jnp.mean(jax.nn.softplus(z) - of(LABELS, w) * z)


def line_sum(w):
    return of(DATA, w).T @ (of(DATA, w) @ w - of(TARGETS, w))


def two_factors(a, b):
    return jnp.tanh(a @ b) @ b


def two_factors_backward(args, dy):
    # The outer b is not transposed on the way back.
    a, b = args
    h = jnp.tanh(a @ b)
    dz = (dy @ b) * (1 - h * h)
    return dz @ b.T, a.T @ dz + h.T @ dy


MIXER = normal(190, 4, 4)
CLOSED_OVER = [
    wrong("squared cost of closed-over data: missing 1/m", "gradient", line_cost, line_sum, normal(191, 4),
          kind="missing 1/m"),
    wrong("logistic cost of closed-over data: missing 1/m", "gradient", logistic_cost,
          lambda w: of(DATA, w).T @ (jax.nn.sigmoid(of(DATA, w) @ w) - of(LABELS, w)), normal(191, 4),
          kind="missing 1/m"),
    wrong("squared cost of closed-over data: 1/m twice", "gradient", line_cost, lambda w: line_sum(w) / 36,
          normal(191, 4), kind="1/m twice"),
    wrong("closed-over square factor: not transposed", "vjp", lambda x: jnp.sin(x @ of(MIXER, x)),
          lambda args, dy: ((dy * jnp.cos(args[0] @ of(MIXER, args[0]))) @ of(MIXER, args[0]),), X, kind="transpose"),
    wrong("square factor used twice: once not transposed", "vjp", two_factors, two_factors_backward, X,
          normal(192, 4, 4), kind="transpose"),
    wrong("affine, square factor: dx by W for its transpose", "rule", lambda w, b, x: x @ w + b[None],
          (lambda w, b, x: (x @ w + b[None], (w, x)), lambda r, dy: (r[1].T @ dy, dy.sum(0), dy @ r[0])),
          normal(192, 4, 4), normal(191, 4), X, kind="transpose"),
]  # fmt: skip

RIGHT = [
    right("adam's step", "vjp", adam_step,
          lambda args, dy: (dy / (jnp.sqrt(args[1]) + 1e-2),
                            -dy * args[0] / (2 * jnp.sqrt(args[1]) * (jnp.sqrt(args[1]) + 1e-2) ** 2)), V, P),
    right("gate", "vjp", gated,
          lambda args, dy: (dy * jnp.tanh(args[1]), dy * args[0] * (1 - jnp.tanh(args[1]) ** 2)), normal(185, 6), V),
    right("product, with a 0: by the others", "vjp", jnp.prod,
          lambda args, dy: (dy * jnp.prod(jnp.where(jnp.eye(len(args[0]), dtype=bool), 1, args[0][None]), axis=1),),
          WITH_ZERO),
]  # fmt: skip
WRONG = EPSILONS + PER_ROW + OF_AN_ARGUMENT + STRAIGHT_THROUGH + NANS + CLOSED_OVER
