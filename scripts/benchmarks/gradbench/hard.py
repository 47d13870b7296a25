"""Right gradients that a checker may take for wrong: far values, kinks, few bits, tight domains."""

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import array, hard, integers, normal, simplex, uniform, with_rule

sigmoid = jax.nn.sigmoid
FAR = array([-1e4, -300, -20, -0.5, 0.3, 15, 200, 1e4])
FAR_ROWS = array([[1e4, 1, -1e4], [9999, 1e4, -3], [-1e4, -1e4, -9999]])
WITH_ZEROS = array([[-1, 0, 2], [0, 0, -3]])
X, V = normal(131, 5, 3), normal(132, 9)
BITS = integers(133, 2, 8)


def cost(z, y):
    return jnp.mean(jax.nn.softplus(z) - y * z)


def cost_gradient(z, y):
    return (sigmoid(z) - y) / z.shape[0], None


def logsumexp_backward(args, dy):
    return (dy[:, None] * jax.nn.softmax(args[0], axis=1),)


def leaky_backward(args, dy):
    return (jnp.where(args[0] >= 0, dy, 0.01 * dy),)


def relu_backward(args, dy):
    return (dy * (args[0] > 0),)


def scales(params):
    return jnp.sum(jnp.sin(params["small"] * 1e6)) + jnp.sum((params["large"] / 1e6) ** 2)


def scales_gradient(params):
    return {"small": 1e6 * jnp.cos(params["small"] * 1e6), "large": 2e-12 * params["large"]}


SCALES = {"small": normal(134, 4, scale=1e-6), "large": normal(135, 4, scale=1e6)}


def dense(w, x):
    return jnp.tanh(x @ w.T)


def dense_backward(args, dy):
    w, x = args
    dz = dy * (1 - jnp.tanh(x @ w.T) ** 2)
    return dz.T @ x, dz @ w


BF16 = (normal(136, 3, 4, dtype=jnp.bfloat16), normal(137, 6, 4, dtype=jnp.bfloat16))
F16 = (normal(138, 3, 4, dtype=jnp.float16), normal(139, 6, 4, dtype=jnp.float16))


def masked(x, mask):
    return jnp.sum(jnp.where(mask, x * x, 0), axis=1)


def masked_backward(args, dy):
    x, mask = args
    return jnp.where(mask, 2 * x * dy[:, None], 0), None


MASK = jnp.asarray(np.random.default_rng(140).random((5, 3)) < 0.6)


def one_hot_cost(z, y):
    return -jnp.sum(y * jax.nn.log_softmax(z))


def one_hot_gradient(z, y):
    # Right because the labels sum to 1.
    return jax.nn.softmax(z) - y, -jax.nn.log_softmax(z)


def binary(p, y):
    return -jnp.mean(y * jnp.log(p) + (1 - y) * jnp.log1p(-p))


def binary_gradient(p, y):
    return (-y / p + (1 - y) / (1 - p)) / p.shape[0], None


def deep(x):
    for _ in range(20):
        x = jnp.sin(1.1 * x) + 0.2 * x
    return x


def deep_backward(args, dy):
    xs = [args[0]]
    for _ in range(20):
        xs.append(jnp.sin(1.1 * xs[-1]) + 0.2 * xs[-1])
    for x in reversed(xs[:-1]):
        dy = dy * (1.1 * jnp.cos(1.1 * x) + 0.2)
    return (dy,)


def variance_backward(args, dy):
    (x,) = args
    return (dy * 2 * (x - x.mean()) / x.size,)


def dropout(x, key):
    return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)


def dropout_backward(args, dy):
    x, key = args
    return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), dy / 0.7, 0), None


def optional_bias(params, x):
    z = x @ params["W"].T
    return z if params["b"] is None else z + params["b"][None]


def optional_bias_backward(args, dy):
    params, x = args
    return {"W": dy.T @ x, "b": None}, dy @ params["W"]


DATA, TARGETS = np.asarray(normal(141, 6, 4)), np.asarray(normal(142, 6))


def fit(w):
    """Return a function with constant data: its batch size is fixed."""
    return jnp.mean((jnp.asarray(DATA, w.dtype) @ w - jnp.asarray(TARGETS, w.dtype)) ** 2)


def fit_gradient(w):
    data = jnp.asarray(DATA, w.dtype)
    return 2 * data.T @ (data @ w - jnp.asarray(TARGETS, w.dtype)) / 6


def two_ways(x):
    return jax.lax.cond(x.sum() > 0, jnp.sin, lambda v: v * v, x)


def two_ways_backward(args, dy):
    (x,) = args
    return (dy * jnp.where(x.sum() > 0, jnp.cos(x), 2 * x),)


def kept(x):
    """Residuals: a function with its arrays, and None."""
    return jnp.sin(x) * x, (jax.tree_util.Partial(lambda a, dy: (dy * (jnp.cos(a) * a + jnp.sin(a)),), x), None)


def block(w, x):
    return jax.nn.silu(jax.nn.relu(x @ w))


def block_backward(args, dy):
    w, x = args
    h = jax.nn.relu(x @ w)
    dz = dy * sigmoid(h) * (1 + h * (1 - sigmoid(h))) * (x @ w > 0)
    return x.T @ dz, dz @ w.T


def block_fwd(w, x):
    return jax.vjp(block, w, x)


def cross(w, x):
    return jnp.mean((x @ w) ** 2)


def cross_gradient(w, x):
    z = 2 * (x @ w) / x.shape[0]
    return x.T @ z, jnp.outer(z, w)


