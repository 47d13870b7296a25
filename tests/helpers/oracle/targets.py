"""The right functions that the slips are slips of, in rows: a value, its gradient, and arguments of suitable shapes.

The gradients hold the 1/m where rows put it, in dz = (a - y)/m, so dW = dz^T x and db is a plain sum. Each takes its
value's arguments and returns a tuple with one entry for each differentiated argument, as jax.grad(value, argnums=wrt)
does.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .activations import d_leaky_relu, d_relu, d_tanh, leaky_relu, relu, sigmoid, tanh
from .cells import LSTM, weight_shapes
from .losses import sigmoid_cross_entropy
from .normalization import LAYER_NORM, d_normalization, normalization
from .pooling import average_pooling, d_average_pooling, d_max_pooling, max_pooling
from .recurrence import d_one_direction, one_direction
from .windows import convolution, d_convolution


class Target(NamedTuple):
    """A right function.

    `value(*arguments)` is one number; `gradient(*arguments)` is the tuple of its derivatives with respect to the
    arguments at the positions `wrt`; `arguments(rng)` draws a tuple of float64 arguments from a NumPy generator.
    """

    name: str
    value: Callable
    gradient: Callable
    wrt: tuple
    arguments: Callable


def logistic_value(w, b, x, y):
    """J = (1/m) sum_i L(sigma(x_i . w + b), y_i), with w (n_x,), b a number, x (m, n_x), y (m,)."""
    return np.mean(sigmoid_cross_entropy(x @ w + b, y))


def logistic_gradient(w, b, x, y):
    """dz = (a - y)/m (m,); dw = x^T dz (n_x,); db = sum dz, a number."""
    dz = (sigmoid(x @ w + b) - y) / len(y)
    return x.T @ dz, np.sum(dz)


def logistic_arguments(rng):
    """n_x = 3 and m = 6: different, and n_x < m, so that a dw of length m can be filled."""
    labels = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    return rng.normal(size=3), np.float64(rng.normal()), rng.normal(size=(6, 3)), labels


def layer_value(W, b, x, y):
    """J = (1/m) sum_i sum_k L(sigma(z_ik), y_ik) with z = x W^T + b.

    Shapes: W (n_out, n_in), b (n_out,), x (m, n_in), y (m, n_out).
    """
    return np.mean(sigmoid_cross_entropy(x @ W.T + b, y))


def layer_gradient(W, b, x, y):
    """dz = (a - y)/m (m, n_out); dW = dz^T x (n_out, n_in); db = sum over examples of dz (n_out,)."""
    dz = (sigmoid(x @ W.T + b) - y) / len(y)
    return dz.T @ x, np.sum(dz, axis=0)


def layer_arguments(rng):
    """m = n_in = 5, so that a product without the transpose has a shape, and n_out = 3."""
    labels = (rng.uniform(size=(5, 3)) < 0.5).astype(float)
    return rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(5, 5)), labels


def one_hidden_value(W1, b1, W2, b2, x, y):
    """J = (1/m) sum_i L(a2_i, y_i) with z1 = x W1^T + b1, a1 = tanh(z1), z2 = a1 W2^T + b2, a2 = sigma(z2).

    Shapes: W1 (n_1, n_x), b1 (n_1,), W2 (n_2, n_1), b2 (n_2,), x (m, n_x), y (m, n_2).
    """
    return np.mean(sigmoid_cross_entropy(tanh(x @ W1.T + b1) @ W2.T + b2, y))


def one_hidden_gradient(W1, b1, W2, b2, x, y):
    """dz2 = (a2 - y)/m; dW2 = dz2^T a1; dz1 = (dz2 W2) * tanh'(z1); dW1 = dz1^T x; db sums dz over the examples.

    Returns (dW1, db1, dW2, db2), each of its parameter's shape.
    """
    z1 = x @ W1.T + b1
    a1 = tanh(z1)
    dz2 = (sigmoid(a1 @ W2.T + b2) - y) / len(y)
    dz1 = dz2 @ W2 * d_tanh(z1)
    return dz1.T @ x, np.sum(dz1, axis=0), dz2.T @ a1, np.sum(dz2, axis=0)


def one_hidden_arguments(rng):
    """n_x = n_1 = 4, so that W2 x has a shape; n_2 = 1; m = 7."""
    labels = np.array([[0.0], [1.0], [1.0], [0.0], [1.0], [0.0], [1.0]])
    return (
        rng.normal(size=(4, 4)),
        rng.normal(size=4),
        rng.normal(size=(1, 4)),
        rng.normal(size=1),
        rng.normal(size=(7, 4)),
        labels,
    )


def relu_value(z, da):
    """Return the sum of da * relu(z), (m, n) each: its gradient with respect to z is the backward of relu for da."""
    return np.sum(da * relu(z))


def relu_gradient(z, da):
    """dz = da * relu'(z), with slope 0 at z = 0; (m, n)."""
    return (da * d_relu(z),)


