"""The networks for images in JAX alone: convolutions of XLA, and max pooling and batch norm by hand.

`forward(workload)(params, x) -> (z, moments)`: the outputs, and the mean and variance of each batch norm.
"""

import jax
import jax.numpy as jnp

EPS = 1e-5


def forward(workload):
    return _lenet if workload.network == "lenet" else _resnet


def _lenet(params, x):
    take = iter(params)
    x = _pool(jax.nn.relu(_conv(x, take)))
    x = _pool(jax.nn.relu(_conv(x, take, padding="VALID")))
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(_dense(x, take))
    x = jax.nn.relu(_dense(x, take))
    return _dense(x, take), []


def _resnet(params, x):
    take, moments = iter(params), []
    x = jax.nn.relu(_norm(_conv(x, take), take, moments))
    for stage in range(3):
        stride = 1 if stage == 0 else 2
        y = jax.nn.relu(_norm(_conv(x, take, stride), take, moments))
        y = _norm(_conv(y, take), take, moments)
        if stage > 0:
            x = _norm(_conv(x, take, stride), take, moments)
        x = jax.nn.relu(x + y)
    return _dense(x.mean((1, 2)), take), moments


def _conv(x, take, stride=1, padding="SAME"):
    filters, b = next(take), next(take)
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, filters, (stride, stride), padding, dimension_numbers=axes) + b


def _dense(x, take):
    w, b = next(take), next(take)
    return x @ w.T + b


def _norm(x, take, moments):
    shift, gain = next(take), next(take)
    mean = x.mean((0, 1, 2))
    centered = x - mean
    var = (centered * centered).mean((0, 1, 2))
    moments.append((mean, var))
    return gain * centered * jax.lax.rsqrt(var + EPS) + shift


@jax.custom_vjp
def _pool(x):
    return _pool_forward(x)[0]


def _pool_forward(x):
    """Max pooling of 2 x 2; the gradient needs the place of the first largest element."""
    views = [x[:, i::2, j::2] for i in range(2) for j in range(2)]
    y, first = views[0], jnp.zeros(views[0].shape, jnp.uint8)
    for i, view in enumerate(views[1:], start=1):
        y, first = jnp.where(view > y, view, y), jnp.where(view > y, jnp.uint8(i), first)
    return y, first


def _pool_backward(first, dy):
    parts = [jnp.where(first == i, dy, 0) for i in range(4)]
    m, height, width, n = dy.shape
    rows = [jnp.stack(parts[i : i + 2], 3).reshape(m, height, 2 * width, n) for i in (0, 2)]
    return (jnp.stack(rows, 2).reshape(m, 2 * height, 2 * width, n),)


_pool.defvjp(_pool_forward, _pool_backward)
