"""Mistakes that the given arguments do not show: one example, whole numbers, sizes, lost digits, second derivatives."""

from functools import partial

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import Witness, array, integers, normal, right, uniform, with_rule, wrong

X, V, ROW = normal(161, 5, 4), normal(162, 6), normal(163, 1, 4)
W, B = normal(164, 4), normal(165, 4)
ROWS = Witness((X,))


def line_cost(w, x, y):
    return jnp.mean((x @ w - y) ** 2) / 2


def line_cost_backward(args, dy, mean=True):
    w, x, y = args
    r = (x @ w - y) * dy / (x.shape[0] if mean else 1)
    return x.T @ r, r[:, None] * w[None], -r


def cross_entropy(z, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))


def cross_entropy_sum_gradient(z, y):
    return jax.nn.softmax(z) - jax.nn.one_hot(y, z.shape[1], dtype=z.dtype), None


def softmax_over_all(args, dy):
    p = jax.nn.softmax(args[0], axis=-1)
    return (p * (dy - jnp.sum(p * dy)),)


def log_softmax_over_all(args, dy):
    return (dy - jax.nn.softmax(args[0], axis=-1) * jnp.sum(dy),)


def center(x):
    return x - x.mean(-1, keepdims=True)


def rms_norm(x):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-3)


def rms_norm_backward(args, dy, mean):
    (x,) = args
    r = jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-3)
    return (r * dy - x * r**3 * mean(x * dy),)


def add_bias(b, x):
    return x + b[None]


LINE = Witness((W, X, normal(166, 5)))
LABELED = Witness((X, integers(167, 4, 5)))
ROW_SOFTMAX, LAST = ("vjp", jax.nn.softmax), partial(jnp.mean, axis=-1, keepdims=True)
ONE_EXAMPLE = [
    wrong("squared cost, m = 1: missing 1/m", "vjp", line_cost, partial(line_cost_backward, mean=False), W, ROW,
          normal(168, 1), kind="missing 1/m", witness=lambda: LINE),
    wrong("cross entropy, m = 1: missing 1/m", "gradient", cross_entropy, cross_entropy_sum_gradient, ROW,
          integers(169, 4, 1), kind="missing 1/m", witness=lambda: LABELED),
    wrong("mean of examples, m = 1: missing 1/m", "custom", lambda x: jnp.mean(jnp.sin(x), axis=0),
          with_rule(lambda x: jnp.mean(jnp.sin(x), axis=0), lambda args, dy: (dy[None] * jnp.cos(args[0]),)), ROW,
          kind="missing 1/m", witness=lambda: ROWS),
    wrong("bias, m = 1: the first example", "vjp", add_bias, lambda args, dy: (dy[0], dy), B, ROW, kind="missing sum",
          witness=lambda: Witness((B, X))),
    wrong("one row, softmax: sum over the rows too", *ROW_SOFTMAX, softmax_over_all, ROW, kind="summed too much",
          witness=lambda: ROWS),
    wrong("a vector, softmax: sum over every axis", *ROW_SOFTMAX, softmax_over_all, V, kind="summed too much",
          witness=lambda: ROWS),
    wrong("one row, log softmax: sum over the rows too", "vjp", jax.nn.log_softmax, log_softmax_over_all, ROW,
          kind="summed too much", witness=lambda: ROWS),
    wrong("one row, centering: mean of everything", "vjp", center, lambda args, dy: (dy - dy.mean(),), ROW,
          also=["summed too much"], witness=lambda: ROWS),
    wrong("one row, rms norm: mean of everything", "vjp", rms_norm, partial(rms_norm_backward, mean=jnp.mean), ROW,
          also=["summed too much"], witness=lambda: ROWS),
]  # fmt: skip


def padded_cost(z, y):
    """Return the cost of the labels that are not 0, which is padding."""
    return -jnp.sum(jnp.where(y > 0, jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1)[:, 0], 0))


