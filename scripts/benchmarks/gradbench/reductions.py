"""Sums, spreads and distances."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import normal, right, with_rule, wrong

X, V = normal(101, 6, 4), normal(102, 9)
A, B = normal(103, 4, 3), normal(104, 5, 3)
SAME = (normal(105, 4, 3), normal(106, 4, 3))


def logsumexp(x):
    return jax.nn.logsumexp(x, axis=1)


def variance(x):
    return jnp.var(x, axis=0)


def variance_backward(args, dy):
    (x,) = args
    return (dy[None] * 2 * (x - x.mean(0, keepdims=True)) / x.shape[0],)


def deviation(x):
    return jnp.std(x, axis=1)


def deviation_backward(args, dy):
    (x,) = args
    s = jnp.std(x, axis=1, keepdims=True)
    return (dy[:, None] * (x - x.mean(1, keepdims=True)) / (x.shape[1] * s),)


def running_sum_backward(args, dy):
    return (jnp.cumsum(dy[::-1])[::-1],)


def distances(a, b):
    """Squared distances of every a to every b."""
    return jnp.sum((a[:, None] - b[None]) ** 2, axis=2)


def distances_backward(args, dy):
    a, b = args
    d = 2 * dy[:, :, None] * (a[:, None] - b[None])
    return d.sum(1), -d.sum(0)


def product(x):
    return jnp.prod(x, axis=1)


RIGHT = [
    right("logsumexp", "vjp", logsumexp, lambda args, dy: (dy[:, None] * jax.nn.softmax(args[0], axis=1),), X),
    right("variance", "vjp", variance, variance_backward, X),
    right("standard deviation", "custom", deviation, with_rule(deviation, deviation_backward), X),
    right("running sum", "vjp", jnp.cumsum, running_sum_backward, V),
    right("pairwise distances", "vjp", distances, distances_backward, A, B),
    right("mean of examples", "rule", lambda x: x.mean(0),
          (lambda x: (x.mean(0), jnp.zeros((x.shape[0], 1), x.dtype)), lambda r, dy: ((r + dy[None]) / len(r),)), X),
]  # fmt: skip


def distances_one_side(args, dy):
    a, b = args
    d = 2 * dy[:, :, None] * (a[:, None] - b[None])
    return d.sum(1), d.sum(0)


def distances_crossed(args, dy):
    a, b = args
    d = 2 * dy[:, :, None] * (a[:, None] - b[None])
    return d.sum(0), -d.sum(1)


def distances_one_pair_each(args, dy):
    a, b = args
    d = 2 * dy[:, :, None] * (a[:, None] - b[None])
    return d[:, 0], -d[0]


def mean_rows(args, dy):
    return (jnp.broadcast_to(dy[None], args[0].shape),)


def variance_missing_n(args, dy):
    (x,) = args
    return (dy[None] * 2 * (x - x.mean(0, keepdims=True)),)


def variance_unbiased(args, dy):
    (x,) = args
    return (dy[None] * 2 * (x - x.mean(0, keepdims=True)) / (x.shape[0] - 1),)


def variance_not_centered(args, dy):
    (x,) = args
    return (dy[None] * 2 * x / x.shape[0],)


def deviation_as_variance(args, dy):
    (x,) = args
    return (dy[:, None] * 2 * (x - x.mean(1, keepdims=True)) / x.shape[1],)


def deviation_missing_n(args, dy):
    (x,) = args
    s = jnp.std(x, axis=1, keepdims=True)
    return (dy[:, None] * (x - x.mean(1, keepdims=True)) / s,)


def product_without_the_rest(args, dy):
    return (dy[:, None] * product(args[0])[:, None] * args[0],)


DISTANCES, VARIANCE, SUM = ("vjp", distances), ("vjp", variance), ("vjp", jnp.cumsum)
WRONG = [
    wrong("logsumexp: 1 to every entry", "vjp", logsumexp,
          lambda args, dy: (jnp.broadcast_to(dy[:, None], args[0].shape),), X),
    wrong("logsumexp: softmax over the examples", "vjp", logsumexp,
          lambda args, dy: (dy[:, None] * jax.nn.softmax(args[0], axis=0),), X),
    wrong("variance: missing 1/m", *VARIANCE, variance_missing_n, X, kind="missing 1/m"),
    wrong("variance: n - 1 for n", *VARIANCE, variance_unbiased, X, kind="constant factor"),
    wrong("variance: not centered", *VARIANCE, variance_not_centered, X),
    wrong("standard deviation: the variance's", "vjp", deviation, deviation_as_variance, X),
    wrong("standard deviation: 1/n forgotten", "vjp", deviation, deviation_missing_n, X, kind="sum for mean"),
    wrong("running sum: forwards", *SUM, lambda args, dy: (jnp.cumsum(dy),), V),
    wrong("running sum: off by one", *SUM, lambda args, dy: (jnp.cumsum(dy[::-1])[::-1] - dy,), V),
    wrong("running sum: the whole sum to all", *SUM, lambda args, dy: (jnp.full_like(args[0], dy.sum()),), V,
          also=["summed too much"]),
    wrong("pairwise distances: sign of db", *DISTANCES, distances_one_side, A, B, kind="sign"),
    wrong("pairwise distances: sums crossed", *DISTANCES, distances_crossed, *SAME, also=["swapped", "sign"]),
    wrong("pairwise distances: one pair each", *DISTANCES, distances_one_pair_each, *SAME, also=["missing sum"]),
    wrong("pairwise distances: 2 forgotten", *DISTANCES,
          lambda args, dy: tuple(d / 2 for d in distances_backward(args, dy)), A, B, kind="constant factor"),
    wrong("mean of examples: missing 1/m", "vjp", lambda x: x.mean(0), mean_rows, X, kind="missing 1/m"),
    wrong("mean of features: 1/n forgotten", "vjp", lambda x: x.mean(1),
          lambda args, dy: (jnp.broadcast_to(dy[:, None], args[0].shape),), X, kind="sum for mean"),
    wrong("product: by the entry, not by the rest", "vjp", product, product_without_the_rest, X),
]  # fmt: skip
