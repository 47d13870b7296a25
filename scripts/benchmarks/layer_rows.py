"""The layers of `scripts/bench layers`, each at three sizes, with the plain forward that one would write for it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxnn
from jaxnn import nn

Plain = Callable[[Any, Any, Any], Any]
Sizes = tuple[Any, ...]
"""A shape, or a tuple of them, as x is an array or a tuple."""


class Row(NamedTuple):
    """A layer, or a loss or regularizer as one, at three sizes.

    Attributes:
      layer: the layer.
      sizes: shapes of x, with the examples; of several arrays, tuples of them.
      plain: `plain(params, x, key) -> y`.
      draw: `draw(key, shape) -> array`, of which x is made; normal numbers by default.
      data: `data(key, x) -> y`, the targets of a loss, which takes them where a layer takes its key.
    """

    layer: jaxnn.Layer
    sizes: tuple[Sizes, ...]
    plain: Plain
    draw: Callable[..., Any] = jax.random.normal
    data: Callable[..., Any] | None = None


ROWS_2D = ((128, 256), (1024, 256), (2048, 1024))
IMAGES = ((128, 28, 28, 8), (32, 32, 32, 32), (32, 64, 64, 32))
OF_ONE_SHAPE = ((32, 28, 28, 8), (128, 28, 28, 8), (512, 28, 28, 8))
SEQUENCES = ((64, 100, 32), (32, 1000, 32), (16, 1000, 128))
SENTENCES = ((64, 28, 64), (16, 256, 128), (2, 1000, 64))
LONG = ((16, 256, 128), (2, 1000, 64), (1, 2048, 64))
PAIRS = (
    ((64, 1, 64), (64, 28, 128)),
    ((32, 28, 64), (32, 30, 128)),
    ((16, 100, 64), (16, 120, 128)),
)
TRANSLATIONS = (
    ((64, 10, 64), (64, 12, 128)),
    ((64, 28, 128), (64, 28, 256)),
    ((16, 60, 128), (16, 70, 256)),
)
TEXTS = ((64, 28, 28), (64, 100, 32), (8, 1000, 64))


def convolved(stride: int = 1, padding: Any = "SAME", dilation: int = 1, groups: int | None = 1) -> Plain:
    """Return a convolution of XLA; without groups, as many as channels."""

    def plain(params, x, key):
        axes = x.ndim - 2
        spec = "NHWC"[: axes + 1] + "C" if axes == 2 else "NHC"
        K = params["K"]
        return params["b"] + lax.conv_general_dilated(
            x,
            K,
            (stride,) * axes,
            padding,
            rhs_dilation=(dilation,) * axes,
            dimension_numbers=(spec, ("HWIO" if axes == 2 else "HIO"), spec),
            feature_group_count=x.shape[-1] if groups is None else groups,
        )

    return plain


def pooled(kind: str, size: int, stride: int, padding: str = "VALID") -> Plain:
    """Return a pooling of images by `lax.reduce_window`."""

    def plain(params, x, key):
        window = (1, size, size, 1), (1, stride, stride, 1), padding
        if kind == "max":
            return lax.reduce_window(x, -jnp.inf, lax.max, *window)
        return lax.reduce_window(x, 0.0, lax.add, *window) / size**2

    return plain


def normalized(axes: Callable[[Any], Any], eps: float = 1e-5) -> Plain:
    """Return a normalization over these axes."""

    def plain(params, x, key):
        mean = x.mean(axes(x), keepdims=True)
        var = ((x - mean) ** 2).mean(axes(x), keepdims=True)
        return params["gamma"] * (x - mean) * lax.rsqrt(var + eps) + params["beta"]

    return plain


def by_mean_square(params, x, key):
    return params["gamma"] * x * lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-5)


def in_groups(params, x, key):
    groups = x.reshape(*x.shape[:-1], 4, -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    var = ((groups - mean) ** 2).mean((1, 2, 4), keepdims=True)
    return params["gamma"] * ((groups - mean) * lax.rsqrt(var + 1e-5)).reshape(x.shape) + params["beta"]


def transposed(params, x, key):
    K = jnp.flip(params["K"], (0, 1))
    return params["b"] + lax.conv_transpose(x, K, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def dropped(params, x, key):
    return jnp.where(jax.random.bernoulli(key, 0.8, x.shape), x / 0.8, 0)


def repeated(params, x, key):
    return jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)


def by_scan(cell: str, reverse: bool = False) -> Plain:
    """Return a recurrent network by `lax.scan`, with the inputs' products outside of the loop."""

    def plain(params, x, key):
        u, n = x.swapaxes(0, 1) @ params["W_x"].T + params["b"], params["W_a"].shape[1]
        start = jnp.zeros((x.shape[0], n))

        def simple(a, u):
            a = jnp.tanh(u + a @ params["W_a"].T)
            return a, a

        def lstm(state, u):
            a, c = state
            z = u + a @ params["W_a"].T
            f, i, o = jnp.split(jax.nn.sigmoid(z[:, : 3 * n]), 3, axis=-1)
            c = f * c + i * jnp.tanh(z[:, 3 * n :])
            a = o * jnp.tanh(c)
            return (a, c), a

        def gru(a, u):
            v = a @ params["W_a"].T
            r, z = jnp.split(jax.nn.sigmoid(u[:, : 2 * n] + v[:, : 2 * n]), 2, axis=-1)
            g = jnp.tanh(u[:, 2 * n :] + r * (v[:, 2 * n :] + params["b_a"]))
            a = z * g + (1 - z) * a
            return a, a

        def gru_before(a, u):
            r, z = jnp.split(jax.nn.sigmoid(u[:, : 2 * n] + a @ params["W_a"][: 2 * n].T), 2, axis=-1)
            g = jnp.tanh(u[:, 2 * n :] + (r * a) @ params["W_a"][2 * n :].T)
            a = z * g + (1 - z) * a
            return a, a

        steps = {"simple": simple, "lstm": lstm, "gru": gru, "gru_before": gru_before}
        step, state = steps[cell], (start, start) if cell == "lstm" else start
        return lax.scan(step, state, u, reverse=reverse)[1].swapaxes(0, 1)

    return plain


