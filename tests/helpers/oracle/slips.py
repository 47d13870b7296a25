"""The slips of section 8 of the system's description, each as a wrong gradient that was really written.

A slip has the signature of its target's right gradient and returns a tuple of the same length, so any check that
accepts the right gradient must also reject the slip. Everything is in rows; the shapes are those of `targets`.
Most slips have the right shapes and wrong numbers; `dw_of_length_m` and `db_without_the_sum` have a wrong shape, and
a check that broadcasts may not notice. `relu_slope_one_at_zero` is wrong at z = 0 alone.

`SLIPS` are those of the notes, items 1 to 11. `COURSE_SLIPS` are those of course code, from item 13 on; their targets
are sums of dy * y. `OPTIMIZER_SLIPS`, item 12, are wrong updates: function and target make an `optimizers.Optimizer`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .activations import d_sigmoid, sigmoid, tanh
from .cells import LSTM
from .normalization import LAYER_NORM, d_normalization
from .optimizers import AdamState, Optimizer, adam
from .pooling import first_largest, pooling_windows
from .recurrence import states_of
from .targets import (
    AVERAGE_POOLING,
    CONVOLUTION,
    DROPOUT,
    LAYER,
    LAYER_NORM_TARGET,
    LEAKY_RELU,
    LOGISTIC,
    LSTM_TARGET,
    MAX_POOLING,
    ONE_HIDDEN,
    POOLING_GEOMETRY,
    RELU,
    Target,
    lstm_start,
    lstm_weights,
)


class Slip(NamedTuple):
    """A wrong gradient: its name, its number in section 8, what is wrong, the function, and the right `Target`.

    Of a wrong update, `function` and `target` are the factories of the wrong optimizer and of the right one.
    """

    name: str
    section_item: int
    what_is_wrong: str
    function: Callable
    target: Target | Callable


def _logistic_from(dz, x):
    """Finish logistic regression from dz (m,): dw = x^T dz, db = sum dz."""
    return x.T @ dz, np.sum(dz)


def dz_is_sigmoid_slope(w, b, x, y):
    """Item 1: dz = a(1 - a). It should be a - y; a(1 - a) is sigma'(z), one factor of it."""
    a = sigmoid(x @ w + b)
    return _logistic_from(a * (1 - a) / len(y), x)


def dw_is_x_minus_y(w, b, x, y):
    """Item 2: dw_j = x_j - y, averaged over the examples. It should be x_j (a - y). db is right."""
    dz = (sigmoid(x @ w + b) - y) / len(y)
    return np.mean(x - y[:, None], axis=0), np.sum(dz)


def cost_without_minus(w, b, x, y):
    """Item 3: the gradient of J = (1/m) sum (y log a + (1 - y) log(1 - a)): the right one with its sign turned."""
    return _logistic_from((y - sigmoid(x @ w + b)) / len(y), x)


def loss_bracket_closed_early(w, b, x, y):
    """Item 3: the gradient of L = -(y log a) + (1 - y) log(1 - a). The minus should stand before both terms.

    dL/dz = -y(1 - a) - (1 - y) a, where a - y = -y(1 - a) + (1 - y) a is right: examples with y = 0 are pushed away.
    """
    a = sigmoid(x @ w + b)
    return _logistic_from((-y * (1 - a) - (1 - y) * a) / len(y), x)


def dw_of_length_m(w, b, x, y):
    """Item 11: dw is made of zeros of length m and then filled over the n_x features. It should have length n_x.

    The first n_x entries are right and m - n_x zeros follow; the shape is wrong unless m = n_x. Needs n_x <= m.
    """
    m, n_x = x.shape
    dz = (sigmoid(x @ w + b) - y) / m
    dw = np.zeros(m)
    for i in range(m):
        for j in range(n_x):
            dw[j] += x[i, j] * dz[i]
    return dw, np.sum(dz)


def leaky_relu_as_max_with_slope(z, da):
    """Item 4: the derivative of max(0.01, z): 0 up to z = 0.01. It should be that of max(0.01 z, z): 0.01 for z < 0."""
    return (da * (z > 0.01),)


