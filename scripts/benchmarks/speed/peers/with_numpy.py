"""NumPy: forward and backward by hand, updates in place."""

import numpy as np

from scripts.benchmarks.speed.peers.initial import arrays


def train(workload, x, y, lap):
    params = [a for layer in arrays(workload.sizes, workload.init) for a in layer]
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