def marked_cost(z, y):
    """Return the cost of the labels that are not -1, which is padding."""
    return -jnp.sum(
        jnp.where(y >= 0, jnp.take_along_axis(jax.nn.log_softmax(z), jnp.maximum(y, 0)[:, None], axis=1)[:, 0], 0)
    )


def cost_without_padding(args, dy):
    z, y = args
    return dy * (jax.nn.softmax(z) - jax.nn.one_hot(jnp.maximum(y, 0), z.shape[1], dtype=z.dtype)), None


def padded_cost_backward(args, dy):
    z, y = args
    return jnp.where((y > 0)[:, None], cost_without_padding(args, dy)[0], 0), None


def to_length(x, lengths):
    return jnp.sum(jnp.where(jnp.arange(x.shape[1])[None] < lengths[:, None], x * x, 0), axis=1)


def mean_to_length(x, lengths):
    on = jnp.arange(x.shape[1])[None] < lengths[:, None]
    return jnp.sum(jnp.where(on, x, 0), axis=1) / jnp.maximum(lengths, 1).astype(x.dtype)


def mean_to_length_backward(args, dy):
    # Masked, and divided by the longest possible length.
    x, lengths = args
    return jnp.where(jnp.arange(x.shape[1])[None] < lengths[:, None], dy[:, None] / x.shape[1], 0), None


def kept(x, mask):
    return jnp.where(mask, jnp.sin(x), 0)


def shifted(x, k):
    return jnp.roll(x, k)


def weighted_by_class(z, y):
    return jnp.asarray([0.5, 2, 3], z.dtype)[y] * jnp.sin(z)


PADDED = Witness((X, array([0, 2, 1, 0, 3], jnp.int32)))
MARKED = Witness((X, array([-1, 2, 1, 0, -1], jnp.int32)))
SHORT = Witness((X, array([4, 2, 1, 3, 4], jnp.int32)))
FULL = jnp.full(5, 4, jnp.int32)
WHOLE_NUMBERS = [
    wrong("padding 0: ignored, none given", "vjp", padded_cost, cost_without_padding, X,
          array([1, 2, 3, 1, 1], jnp.int32), witness=lambda: PADDED),
    wrong("padding -1: ignored, none given", "vjp", marked_cost, cost_without_padding, X,
          array([1, 0, 3, 2, 1], jnp.int32), witness=lambda: MARKED),
    wrong("padding -1: ignored, two given", "vjp", marked_cost, cost_without_padding, *MARKED.args),
    wrong("lengths: ignored, full rows given", "vjp", to_length,
          lambda args, dy: (2 * dy[:, None] * args[0], None), X, FULL, witness=lambda: SHORT),
    wrong("lengths: mean over the longest, full rows given", "vjp", mean_to_length, mean_to_length_backward, X, FULL,
          also=["factor per row"], witness=lambda: SHORT),
    wrong("mask: ignored, all true given", "vjp", kept, lambda args, dy: (dy * jnp.cos(args[0]), None), X,
          jnp.ones((5, 4), bool), witness=lambda: Witness((X, X > 0))),
    wrong("table's rows: overwritten, each given once", "vjp", lambda table, rows: table[rows],
          lambda args, dy: (jnp.zeros_like(args[0]).at[args[1]].set(dy), None), X, array([3, 0, 1], jnp.int32),
          also=["missing sum"], witness=lambda: Witness((X, array([3, 3, 1], jnp.int32)))),
    wrong("roll by half a turn: rolled on, not back", "vjp", shifted,
          lambda args, dy: (jnp.roll(dy, args[1]), None), V, jnp.int32(3), kind="permutation",
          witness=lambda: Witness((V, jnp.int32(1)))),
    wrong("weights of classes: that of class 1, the only one given", "vjp", weighted_by_class,
          lambda args, dy: (2 * dy * jnp.cos(args[0]), None), normal(170, 4), jnp.ones(4, jnp.int32),
          also=["factor per row"], witness=lambda: Witness((normal(170, 4), array([0, 1, 2, 1], jnp.int32)))),
]  # fmt: skip


def scaled_scores(q, k):
    return q @ k.T / jnp.sqrt(jnp.asarray(q.shape[-1], q.dtype))