def hidden_slope_is_the_output_slope(W1, b1, W2, b2, x, y):
    """Item 5: dz1 = (dz2 W2) * g2'(z1) with the output's sigmoid. It should be g1'(z1), here tanh'."""
    return _one_hidden_with(d_sigmoid, W1, b1, W2, b2, x, y)


def second_layer_reads_the_input(W1, b1, W2, b2, x, y):
    """Item 6: the exact gradient of the network with z2 = x W2^T + b2, which has a shape where n_x = n_1.

    It should be a1 W2^T + b2. The hidden layer is then read by nothing, so dW1 and db1 are zero.
    """
    dz2 = (sigmoid(x @ W2.T + b2) - y) / len(y)
    return np.zeros_like(W1), np.zeros_like(b1), dz2.T @ x, np.sum(dz2, axis=0)


def dW_without_transpose_and_mean(W, b, x, y):
    """Item 7: dW = dZ A_prev, in rows dz^T x^T, without the 1/m. It should be (1/m) dZ A_prev^T. db is right.

    It has a shape where m = n_in.
    """
    dz = sigmoid(x @ W.T + b) - y
    return dz.T @ x.T, np.sum(dz, axis=0) / len(y)


def dW_without_mean(W, b, x, y):
    """Item 7: dW = dZ A_prev^T, transposed as it should be but without the 1/m: m times too large. db is right."""
    dz = sigmoid(x @ W.T + b) - y
    return dz.T @ x, np.sum(dz, axis=0) / len(y)


def db_without_the_sum(W, b, x, y):
    """Item 7: db = dZ, one row for each example, (m, n_out). It should be (1/m) sum over examples of dZ, (n_out,).

    dW is right. With m = 1 the numbers are right too, and only the shape is wrong.
    """
    dz = sigmoid(x @ W.T + b) - y
    return dz.T @ x / len(y), dz


def db_without_mean(W, b, x, y):
    """Item 7: db = sum over examples of dZ, without the 1/m: m times too large. dW is right."""
    dz = sigmoid(x @ W.T + b) - y
    return dz.T @ x / len(y), np.sum(dz, axis=0)


def activation_in_place_of_its_slope(W1, b1, W2, b2, x, y):
    """Item 8: dz1 = (dz2 W2) * g(z1). It should be g'(z1)."""
    return _one_hidden_with(tanh, W1, b1, W2, b2, x, y)


def relu_slope_one_at_zero(z, da):
    """Item 9: relu'(0) = 1. jaxnn's stated choice is 0; for z away from 0 nothing is wrong."""
    return (da * (z >= 0),)


def relu_as_maximum_over_the_axis(z, da):
    """Item 10: np.max(z, 0), where 0 is an axis: the largest z of each column. It should be np.maximum(z, 0).

    For z (m, n) the wrong value is (n,) and broadcasts back to (m, n) when it is used, so its gradient gathers the
    sum of da over the examples in the one place of each column that holds the maximum.
    """
    dz = np.zeros_like(z)
    columns = np.arange(z.shape[1])
    dz[np.argmax(z, axis=0), columns] = np.sum(da, axis=0)
    return (dz,)


def _one_hidden_with(hidden_slope, W1, b1, W2, b2, x, y):
    """The gradient of `targets.one_hidden_value` but for dz1 = (dz2 W2) * hidden_slope(z1)."""
    z1 = x @ W1.T + b1
    a1 = tanh(z1)
    dz2 = (sigmoid(a1 @ W2.T + b2) - y) / len(y)
    dz1 = dz2 @ W2 * hidden_slope(z1)
    return dz1.T @ x, np.sum(dz1, axis=0), dz2.T @ a1, np.sum(dz2, axis=0)