POSITIVE = uniform(143, 7, low=0.05, high=3)
HARD = [
    hard("softplus at 1e4", "vjp", jax.nn.softplus, lambda args, dy: (dy * sigmoid(args[0]),), FAR),
    hard("sigmoid cost at 1e4", "gradient", cost, cost_gradient, FAR, BITS),
    hard("logsumexp at 1e4", "vjp", lambda x: jax.nn.logsumexp(x, axis=1), logsumexp_backward, FAR_ROWS),
    hard("relu at zeros", "vjp", jax.nn.relu, relu_backward, WITH_ZEROS),
    hard("leaky relu at zeros", "custom", jax.nn.leaky_relu,
         with_rule(jax.nn.leaky_relu, leaky_backward), WITH_ZEROS),
    hard("parameters of 1e-6 and 1e6", "gradient", scales, scales_gradient, SCALES),
    hard("bfloat16", "vjp", dense, dense_backward, *BF16),
    hard("float16", "vjp", dense, dense_backward, *F16),
    hard("float16 under a rule", "custom", dense, with_rule(dense, dense_backward), *F16),
    hard("200 000 numbers", "vjp", lambda x: jnp.sin(x) * x,
         lambda args, dy: (dy * (jnp.cos(args[0]) * args[0] + jnp.sin(args[0])),), normal(144, 200_000)),
    hard("200 000 numbers, a mean", "gradient", lambda x: jnp.mean(x * x), lambda x: 2 * x / x.size,
         normal(145, 200_000)),
    hard("an integer argument", "vjp", lambda x, n: x[n] ** 3,
         lambda args, dy: (jnp.zeros_like(args[0]).at[args[1]].add(3 * args[0][args[1]] ** 2 * dy), None),
         V, array([0, 3, 3, 8], jnp.int32)),
    hard("a mask of booleans", "vjp", masked, masked_backward, X, MASK),
    hard("a gradient that is zero", "vjp", lambda x: jnp.round(x), lambda args, dy: (0 * dy,), V),
    hard("a sum that cancels its gradient", "gradient", lambda x: jnp.sum(jax.nn.softmax(x)), jnp.zeros_like, V),
    hard("one-hot labels: softmax - y", "gradient", one_hot_cost, one_hot_gradient, normal(146, 4),
         array([0, 0, 1, 0])),
    hard("soft labels that sum to 1", "gradient", one_hot_cost, one_hot_gradient, X, simplex(147, 5, 3)),
    hard("probabilities", "gradient", binary, binary_gradient, uniform(148, 8, low=0.02, high=0.98), BITS),
    hard("logarithm", "vjp", jnp.log, lambda args, dy: (dy / args[0],), POSITIVE),
    hard("square root", "rule", jnp.sqrt,
         (lambda x: (jnp.sqrt(x),) * 2, lambda y, dy: (dy / (2 * y),)), POSITIVE),
    hard("x to the 1.5", "vjp", lambda x: x**1.5, lambda args, dy: (1.5 * jnp.sqrt(args[0]) * dy,), POSITIVE),
    hard("a batch of 1", "gradient", cost, cost_gradient, normal(149, 1), BITS[:1]),
    hard("a batch of 1, squares", "gradient", cross, cross_gradient, normal(150, 4), normal(151, 1, 4)),
    hard("a scalar", "gradient", lambda x: jnp.tanh(x) * x, lambda x: (1 - jnp.tanh(x) ** 2) * x + jnp.tanh(x),
         jnp.float32(0.7)),
    hard("an argument without effect", "vjp", lambda x, unused: x * x,
         lambda args, dy: (2 * args[0] * dy, jnp.zeros_like(args[1])), V, X),
    hard("twenty sines deep", "vjp", deep, deep_backward, V),
    hard("variance of 1e4 plus noise", "vjp", jnp.var, variance_backward, 1e4 + normal(152, 30)),
    hard("a key", "vjp", dropout, dropout_backward, normal(153, 20), jax.random.key(3)),
    hard("a leaf None", "vjp", optional_bias, optional_bias_backward, {"W": normal(154, 2, 3), "b": None}, X),
    hard("an empty argument", "vjp", lambda params, x: jnp.sin(x),
         lambda args, dy: ((), dy * jnp.cos(args[1])), (), V),
    hard("an axis of length 0", "vjp", lambda x, y: jnp.concatenate([x, y]) ** 2,
         lambda args, dy: (2 * args[0] * dy[:0], 2 * args[1] * dy), jnp.zeros((0, 3)), X),
    hard("relu and silu of jax.nn", "vjp", block, block_backward, normal(155, 3, 4), X),
    hard("data as constants", "gradient", fit, fit_gradient, normal(156, 4)),
    hard("lax.cond", "vjp", two_ways, two_ways_backward, V),
    hard("residuals with a function and None", "rule", lambda x: jnp.sin(x) * x,
         (kept, lambda r, dy: r[0](dy)), V),
    hard("residuals: JAX's own pullback", "rule", block, (block_fwd, lambda pullback, dy: pullback(dy)),
         normal(155, 3, 4), X),
    hard("outputs in a dict", "vjp", lambda x: {"s": jnp.sin(x), "sum": x.sum()},
         lambda args, dy: (dy["s"] * jnp.cos(args[0]) + dy["sum"],), V),
    hard("a tiny gradient", "gradient", lambda x: 1e-12 * jnp.sum(x**3), lambda x: 3e-12 * x**2, V),
    hard("a huge gradient", "gradient", lambda x: 1e12 * jnp.sum(x**3), lambda x: 3e12 * x**2, V),
]  # fmt: skip