def every_pair(args, dy):
    # The last of an odd number of features is lost.
    n = args[0].shape[1] // 2 * 2
    return (jnp.zeros_like(args[0]).at[:, :n].set(dy[:, None] * jnp.cos(args[0][:, :n])),)


def convolution(x, kernel):
    return jnp.convolve(x, kernel, mode="full")


def convolution_backward(args, dy):
    # The kernel is not turned around for dx.
    x, kernel = args
    return jnp.convolve(dy, kernel, mode="valid"), jnp.convolve(dy, x[::-1], mode="valid")


WIDE = Witness((normal(171, 5, 7),))
SIZES = [
    wrong("rms norm, n = 4: 1/n as 1/4", "vjp", rms_norm,
          partial(rms_norm_backward, mean=lambda v: v.sum(-1, keepdims=True) / 4), X, witness=lambda: WIDE),
    wrong("centering, n = 4: 1/n as 1/4", "vjp", center,
          lambda args, dy: (dy - dy.sum(-1, keepdims=True) / 4,), X, witness=lambda: WIDE),
    wrong("scores, d = 4: 1/sqrt(d) as 1/2", "vjp", scaled_scores,
          lambda args, dy: (dy @ args[1] / 2, dy.T @ args[0] / 2), X, normal(172, 3, 4),
          also=["constant factor"], witness=lambda: Witness((normal(173, 3, 7), normal(174, 2, 7)))),
    wrong("mean of features, n = 4: 1/n as 1/4", "vjp", lambda x: x.mean(-1),
          lambda args, dy: (jnp.broadcast_to(dy[:, None] / 4, args[0].shape),), X,
          also=["constant factor"], witness=lambda: WIDE),
    wrong("sum of sines, n = 4: by pairs", "vjp", lambda x: jnp.sin(x).sum(1), every_pair, X, witness=lambda: WIDE),
    wrong("convolution, 1 tap: kernel not reversed in dx", "vjp", convolution, convolution_backward, V,
          normal(175, 1), witness=lambda: Witness((V, normal(176, 3)))),
]  # fmt: skip


def log_add(a, b):
    return jnp.logaddexp(a, b)


FAR = Witness((array([-40.0, -45, -50]),))
FAR_RIGHT = Witness((-FAR.args[0],))
SATURATED, LOW = "only when saturated", "only in low precision"
# Sums and differences whose digits are lost far out, where autodiff of f keeps all of them.
DIGITS = [
    wrong("softplus: 1 - 1/(1 + e^x)", "vjp", jax.nn.softplus,
          lambda args, dy: (dy * (1 - 1 / (1 + jnp.exp(args[0]))),), V, kind=LOW, also=[SATURATED],
          witness=lambda: FAR),
    wrong("log sigmoid: 1 - sigmoid(x)", "vjp", jax.nn.log_sigmoid,
          lambda args, dy: (dy * (1 - jax.nn.sigmoid(args[0])),), V, kind=LOW, also=[SATURATED],
          witness=lambda: FAR_RIGHT),
    wrong("softplus of -2x: tanh(x) - 1", "vjp", lambda x: jax.nn.softplus(-2 * x),
          lambda args, dy: (dy * (jnp.tanh(args[0]) - 1),), V, kind=LOW, also=[SATURATED], witness=lambda: FAR_RIGHT),
    wrong("cost of log1p(e^-z): by 1 - a", "gradient", lambda z: jnp.mean(jax.nn.softplus(-z)),
          lambda z: (jax.nn.sigmoid(z) - 1) / z.shape[0], V, kind=LOW, also=[SATURATED], witness=lambda: FAR_RIGHT),
]  # fmt: skip


def masked_softmax(s, mask):
    return jax.nn.softmax(jnp.where(mask, s, -jnp.inf), axis=-1)


def masked_by_a_large_number(args, dy):
    # 9e8 is infinite in float16, and infinity times 0 is NaN.
    s, mask = args
    p = jax.nn.softmax(s - jnp.square(jnp.asarray(3e4, s.dtype)) * (1 - mask.astype(s.dtype)), axis=-1)
    return p * (dy - jnp.sum(p * dy, axis=-1, keepdims=True)), None