def leaky_relu_value(z, da):
    """sum of da * max(0.01 z, z); both are (m, n)."""
    return np.sum(da * leaky_relu(z))


def leaky_relu_gradient(z, da):
    """dz = da * (1 where z >= 0, else 0.01); (m, n)."""
    return (da * d_leaky_relu(z),)


def elementwise_arguments(rng):
    """z and da of shape (6, 3), each z at least 0.1 away from the kink at 0."""
    z = rng.normal(size=(6, 3))
    return z + 0.1 * np.sign(z), rng.normal(size=(6, 3))


CONVOLUTION_GEOMETRY = dict(stride=(2, 1), padding="same", dilation=(1, 1), groups=1)
POOLING_GEOMETRY = dict(size=(3, 2), stride=(1, 1), padding="same")
KEEP = 0.8


def convolution_value(x, K, b, dy):
    """Return the sum of dy * y, with y the convolution of `CONVOLUTION_GEOMETRY`."""
    return np.sum(dy * convolution(x, K, b, **CONVOLUTION_GEOMETRY))


def convolution_gradient(x, K, b, dy):
    """Return (dx, dK, db), as `windows.d_convolution`."""
    return d_convolution(x, K, b, **CONVOLUTION_GEOMETRY, dy=dy)


def convolution_arguments(rng):
    """x (1, 5, 3, 2), K (3, 2, 2, 3), b (3,), dy (1, 3, 3, 3)."""
    return tuple(rng.normal(size=shape) for shape in [(1, 5, 3, 2), (3, 2, 2, 3), (3,), (1, 3, 3, 3)])


def max_pooling_value(x, dy):
    """Return the sum of dy * y, with y the max pooling of `POOLING_GEOMETRY`, whose windows overlap."""
    return np.sum(dy * max_pooling(x, **POOLING_GEOMETRY))


def max_pooling_gradient(x, dy):
    """Return (dx,), as `pooling.d_max_pooling`."""
    return (d_max_pooling(x, **POOLING_GEOMETRY, dy=dy),)


def average_pooling_value(x, dy):
    """Return the sum of dy * y, with y the average pooling of `POOLING_GEOMETRY`; padding doesn't count."""
    return np.sum(dy * average_pooling(x, **POOLING_GEOMETRY, count_padding=False))


def average_pooling_gradient(x, dy):
    """Return (dx,), as `pooling.d_average_pooling`."""
    return (d_average_pooling(x, **POOLING_GEOMETRY, count_padding=False, dy=dy),)


def pooling_arguments(rng):
    """x and dy of shape (1, 4, 5, 2); the elements of x are at least 0.1 apart."""
    return rng.permutation(40).reshape(1, 4, 5, 2) / 10 - 2, rng.normal(size=(1, 4, 5, 2))


def lstm_weights(arrays):
    """Return the dictionary of an LSTM's weights, of the arrays in the order of `cells.weight_shapes`."""
    return dict(zip(weight_shapes(LSTM, 1, 1), arrays, strict=True))


def lstm_start(weights):
    """Return the state that a sequence of an LSTM starts with: zeros, (n,) each."""
    return np.zeros(weights["b_f"].shape), np.zeros(weights["b_f"].shape)


def _lstm_run(x, weights):
    """Return what `recurrence.one_direction` takes, for sequences that are all as long as x."""
    start = tuple(np.zeros((x.shape[0], *array.shape)) for array in lstm_start(weights))
    return LSTM, weights, x, np.full(x.shape[0], x.shape[1]), start


