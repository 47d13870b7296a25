"""Losses of each example, their gradients, and regularizers on weights. Everything here is in rows.

z, a and dense labels y are (m, k), or (m,) where there is one output; integer labels are (m,). A loss returns (m,):
it is summed over the k outputs of an example and never over the examples. `d_<loss>` returns the gradient of each
example's own loss, of z's shape (of a's, for the losses that take a): no 1/m. Complex z and a are taken.
"""

import numpy as np

from .activations import as_float, sigmoid, softplus


def _per_example(values):
    """Sum over every axis but the first: (m, ...) to (m,)."""
    return values.reshape(values.shape[0], -1).sum(axis=1)


def sigmoid_cross_entropy(z, y):
    """L = log(1 + e^z) - y z, which is -(y log a + (1 - y) log(1 - a)) at a = sigma(z). Takes z, y (m, k) or (m,)."""
    z = as_float(z)
    return _per_example(softplus(z) - y * z)


def d_sigmoid_cross_entropy(z, y):
    """dz = sigma(z) - y, of z's shape."""
    return sigmoid(z) - y


def cross_entropy(a, y):
    """L = -(y log a + (1 - y) log(1 - a)) on probabilities a, (m, k) or (m,).

    A term whose label weight is 0 counts as 0, so a may be 0 where y is 0 and 1 where y is 1; elsewhere 0 < a < 1.
    """
    a, y = as_float(a), as_float(y)
    positive = y * np.log(np.where(y == 0, 1.0, a))
    negative = (1 - y) * np.log(np.where(y == 1, 1.0, 1 - a))
    return -_per_example(positive + negative)


def d_cross_entropy(a, y):
    """da = -y/a + (1 - y)/(1 - a), of a's shape, under the same convention for label weights of 0."""
    a, y = as_float(a), as_float(y)
    return -y / np.where(y == 0, 1.0, a) + (1 - y) / np.where(y == 1, 1.0, 1 - a)


def log_softmax(z):
    """log p_k = z_k - max z - log sum_j e^(z_j - max z), along the last axis; (m, k) to (m, k)."""
    z = as_float(z)
    shifted = z - z.real.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(z):
    """p_k = e^(z_k) / sum_j e^(z_j), along the last axis; (m, k) to (m, k)."""
    return np.exp(log_softmax(z))


def softmax_cross_entropy_integer(z, y):
    """L = -log p_y for integer labels y (m,) in 0..k-1, with p = softmax(z), z (m, k)."""
    return -log_softmax(z)[np.arange(len(y)), np.asarray(y)]


def d_softmax_cross_entropy_integer(z, y):
    """dz = p - onehot(y), (m, k)."""
    dz = softmax(z)
    dz[np.arange(len(y)), np.asarray(y)] -= 1
    return dz


def softmax_cross_entropy(z, y):
    """L = -sum_k y_k log p_k, p = softmax(z), for z (m, k) and soft labels y (m, k), whose rows need not sum to one."""
    return -np.sum(y * log_softmax(z), axis=-1)


def d_softmax_cross_entropy(z, y):
    """dz = p sum_k y_k - y, (m, k): d log p_k / dz_j = [k = j] - p_j, weighted by -y_k and summed."""
    return softmax(z) * np.sum(y, axis=-1, keepdims=True) - y


def squared_error(a, y):
    """L = 1/2 sum_k (a_k - y_k)^2, with a, y (m, k) or (m,)."""
    return _per_example((as_float(a) - y) ** 2 / 2)


def d_squared_error(a, y):
    """da = a - y, of a's shape."""
    return as_float(a) - y


def absolute_error(a, y):
    """L = sum_k |a_k - y_k|, with a, y (m, k) or (m,)."""
    r = as_float(a) - y
    return _per_example(np.where(r.real < 0, -r, r))


def d_absolute_error(a, y):
    """da = 1 where a > y, -1 where a < y; of the subgradients where they are equal, the 0."""
    r = (as_float(a) - y).real
    return np.where(r > 0, 1.0, np.where(r < 0, -1.0, 0.0))


def huber(a, y, delta=1.0):
    """L = sum_k 1/2 r_k^2 if |r_k| <= delta, else delta |r_k| - 1/2 delta^2, with r = a - y, (m, k) or (m,)."""
    r = as_float(a) - y
    size = np.where(r.real < 0, -r, r)
    return _per_example(np.where(size.real <= delta, r**2 / 2, delta * size - delta**2 / 2))


