"""Normalizations: layer, batch, root mean square, length."""

import jax.numpy as jnp
from jax.lax import rsqrt

from scripts.benchmarks.gradbench.case import normal, right, wrong

EPS = 1e-5
M, N = 7, 4
PARAMS = {"gamma": 1 + normal(61, N, scale=0.3), "beta": normal(62, N)}
X = 2 * normal(63, M, N) + 1
GAMMA = PARAMS["gamma"]


def normalize(x, axis, eps=EPS):
    inverse = rsqrt(x.var(axis, keepdims=True) + eps)
    return (x - x.mean(axis, keepdims=True)) * inverse, inverse


def layer_norm(params, x):
    return params["gamma"][None] * normalize(x, 1)[0] + params["beta"][None]


def batch_norm(params, x):
    return params["gamma"][None] * normalize(x, 0)[0] + params["beta"][None]


def centered(d, xhat, inverse, axis):
    return inverse * (d - d.mean(axis, keepdims=True) - xhat * (d * xhat).mean(axis, keepdims=True))


def params_backward(dy, xhat):
    return {"gamma": (dy * xhat).sum(0), "beta": dy.sum(0)}


def layer_norm_backward(args, dy):
    params, x = args
    xhat, inverse = normalize(x, 1)
    return params_backward(dy, xhat), centered(dy * params["gamma"][None], xhat, inverse, 1)


def batch_norm_fwd(params, x):
    xhat, inverse = normalize(x, 0)
    return params["gamma"][None] * xhat + params["beta"][None], (params, xhat, inverse)


def batch_norm_bwd(residuals, dy):
    params, xhat, inverse = residuals
    return params_backward(dy, xhat), centered(dy * params["gamma"][None], xhat, inverse, 0)


def rms_norm(gamma, x):
    return gamma[None] * x * rsqrt((x * x).mean(1, keepdims=True) + EPS)


def rms_norm_backward(args, dy):
    gamma, x = args
    r = rsqrt((x * x).mean(1, keepdims=True) + EPS)
    d = dy * gamma[None]
    return (dy * x * r).sum(0), r * (d - x * r * (d * x * r).mean(1, keepdims=True))


def unit(x):
    return x / jnp.sqrt((x * x).sum(1, keepdims=True))


def unit_backward(args, dy):
    (x,) = args
    length = jnp.sqrt((x * x).sum(1, keepdims=True))
    y = x / length
    return ((dy - y * (dy * y).sum(1, keepdims=True)) / length,)


LAYER, BATCH, RMS = ("vjp", layer_norm), ("rule", batch_norm), ("vjp", rms_norm)
RIGHT = [
    right("layer norm", *LAYER, layer_norm_backward, PARAMS, X),
    right("batch norm", *BATCH, (batch_norm_fwd, batch_norm_bwd), PARAMS, X),
    right("rms norm", *RMS, rms_norm_backward, GAMMA, X),
    right("unit length", "vjp", unit, unit_backward, X),
]


def changed(dx, params=params_backward):
    """Layer norm's backward with its input's or its parameters' part changed."""

    def backward(args, dy):
        own, x = args
        xhat, inverse = normalize(x, 1)
        return params(dy, xhat), dx(dy * own["gamma"][None], xhat, inverse)

    return backward


def right_dx(d, xhat, inverse):
    return centered(d, xhat, inverse, 1)


def drop_dvar(d, xhat, inverse):
    return inverse * (d - d.mean(1, keepdims=True))


def drop_dmean(d, xhat, inverse):
    return inverse * (d - xhat * (d * xhat).mean(1, keepdims=True))


def drop_both(d, xhat, inverse):
    return inverse * d


def sums_for_means(d, xhat, inverse):
    return inverse * (d - d.sum(1, keepdims=True) - xhat * (d * xhat).sum(1, keepdims=True))


def one_sum_for_mean(d, xhat, inverse):
    return inverse * (d - d.mean(1, keepdims=True) - xhat * (d * xhat).sum(1, keepdims=True))


def unbiased(d, xhat, inverse):
    n = d.shape[1]
    return inverse * (d - d.mean(1, keepdims=True) - xhat * (d * xhat).sum(1, keepdims=True) / (n - 1))


def other_axis(d, xhat, inverse):
    return centered(d, xhat, inverse, 0)


def without_gamma(args, dy):
    params, x = args
    xhat, inverse = normalize(x, 1)
    return params_backward(dy, xhat), centered(dy, xhat, inverse, 1)


def gamma_by_input(args, dy):
    params, x = args
    xhat, inverse = normalize(x, 1)
    own = {"gamma": (dy * x).sum(0), "beta": dy.sum(0)}
    return own, centered(dy * params["gamma"][None], xhat, inverse, 1)