def adam_corrections_without_the_power(rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """Item 12: mhat = m / (1 - beta1), vhat = v / (1 - beta2). It should be beta1^t and beta2^t.

    The first step is right. The corrections never fade: in the long run mhat is 10 times m, and vhat 1000 times v.
    """
    return _adam_with(
        lambda m, v, t: rate * m / (1 - beta1) / (np.sqrt(v / (1 - beta2)) + eps),
        beta1,
        beta2,
    )


def adam_eps_inside_the_root(rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """Item 12: p - rate mhat / sqrt(vhat + eps). It should be sqrt(vhat) + eps, which differs where vhat is small."""
    return _adam_with(
        lambda m, v, t: rate * m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t) + eps),
        beta1,
        beta2,
    )


def max_pooling_overwrites_the_window(x, dy):
    """Item 13: dx[window] = dy * (the element is the largest), for each window. It should be +=.

    The zeros of a window overwrite, too, what an earlier window passed to its largest element.
    """
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for u, window in pooling_windows(x, **POOLING_GEOMETRY)[1]:
            for c in range(x.shape[-1]):
                largest = first_largest(x, i, window, c)
                for at in window:
                    dx[(i, *at, c)] = dy[(i, *u, c)] if at == largest else 0.0
    return (dx,)


def max_pooling_overwrites_the_largest(x, dy):
    """Item 13: dx[largest] = dy, for each window. It should be +=: an element may be the largest of several windows."""
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for u, window in pooling_windows(x, **POOLING_GEOMETRY)[1]:
            for c in range(x.shape[-1]):
                dx[(i, *first_largest(x, i, window, c), c)] = dy[(i, *u, c)]
    return (dx,)


def average_pooling_overwrites(x, dy):
    """Item 13: dx[window] = dy / count, for each window. It should be +=."""
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for u, window in pooling_windows(x, **POOLING_GEOMETRY)[1]:
            for at in window:
                for c in range(x.shape[-1]):
                    dx[(i, *at, c)] = dy[(i, *u, c)] / len(window)
    return (dx,)


def bias_inside_the_window_sum(x, K, b, dy):
    """Item 14: the exact gradient of y = sum over a, c of (x K + b_o). It should be b_o + sum over a, c of x K.

    db is k_h k_w c_in times too large, as b is in the value; dx and dK are right.
    """
    dx, dK, db = CONVOLUTION.gradient(x, K, b, dy)
    return dx, dK, math.prod(K.shape[:-1]) * db


def lstm_without_the_future(x, *weights_and_dy):
    """Item 15: each step backward begins with da = dy_t and dc = 0. What comes from the step after should be added.

    That is the exact gradient of the sum of dy * y if every step's a_{t-1} and c_{t-1} are taken for constants. Of one
    step alone it is right.
    """
    *weights, dy = weights_and_dy
    weights = lstm_weights(weights)
    dweights = {name: np.zeros(array.shape) for name, array in weights.items()}
    dx = np.zeros(x.shape)
    for i in range(x.shape[0]):
        states = states_of(LSTM, weights, x[i], range(x.shape[1]), lstm_start(weights))
        for t, state in enumerate(states[:-1]):
            dx[i, t], _ = LSTM.d_step(weights, x[i, t], state, (dy[i, t], np.zeros(dy.shape[-1])), dweights)
    return dx, *dweights.values()


def lstm_bias_gradient_added_to_another(x, *weights_and_dy):
    """Item 15: db_f is the total over all times and examples of dz_f, and that of dz_u. It should be dz_f's alone.

    All other gradients are right.
    """
    dx, *by_weight = LSTM_TARGET.gradient(x, *weights_and_dy)
    dweights = lstm_weights(by_weight)
    return dx, *(dweights | {"b_f": dweights["b_f"] + dweights["b_u"]}).values()


def dropout_with_another_keep(x, mask, da):
    """Item 16: dx = da * mask / 0.5, of a forward with another keep probability, `targets.KEEP`."""
    return (da * mask / 0.5,)


