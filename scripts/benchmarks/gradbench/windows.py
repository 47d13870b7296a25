"""Convolution, pooling and upsampling: what slides or tiles."""

import jax
import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import normal, right, with_rule, wrong

M, T, WIDTH = 3, 8, 3
X = normal(71, M, T, 2)
W, B = normal(72, WIDTH, 2, 4), normal(73, 4)
XS, WS = normal(74, M, T, 3), normal(75, WIDTH, 3, 3)
IMAGES = normal(76, 2, 4, 6)


def conv(w, b, x):
    y = jax.lax.conv_general_dilated(x, w, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
    return y + b[None, None]


def weights_backward(x, dy):
    n = dy.shape[1]
    return jnp.stack([jnp.einsum("mti,mto->io", x[:, k : k + n], dy) for k in range(WIDTH)])


def input_backward(w, dy):
    return sum(jnp.pad(dy @ w[k].T, ((0, 0), (k, WIDTH - 1 - k), (0, 0))) for k in range(WIDTH))


def conv_backward(args, dy):
    w, b, x = args
    return weights_backward(x, dy), dy.sum((0, 1)), input_backward(w, dy)


def pairs(x):
    return x.reshape(*x.shape[:-1], -1, 2)


def max_pool(x):
    return pairs(x).max(-1)


def max_pool_backward(args, dy):
    (x,) = args
    largest = pairs(x) == max_pool(x)[..., None]
    # Ties share evenly, as in jnp.max.
    return ((largest * (dy / largest.sum(-1))[..., None]).reshape(x.shape),)


def average_pool(x):
    m, h, w = x.shape
    return x.reshape(m, h // 2, 2, w // 2, 2).mean((2, 4))


def spread(dy):
    return jnp.repeat(jnp.repeat(dy, 2, axis=1), 2, axis=2)


def moving_mean(x):
    """Windows of 3 that overlap."""
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 3


def moving_mean_backward(args, dy):
    return (jnp.convolve(jnp.ones(3, dy.dtype) / 3, dy),)


def upsample(x):
    return jnp.repeat(x, 3, axis=-1)


RIGHT = [
    right("convolution", "vjp", conv, conv_backward, W, B, X),
    right("max pooling", "vjp", max_pool, max_pool_backward, IMAGES),
    right("average pooling", "custom", average_pool,
          with_rule(average_pool, lambda args, dy: (spread(dy) / 4,)), IMAGES),
    right("moving mean", "vjp", moving_mean, moving_mean_backward, normal(77, 9)),
    right("upsampling", "vjp", upsample,
          lambda args, dy: (dy.reshape(*args[0].shape, 3).sum(-1),), normal(78, 4, 2)),
]  # fmt: skip


def kernel_reversed(args, dy):
    w, b, x = args
    return weights_backward(x, dy), dy.sum((0, 1)), input_backward(w[::-1], dy)


def weights_reversed(args, dy):
    w, b, x = args
    return weights_backward(x, dy)[::-1], dy.sum((0, 1)), input_backward(w, dy)


def input_shifted(args, dy):
    w, b, x = args
    return weights_backward(x, dy), dy.sum((0, 1)), jnp.roll(input_backward(w, dy), 1, axis=1)


def weights_off_by_one(args, dy):
    w, b, x = args
    shifted = jnp.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0)))
    return weights_backward(shifted, dy), dy.sum((0, 1)), input_backward(w, dy)


def bias_over_examples_only(args, dy):
    w, b, x = args
    return weights_backward(x, dy), dy.sum(0), input_backward(w, dy)


def bias_at_first_position(args, dy):
    w, b, x = args
    return weights_backward(x, dy), dy[:, 0].sum(0), input_backward(w, dy)


def channels_transposed(args, dy):
    w, b, x = args
    return weights_backward(x, dy).transpose(0, 2, 1), dy.sum((0, 1)), input_backward(w, dy)


