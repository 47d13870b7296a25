"""Logistic regression in the notes' columns, its gradient written three ways that must agree.

a = sigma(w^T x + b), and for one example L = -(y log a + (1 - y) log(1 - a)). With z = w^T x + b this is

    L = log(1 + e^z) - y z = max(z, 0) - y z + log(1 + e^(-|z|)),

the form used throughout: no logarithm of zero, and exact at |z| = 1e4. J = (1/m) sum_i L_i, with dz_i = a_i - y_i,
dw = (1/m) X dZ^T and db = (1/m) sum_i dz_i.

Shapes: w (n_x, 1), b one number, X (n_x, m), Y (1, m) with values 0 or 1. Each of the three gradients returns
(J, dw, db): a number, an array (n_x, 1), a number.
"""

import math

import numpy as np

from .activations import sigmoid, softplus


def _unit(z, y):
    """Return the loss L and its slope dz = a - y for one example, z and y being two numbers."""
    decay = math.exp(-abs(z))
    a = 1 / (1 + decay) if z >= 0 else decay / (1 + decay)
    return max(z, 0.0) - y * z + math.log1p(decay), a - y


def double_loop(w, b, X, Y):
    """Loop over the examples and, within one, over the features: nothing but numbers.

    Args:
        w: (n_x, 1). b: a number. X: (n_x, m). Y: (1, m).

    Returns:
        (J, dw (n_x, 1), db).
    """
    n_x, m = X.shape
    J, dw, db = 0.0, np.zeros((n_x, 1)), 0.0
    for i in range(m):
        z = float(b)
        for j in range(n_x):
            z += float(w[j, 0]) * float(X[j, i])
        loss, dz = _unit(z, float(Y[0, i]))
        J += loss
        for j in range(n_x):
            dw[j, 0] += float(X[j, i]) * dz
        db += dz
    return J / m, dw / m, db / m


def example_loop(w, b, X, Y):
    """Loop over the examples only; the features of one example are a vector x (n_x, 1).

    Args and Returns: as in `double_loop`.
    """
    n_x, m = X.shape
    J, dw, db = 0.0, np.zeros((n_x, 1)), 0.0
    for i in range(m):
        x = X[:, i : i + 1]
        loss, dz = _unit((w.T @ x + b).item(), float(Y[0, i]))
        J += loss
        dw += x * dz
        db += dz
    return J / m, dw / m, db / m


def cost(w, b, X, Y):
    """Return J = (1/m) sum_i (log(1 + e^(z_i)) - y_i z_i), with Z = w^T X + b (1, m). Complex w, b are taken."""
    Z = w.T @ X + b
    return np.sum(softplus(Z) - Y * Z) / X.shape[1]


def vectorized(w, b, X, Y):
    """No loop: Z = w^T X + b, dZ = A - Y, dw = (1/m) X dZ^T, db = (1/m) sum dZ.

    Args and Returns: as in `double_loop`.
    """
    m = X.shape[1]
    dZ = sigmoid(w.T @ X + b) - Y
    return cost(w, b, X, Y), X @ dZ.T / m, np.sum(dZ) / m


def gradient_descent(X, Y, rate, steps):
    """Repeat w := w - rate dw, b := b - rate db on all the examples, from w = 0 and b = 0.

    Args:
        X: (n_x, m). Y: (1, m). rate: alpha. steps: how many updates.

    Returns:
        (w (n_x, 1), b, costs (steps,)). costs[t] is J before update t, so costs[0] = log 2 = 0.693147 for any data, and
        the cost of the returned w and b is not among them.
    """
    w, b = np.zeros((X.shape[0], 1)), 0.0
    costs = np.zeros(steps)
    for step in range(steps):
        costs[step], dw, db = vectorized(w, b, X, Y)
        w = w - rate * dw
        b = b - rate * db
    return w, b, costs