def layer_norm_gamma_outside_the_means(x, gamma, beta, dy):
    """Item 17: dx = gamma r (dy - mean(dy) - xhat mean(dy xhat)), with gamma taken out of the means.

    It should be r (d - mean(d) - xhat mean(d xhat)) with d = gamma dy. Batch norm's gamma is one number for each of
    its means, layer norm's is not. dgamma and dbeta are right.
    """
    dx, dgamma, dbeta = d_normalization(LAYER_NORM, x, np.ones_like(gamma), dy)
    return gamma * dx, dgamma, dbeta


def _adam_with(update, beta1, beta2):
    """Adam but for its step: p := p - update(m, v, t)."""

    def step(state, params, grad):
        t = state.t + 1
        m = beta1 * state.m + (1 - beta1) * grad
        v = beta2 * state.v + (1 - beta2) * grad**2
        return AdamState(t, m, v), params - update(m, v, t)

    return Optimizer(adam(0.0).init, step)


def _slip(section_item, what_is_wrong, function, target):
    return Slip(function.__name__, section_item, what_is_wrong, function, target)


SLIPS = [
    _slip(1, "dz = a(1 - a) for a - y", dz_is_sigmoid_slope, LOGISTIC),
    _slip(2, "dw_j = x_j - y for x_j (a - y)", dw_is_x_minus_y, LOGISTIC),
    _slip(3, "the cost has no minus", cost_without_minus, LOGISTIC),
    _slip(3, "the minus stands before the first term only", loss_bracket_closed_early, LOGISTIC),
    _slip(4, "leaky ReLU as max(0.01, z) for max(0.01 z, z)", leaky_relu_as_max_with_slope, LEAKY_RELU),
    _slip(5, "dz1 uses g2' for g1'", hidden_slope_is_the_output_slope, ONE_HIDDEN),
    _slip(6, "z2 = W2 x + b2 for W2 a1 + b2", second_layer_reads_the_input, ONE_HIDDEN),
    _slip(7, "dW = dZ A_prev for (1/m) dZ A_prev^T", dW_without_transpose_and_mean, LAYER),
    _slip(7, "dW = dZ A_prev^T without the 1/m", dW_without_mean, LAYER),
    _slip(7, "db = dZ without the sum over examples", db_without_the_sum, LAYER),
    _slip(7, "db is the sum of dZ without the 1/m", db_without_mean, LAYER),
    _slip(8, "dz^l uses g(z) for g'(z)", activation_in_place_of_its_slope, ONE_HIDDEN),
    _slip(9, "relu'(0) = 1 for 0", relu_slope_one_at_zero, RELU),
    _slip(10, "np.max(z, 0), over an axis, for np.maximum(z, 0)", relu_as_maximum_over_the_axis, RELU),
    _slip(11, "dw has length m for n_x", dw_of_length_m, LOGISTIC),
]

COURSE_SLIPS = [
    _slip(13, "dx[window] = the window's mask times dy, for +=", max_pooling_overwrites_the_window, MAX_POOLING),
    _slip(13, "dx[largest] = dy for +=", max_pooling_overwrites_the_largest, MAX_POOLING),
    _slip(13, "dx[window] = dy / count for +=", average_pooling_overwrites, AVERAGE_POOLING),
    _slip(14, "b inside the sum over the window", bias_inside_the_window_sum, CONVOLUTION),
    _slip(15, "no gradient from one step of an LSTM to the step before", lstm_without_the_future, LSTM_TARGET),
    _slip(15, "db of one gate has that of another added", lstm_bias_gradient_added_to_another, LSTM_TARGET),
    _slip(16, "dropout's backward with another keep", dropout_with_another_keep, DROPOUT),
    _slip(17, "gamma outside of layer norm's means", layer_norm_gamma_outside_the_means, LAYER_NORM_TARGET),
]

OPTIMIZER_SLIPS = [
    _slip(12, "m / (1 - beta1) for m / (1 - beta1^t)", adam_corrections_without_the_power, adam),
    _slip(12, "sqrt(vhat + eps) for sqrt(vhat) + eps", adam_eps_inside_the_root, adam),
]
