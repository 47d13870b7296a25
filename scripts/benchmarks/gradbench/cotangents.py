"""Backwards that mishandle the cotangent, the dtype or the shape, or that are right for some batches only."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import Witness, normal, right, with_rule, wrong

X, V = normal(111, 6, 4), normal(112, 8)
W, B = normal(113, 3, 4), normal(114, 3)
BF16 = jnp.bfloat16


def square_norm(x):
    return jnp.sum(x * x)


def energy(w, x):
    return 0.5 * jnp.mean(jnp.sum((x @ w.T) ** 2, axis=1))


def energy_fwd(w, x):
    # The residuals are the gradients.
    z = x @ w.T
    return energy(w, x), (z.T @ x / x.shape[0], z @ w / x.shape[0])


def dense(w, b, x):
    return jax.nn.relu(x @ w.T + b[None])


def dense_backward(args, dy):
    w, b, x = args
    dz = dy * (x @ w.T + b[None] > 0)
    return dz.T @ x, dz.sum(0), dz @ w


RIGHT = [
    right("energy, gradients kept", "rule", energy, (energy_fwd, lambda r, dy: (dy * r[0], dy * r[1])), W, X),
    right("dense with relu", "vjp", dense, dense_backward, W, B, X),
]


def clipped(args, dy):
    # The gradient clipped to length 10, inside the rule.
    g = 2 * args[0] * dy
    return (g * jnp.minimum(1, 10 / jnp.sqrt(jnp.sum(g * g) + 1e-12)),)


def clipped_entries(args, dy):
    return (jnp.clip(dy, -5, 5) * jnp.cos(args[0]),)


def guided(args, dy):
    (x,) = args
    return (jax.nn.relu(dy) * (x > 0),)


def leaves_small_out(args, dy):
    # A "sparse" backward that gathers the examples by their largest cotangent.
    row = jnp.argmax(jnp.abs(dy).sum(1))
    w, b, x = args
    d = dense_backward((w, b, x[row][None]), dy[row][None])
    return d[0], d[1], jnp.zeros_like(x).at[row].set(d[2][0])


def one_for_all(args, dy):
    # Assumes the cotangent of a mean, equal for every entry.
    return (dy.reshape(-1)[0] * jnp.cos(args[0]),)


def by_division(args, dy):
    (x,) = args
    return (dy * dy / dy * jnp.cos(x),)


def by_logarithm(args, dy):
    # The product of cotangent and slope through logarithms: fails where the cotangent is 0.
    return (dy / jnp.abs(dy) * jnp.exp(jnp.log(jnp.abs(dy)) + jax.nn.log_sigmoid(args[0])),)


def normalized(args, dy):
    scale = jnp.abs(dy).max()
    return (dy / scale * jnp.cos(args[0]) * scale,)


ENERGY, SINE = ("rule", energy), ("vjp", jnp.sin)
IGNORED = "cotangent ignored"
LINEAR, NAN = "not linear in dy", "nan where smooth"
COTANGENT = [
    wrong("energy: kept gradients returned as they are", *ENERGY, (energy_fwd, lambda r, dy: r), W, X, kind=IGNORED),
    wrong("energy: one of two scaled", *ENERGY, (energy_fwd, lambda r, dy: (dy * r[0], r[1])), W, X, kind=IGNORED),
    wrong("square norm: cotangent ignored", "custom", square_norm,
          with_rule(square_norm, lambda args, dy: (2 * args[0],)), V, kind=IGNORED),
    wrong("sine: cotangent ignored", *SINE, lambda args, dy: (jnp.cos(args[0]),), V, kind=IGNORED),
    wrong("mean: cotangent ignored", "vjp", jnp.mean,
          lambda args, dy: (jnp.full_like(args[0], 1 / args[0].size),), X, kind=IGNORED),
    wrong("dense with relu: slope alone", "vjp", dense,
          lambda args, dy: dense_backward(args, jnp.ones_like(dy)), W, B, X, kind=IGNORED),
    wrong("sine: sign of the cotangent only", *SINE, lambda args, dy: (jnp.sign(dy) * jnp.cos(args[0]),), V,
          kind=LINEAR),
    wrong("sine: cotangent squared", *SINE, lambda args, dy: (dy * dy * jnp.cos(args[0]),), V, kind=LINEAR),
    wrong("sine: one cotangent for all", *SINE, one_for_all, V),
    wrong("relu: negative cotangents dropped", "vjp", jax.nn.relu, guided, X, kind=LINEAR),
    wrong("square norm: clipped inside the rule", "vjp", square_norm, clipped, V, kind=LINEAR,
          witness=lambda: Witness((V,), jnp.float32(1e3))),
    wrong("sine: cotangents clipped", *SINE, clipped_entries, V, kind=LINEAR,
          witness=lambda: Witness((V,), 100 * V)),
    wrong("dense with relu: the largest cotangent's example only", "vjp", dense, leaves_small_out, W, B, X,
          kind=LINEAR),
    wrong("sine: NaN where the cotangent is 0", *SINE, by_division, V, also=[LINEAR, NAN],
          witness=lambda: Witness((V,), jnp.zeros(8).at[2].set(1.0))),
    wrong("softplus: NaN where the cotangent is 0", "vjp", jax.nn.softplus, by_logarithm, V, also=[LINEAR, NAN],
          witness=lambda: Witness((V,), jnp.zeros(8).at[2].set(1.0))),
    wrong("sine: NaN for a cotangent of zeros", *SINE, normalized, V, also=[LINEAR, NAN],
          witness=lambda: Witness((V,), jnp.zeros(8))),
]  # fmt: skip


def float32_inside(args, dy):
    # Computed and returned in float32 for every input dtype.
    x = args[0].astype(jnp.float32)
    return (dy.astype(jnp.float32) * jnp.cos(x),)


def bias_as_row(args, dy):
    dw, db, dx = dense_backward(args, dy)
    return dw, db[None], dx


def bias_as_number(args, dy):
    dw, db, dx = dense_backward(args, dy)
    return dw, db.sum(), dx


def flattened(args, dy):
    dw, db, dx = dense_backward(args, dy)
    return dw.ravel(), db, dx


FORM = [
    wrong("sine: bfloat16 gradient comes as float32", *SINE, float32_inside, V.astype(BF16),
          also=["only in low precision"]),
    wrong("relu's sum: a gradient of booleans", "gradient", lambda x: jnp.sum(jax.nn.relu(x)), lambda x: x > 0, X),
    wrong("sine: gradient always bfloat16", *SINE, lambda args, dy: ((dy * jnp.cos(args[0])).astype(BF16),), V),
    wrong("dense with relu: db of shape (1, n)", "vjp", dense, bias_as_row, W, B, X),
    wrong("dense with relu: db a number", "vjp", dense, bias_as_number, W, B, X),
    wrong("dense with relu: dW flat", "vjp", dense, flattened, W, B, X),
]  # fmt: skip


def halves(rows):
    """Sum over examples by halving, as a tree; an odd last example is lost."""
    while rows.shape[0] > 1:
        half = rows.shape[0] // 2
        rows = rows[:half] + rows[half : 2 * half]
    return rows[0]


def bias_by_halves(args, dy):
    dw, _, dx = dense_backward(args, dy)
    return dw, halves(dy * (dense(*args) > 0)), dx


def weights_by_pairs(args, dy):
    w, b, x = args
    dz = dy * (dense(*args) > 0)
    half = x.shape[0] // 2
    return dz[:half].T @ x[:half] + dz[half : 2 * half].T @ x[half : 2 * half], dz.sum(0), dz @ w


def one_example_apart(args, dy):
    # A branch for a single example forgets the slope.
    w, b, x = args
    dz = dy if x.shape[0] == 1 else dy * (dense(*args) > 0)
    return dz.T @ x, dz.sum(0), dz @ w


def batch_norm(x):
    return (x - x.mean(0, keepdims=True)) * jax.lax.rsqrt(x.var(0, keepdims=True) + 1e-2)


def batch_norm_backward(args, dy):
    # Treats one example as if it had no statistics: only the scale is inverted.
    (x,) = args
    inverse = jax.lax.rsqrt(x.var(0, keepdims=True) + 1e-2)
    if x.shape[0] == 1:
        return (dy * inverse,)
    y = batch_norm(x)
    return (inverse * (dy - dy.mean(0, keepdims=True) - y * (dy * y).mean(0, keepdims=True)),)


def fixed_batch(args, dy):
    # 1/m with a constant m.
    w, x = args
    z = x @ w.T
    return dy * z.T @ x / 6, dy * z @ w / 6


BATCH = [
    wrong("dense with relu: odd example lost, m = 6", "vjp", dense, bias_by_halves, W, B, X, also=["missing sum"]),
    wrong("dense with relu: odd example lost, m = 4", "vjp", dense, bias_by_halves, W, B, X[:4],
          witness=lambda: Witness((W, B, X[:5]))),
    wrong("dense with relu: dW by pairs", "vjp", dense, weights_by_pairs, W, B, X,
          witness=lambda: Witness((W, B, X[:5]))),
    wrong("dense with relu: a batch of 1 apart", "vjp", dense, one_example_apart, W, B, X,
          witness=lambda: Witness((W, B - 1, X[:1]))),
    wrong("batch norm: a batch of 1 apart", "vjp", batch_norm, batch_norm_backward, X,
          witness=lambda: Witness((X[:1],))),
    wrong("energy: 1/m as 1/6", "vjp", energy, fixed_batch, W, X, witness=lambda: Witness((W, X[:5]))),
]  # fmt: skip
WRONG = COTANGENT + FORM + BATCH
