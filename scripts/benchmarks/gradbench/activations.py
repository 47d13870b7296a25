"""Elementwise functions: right, and wrong by a wrong formula."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import normal, right, with_rule, wrong

X = normal(1, 6, 5)
V = normal(2, 8)
Z = jax.nn.sigmoid


def sigmoid_backward(args, dy):
    a = Z(args[0])
    return (dy * a * (1 - a),)


def tanh_fwd(x):
    y = jnp.tanh(x)
    return y, y


def tanh_bwd(y, dy):
    return (dy * (1 - y * y),)


def relu_backward(args, dy):
    return (dy * (args[0] > 0),)


def leaky_backward(args, dy):
    # jax.nn.leaky_relu has slope 1 at 0.
    return (jnp.where(args[0] >= 0, dy, 0.01 * dy),)


def softplus_backward(args, dy):
    return (dy * Z(args[0]),)


def gelu(x):
    return jax.nn.gelu(x, approximate=False)


def gelu_backward(args, dy):
    (x,) = args
    density = jnp.exp(-x * x / 2) * 0.3989422804014327
    return (dy * (0.5 * jax.lax.erfc(-x * 0.7071067811865476) + x * density),)


def silu_backward(args, dy):
    (x,) = args
    return (dy * Z(x) * (1 + x * (1 - Z(x))),)


def elu(x):
    return jax.nn.elu(x, 0.3)


def elu_backward(args, dy):
    (x,) = args
    return (dy * jnp.where(x > 0, 1, 0.3 * jnp.exp(jnp.minimum(x, 0))),)


def exp_fwd(x):
    y = jnp.exp(x)
    return y, y


def sum_of_tanh_squares(x):
    return jnp.sum(jnp.tanh(x) ** 2)


def wave(x):
    return jnp.sin(2 * jnp.pi * x)


def prelu(x, s):
    return jnp.where(x > 0, x, s * x)


def prelu_backward(args, dy):
    x, s = args
    return dy * jnp.where(x > 0, 1, s), jnp.sum(jnp.where(x > 0, 0, dy * x))


RIGHT = [
    right("sigmoid", "vjp", Z, sigmoid_backward, X),
    right("tanh", "rule", jnp.tanh, (tanh_fwd, tanh_bwd), X),
    right("relu", "vjp", jax.nn.relu, relu_backward, X),
    right("leaky relu", "custom", jax.nn.leaky_relu, with_rule(jax.nn.leaky_relu, leaky_backward), X),
    right("softplus", "vjp", jax.nn.softplus, softplus_backward, X),
    right("gelu", "vjp", gelu, gelu_backward, X),
    right("silu", "custom", jax.nn.silu, with_rule(jax.nn.silu, silu_backward), V),
    right("elu", "vjp", elu, elu_backward, X),
    right("exp", "rule", jnp.exp, (exp_fwd, lambda y, dy: (dy * y,)), V),
    right("sum of tanh squared", "gradient", sum_of_tanh_squares,
          lambda x: 2 * jnp.tanh(x) * (1 - jnp.tanh(x) ** 2), X),
    right("wave", "vjp", wave, lambda args, dy: (dy * 2 * jnp.pi * jnp.cos(2 * jnp.pi * args[0]),), V),
    right("prelu", "vjp", prelu, prelu_backward, X, jnp.float32(0.2)),
]  # fmt: skip


def gelu_backward_by_tanh(args, dy):
    # The slope of the tanh approximation, for the exact function.
    (x,) = args
    t = jnp.tanh(0.7978845608 * (x + 0.044715 * x**3))
    return (dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608 * (1 + 3 * 0.044715 * x * x)),)


def gelu_backward_without_density(args, dy):
    return (dy * 0.5 * jax.lax.erfc(-args[0] * 0.7071067811865476),)


def gelu_backward_rounded(args, dy):
    # The constant of the density rounded to 0.4.
    (x,) = args
    return (dy * (0.5 * jax.lax.erfc(-x * 0.7071067811865476) + x * 0.4 * jnp.exp(-x * x / 2)),)


def sigmoid_of_output(y, dy):
    # The residual is the output already.
    return (dy * Z(y) * (1 - Z(y)),)


def sigmoid_sign(args, dy):
    a = Z(args[0])
    return (dy * a * (a - 1),)


def prelu_without_sum(args, dy):
    x, s = args
    return dy * jnp.where(x > 0, 1, s), jnp.where(x > 0, 0, dy * x)


def prelu_zero(args, dy):
    x, s = args
    return dy * jnp.where(x > 0, 1, s), jnp.zeros_like(s)


def sigmoid_fwd(x):
    return Z(x), Z(x)


def keep_input(f):
    return lambda x: (f(x), x)


def degrees(x):
    return jnp.sin(x * (jnp.pi / 180))


WRONG = [
    wrong("sigmoid: a for a(1 - a)", "vjp", Z, lambda args, dy: (dy * Z(args[0]),), X, kind="g for g'"),
    wrong("tanh: g for g'", "vjp", jnp.tanh, lambda args, dy: (dy * jnp.tanh(args[0]),), X, kind="g for g'"),
    wrong("relu: g for g'", "custom", jax.nn.relu,
          with_rule(jax.nn.relu, lambda args, dy: (dy * jax.nn.relu(args[0]),)), X, kind="g for g'"),
    wrong("softplus: g for g'", "rule", jax.nn.softplus,
          (keep_input(jax.nn.softplus), lambda x, dy: (dy * jax.nn.softplus(x),)), V, kind="g for g'"),
    wrong("sigmoid: x(1 - x)", "rule", Z, (keep_input(Z), lambda x, dy: (dy * x * (1 - x),)), X),
    wrong("tanh: 1 - x^2", "rule", jnp.tanh, (keep_input(jnp.tanh), lambda x, dy: (dy * (1 - x * x),)), X),
    wrong("tanh: 1 - y", "rule", jnp.tanh, (tanh_fwd, lambda y, dy: (dy * (1 - y),)), X),
    wrong("exp: the input kept for the output", "rule", jnp.exp,
          (keep_input(jnp.exp), lambda x, dy: (dy * x,)), V),
    wrong("sigmoid: slope at the output", "rule", Z, (sigmoid_fwd, sigmoid_of_output), X),
    wrong("sigmoid: a(a - 1)", "vjp", Z, sigmoid_sign, X, kind="sign"),
    wrong("softplus: sigmoid(-x)", "vjp", jax.nn.softplus, lambda args, dy: (dy * Z(-args[0]),), X),
    wrong("sigmoid: no gradient", "custom", Z, with_rule(Z, lambda args, dy: (jnp.zeros_like(dy),)), X,
          kind="zero"),
    wrong("silu: second term forgotten", "vjp", jax.nn.silu, lambda args, dy: (dy * Z(args[0]),), X),
    wrong("gelu: density forgotten", "vjp", gelu, gelu_backward_without_density, X),
    wrong("gelu: slope of the tanh form", "vjp", gelu, gelu_backward_by_tanh, X),
    wrong("gelu: density constant 0.4", "vjp", gelu, gelu_backward_rounded, X),
    wrong("square: 2 forgotten", "vjp", jnp.square, lambda args, dy: (dy * args[0],), X, kind="constant factor"),
    wrong("sum of tanh squared: 2 forgotten", "gradient", sum_of_tanh_squares,
          lambda x: jnp.tanh(x) * (1 - jnp.tanh(x) ** 2), X, kind="constant factor"),
    wrong("sum of tanh squared: inner slope forgotten", "gradient", sum_of_tanh_squares,
          lambda x: 2 * jnp.tanh(x), X),
    wrong("wave: 6.28 for 2 pi", "vjp", wave, lambda args, dy: (dy * 6.28 * jnp.cos(2 * jnp.pi * args[0]),), V,
          kind="constant factor"),
    wrong("wave: pi as 3.1419", "custom", wave,
          with_rule(wave, lambda args, dy: (dy * 2 * 3.1419 * jnp.cos(2 * jnp.pi * args[0]),)), V,
          kind="constant factor"),
    wrong("cosine: sign", "vjp", jnp.cos, lambda args, dy: (dy * jnp.sin(args[0]),), V, kind="sign"),
    wrong("degrees: inner slope forgotten", "vjp", degrees,
          lambda args, dy: (dy * jnp.cos(args[0] * (jnp.pi / 180)),), 60 * V, kind="constant factor"),
    wrong("prelu: slope's sum forgotten", "vjp", prelu, prelu_without_sum, X, jnp.float32(0.2), kind="missing sum"),
    wrong("prelu: slope not learned", "vjp", prelu, prelu_zero, X, jnp.float32(0.2), kind="zero"),
]  # fmt: skip
