"""The networks for sequences in JAX alone: `forward(workload)(params, x) -> (z, [])`, as `images.raw` has it."""

import jax
import jax.numpy as jnp

EPS = 1e-5


def forward(workload):
    def outputs(params, x):
        take = iter(params)
        return network(take, x), []

    def transformer(take, x):
        x = next(take)[x] + next(take)
        for _ in range(workload.sizes[4]):
            x = x + _attend(_norm(x, take), take, workload.sizes[2])
            z = _dense(_norm(x, take), take)
            x = x + _dense(jax.nn.gelu(z, approximate=False), take)
        return _dense(_norm(x, take), take)

    def lstm(take, x):
        return _dense(_lstm(next(take)[x], take), take)

    def layer(take, x):
        return _lstm(x, take)

    network = {"lstm": lstm, "lstm layer": layer, "transformer": transformer}[workload.network]
    return outputs


def _dense(x, take):
    w, b = next(take), next(take)
    return x @ w.T + b


def _norm(x, take):
    shift, gain = next(take), next(take)
    centered = x - x.mean(-1, keepdims=True)
    var = (centered * centered).mean(-1, keepdims=True)
    return gain * centered * jax.lax.rsqrt(var + EPS) + shift


def _lstm(x, take):
    w_a, w_x, b = next(take), next(take), next(take)
    n = w_a.shape[1]

    def step(state, u):
        a, c = state
        z = u + a @ w_a.T
        f, i, o = jnp.split(jax.nn.sigmoid(z[:, : 3 * n]), 3, axis=-1)
        c = f * c + i * jnp.tanh(z[:, 3 * n :])
        a = o * jnp.tanh(c)
        return (a, c), a

    zeros = jnp.zeros((len(x), n))
    return jax.lax.scan(step, (zeros, zeros), x.swapaxes(0, 1) @ w_x.T + b)[1].swapaxes(0, 1)


def _attend(x, take, heads):
    k = x @ next(take).T
    w, b = next(take), next(take)
    q, v = (_dense(x, take) for _ in range(2))
    q, k, v = (a.reshape(*a.shape[:2], heads, -1) for a in (q, k, v))
    s = jnp.einsum("mihd,mjhd->mhij", q, k) / q.shape[-1] ** 0.5
    p = jax.nn.softmax(jnp.where(jnp.tri(s.shape[-1], dtype=bool), s, -jnp.inf))
    return jnp.einsum("mhij,mjhd->mihd", p, v).reshape(x.shape) @ w.T + b