def d_huber(a, y, delta=1.0):
    """da = r if |r| <= delta, else delta or -delta by the sign of r = a - y."""
    r = as_float(a) - y
    return np.where(np.abs(r.real) <= delta, r, delta * np.sign(r.real))


def hinge(z, y):
    """L = sum_k max(0, 1 - t_k z_k) for scores z and labels y of 0 and 1, t = -1 for 0 and 1 for 1."""
    missing = 1 - np.where(np.asarray(y) == 1, 1.0, -1.0) * as_float(z)
    return _per_example(np.where(missing.real > 0, missing, 0))


def d_hinge(z, y):
    """dz = -t where t z < 1, else 0: also at t z = 1."""
    t = np.where(np.asarray(y) == 1, 1.0, -1.0)
    return np.where((t * as_float(z)).real < 1, -t, 0.0)


def squared_hinge(z, y):
    """L = sum_k max(0, 1 - t_k z_k)^2, t = -1 for labels 0 and 1 for labels 1."""
    missing = 1 - np.where(np.asarray(y) == 1, 1.0, -1.0) * as_float(z)
    return _per_example(np.where(missing.real > 0, missing, 0) ** 2)


def d_squared_hinge(z, y):
    """dz = -2 t (1 - t z) where t z < 1, else 0."""
    t = np.where(np.asarray(y) == 1, 1.0, -1.0)
    return np.where((t * as_float(z)).real < 1, -2 * t * (1 - t * as_float(z)), 0.0)


def multiclass_hinge(z, y):
    """L = max_j (z_j + [j != y]) - z_y for scores z (m, k) and integer labels y (m,)."""
    z, rows = as_float(z), np.arange(len(y))
    raised = z + 1 - np.eye(z.shape[1])[np.asarray(y)]
    return raised[rows, raised.real.argmax(axis=1)] - z[rows, np.asarray(y)]


def d_multiclass_hinge(z, y):
    """dz = [j = the largest z_j + [j != y]] - [j = y], (m, k), where no two are largest."""
    one_hot = np.eye(z.shape[1])
    raised = as_float(z) + 1 - one_hot[np.asarray(y)]
    return one_hot[raised.real.argmax(axis=1)] - one_hot[np.asarray(y)]


def kl_divergence(z, y):
    """L = sum_k y_k (log y_k - log p_k), p = softmax(z), for z and distributions y (m, k); a term of y_k = 0 is 0."""
    y = as_float(y)
    return np.sum(y * (np.log(np.where(y == 0, 1.0, y)) - log_softmax(z)), axis=-1)


def d_kl_divergence(z, y):
    """dz = p sum_k y_k - y, (m, k): the entropy of y does not depend on z."""
    return softmax(z) * np.sum(y, axis=-1, keepdims=True) - y


def l2(weights, strength):
    """strength/2 times the sum of W^2 over all arrays of the list; one number. Leave biases out by not listing them."""
    return strength / 2 * sum(np.sum(as_float(W) ** 2) for W in weights)


def d_l2(weights, strength):
    """strength W for each array of the list."""
    return [strength * as_float(W) for W in weights]


def l1(weights, strength):
    """strength times the sum of |W| over all arrays of the list; one number. Real W only."""
    return strength * sum(np.sum(np.abs(W)) for W in weights)


def d_l1(weights, strength):
    """strength sign(W) for each array of the list: of the subgradients at W = 0, the 0."""
    return [strength * np.sign(as_float(W)) for W in weights]


def elastic_net(weights, l1_strength, l2_strength):
    """l1(weights, l1_strength) + l2(weights, l2_strength): two strengths, and the 1/2 stays in the l2 part.

    Zou & Hastie, "Regularization and variable selection via the elastic net", JRSS B 67 (2005): the naive criterion,
    whose lambda_1 is l1_strength and whose lambda_2 is l2_strength / 2.
    """
    return l1(weights, l1_strength) + l2(weights, l2_strength)


def d_elastic_net(weights, l1_strength, l2_strength):
    """l1_strength sign(W) + l2_strength W for each array of the list."""
    pairs = zip(d_l1(weights, l1_strength), d_l2(weights, l2_strength), strict=True)
    return [d1 + d2 for d1, d2 in pairs]
