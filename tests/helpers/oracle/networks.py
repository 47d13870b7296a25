"""Networks of one hidden layer and of L layers, in the notes' columns, by plain formulas and plain loops.

Shapes: X (n_0, m), Y (n_L, m), W^[l] (n_l, n_(l-1)), b^[l] (n_l, 1); Z^[l], A^[l], dZ^[l], dA^[l] are (n_l, m). dA
and dZ belong to the loss of each example; the 1/m of the cost enters once, in dW and db.

An activation is a name, or (name, parameter), as in `activations.lookup`; "softmax" is possible for the last layer
under the loss "softmax_cross_entropy" alone, because it is not elementwise.
"""

from typing import NamedTuple

import numpy as np

from .activations import as_float, lookup, sigmoid, softplus


class OneHidden(NamedTuple):
    """Everything that the forward pass of one hidden layer computes: Z1, A1 are (n_1, m), Z2, A2 are (n_2, m)."""

    Z1: np.ndarray
    A1: np.ndarray
    Z2: np.ndarray
    A2: np.ndarray


def one_hidden_forward(W1, b1, W2, b2, X, hidden="tanh"):
    """z1 = W1 x + b1, a1 = g1(z1), z2 = W2 a1 + b2, a2 = sigma(z2).

    Args:
        W1: (n_1, n_x). b1: (n_1, 1). W2: (n_2, n_1). b2: (n_2, 1). X: (n_x, m).
        hidden: g1.

    Returns:
        `OneHidden` (Z1, A1, Z2, A2).
    """
    Z1 = W1 @ X + b1
    A1 = lookup(hidden).g(Z1)
    Z2 = W2 @ A1 + b2
    return OneHidden(Z1, A1, Z2, sigmoid(Z2))


def one_hidden_cost(W1, b1, W2, b2, X, Y, hidden="tanh"):
    """J = (1/m) sum over examples and outputs of log(1 + e^z2) - y z2, which is the cross-entropy of a2. One number."""
    Z2 = one_hidden_forward(W1, b1, W2, b2, X, hidden).Z2
    return np.sum(softplus(Z2) - Y * Z2) / X.shape[1]


def one_hidden_backward(W1, b1, W2, b2, X, Y, hidden="tanh"):
    """dz2 = a2 - y; dW2 = (1/m) dz2 a1^T; db2 = (1/m) sum dz2.
    dz1 = W2^T dz2 * g1'(z1); dW1 = (1/m) dz1 x^T; db1 = (1/m) sum dz1.

    Args:
        Y: (n_2, m), the rest as in `one_hidden_forward`.

    Returns:
        (dW1 (n_1, n_x), db1 (n_1, 1), dW2 (n_2, n_1), db2 (n_2, 1)).
    """
    m = X.shape[1]
    Z1, A1, _, A2 = one_hidden_forward(W1, b1, W2, b2, X, hidden)
    dZ2 = A2 - Y
    dW2 = dZ2 @ A1.T / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = W2.T @ dZ2 * lookup(hidden).dg(Z1)
    dW1 = dZ1 @ X.T / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return dW1, db1, dW2, db2


class Cache(NamedTuple):
    """What a layer's forward leaves for its backward: A_prev (n_in, m), W (n_out, n_in), Z and A (n_out, m), and g."""

    A_prev: np.ndarray
    W: np.ndarray
    Z: np.ndarray
    A: np.ndarray
    activation: object


def softmax(Z):
    """Return e^Z over its sum in each column; (k, m) to (k, m). The column's largest entry is subtracted first."""
    Z = as_float(Z)
    exponentials = np.exp(Z - Z.real.max(axis=0, keepdims=True))
    return exponentials / exponentials.sum(axis=0, keepdims=True)


def layer_forward(A_prev, W, b, activation):
    """Z = W A_prev + b; A = g(Z).

    Args:
        A_prev: (n_in, m). W: (n_out, n_in). b: (n_out, 1). activation: g.

    Returns:
        (A (n_out, m), `Cache`).
    """
    Z = W @ A_prev + b
    A = softmax(Z) if activation == "softmax" else lookup(activation).g(Z)
    return A, Cache(A_prev, W, Z, A, activation)


def linear_backward(dZ, cache):
    """dW = (1/m) dZ A_prev^T; db = (1/m) sum over examples of dZ; dA_prev = W^T dZ.

    Args:
        dZ: (n_out, m). cache: the layer's `Cache`.

    Returns:
        (dA_prev (n_in, m), dW (n_out, n_in), db (n_out, 1)).
    """
    m = dZ.shape[1]
    return cache.W.T @ dZ, dZ @ cache.A_prev.T / m, np.sum(dZ, axis=1, keepdims=True) / m


