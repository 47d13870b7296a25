"""Rules that are right until they are mapped by jax.vmap, or until the numbers have few bits."""

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import Witness, array, normal, right, with_rule, wrong

V = normal(121, 7)
ROWS = Witness((normal(122, 3, 7),), vmap=True)
MAPPED, LOW = "only under vmap", "only in low precision"


def call(function, like, *args, method):
    """Call NumPy from JAX; under vmap, NumPy gets the mapped axis in front, which `function` may not handle."""
    shape = jax.ShapeDtypeStruct(like.shape, like.dtype)
    return jax.pure_callback(lambda *a: np.asarray(function(*a), a[0].dtype), shape, *args, vmap_method=method)


def norm_backward_in_numpy(x, dy):
    x, dy = np.asarray(x), np.asarray(dy)
    return dy[..., None] * x / np.sqrt(np.sum(x * x))


def softmax_backward_in_numpy(x, dy):
    # Axis 0 is the axis of the classes for one example.
    x, dy = np.asarray(x), np.asarray(dy)
    e = np.exp(x - x.max(0))
    p = e / e.sum(0)
    return p * (dy - (p * dy).sum(0))


def running_sum_in_numpy(x, dy):
    return np.cumsum(np.asarray(dy)[::-1], axis=0)[::-1]


def centered_in_numpy(x, dy):
    return np.asarray(dy) - np.mean(np.asarray(dy))


