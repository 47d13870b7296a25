"""Losses and costs of predictions."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import integers, normal, right, simplex, uniform, wrong

M, K = 7, 3
Z1, Y1 = normal(21, M), integers(22, 2, M)
ZK, YK, PK = normal(23, M, K), integers(24, K, M), simplex(25, M, K)
A, T = normal(26, M, K), normal(27, M, K)
sigmoid, softmax, log_softmax = jax.nn.sigmoid, jax.nn.softmax, jax.nn.log_softmax


def sigmoid_cost(z, y):
    return jnp.mean(jax.nn.softplus(z) - y * z)


def softmax_cost(z, y):
    return -jnp.mean(jnp.take_along_axis(log_softmax(z), y[:, None], axis=1))


def one_hot(z, y):
    return jax.nn.one_hot(y, z.shape[1], dtype=z.dtype)


def softmax_cost_backward(args, dy):
    z, y = args
    return dy * (softmax(z) - one_hot(z, y)) / z.shape[0], None


def soft_cost(z, p):
    return -jnp.mean(jnp.sum(p * log_softmax(z), axis=1))


def soft_cost_gradient(z, p):
    m = z.shape[0]
    return (softmax(z) * p.sum(1, keepdims=True) - p) / m, -log_softmax(z) / m


def squares(a, t):
    """Half the square, summed over outputs, averaged over examples."""
    return 0.5 * jnp.mean(jnp.sum((a - t) ** 2, axis=1))


def squares_gradient(a, t):
    dz = (a - t) / a.shape[0]
    return dz, -dz


def mean_square(a, t):
    return jnp.mean((a - t) ** 2)


def mean_square_gradient(a, t):
    d = 2 * (a - t) / a.size
    return d, -d


def huber(a, t):
    r = jnp.abs(a - t)
    return jnp.where(r < 1, 0.5 * r * r, r - 0.5)


def huber_backward(args, dy):
    d = dy * jnp.clip(args[0] - args[1], -1, 1)
    return d, -d


def cross_entropy(p, y):
    return -jnp.mean(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))


RIGHT = [
    right("sigmoid cost", "gradient", sigmoid_cost, lambda z, y: ((sigmoid(z) - y) / z.shape[0], None), Z1, Y1),
    right("softmax cost, integer labels", "vjp", softmax_cost, softmax_cost_backward, ZK, YK),
    right("softmax cost, soft labels", "gradient", soft_cost, soft_cost_gradient, ZK, PK),
    right("squared error", "gradient", squares, squares_gradient, A, T),
    right("mean squared error", "gradient", mean_square, mean_square_gradient, A, T),
    right("huber, per element", "vjp", huber, huber_backward, A, T),
]


def missing_m(z, y):
    return sigmoid(z) - y, None


def m_twice(z, y):
    m = z.shape[0]
    dz = (sigmoid(z) - y) / m
    return dz / m, None


def no_minus(z, y):
    # The gradient of (1/m) sum(y log a + (1 - y) log(1 - a)): the cost without its minus.
    return (y - sigmoid(z)) / z.shape[0], None


def bracket_closed_early(z, y):
    # The gradient of mean(-(y log a) + (1 - y) log(1 - a)).
    a = sigmoid(z)
    return (-y * (1 - a) - (1 - y) * a) / z.shape[0], None


def softmax_over_examples(args, dy):
    z, y = args
    return dy * (softmax(z, axis=0) - one_hot(z, y)) / z.shape[0], None


def predicted_label(args, dy):
    z, y = args
    return dy * (one_hot(z, z.argmax(1)) - one_hot(z, y)) / z.shape[0], None


def logits_for_softmax(args, dy):
    z, y = args
    return dy * (z - one_hot(z, y)) / z.shape[0], None


def next_class(args, dy):
    z, y = args
    return dy * (softmax(z) - one_hot(z, y + 1)) / z.shape[0], None


def mean_over_classes(args, dy):
    z, y = args
    return dy * (softmax(z) - one_hot(z, y)) / z.size, None


def smoothed_cost(z, y):
    p = 0.9 * one_hot(z, y) + 0.1 / z.shape[1]
    return -jnp.mean(jnp.sum(p * log_softmax(z), axis=1))


def missing_m_squares(a, t):
    return a - t, t - a


def sign_squares(a, t):
    d = (t - a) / a.shape[0]
    return d, -d


def own_mean(a, t):
    d = 2 * (a - t) / a.shape[0]
    return d, -d


def huber_unclipped(args, dy):
    d = dy * (args[0] - args[1])
    return d, -d


def cross_entropy_one_term(p, y):
    return -y / p / p.shape[0], None


SIGMOID, SOFTMAX = ("gradient", sigmoid_cost), ("vjp", softmax_cost)
WRONG = [
    wrong("sigmoid cost: missing 1/m", *SIGMOID, missing_m, Z1, Y1, kind="missing 1/m"),
    wrong("sigmoid cost: 1/m twice", *SIGMOID, m_twice, Z1, Y1, kind="1/m twice"),
    wrong("sigmoid cost: missing 1/m, m = 2", *SIGMOID, missing_m, Z1[:2], Y1[:2], kind="missing 1/m"),
    wrong("sigmoid cost: no minus", *SIGMOID, no_minus, Z1, Y1, kind="sign"),
    wrong("sigmoid cost: bracket closed early", *SIGMOID, bracket_closed_early, Z1, Y1,
          also=["factor per row"]),
    wrong("sigmoid cost: dz = a(1 - a)", *SIGMOID,
          lambda z, y: (sigmoid(z) * (1 - sigmoid(z)) / z.shape[0], None), Z1, Y1),
    wrong("sigmoid cost: slope of the sigmoid too", *SIGMOID,
          lambda z, y: ((sigmoid(z) - y) * sigmoid(z) * (1 - sigmoid(z)) / z.shape[0], None), Z1, Y1),
    wrong("sigmoid cost: z for a", *SIGMOID, lambda z, y: ((z - y) / z.shape[0], None), Z1, Y1),
    wrong("softmax cost: missing 1/m", *SOFTMAX,
          lambda args, dy: (dy * (softmax(args[0]) - one_hot(*args)), None), ZK, YK, kind="missing 1/m"),
    wrong("softmax cost: missing 1/m, m = classes", *SOFTMAX,
          lambda args, dy: (dy * (softmax(args[0]) - one_hot(*args)), None), ZK[:K], YK[:K], kind="missing 1/m"),
    wrong("softmax cost: 1/m twice", *SOFTMAX,
          lambda args, dy: (dy * (softmax(args[0]) - one_hot(*args)) / args[0].shape[0] ** 2, None), ZK, YK,
          kind="1/m twice"),
    wrong("softmax cost: mean over classes too", *SOFTMAX, mean_over_classes, ZK, YK, kind="constant factor"),
    wrong("softmax cost: softmax over the examples", *SOFTMAX, softmax_over_examples, ZK, YK),
    wrong("softmax cost: predicted label for softmax", *SOFTMAX, predicted_label, ZK, YK),
    wrong("softmax cost: logits for softmax", *SOFTMAX, logits_for_softmax, ZK, YK),
    wrong("softmax cost: label off by one", *SOFTMAX, next_class, ZK, YK),
    wrong("softmax cost: cotangent ignored", *SOFTMAX, lambda args, dy: softmax_cost_backward(args, 1.0), ZK, YK,
          kind="cotangent ignored"),
    wrong("softmax cost: smoothing forgotten", "vjp", smoothed_cost, softmax_cost_backward, ZK, YK),
    wrong("soft labels: swapped", "gradient", soft_cost, lambda z, p: soft_cost_gradient(z, p)[::-1], ZK, PK,
          kind="swapped"),
    wrong("squared error: missing 1/m", "gradient", squares, missing_m_squares, A, T, kind="missing 1/m"),
    wrong("squared error: t - a", "gradient", squares, sign_squares, A, T, kind="sign"),
    wrong("squared error: targets' gradient without minus", "gradient", squares,
          lambda a, t: ((a - t) / a.shape[0], (a - t) / a.shape[0]), A, T, kind="sign"),
    wrong("mean squared error: 2 forgotten", "gradient", mean_square,
          lambda a, t: ((a - t) / a.size, (t - a) / a.size), A, T, kind="constant factor"),
    wrong("mean squared error: 1/k forgotten", "gradient", mean_square, own_mean, A, T, kind="sum for mean"),
    wrong("huber: not clipped", "vjp", huber, huber_unclipped, 2 * A, T),
    wrong("cross entropy of probabilities: second term forgotten", "gradient", cross_entropy, cross_entropy_one_term,
          uniform(28, M), Y1, also=("factor of an argument",)),
]  # fmt: skip