def without_eps(args, dy):
    params, x = args
    xhat, inverse = normalize(x, 1, eps=0)
    return params_backward(dy, xhat), centered(dy * params["gamma"][None], xhat, inverse, 1)


def batch_bwd_without_var(residuals, dy):
    params, xhat, inverse = residuals
    d = dy * params["gamma"][None]
    return params_backward(dy, xhat), inverse * (d - d.mean(0, keepdims=True))


def batch_bwd_without_mean(residuals, dy):
    params, xhat, inverse = residuals
    d = dy * params["gamma"][None]
    return params_backward(dy, xhat), inverse * (d - xhat * (d * xhat).mean(0, keepdims=True))


def batch_bwd_by_examples(residuals, dy):
    params, xhat, inverse = residuals
    return params_backward(dy, xhat), centered(dy * params["gamma"][None], xhat, inverse, 1)


def batch_bwd_variance_for_deviation(residuals, dy):
    params, xhat, inverse = residuals
    return params_backward(dy, xhat), inverse * centered(dy * params["gamma"][None], xhat, inverse, 0)


def rms_without_second_term(args, dy):
    gamma, x = args
    r = rsqrt((x * x).mean(1, keepdims=True) + EPS)
    return (dy * x * r).sum(0), r * dy * gamma[None]


def rms_sum_for_mean(args, dy):
    gamma, x = args
    r = rsqrt((x * x).mean(1, keepdims=True) + EPS)
    d = dy * gamma[None]
    return (dy * x * r).sum(0), r * (d - x * r * (d * x * r).sum(1, keepdims=True))


def unit_without_projection(args, dy):
    return (dy / jnp.sqrt((args[0] ** 2).sum(1, keepdims=True)),)


def unit_by_square(args, dy):
    (x,) = args
    square = (x * x).sum(1, keepdims=True)
    return ((dy - x * (dy * x).sum(1, keepdims=True)) / jnp.sqrt(square),)


WRONG = [
    wrong("layer norm: variance's part forgotten", *LAYER, changed(drop_dvar), PARAMS, X),
    wrong("layer norm: mean's part forgotten", *LAYER, changed(drop_dmean), PARAMS, X),
    wrong("layer norm: statistics as constants", *LAYER, changed(drop_both), PARAMS, X),
    wrong("layer norm: sums for means", *LAYER, changed(sums_for_means), PARAMS, X, kind="sum for mean"),
    wrong("layer norm: a sum for a mean", *LAYER, changed(one_sum_for_mean), PARAMS, X, kind="sum for mean"),
    wrong("layer norm: n - 1 for n", *LAYER, changed(unbiased), PARAMS, X),
    wrong("layer norm: over the examples", *LAYER, changed(other_axis), PARAMS, X),
    wrong("layer norm: gamma forgotten", *LAYER, without_gamma, PARAMS, X, also=["factor of an argument"]),
    wrong("layer norm: dgamma by the input", *LAYER, gamma_by_input, PARAMS, X),
    wrong("layer norm: gamma and beta swapped", *LAYER,
          changed(right_dx, lambda dy, xhat: {"gamma": dy.sum(0), "beta": (dy * xhat).sum(0)}), PARAMS, X,
          kind="swapped"),
    wrong("layer norm: dbeta not summed", *LAYER,
          changed(right_dx, lambda dy, xhat: {"gamma": (dy * xhat).sum(0), "beta": dy}), PARAMS, X,
          kind="missing sum"),
    wrong("layer norm: dgamma averaged", *LAYER,
          changed(right_dx, lambda dy, xhat: {"gamma": (dy * xhat).mean(0), "beta": dy.sum(0)}), PARAMS, X,
          kind="1/m twice"),
    wrong("layer norm: eps dropped", *LAYER, without_eps, PARAMS, 0.01 * X, kind="epsilon"),
    wrong("batch norm: variance's part forgotten", *BATCH, (batch_norm_fwd, batch_bwd_without_var), PARAMS, X),
    wrong("batch norm: mean's part forgotten", *BATCH, (batch_norm_fwd, batch_bwd_without_mean), PARAMS, X),
    wrong("batch norm: over the features", *BATCH, (batch_norm_fwd, batch_bwd_by_examples), PARAMS, X),
    wrong("batch norm: variance for deviation", *BATCH, (batch_norm_fwd, batch_bwd_variance_for_deviation), PARAMS, X),
    wrong("rms norm: second term forgotten", *RMS, rms_without_second_term, GAMMA, X),
    wrong("rms norm: sum for mean", *RMS, rms_sum_for_mean, GAMMA, X, kind="sum for mean"),
    wrong("unit length: projection forgotten", "vjp", unit, unit_without_projection, X),
    wrong("unit length: input for output", "vjp", unit, unit_by_square, X),
]  # fmt: skip