def mean_of_cubes(x):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (jnp.mean(wide * wide * wide) / 16384).astype(x.dtype)


def mean_of_cubes_backward(args, dy):
    # x² overflows in float16 before it is divided.
    (x,) = args
    return (3 * x * x * dy / 16384 / x.size,)


def scaled_softplus(x):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jax.nn.softplus(wide).astype(x.dtype)


def scaled_softplus_backward(args, dy):
    # e^x overflows in float16 from 12 on, and in float32 the clip keeps it finite.
    e = jnp.exp(jnp.minimum(args[0], 80))
    return (dy * jnp.where(args[0] > 80, 1, e / (1 + e)),)


F16 = jnp.float16
TRIANGLE = jnp.tril(jnp.ones((5, 4), bool))
HALF = [
    wrong("masked softmax: 9e8 in float16", "vjp", masked_softmax, masked_by_a_large_number, X, TRIANGLE, kind=LOW,
          witness=lambda: Witness((X.astype(F16), TRIANGLE))),
    wrong("mean of cubes: squares overflow", "vjp", mean_of_cubes, mean_of_cubes_backward, 400 + V, kind=LOW,
          witness=lambda: Witness(((400 + V).astype(F16),))),
    wrong("softplus: e^x overflows in float16", "vjp", scaled_softplus, scaled_softplus_backward,
          12 + jnp.abs(V), kind=LOW, also=[SATURATED], witness=lambda: Witness(((12 + jnp.abs(V)).astype(F16),))),
]  # fmt: skip

stop = jax.lax.stop_gradient


def kept_slope(f, slope):
    """Return f with a rule that treats the kept slope as a constant: right, but its own derivative is 0."""
    g = jax.custom_vjp(f)
    g.defvjp(lambda x: (f(x), slope(x)), lambda kept, dy: (stop(kept) * dy,))
    return g


def tangent_rule(f, slope):
    g = jax.custom_jvp(f)
    g.defjvp(lambda primals, tangents: (f(*primals), stop(slope(*primals)) * tangents[0]))
    return g


def sine_by_rule(x):
    return jnp.sin(x)


SECOND = Witness((V,), order=2)
SECOND_ORDER = [
    wrong("cube: kept slope stopped", "custom", lambda x: x**3, kept_slope(lambda x: x**3, lambda x: 3 * x * x), V,
          witness=lambda: SECOND),
    wrong("tanh: kept output stopped", "rule", jnp.tanh,
          (lambda x: (jnp.tanh(x),) * 2, lambda y, dy: (dy * (1 - stop(y) ** 2),)), V, witness=lambda: SECOND),
    wrong("sine: slope stopped in a custom_jvp", "custom", sine_by_rule, tangent_rule(sine_by_rule, jnp.cos), V,
          witness=lambda: SECOND),
    wrong("softplus: half of the slope stopped", "rule", jax.nn.softplus,
          (lambda x: (jax.nn.softplus(x), x),
           lambda x, dy: (dy * (jax.nn.sigmoid(x) + stop(jax.nn.sigmoid(x))) / 2,)), V, witness=lambda: SECOND),
]  # fmt: skip

RIGHT = [
    right("padding 0", "vjp", padded_cost, padded_cost_backward, X, array([1, 0, 3, 1, 1], jnp.int32)),
    right("squared cost, m = 1", "vjp", line_cost, line_cost_backward, W, ROW, normal(168, 1)),
    right("rms norm of one row", "vjp", rms_norm, partial(rms_norm_backward, mean=LAST), ROW),
    right("log sigmoid", "vjp", jax.nn.log_sigmoid, lambda args, dy: (dy * jax.nn.sigmoid(-args[0]),),
          uniform(178, 6, low=-3, high=3)),
]  # fmt: skip
WRONG = ONE_EXAMPLE + WHOLE_NUMBERS + SIZES + DIGITS + HALF + SECOND_ORDER