def weights_averaged_over_positions(args, dy):
    w, b, x = args
    return weights_backward(x, dy) / dy.shape[1], dy.sum((0, 1)), input_backward(w, dy)


def first_image_only(args, dy):
    w, b, x = args
    return weights_backward(x[:1], dy[:1]), dy.sum((0, 1)), input_backward(w, dy)


def max_pool_everywhere(args, dy):
    return (jnp.repeat(dy, 2, axis=-1),)


def max_pool_first(args, dy):
    (x,) = args
    return (jnp.stack([dy, jnp.zeros_like(dy)], -1).reshape(x.shape),)


def max_pool_value(args, dy):
    (x,) = args
    largest = pairs(x) == max_pool(x)[..., None]
    return ((largest * x.reshape(largest.shape) * dy[..., None]).reshape(x.shape),)


def slip_column_max(args, dy):
    # The slope of np.max(v, 0), the largest of each column, for the elementwise maximum.
    (x,) = args
    return (dy * (x == x.max(0, keepdims=True)),)


def last_window_wins(args, dy):
    (x,) = args
    dx = jnp.zeros_like(x)
    for i in range(dy.size):
        dx = dx.at[i : i + 3].set(dy[i] / 3)
    return (dx,)


CONV = ("vjp", conv)
WRONG = [
    wrong("convolution: kernel reversed in dx", *CONV, kernel_reversed, W, B, X),
    wrong("convolution: dW reversed", *CONV, weights_reversed, W, B, X, kind="permutation"),
    wrong("convolution: dx shifted by one", *CONV, input_shifted, W, B, X, kind="permutation"),
    wrong("convolution: dW from x shifted by one", *CONV, weights_off_by_one, W, B, X),
    wrong("convolution: db over examples only", *CONV, bias_over_examples_only, W, B, X, kind="missing sum"),
    wrong("convolution: db at one position", *CONV, bias_at_first_position, W, B, X, also=["missing sum"]),
    wrong("convolution: channels of dW transposed", *CONV, channels_transposed, WS, B[:3], XS, kind="transpose"),
    wrong("convolution: dW divided by the positions", *CONV, weights_averaged_over_positions, W, B, X,
          kind="constant factor"),
    wrong("convolution: dW of the first image", *CONV, first_image_only, W, B, X, kind="missing sum"),
    wrong("max pooling: to both of the pair", "vjp", max_pool, max_pool_everywhere, IMAGES),
    wrong("max pooling: to the first of the pair", "vjp", max_pool, max_pool_first, IMAGES,
          also=["permutation"]),
    wrong("max pooling: by the value", "vjp", max_pool, max_pool_value, IMAGES),
    wrong("relu: the columns' maximum", "vjp", jax.nn.relu, slip_column_max, normal(79, 6, 5)),
    wrong("average pooling: 1/n forgotten", "custom", average_pool,
          with_rule(average_pool, lambda args, dy: (spread(dy),)), IMAGES, kind="sum for mean"),
    wrong("average pooling: one side of n", "vjp", average_pool, lambda args, dy: (spread(dy) / 2,), IMAGES,
          kind="constant factor"),
    wrong("average pooling: tiled, not repeated", "vjp", average_pool,
          lambda args, dy: (jnp.tile(dy, (1, 2, 2)) / 4,), IMAGES, kind="permutation"),
    wrong("moving mean: overlaps overwritten", "vjp", moving_mean, last_window_wins, normal(77, 9)),
    wrong("moving mean: 1/n forgotten", "vjp", moving_mean,
          lambda args, dy: (jnp.convolve(jnp.ones(3, dy.dtype), dy),), normal(77, 9), kind="sum for mean"),
    wrong("upsampling: first copy only", "vjp", upsample, lambda args, dy: (dy[..., ::3],), normal(78, 4, 2),
          also=["missing sum"]),
    wrong("upsampling: mean of the copies", "vjp", upsample,
          lambda args, dy: (dy.reshape(*args[0].shape, 3).mean(-1),), normal(78, 4, 2), kind="constant factor"),
]  # fmt: skip