def both_ways(params, x, key):
    ahead, back = (by_scan("lstm", reverse)(one, x, key) for one, reverse in zip(params, (False, True), strict=True))
    return jnp.concatenate([ahead, back], -1)


def by_block(params, x, key):
    (_, (of_norm, (of_attention,))), (of_other, (((of_first, _), of_second),)) = params
    norm, with_bias = normalized(lambda x: -1), lambda params, x: x @ params["W"].T + params["b"]
    x = x + by_attention(of_attention, norm(of_norm, x, key), key)
    return x + with_bias(of_second, jax.nn.gelu(with_bias(of_first, norm(of_other, x, key)), approximate=False))


def by_attention(params, x, key, causal=False):
    q, v = (x @ params[name]["W"].T + params[name]["b"] for name in ("query", "value"))
    k = x @ params["key"]["W"].T
    q, k, v = (a.reshape(*a.shape[:2], 4, -1) for a in (q, k, v))
    S = jnp.einsum("mihd,mjhd->mhij", q, k) / q.shape[-1] ** 0.5
    P = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones(S.shape[-2:], bool)), S, -jnp.inf) if causal else S)
    y = jnp.einsum("mhij,mjhd->mihd", P, v).reshape(x.shape)
    return y @ params["output"]["W"].T + params["output"]["b"]


def by_alignment(params, x, key):
    s, h = x
    q, k = s @ params["query"]["W"].T, h @ params["key"]["W"].T
    return jax.nn.softmax(jnp.tanh(q[:, :, None] + k[:, None]) @ params["score"]["W"][0]) @ h