def layer_backward(dA, cache):
    """dZ = dA * g'(Z), then `linear_backward`. Takes dA (n_out, m); returns (dA_prev, dW, db)."""
    return linear_backward(dA * lookup(cache.activation).dg(cache.Z), cache)


def forward(parameters, activations, X):
    """For l = 1..L: Z^[l] = W^[l] A^[l-1] + b^[l]; A^[l] = g^[l](Z^[l]), with A^[0] = X.

    Args:
        parameters: list of L pairs (W (n_l, n_(l-1)), b (n_l, 1)).
        activations: list of L activations. X: (n_0, m).

    Returns:
        (A^[L] (n_L, m), list of L caches).
    """
    A, caches = X, []
    for (W, b), activation in zip(parameters, activations, strict=True):
        A, cache = layer_forward(A, W, b, activation)
        caches.append(cache)
    return A, caches


def _require_last(cache, loss, name):
    if cache.activation != name:
        raise ValueError(f"the loss {loss!r} is fused with a last layer {name!r}; got {cache.activation!r}")


def cost(caches, Y, loss):
    """Return J = (1/m) sum_i L_i of a finished forward pass.

    Args:
        caches: from `forward`. Y: (n_L, m).
        loss: one of
            "binary_cross_entropy": -(y log a + (1 - y) log(1 - a)), from a as the notes write it, so 0 < a < 1;
            "binary_cross_entropy_fused": the same from z, log(1 + e^z) - y z, stable; the last layer is "sigmoid";
            "softmax_cross_entropy": -sum_k y_k log a_k, from z; the last layer is "softmax";
            "squared_error": 1/2 sum_k (a_k - y_k)^2.

    Returns:
        One number.
    """
    Z, A = caches[-1].Z, caches[-1].A
    if loss == "binary_cross_entropy":
        values = -(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    elif loss == "binary_cross_entropy_fused":
        _require_last(caches[-1], loss, "sigmoid")
        values = softplus(Z) - Y * Z
    elif loss == "softmax_cross_entropy":
        _require_last(caches[-1], loss, "softmax")
        shifted = Z - Z.real.max(axis=0, keepdims=True)
        values = Y * (np.log(np.exp(shifted).sum(axis=0, keepdims=True)) - shifted)
    elif loss == "squared_error":
        values = (A - Y) ** 2 / 2
    else:
        raise ValueError(f"unknown loss {loss!r}")
    return np.sum(values) / Y.shape[1]


def output_backward(cache, Y, loss):
    """Start the backward pass at the last layer.

    "binary_cross_entropy": dA = -y/a + (1 - y)/(1 - a), then dZ = dA * g'(Z). "binary_cross_entropy_fused":
    dZ = A - Y. "softmax_cross_entropy": dZ = A sum_k y_k - Y, which is A - Y for labels that sum to one.
    "squared_error": dA = A - Y, then dZ = dA * g'(Z).

    Args:
        cache: the last layer's. Y: (n_L, m). loss: as in `cost`.

    Returns:
        (dA_prev, dW, db) of the last layer.
    """
    A = cache.A
    if loss == "binary_cross_entropy":
        return layer_backward(-Y / A + (1 - Y) / (1 - A), cache)
    if loss == "binary_cross_entropy_fused":
        _require_last(cache, loss, "sigmoid")
        return linear_backward(A - Y, cache)
    if loss == "softmax_cross_entropy":
        _require_last(cache, loss, "softmax")
        return linear_backward(A * np.sum(Y, axis=0, keepdims=True) - Y, cache)
    if loss == "squared_error":
        return layer_backward(A - Y, cache)
    raise ValueError(f"unknown loss {loss!r}")


def backward(caches, Y, loss):
    """For l = L..1: dZ^[l] = dA^[l] * g^[l]'(Z^[l]); dW^[l] = (1/m) dZ^[l] A^[l-1]^T; db^[l] = (1/m) sum dZ^[l];
    dA^[l-1] = W^[l]^T dZ^[l].

    Args:
        caches: from `forward`. Y: (n_L, m). loss: as in `cost`.

    Returns:
        (gradients, dA0): L pairs (dW, db) in the order of the layers, and dA^[0] (n_0, m), the gradient of each
        example's own loss by its input, so that dJ/dX = dA0 / m.
    """
    dA, dW, db = output_backward(caches[-1], Y, loss)
    gradients = [(dW, db)]
    for cache in reversed(caches[:-1]):
        dA, dW, db = layer_backward(dA, cache)
        gradients.append((dW, db))
    return gradients[::-1], dA