def right_softmax_in_numpy(x, dy):
    x, dy = np.asarray(x), np.asarray(dy)
    e = np.exp(x - x.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return p * (dy - (p * dy).sum(-1, keepdims=True))


def norm(x):
    return jnp.sqrt(jnp.sum(x * x))


def in_numpy(function, method="broadcast_all"):
    return lambda args, dy: (call(function, args[0], args[0], dy, method=method),)


@jax.custom_batching.custom_vmap
def own_mapping(dy, y):
    return y * (dy - jnp.sum(y * dy))


@own_mapping.def_vmap
def own_mapping_of_rows(size, batched, dy, y):
    # The sum runs over the examples too.
    return y * (dy - jnp.sum(y * dy)), True


@jax.custom_batching.custom_vmap
def scaled_by_largest(x, dy):
    return dy * (x == x.max()) + 0 * x


@scaled_by_largest.def_vmap
def scaled_by_largest_of_rows(size, batched, x, dy):
    dy = dy if batched[1] else jnp.broadcast_to(dy, (size,))
    return dy[:, None] * (x == x.max()), True


def softmax_backward_mapped(args, dy):
    return (own_mapping(dy, jax.nn.softmax(args[0])),)


SOFTMAX = ("vjp", jax.nn.softmax)
VMAP = [
    wrong("norm in NumPy: sum over every axis", "vjp", norm, in_numpy(norm_backward_in_numpy), V, kind=MAPPED,
          witness=lambda: ROWS),
    wrong("softmax in NumPy: axis 0", *SOFTMAX, in_numpy(softmax_backward_in_numpy), V, kind=MAPPED,
          witness=lambda: ROWS),
    wrong("softmax in NumPy: axis 0, under a rule", "custom", jax.nn.softmax,
          with_rule(jax.nn.softmax, in_numpy(softmax_backward_in_numpy, "expand_dims")), V, kind=MAPPED,
          witness=lambda: ROWS),
    wrong("running sum in NumPy: axis 0", "vjp", jnp.cumsum, in_numpy(running_sum_in_numpy), V, kind=MAPPED,
          witness=lambda: ROWS),
    wrong("centering in NumPy: mean of everything", "vjp", lambda x: x - x.mean(), in_numpy(centered_in_numpy), V,
          kind=MAPPED, witness=lambda: ROWS),
    wrong("softmax: a custom vmap rule", *SOFTMAX, softmax_backward_mapped, V, kind=MAPPED, witness=lambda: ROWS),
    wrong("maximum: a custom vmap rule", "vjp", jnp.max,
          lambda args, dy: (scaled_by_largest(args[0], dy),), V, kind=MAPPED, witness=lambda: ROWS),
]  # fmt: skip


def smooth_abs(x):
    wide = jnp.promote_types(x.dtype, jnp.float32)
    x = x.astype(wide)
    return jnp.sqrt(x * x + 1e-8)


def rounded(f):
    return lambda x: f(x).astype(x.dtype)


def rms_norm(x):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (wide * jax.lax.rsqrt((wide * wide).mean() + 1e-6)).astype(x.dtype)


def rms_norm_backward(args, dy):
    # Squares in the argument's dtype: above 65504 they overflow in float16.
    (x,) = args
    r = jax.lax.rsqrt((x * x).mean() + 1e-6)
    return (r * (dy - x * r * (dy * x * r).mean()),)


def deviation(x):
    return jnp.std(x.astype(jnp.promote_types(x.dtype, jnp.float32))).astype(x.dtype)


def deviation_backward(args, dy):
    (x,) = args
    s = jnp.sqrt((x * x).mean() - x.mean() ** 2)
    return (dy * (x - x.mean()) / (x.size * s),)


def row(table, index):
    return table[index]


def row_backward_by_comparison(args, dy):
    # Row numbers in the gradient's dtype: not every integer above 256 (bfloat16) or 2048 (float16) is one.
    table, index = args
    rows = jnp.arange(table.shape[0]).astype(dy.dtype)
    return (rows[:, None] == index.astype(dy.dtype)[None]).astype(dy.dtype) @ dy, None


def total_bias(b, x):
    return jnp.sum(x + b[None], axis=0)


def total_bias_backward(args, dy):
    # One running sum in the cotangent's dtype: it stalls once a term is below half its last digit.
    db = jax.lax.scan(lambda s, _: (s + dy, None), jnp.zeros_like(dy), None, length=args[1].shape[0])[0]
    return db, jnp.broadcast_to(dy[None], args[1].shape)


def low(case_args, dtype):
    return lambda: Witness(tuple(a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a for a in case_args))


SMALL = normal(123, 6, scale=2e-4)
LARGE = normal(124, 8, scale=300)
TABLE = normal(125, 3000, 2)
INDEX = array([2999, 5, 2051, 2051, 2057, 303, 2049, 515], jnp.int32)
TALL = (normal(126, 2), normal(127, 6000, 2))
F16, BF16 = jnp.float16, jnp.bfloat16
PRECISION = [
    wrong("smooth |x|: 1e-8 vanishes", "vjp", rounded(smooth_abs),
          lambda args, dy: (dy * args[0] / jnp.sqrt(args[0] * args[0] + 1e-8),), SMALL, kind=LOW,
          witness=low([SMALL], F16)),
    wrong("rms norm: squares overflow", "vjp", rms_norm, rms_norm_backward, LARGE, kind=LOW,
          witness=low([LARGE], F16)),
    wrong("standard deviation: squares overflow", "vjp", deviation, deviation_backward, LARGE, kind=LOW,
          witness=low([LARGE], F16)),
    wrong("table's row: numbers compared in the gradient's dtype", "vjp", row, row_backward_by_comparison, TABLE,
          INDEX, kind=LOW, witness=low([TABLE, INDEX], BF16)),
    wrong("table's row: compared, in bfloat16", "vjp", row, row_backward_by_comparison, TABLE.astype(BF16), INDEX,
          kind=LOW),
    wrong("sum over examples: one running sum", "vjp", total_bias, total_bias_backward, *TALL, kind=LOW,
          witness=low(TALL, BF16)),
    wrong("rms norm: squares overflow, in float16", "custom", rms_norm, with_rule(rms_norm, rms_norm_backward),
          LARGE.astype(F16), kind=LOW),
]  # fmt: skip


def dropout(x, key):
    return jnp.where(jax.random.bernoulli(key, 0.6, x.shape), x / 0.6, 0)


def dropout_other_mask(args, dy):
    x, key = args
    return jnp.where(jax.random.bernoulli(jax.random.split(key)[0], 0.6, x.shape), dy / 0.6, 0), None


def dropout_no_scale(args, dy):
    x, key = args
    return jnp.where(jax.random.bernoulli(key, 0.6, x.shape), dy, 0), None


def dropout_by_zeros(args, dy):
    # The mask from the zeros of the output, for an input that contains zeros: right, and with a wrong rate.
    x, key = args
    return jnp.where(dropout(x, key) != 0, dy / 0.4, 0), None


KEY = jax.random.key(5)
RANDOM = [
    wrong("dropout: another mask in the backward", "vjp", dropout, dropout_other_mask, normal(128, 20), KEY),
    wrong("dropout: scale forgotten", "vjp", dropout, dropout_no_scale, normal(128, 20), KEY,
          kind="constant factor"),
    wrong("dropout: scaled by the rate, not by what is kept", "vjp", dropout, dropout_by_zeros, normal(128, 20), KEY,
          kind="constant factor"),
]  # fmt: skip

N = 200_000
BIG, WEIGHTS = normal(129, N), normal(130, N)


def weighted(x):
    return jnp.asarray(WEIGHTS, x.dtype) * x * x


def weighted_backward(args, dy):
    return 2 * jnp.asarray(WEIGHTS, args[0].dtype) * args[0] * dy


LARGE_CASES = [
    wrong("200 000 numbers: one 1 % off", "vjp", weighted,
          lambda args, dy: (weighted_backward(args, dy).at[77_777].multiply(1.01),), BIG),
    wrong("200 000 numbers: one three times too large", "vjp", weighted,
          lambda args, dy: (weighted_backward(args, dy).at[123_456].multiply(3),), BIG),
    wrong("200 000 numbers: one forgotten", "custom", weighted,
          with_rule(weighted, lambda args, dy: (weighted_backward(args, dy).at[-1].set(0),)), BIG),
    wrong("200 000 numbers: all 1 % too large", "vjp", weighted,
          lambda args, dy: (2.02 * jnp.asarray(WEIGHTS, args[0].dtype) * args[0] * dy,), BIG, kind="constant factor"),
    wrong("200 000 numbers: all 1 % too small", "gradient", lambda x: jnp.sum(weighted(x)),
          lambda x: 1.98 * jnp.asarray(WEIGHTS, x.dtype) * x, BIG, kind="constant factor"),
    wrong("200 000 numbers: 2.0002 for 2", "vjp", weighted,
          lambda args, dy: (2.0002 * jnp.asarray(WEIGHTS, args[0].dtype) * args[0] * dy,), BIG,
          kind="constant factor"),
]  # fmt: skip
RIGHT = [
    right("softmax in NumPy", "vjp", jax.nn.softmax, in_numpy(right_softmax_in_numpy), V),
    right("dropout", "vjp", dropout,
          lambda args, dy: (jnp.where(jax.random.bernoulli(args[1], 0.6, dy.shape), dy / 0.6, 0), None),
          normal(128, 20), KEY),
]  # fmt: skip
WRONG = VMAP + PRECISION + RANDOM + LARGE_CASES