def by_reading(params, pair, key):
    x, h = pair
    of_cell, k, n = params["cell"], h @ params["key"]["W"].T, params["cell"]["W_a"].shape[1]

    def step(a, x):
        P = jax.nn.softmax(jnp.tanh((a @ params["query"]["W"].T)[:, None] + k) @ params["score"]["W"][0])
        c = jnp.einsum("mj,mjd->md", P, h)
        u, v = jnp.concatenate([x, c], -1) @ of_cell["W_x"].T + of_cell["b"], a @ of_cell["W_a"].T
        r, z = jnp.split(jax.nn.sigmoid(u[:, : 2 * n] + v[:, : 2 * n]), 2, axis=-1)
        g = jnp.tanh(u[:, 2 * n :] + r * (v[:, 2 * n :] + of_cell["b_a"]))
        a = z * g + (1 - z) * a
        return a, a

    return lax.scan(step, jnp.zeros((len(x), n)), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def in_a_piece(params, x, key):
    x, (a,) = x

    def step(a, u):
        a = jnp.tanh(u + a @ params["W_a"].T)
        return a, a

    last, y = lax.scan(step, a, x.swapaxes(0, 1) @ params["W_x"].T + params["b"])
    return y.swapaxes(0, 1), (last,)


def dense_and_tanh(params, x, key=None):
    return jnp.tanh(x @ params[0]["W"].T + params[0]["b"])


def in_bfloat16(params, x, key):
    W, b, x = (a.astype("bfloat16") for a in (params["W"], params["b"], x))
    return (x @ W.T + b).astype("float32")


def twice_by_one_matrix(params, x, key):
    (first, _, second), W = params, params[0]["W"]
    return jnp.tanh(x @ W.T + first["b"]) @ W.T + second["b"]


def with_sinusoids(params, x, key):
    angles = jnp.arange(x.shape[1])[:, None] / 10_000 ** (2 * jnp.arange(x.shape[2] // 2) / x.shape[2])
    return x + jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(x.shape[1:])


def rows() -> dict[str, Row]:
    """Return name -> row."""
    activations = {
        "sigmoid": jax.nn.sigmoid,
        "tanh": jnp.tanh,
        "relu": jax.nn.relu,
        "leaky_relu": jax.nn.leaky_relu,
        "elu": jax.nn.elu,
        "softplus": jax.nn.softplus,
        "silu": jax.nn.silu,
        "gelu": partial(jax.nn.gelu, approximate=False),
        "identity": lambda x: x,
        "softmax": jax.nn.softmax,
    }
    found = {
        name: Row(getattr(nn, name)(), ROWS_2D, lambda params, x, key, f=f: f(x)) for name, f in activations.items()
    }
    block, square = nn.chain(nn.dense(256), nn.tanh()), ((128, 256), (1024, 256), (4096, 256))
    pairs = tuple((shape, shape) for shape in square)
    return found | {
        "gelu_tanh": Row(nn.gelu(approximate=True), ROWS_2D, lambda params, x, key: jax.nn.gelu(x)),
        "dense": Row(nn.dense(256), ROWS_2D, lambda params, x, key: x @ params["W"].T + params["b"]),
        "dropout": Row(nn.dropout(0.2), ROWS_2D, dropped),
        "layer_norm": Row(nn.layer_norm(), ROWS_2D, normalized(lambda x: -1)),
        "rms_norm": Row(nn.rms_norm(), ROWS_2D, by_mean_square),
        "group_norm images": Row(nn.group_norm(4), IMAGES, in_groups),
        "batch_norm": Row(nn.batch_norm(), ROWS_2D, normalized(lambda x: 0)),
        "batch_norm images": Row(nn.batch_norm(), IMAGES, normalized(lambda x: (0, 1, 2))),
        "embedding": Row(
            nn.embedding(10_000, 64),
            ((128,), (64, 100), (128, 256)),
            lambda params, x, key: jnp.take(params["E"], x, axis=0, mode="fill"),
            draw=lambda key, shape: jax.random.randint(key, shape, 0, 10_000),
        ),
        "conv 3": Row(nn.conv(32, 3), IMAGES, convolved()),
        "conv 5 valid": Row(nn.conv(16, 5, padding="valid"), IMAGES, convolved(padding="VALID")),
        "conv 3 stride 2": Row(nn.conv(32, 3, stride=2), IMAGES, convolved(2)),
        "conv 1": Row(nn.conv(32, 1), IMAGES, convolved()),
        "conv sequence": Row(nn.conv(32, (5,), dilation=2), SEQUENCES, convolved(dilation=2)),
        "conv 4 groups": Row(nn.conv(32, 3, groups=4), IMAGES, convolved(groups=4)),
        "depthwise_conv 3": Row(nn.depthwise_conv(3), IMAGES, convolved(groups=None)),
        "depthwise_conv 3 stride 2": Row(nn.depthwise_conv(3, stride=2), IMAGES, convolved(2, groups=None)),
        "depthwise_conv sequence": Row(nn.depthwise_conv((5,)), SEQUENCES, convolved(groups=None)),
        "conv_transpose 4 stride 2": Row(nn.conv_transpose(16, 4, stride=2), IMAGES, transposed),
        "max_pool 2": Row(nn.max_pool(2), IMAGES, pooled("max", 2, 2)),
        "max_pool 3 stride 2": Row(nn.max_pool(3, 2, "same"), IMAGES, pooled("max", 3, 2, "SAME")),
        "avg_pool 2": Row(nn.avg_pool(2), IMAGES, pooled("avg", 2, 2)),
        "avg_pool 3 stride 1": Row(nn.avg_pool(3, 1), IMAGES, pooled("avg", 3, 1)),
        "global_max_pool": Row(nn.global_max_pool(), IMAGES, lambda params, x, key: x.max((1, 2))),
        "global_avg_pool": Row(nn.global_avg_pool(), IMAGES, lambda params, x, key: x.mean((1, 2))),
        "upsample 2": Row(nn.upsample(2), IMAGES, repeated),
        "pad 1": Row(
            nn.pad(1), IMAGES, lambda params, x, key: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        ),
        "rescale": Row(nn.rescale(), ROWS_2D, lambda params, x, key: x / 255),
        "recurrent simple": Row(nn.recurrent(nn.simple_cell(128)), TEXTS, by_scan("simple")),
        "recurrent lstm": Row(nn.recurrent(nn.lstm_cell(128)), TEXTS, by_scan("lstm")),
        "recurrent lstm remat": Row(nn.recurrent(nn.lstm_cell(128), remat="gates"), TEXTS, by_scan("lstm")),
        "recurrent gru": Row(nn.recurrent(nn.gru_cell(128)), TEXTS, by_scan("gru")),
        "recurrent gru_reset_before": Row(
            nn.recurrent(nn.gru_cell(128, reset="before")), TEXTS, by_scan("gru_before")
        ),
        "carried": Row(
            nn.carried(nn.recurrent(nn.simple_cell(128))),
            tuple((shape, ((shape[0], 128),)) for shape in TEXTS),
            in_a_piece,
        ),
        "bidirectional lstm": Row(nn.bidirectional(nn.lstm_cell(64)), TEXTS, both_ways),
        "multi_head_attention": Row(nn.multi_head_attention(4), SENTENCES, by_attention),
        "attention in blocks": Row(nn.multi_head_attention(4, block=128), LONG, by_attention),
        "causal attention in blocks": Row(
            nn.multi_head_attention(4, causal=True, block=128), LONG, partial(by_attention, causal=True)
        ),
        "transformer_block": Row(nn.transformer_block(4, 256), SENTENCES, by_block),
        "additive_attention": Row(nn.additive_attention(64), PAIRS, by_alignment),
        "recurrent_attention gru": Row(nn.recurrent_attention(nn.gru_cell(128), 64), TRANSLATIONS, by_reading),
        "positions": Row(nn.positions(), SENTENCES, with_sinusoids),
        "learned_positions": Row(
            nn.learned_positions(1000), SENTENCES, lambda params, x, key: x + params["E"][: x.shape[1]]
        ),
        "each_step dense": Row(
            nn.each_step(nn.dense(64)), TEXTS, lambda params, x, key: x @ params["W"].T + params["b"]
        ),
        "tied": Row(
            nn.tied(nn.chain(nn.dense(256), nn.tanh(), nn.dense(256)), "0/W", "2/W"),
            square,
            twice_by_one_matrix,
        ),
        "chain": Row(
            nn.chain(block, block),
            square,
            lambda params, x, key: dense_and_tanh(params[1], dense_and_tanh(params[0], x)),
        ),
        "repeat": Row(
            nn.repeat(block, 4),
            square,
            lambda params, x, key: lax.scan(lambda x, params: (dense_and_tanh(params, x), None), x, params)[0],
        ),
        "residual": Row(nn.residual(block), square, lambda params, x, key: x + dense_and_tanh(params, x)),
        "remat": Row(nn.remat(block), square, jax.checkpoint(dense_and_tanh)),
        "with_dtype": Row(nn.with_dtype(nn.dense(256), "bfloat16"), square, in_bfloat16),
        "fan_out": Row(
            nn.fan_out(block, nn.tanh()), square, lambda params, x, key: (dense_and_tanh(params[0], x), jnp.tanh(x))
        ),
        "fan_in_sum": Row(nn.fan_in_sum(), pairs, lambda params, x, key: x[0] + x[1]),
        "fan_in_concat": Row(nn.fan_in_concat(), pairs, lambda params, x, key: jnp.concatenate(x, -1)),
        "parallel": Row(
            nn.parallel(block, nn.tanh()),
            pairs,
            lambda params, x, key: (dense_and_tanh(params[0], x[0]), jnp.tanh(x[1])),
        ),
        "shared": Row(
            nn.shared(block), pairs, lambda params, x, key: tuple(dense_and_tanh(params, one) for one in x)
        ),
        "frozen": Row(
            nn.frozen(block, ((), ())), square, lambda params, x, key: dense_and_tanh(lax.stop_gradient(params), x)
        ),
        "layer_from": Row(
            nn.layer_from(dense_and_tanh, lambda key, in_shape: block.init(key, in_shape)[0]), square, dense_and_tanh
        ),
        "stateless": Row(
            nn.stateless(lambda x: (jnp.sin(x), x), lambda x, dy: dy * jnp.cos(x)),
            ROWS_2D,
            lambda params, x, key: jnp.sin(x),
        ),
        "select": Row(nn.select(0), PAIRS, lambda params, x, key: x[0]),
        "reshape": Row(nn.reshape(784, 8), OF_ONE_SHAPE, lambda params, x, key: x.reshape(x.shape[0], 784, 8)),
        "permute": Row(
            nn.permute(), TEXTS, lambda params, x, key: x[:, np.random.default_rng(0).permutation(x.shape[1])]
        ),
        "flatten": Row(nn.flatten(), IMAGES, lambda params, x, key: x.reshape(x.shape[0], -1)),
    }  # fmt: skip
