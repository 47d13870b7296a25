"""Matrix products: dense layers, logistic regression, quadratic and bilinear forms, einsum."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import integers, normal, right, with_rule, wrong

M = 6
X = normal(31, M, 4)
PARAMS = {"W": normal(32, 3, 4), "b": normal(33, 3)}
SQUARE = {"W": normal(34, 4, 4), "b": normal(35, 4)}
Y = integers(36, 2, M)
LOGISTIC = {"w": normal(37, 4), "b": jnp.float32(0.3)}
Q, V = normal(38, 4, 4), normal(39, 4)


def dense(params, x):
    return x @ params["W"].T + params["b"][None]


def dense_backward(args, dy):
    params, x = args
    return {"W": dy.T @ x, "b": dy.sum(0)}, dy @ params["W"]


def matmul(a, b):
    return a @ b


def cost(params, x, y):
    z = x @ params["w"] + params["b"]
    return jnp.mean(jax.nn.softplus(z) - y * z)


def cost_gradient(params, x, y):
    dz = (jax.nn.sigmoid(x @ params["w"] + params["b"]) - y) / x.shape[0]
    return {"w": x.T @ dz, "b": dz.sum()}, jnp.outer(dz, params["w"]), None


def quadratic(A, x):
    return x @ A @ x


def ridge(W, x):
    return jnp.mean(jnp.sum((x @ W.T) ** 2, axis=1)) + 0.1 * jnp.sum(W * W)


def ridge_gradient(W, x):
    z = x @ W.T
    return 2 * z.T @ x / x.shape[0] + 0.2 * W, 2 * z @ W / x.shape[0]


def triple(a, b, c):
    return jnp.einsum("ij,jk,kl->il", a, b, c)


def triple_backward(args, dy):
    a, b, c = args
    return dy @ (b @ c).T, a.T @ dy @ c.T, (a @ b).T @ dy


def bilinear(u, W, v):
    return jnp.einsum("mi,ij,mj->m", u, W, v)


def bilinear_backward(args, dy):
    u, W, v = args
    d = dy[:, None]
    return d * (v @ W.T), jnp.einsum("m,mi,mj->ij", dy, u, v), d * (u @ W)


PAIR = (normal(40, 3, 4), normal(41, 4, 2))
SQUARE_PAIR = (Q, normal(42, 4, 4))
TRIPLE = (normal(43, 3, 4), normal(44, 4, 2), normal(45, 2, 5))
SQUARES = (Q, SQUARE_PAIR[1], SQUARE["W"])
BILINEAR = (normal(46, 5, 3), normal(47, 3, 4), normal(48, 5, 4))
RIGHT = [
    right("dense", "vjp", dense, dense_backward, PARAMS, X),
    right("dense, square", "custom", dense, with_rule(dense, dense_backward), SQUARE, X),
    right("matrix product", "vjp", matmul, lambda args, dy: (dy @ args[1].T, args[0].T @ dy), *PAIR),
    right("logistic regression", "gradient", cost, cost_gradient, LOGISTIC, X, Y),
    right("quadratic form", "gradient", quadratic, lambda A, x: (jnp.outer(x, x), (A + A.T) @ x), Q, V),
    right("ridge", "gradient", ridge, ridge_gradient, PARAMS["W"], X),
    right("einsum of three", "vjp", triple, triple_backward, *TRIPLE),
    right(
        "bilinear form",
        "rule",
        bilinear,
        (lambda *args: (bilinear(*args), args), bilinear_backward),
        *BILINEAR,
    ),
]


def grads(dW, db, dx):
    return {"W": dW, "b": db}, dx


def bias_unsummed(args, dy):
    params, x = args
    return grads(dy.T @ x, dy, dy @ params["W"])


def bias_of_one_example(args, dy):
    params, x = args
    return grads(dy.T @ x, dy[0], dy @ params["W"])


def bias_averaged(args, dy):
    params, x = args
    return grads(dy.T @ x, dy.mean(0), dy @ params["W"])


def bias_forgotten(args, dy):
    params, x = args
    return grads(dy.T @ x, jnp.zeros_like(params["b"]), dy @ params["W"])


def weights_transposed(args, dy):
    params, x = args
    return grads(x.T @ dy, dy.sum(0), dy @ params["W"])


def weights_of_one_example(args, dy):
    params, x = args
    return grads(jnp.outer(dy[-1], x[-1]), dy.sum(0), dy @ params["W"])


def input_by_transpose(args, dy):
    params, x = args
    return grads(dy.T @ x, dy.sum(0), dy @ params["W"].T)


def input_forgotten(args, dy):
    params, x = args
    return grads(dy.T @ x, dy.sum(0), jnp.zeros_like(x))


def sign_of_bias(args, dy):
    params, x = args
    return grads(dy.T @ x, -dy.sum(0), dy @ params["W"])


def slip_x_minus_y(params, x, y):
    # dw = x - y for x (a - y).
    dz = (jax.nn.sigmoid(x @ params["w"] + params["b"]) - y) / x.shape[0]
    return {"w": jnp.mean(x - y[:, None], axis=0), "b": dz.sum()}, jnp.outer(dz, params["w"]), None


def slip_one_entry_per_example(params, x, y):
    # dw of length m, from a loop over examples where one over features is right.
    dz = (jax.nn.sigmoid(x @ params["w"] + params["b"]) - y) / x.shape[0]
    return {"w": x.mean(1) * dz, "b": dz.sum()}, jnp.outer(dz, params["w"]), None


def bias_as_vector(params, x, y):
    own, dx, _ = cost_gradient(params, x, y)
    return own | {"b": own["b"][None]}, dx, None


def bias_missing_m(params, x, y):
    m = x.shape[0]
    dz = jax.nn.sigmoid(x @ params["w"] + params["b"]) - y
    return {"w": x.T @ dz / m, "b": dz.sum()}, jnp.outer(dz, params["w"]) / m, None


def missing_m(params, x, y):
    dz = jax.nn.sigmoid(x @ params["w"] + params["b"]) - y
    return {"w": x.T @ dz, "b": dz.sum()}, jnp.outer(dz, params["w"]), None


def weights_m_twice(params, x, y):
    m = x.shape[0]
    dz = (jax.nn.sigmoid(x @ params["w"] + params["b"]) - y) / m
    return {"w": x.T @ dz / m, "b": dz.mean()}, jnp.outer(dz, params["w"]), None


def first_example_left_out(params, x, y):
    dz = (jax.nn.sigmoid(x @ params["w"] + params["b"]) - y) / x.shape[0]
    return {"w": x[1:].T @ dz[1:], "b": dz.sum()}, jnp.outer(dz, params["w"]), None


def ridge_without_penalty(W, x):
    z = x @ W.T
    return 2 * z.T @ x / x.shape[0], 2 * z @ W / x.shape[0]


def ridge_penalty_halved(W, x):
    z = x @ W.T
    return 2 * z.T @ x / x.shape[0] + 0.1 * W, 2 * z @ W / x.shape[0]


def triple_without_c(args, dy):
    a, b, c = args
    return dy @ (b @ c).T, a.T @ dy, (a @ b).T @ dy


def triple_sign(args, dy):
    a, b, c = args
    return dy @ (b @ c).T, a.T @ dy @ c.T, -((a @ b).T @ dy)


def matmul_swapped(args, dy):
    a, b = args
    return a.T @ dy, dy @ b.T


PLAIN, REGRESSION = ("vjp", dense), ("gradient", cost)
WRONG = [
    wrong("dense: db not summed", *PLAIN, bias_unsummed, PARAMS, X, kind="missing sum"),
    wrong("dense: db of the first example", *PLAIN, bias_of_one_example, PARAMS, X, kind="missing sum"),
    wrong("dense: dW of the last example", *PLAIN, weights_of_one_example, PARAMS, X, kind="missing sum"),
    wrong("dense: db averaged", *PLAIN, bias_averaged, PARAMS, X, kind="1/m twice"),
    wrong("dense: db zero", *PLAIN, bias_forgotten, PARAMS, X, kind="zero"),
    wrong("dense: dx zero", *PLAIN, input_forgotten, PARAMS, X, kind="zero"),
    wrong("dense: sign of db", *PLAIN, sign_of_bias, PARAMS, X, kind="sign"),
    wrong("dense: dW transposed", *PLAIN, weights_transposed, PARAMS, X, kind="transpose"),
    wrong("dense, square: dW transposed", "custom", dense, with_rule(dense, weights_transposed), SQUARE, X,
          kind="transpose"),
    wrong("dense, square: dx by W transposed", *PLAIN, input_by_transpose, SQUARE, X, also=["transpose"]),
    wrong("matrix product, square: b not transposed", "vjp", matmul,
          lambda args, dy: (dy @ args[1], args[0].T @ dy), *SQUARE_PAIR, also=["transpose"]),
    wrong("matrix product, square: da transposed", "vjp", matmul,
          lambda args, dy: (args[1] @ dy.T, args[0].T @ dy), *SQUARE_PAIR, kind="transpose"),
    wrong("matrix product: db transposed", "vjp", matmul,
          lambda args, dy: (dy @ args[1].T, dy.T @ args[0]), *PAIR, kind="transpose"),
    wrong("matrix product, square: swapped", "vjp", matmul, matmul_swapped, *SQUARE_PAIR, kind="swapped"),
    wrong("logistic regression: dw = x - y", *REGRESSION, slip_x_minus_y, LOGISTIC, X, Y),
    wrong("logistic regression: dw of length m", *REGRESSION, slip_one_entry_per_example, LOGISTIC, X, Y),
    wrong("logistic regression: db of shape (1,)", *REGRESSION, bias_as_vector, LOGISTIC, X, Y),
    wrong("logistic regression: missing 1/m", *REGRESSION, missing_m, LOGISTIC, X, Y, kind="missing 1/m"),
    wrong("logistic regression: missing 1/m, m = features", *REGRESSION, missing_m, LOGISTIC, X[:4], Y[:4],
          kind="missing 1/m"),
    wrong("logistic regression: missing 1/m in db", *REGRESSION, bias_missing_m, LOGISTIC, X, Y, kind="missing 1/m"),
    wrong("logistic regression: 1/m twice", *REGRESSION, weights_m_twice, LOGISTIC, X, Y, kind="1/m twice"),
    wrong("logistic regression: first example left out", *REGRESSION, first_example_left_out, LOGISTIC, X, Y),
    wrong("quadratic form: 2Ax", "gradient", quadratic, lambda A, x: (jnp.outer(x, x), 2 * A @ x), Q, V),
    wrong("quadratic form: Ax", "gradient", quadratic, lambda A, x: (jnp.outer(x, x), A @ x), Q @ Q.T, V,
          also=["constant factor"]),
    wrong("ridge: penalty forgotten", "gradient", ridge, ridge_without_penalty, PARAMS["W"], X),
    wrong("ridge: 2 of the penalty forgotten", "gradient", ridge, ridge_penalty_halved, PARAMS["W"], X),
    wrong("ridge: every 2 forgotten", "gradient", ridge,
          lambda W, x: ((x @ W.T).T @ x / x.shape[0] + 0.1 * W, x @ W.T @ W / x.shape[0]), PARAMS["W"], X,
          kind="constant factor"),
    wrong("einsum of three: one factor forgotten", "vjp", triple, triple_without_c, *SQUARES),
    wrong("einsum of three: sign of the last", "vjp", triple, triple_sign, *TRIPLE, kind="sign"),
]  # fmt: skip
