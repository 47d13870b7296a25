"""NumPy: hand-written forward and backward, updates in place."""

import numpy as np

from scripts.benchmarks.speed.peers.batches import of_lap
from scripts.benchmarks.speed.peers.initial import arrays, rates, stacked


def train(workload, x, y, lap):
    params = arrays(workload, workload.seed)
    m, v = ([np.zeros_like(p) for p in params] for _ in range(2))
    rng, t = np.random.default_rng(1), 0
    order, place = np.arange(len(y)), 0
    for _ in range(workload.laps):
        for _ in range(workload.steps):
            xb, yb = x, y
            if workload.batch is not None:
                if place % len(y) == 0:
                    order, place = rng.permutation(len(y)), 0
                rows = order[place : place + workload.batch]
                xb, yb, place = x[rows], y[rows], place + workload.batch
            grads, t = _gradients(workload, params, xb, yb), t + 1
            for i, g in enumerate(grads):
                if workload.optimizer == "sgd":
                    g *= workload.rate
                    params[i] -= g
                else:
                    m[i] += 0.1 * (g - m[i])
                    v[i] += 0.001 * (g * g - v[i])
                    rate = workload.rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                    params[i] -= np.float32(rate) * m[i] / (np.sqrt(v[i]) + np.float32(1e-8))
        lap()
    return params


def population(workload, x, y, lap):
    """Train all members in parallel: the first layer is one product for all, the others are batched products."""
    start = stacked(workload)
    n, ends = len(start[0]), np.cumsum([a.size for a in start])
    params = np.concatenate([a.ravel() for a in start])
    rate = np.concatenate([np.repeat(rates(workload), a.size // n) for a in start])
    g, m, v, t = (np.zeros_like(params) for _ in range(4))  # the gradient, Adam's two moments, a temporary
    views, grads = (
        [a.reshape(s.shape) for a, s in zip(np.split(b, ends[:-1]), start, strict=True)] for b in (params, g)
    )
    rng, i = np.random.default_rng(1), 0
    for _ in range(workload.laps):
        for rows in of_lap(workload, rng, len(y)):
            _gradients_of_all(views, grads, x[rows], y[rows])
            i += 1
            np.subtract(g, m, out=t)
            t *= 0.1
            m += t
            g *= g
            g -= v
            g *= 0.001
            v += g
            np.sqrt(v, out=t)
            t += 1e-8
            np.divide(m, t, out=t)
            t *= np.sqrt(1 - 0.999**i) / (1 - 0.9**i)
            t *= rate
            params -= t
        lap()
    return views


def _gradients_of_all(params, grads, x, y):
    """Compute the gradients into `grads`; every array has an axis of members in front."""
    inputs, n = [], len(params) // 2
    members, units, _ = params[0].shape
    z = (x @ params[0].reshape(members * units, -1).T).reshape(-1, members, units).transpose(1, 0, 2)
    z += params[1][:, None]
    for w, b in zip(params[2::2], params[3::2], strict=True):
        inputs.append(np.maximum(z, 0, out=z))
        z = z @ w.transpose(0, 2, 1)
        z += b[:, None]
    dz = np.exp(z - z.max(2, keepdims=True))
    dz /= dz.sum(2, keepdims=True)
    dz[:, np.arange(len(y)), y] -= 1
    dz /= len(y)
    for i in reversed(range(1, n)):
        a = inputs[i - 1]
        np.matmul(dz.transpose(0, 2, 1), a, out=grads[2 * i])
        dz.sum(1, out=grads[2 * i + 1])
        da = np.empty_like(a)  # in a's memory order, so that the first layer's is one matrix
        np.matmul(dz, params[2 * i], out=da)
        da *= a > 0
        dz = da
    dz.sum(1, out=grads[1])
    np.matmul(dz.transpose(1, 0, 2).reshape(len(x), -1).T, x, out=grads[0].reshape(members * units, -1))


def _gradients(workload, params, x, y):
    inputs, n = [x], len(params) // 2
    for i in range(n):
        z = inputs[-1] @ params[2 * i].T
        z += params[2 * i + 1]
        if i < n - 1:
            z = np.maximum(z, 0, out=z) if workload.activation == "relu" else np.tanh(z, out=z)
        inputs.append(z)
    z, grads = inputs.pop(), [None] * len(params)
    if workload.output == "binary":
        dz = 1 / (1 + np.exp(-z))
        dz[:, 0] -= y
    else:
        dz = np.exp(z - z.max(1, keepdims=True))
        dz /= dz.sum(1, keepdims=True)
        dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    for i in reversed(range(n)):
        a = inputs[i]
        grads[2 * i], grads[2 * i + 1] = dz.T @ a, dz.sum(0)
        if i > 0:
            dz = dz @ params[2 * i]
            dz *= a > 0 if workload.activation == "relu" else 1 - a * a
    return grads
