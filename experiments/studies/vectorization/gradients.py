"""The gradient of logistic regression with loops and with arrays.

Each function takes w (n,), b, x (m, n) and labels y (m,), and returns dw (n,) and db of the mean loss:
dz = σ(wᵀx + b) - y, dw = (1/m) Σ dz x, db = (1/m) Σ dz.
"""

import math
from collections.abc import Callable

import jax
import numpy as np

import jaxnn

Gradient = tuple[np.ndarray, float]


def double_loop(w: np.ndarray, b: float, x: np.ndarray, y: np.ndarray) -> Gradient:
    """Compute the gradient with nested loops over examples and features, on single numbers."""
    m, n = x.shape
    # Lists, since a loop over the entries of an array is even slower.
    w, rows, y = w.tolist(), x.tolist(), y.tolist()
    dw, db = [0.0] * n, 0.0
    for i in range(m):
        z = b
        for j in range(n):
            z += w[j] * rows[i][j]
        dz = 1 / (1 + math.exp(-z)) - y[i]
        for j in range(n):
            dw[j] += rows[i][j] * dz
        db += dz
    return np.array(dw) / m, db / m


def example_loop(w: np.ndarray, b: float, x: np.ndarray, y: np.ndarray) -> Gradient:
    """Compute the gradient with a loop over the examples; the features of one are an array."""
    m, n = x.shape
    dw, db = np.zeros(n), 0.0
    for i in range(m):
        dz = 1 / (1 + np.exp(-(w @ x[i] + b))) - y[i]
        dw += x[i] * dz
        db += dz
    return dw / m, db / m


def vectorized(w: np.ndarray, b: float, x: np.ndarray, y: np.ndarray) -> Gradient:
    """Compute the gradient without a loop: all examples are one array."""
    dz = (1 / (1 + np.exp(-(x @ w + b))) - y) / len(y)
    return dz @ x, dz.sum()


def compiled(w: np.ndarray, b: float, x: np.ndarray, y: np.ndarray) -> Callable[[], jaxnn.typing.Params]:
    """Return jaxnn's gradient as a compiled program: a function without arguments, with the data on the device."""
    model = jaxnn.logistic_regression(x.shape[1])
    params = jaxnn.models.params_from_arrays(model.network, model.in_shape, [w[None], np.array([b])])
    batch = jax.device_put(jaxnn.Batch(x, y))
    gradient = jax.jit(
        lambda params, batch: jaxnn.objective(model.network, model.loss).value_and_grad(params, batch)[1]
    )
    return lambda: jax.block_until_ready(gradient(params, batch))