def lstm_value(x, *weights_and_dy):
    """Return the sum of dy * y, with y the outputs of an LSTM at all times.

    Args:
        x: (m, T, n_in). weights_and_dy: the 12 arrays of `lstm_weights`, then dy (m, T, n).
    """
    *weights, dy = weights_and_dy
    return np.sum(dy * one_direction(*_lstm_run(x, lstm_weights(weights)))[0])


def lstm_gradient(x, *weights_and_dy):
    """Return dx and the gradients of the 12 arrays, as `recurrence.d_one_direction`; the last state gets 0."""
    *weights, dy = weights_and_dy
    run = _lstm_run(x, lstm_weights(weights))
    dweights, dx, _ = d_one_direction(*run, dy=dy, dlast=tuple(np.zeros(array.shape) for array in run[-1]))
    return dx, *dweights.values()


def lstm_arguments(rng):
    """x (2, 4, 2), weights of n_in = 2 and n = 3, and dy (2, 4, 3)."""
    shapes = [(2, 4, 2), *weight_shapes(LSTM, 2, 3).values(), (2, 4, 3)]
    return tuple(rng.normal(size=shape) for shape in shapes)


def dropout_value(x, mask, da):
    """Return the sum of da * mask * x / `KEEP`, inverted dropout with the given mask of 0 and 1; each is (m, n)."""
    return np.sum(da * mask * x / KEEP)


def dropout_gradient(x, mask, da):
    """dx = da * mask / keep; (m, n)."""
    return (da * mask / KEEP,)


def dropout_arguments(rng):
    """x, mask and da of shape (6, 5)."""
    return rng.normal(size=(6, 5)), (rng.uniform(size=(6, 5)) < KEEP).astype(float), rng.normal(size=(6, 5))


def layer_norm_value(x, gamma, beta, dy):
    """Return the sum of dy * y, with y = gamma xhat + beta over the last axis of x (m, n)."""
    return np.sum(dy * normalization(LAYER_NORM, x, gamma, beta))


def layer_norm_gradient(x, gamma, beta, dy):
    """Return (dx, dgamma, dbeta), as `normalization.d_normalization`."""
    return d_normalization(LAYER_NORM, x, gamma, dy)


def layer_norm_arguments(rng):
    """x and dy of shape (6, 5), gamma and beta (5,); gamma is away from equal entries, of which any order is right."""
    return rng.normal(size=(6, 5)), np.array([0.5, -1.0, 2.0, 1.0, -2.0]), rng.normal(size=5), rng.normal(size=(6, 5))


LOGISTIC = Target("logistic", logistic_value, logistic_gradient, (0, 1), logistic_arguments)
LAYER = Target("layer", layer_value, layer_gradient, (0, 1), layer_arguments)
ONE_HIDDEN = Target("one_hidden", one_hidden_value, one_hidden_gradient, (0, 1, 2, 3), one_hidden_arguments)
RELU = Target("relu", relu_value, relu_gradient, (0,), elementwise_arguments)
LEAKY_RELU = Target("leaky_relu", leaky_relu_value, leaky_relu_gradient, (0,), elementwise_arguments)

TARGETS = [LOGISTIC, LAYER, ONE_HIDDEN, RELU, LEAKY_RELU]

CONVOLUTION = Target("convolution", convolution_value, convolution_gradient, (0, 1, 2), convolution_arguments)
MAX_POOLING = Target("max_pooling", max_pooling_value, max_pooling_gradient, (0,), pooling_arguments)
AVERAGE_POOLING = Target("average_pooling", average_pooling_value, average_pooling_gradient, (0,), pooling_arguments)
LSTM_TARGET = Target("lstm", lstm_value, lstm_gradient, tuple(range(13)), lstm_arguments)
DROPOUT = Target("dropout", dropout_value, dropout_gradient, (0,), dropout_arguments)
LAYER_NORM_TARGET = Target("layer_norm", layer_norm_value, layer_norm_gradient, (0, 1, 2), layer_norm_arguments)

COURSE_TARGETS = [CONVOLUTION, MAX_POOLING, AVERAGE_POOLING, LSTM_TARGET, DROPOUT, LAYER_NORM_TARGET]
