"""Elementwise functions whose gradient is wrong in one region only: below zero, at the kink, far out."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.activations import Z, elu
from scripts.benchmarks.gradbench.case import Witness, array, integers, normal, simplex, uniform, with_rule, wrong

X = normal(11, 6, 5)
V = normal(12, 7)
Y = integers(13, 2, 6)
FAR = Witness((array([-1e4, -1e3, -1.0, 0.5, 1.0, 1e3, 1e4]),))
ZEROS = Witness((array([-1.0, 0.0, 2.0, 0.0, -3.0]),))


def elu_without_alpha(args, dy):
    (x,) = args
    return (dy * jnp.where(x > 0, 1, jnp.exp(jnp.minimum(x, 0))),)


def elu_value_for_slope(args, dy):
    (x,) = args
    return (dy * jnp.where(x > 0, 1, elu(x)),)


def softsign_backward(args, dy):
    # |x| is missing.
    return (dy / (1 + args[0]) ** 2,)


LEAKY = jax.nn.leaky_relu
NEGATIVE = "only for z < 0"
BELOW = [
    wrong("leaky relu: relu's slope", "vjp", LEAKY, lambda args, dy: (dy * (args[0] > 0),), X, kind=NEGATIVE),
    wrong("leaky relu: slope 0.001", "vjp", LEAKY, lambda args, dy: (jnp.where(args[0] >= 0, dy, 0.001 * dy),), X,
          kind=NEGATIVE),
    wrong("leaky relu: max(0.01, z)", "vjp", LEAKY,
          lambda args, dy: jax.vjp(lambda z: jnp.maximum(0.01, z), args[0])[1](dy), X, kind=NEGATIVE),
    wrong("leaky relu: value for slope", "custom", LEAKY,
          with_rule(LEAKY, lambda args, dy: (jnp.where(args[0] >= 0, dy, 0.01 * args[0] * dy),)), X, kind=NEGATIVE),
    wrong("elu: alpha forgotten", "vjp", elu, elu_without_alpha, X, kind=NEGATIVE),
    wrong("elu: value for slope", "vjp", elu, elu_value_for_slope, X, kind=NEGATIVE),
    wrong("abs: slope 1", "vjp", jnp.abs, lambda args, dy: (dy,), X, kind=NEGATIVE),
    wrong("soft sign: |x| forgotten", "vjp", jax.nn.soft_sign, softsign_backward, X, kind=NEGATIVE),
]  # fmt: skip


def safe_norm(x):
    square = jnp.sum(x * x)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def relu_halved(args, dy):
    (x,) = args
    return (dy * jnp.where(x == 0, 0.5, x > 0),)


def relu_by_ratio(args, dy):
    (x,) = args
    return (dy * jax.nn.relu(x) / x,)


def tied_max(x):
    return jnp.max(x.reshape(-1, 2), axis=1)


def tied_max_backward(args, dy):
    pairs = args[0].reshape(-1, 2)
    return (((pairs == pairs.max(1, keepdims=True)) * dy[:, None]).reshape(-1),)


TIES = Witness((array([1.0, 1.0, 0.0, 2.0, 0.0, 0.0]),))
KINK = "only at the kink"
AT_KINK = [
    wrong("relu: slope 1 at 0", "vjp", jax.nn.relu, lambda args, dy: (dy * (args[0] >= 0),), X, kinks="jax",
          kind=KINK, witness=lambda: ZEROS),
    wrong("relu: slope 1/2 at 0", "vjp", jax.nn.relu, relu_halved, V, kinks="jax", kind=KINK, witness=lambda: ZEROS),
    wrong("relu: y / x", "custom", jax.nn.relu, with_rule(jax.nn.relu, relu_by_ratio), V, kind=KINK,
          witness=lambda: ZEROS),
    wrong("leaky relu: slope 0.01 at 0", "vjp", LEAKY, lambda args, dy: (jnp.where(args[0] > 0, dy, 0.01 * dy),), X,
          kinks="jax", kind=KINK, witness=lambda: ZEROS),
    # JAX's slope of |x| at 0 is 1.
    wrong("abs: slope -1 at 0", "vjp", jnp.abs, lambda args, dy: (jnp.where(args[0] > 0, dy, -dy),), X, kinks="jax",
          kind=KINK, witness=lambda: ZEROS),
    wrong("abs: x / |x|", "gradient", lambda x: jnp.sum(jnp.abs(x)), lambda x: x / jnp.abs(x), V, kind=KINK,
          witness=lambda: ZEROS),
    wrong("relu at zeros: slope 1", "vjp", jax.nn.relu, lambda args, dy: (dy * (args[0] >= 0),),
          array([[-1.5, 0, 0.7], [0, 0, 2]]), kinks="jax", kind=KINK),
    wrong("safe norm: x / |x| at 0", "gradient", safe_norm, lambda x: x / jnp.sqrt(jnp.sum(x * x)), V, kind=KINK,
          witness=lambda: Witness((jnp.zeros(3),))),
    wrong("max of pairs: ties counted twice", "vjp", tied_max, tied_max_backward, normal(14, 8), kind=KINK,
          witness=lambda: TIES),
]  # fmt: skip


def naive_sigmoid(x):
    return jnp.exp(x) / (1 + jnp.exp(x))


def sigmoid_backward(args, dy):
    e = jnp.exp(-args[0])
    return (dy * e / (1 + e) ** 2,)


def tanh_backward(args, dy):
    e = jnp.exp(2 * args[0])
    return (dy * (1 - ((e - 1) / (e + 1)) ** 2),)


def silu_backward(args, dy):
    (x,) = args
    s = naive_sigmoid(x)
    return (dy * (s + x * s * (1 - s)),)


def elu_by_masks(args, dy):
    (x,) = args
    return (dy * ((x > 0) + (x <= 0) * 0.3 * jnp.exp(x)),)


def naive_softmax(z):
    e = jnp.exp(z)
    return e / jnp.sum(e, axis=-1, keepdims=True)


def sigmoid_cost(z, y):
    return jnp.mean(jax.nn.softplus(z) - y * z)


def sigmoid_cost_by_chain(z, y):
    # da times a(1 - a): 0 times infinity where the sigmoid is 0 or 1.
    a = Z(z)
    da = -y / a + (1 - y) / (1 - a)
    return da * a * (1 - a) / z.shape[0], None


def sigmoid_cost_clipped(z, y):
    a = Z(z)
    clipped = jnp.clip(a, 1e-7, 1 - 1e-7)
    da = -y / clipped + (1 - y) / (1 - clipped)
    return da * a * (1 - a) / z.shape[0], None


def soft_cost(z, p):
    return -jnp.mean(jnp.sum(p * jax.nn.log_softmax(z), axis=-1))


def soft_cost_gradient(z, p):
    m = z.shape[0]
    s = naive_softmax(z)
    return (s * p.sum(-1, keepdims=True) - p) / m, -jax.nn.log_softmax(z) / m


def logsumexp(z):
    return jax.nn.logsumexp(z, axis=-1)


FAR_2D = array([[1e4, 1, -1], [-1e4, -2e3, -1e4], [0.5, 1, 2]])
FAR_COST = Witness((array([1e4, -1e4, 1.0, -1e4, 1e4]), array([0, 1, 1, 0, 1], jnp.int32)))
SATURATED = "only when saturated"
FAR_OUT = [
    wrong("softplus: e^x / (1 + e^x)", "vjp", jax.nn.softplus, lambda args, dy: (dy * naive_sigmoid(args[0]),), X,
          kind=SATURATED, witness=lambda: FAR),
    wrong("sigmoid: e^-x / (1 + e^-x)^2", "vjp", Z, sigmoid_backward, X, kind=SATURATED, witness=lambda: FAR),
    wrong("tanh: by e^2x", "vjp", jnp.tanh, tanh_backward, V, kind=SATURATED, witness=lambda: FAR),
    wrong("silu: by e^x", "custom", jax.nn.silu, with_rule(jax.nn.silu, silu_backward), X, kind=SATURATED,
          witness=lambda: FAR),
    wrong("elu: masks times e^x", "vjp", elu, elu_by_masks, X, kind=SATURATED, witness=lambda: FAR),
    wrong("sigmoid cost: da times a(1 - a)", "gradient", sigmoid_cost, sigmoid_cost_by_chain, X[:, 0], Y,
          kind=SATURATED, witness=lambda: FAR_COST),
    wrong("sigmoid cost: probabilities clipped", "gradient", sigmoid_cost, sigmoid_cost_clipped, uniform(15, 6), Y,
          kind=SATURATED, witness=lambda: FAR_COST),
    wrong("soft labels: softmax without its maximum", "gradient", soft_cost, soft_cost_gradient, X, simplex(16, 6, 5),
          kind=SATURATED, witness=lambda: Witness((FAR_2D, simplex(17, 3, 3)))),
    wrong("logsumexp: without its maximum", "vjp", logsumexp,
          lambda args, dy: (dy[..., None] * naive_softmax(args[0]),), X, kind=SATURATED,
          witness=lambda: Witness((FAR_2D,))),
]  # fmt: skip

WRONG = BELOW + AT_KINK + FAR_OUT
