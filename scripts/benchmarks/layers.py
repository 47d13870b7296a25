"""scripts/bench layers: forward and backward of every layer, derived by hand against jax.vjp of its plain forward.

The plain forward is what one would write with jax.nn, jax.numpy and jax.lax. Both programs return y, dparams and dx.
They run in turns, in rounds of at least 5 ms; the ratio is the median of the pairs, and a layer counts as slower if
their lower quartile is above 1.05. Kept is what is held from forward to backward: the leaves of the cache, or of the
closure of jax.vjp, without params.

Exits with 1 if a row is slower than autodiff or keeps more.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxnn
from jaxnn import nn
from jaxnn.nn.boundaries import call_forward

LIMIT = 1.05
ROUND = 5e-3

Plain = Callable[[Any, Any, Any], Any]
Sizes = tuple[int, ...] | tuple[tuple[int, ...], ...]


class Row(NamedTuple):
    """A layer at three sizes.

    Attributes:
      layer: the layer.
      sizes: shapes of x, with the examples; of a layer of several arrays, tuples of them.
      plain: `plain(params, x, key) -> y`.
      whole: whether x is whole numbers, of an embedding's vocabulary.
    """

    layer: jaxnn.Layer
    sizes: tuple[Sizes, ...]
    plain: Plain
    whole: bool = False


class Measured(NamedTuple):
    """Seconds of one call, the ratios of the pairs, and bytes kept."""

    hand: float
    auto: float
    ratios: list[float]
    hand_kept: int
    auto_kept: int

    @property
    def slower(self) -> bool:
        """Whether three of four pairs are slower by more than a twentieth."""
        return quantiles(self.ratios, n=4)[0] > LIMIT


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

        step, state = {"simple": (simple, start), "lstm": (lstm, (start, start)), "gru": (gru, start)}[cell]
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
        "softmax": jax.nn.softmax,
    }
    found = {
        name: Row(getattr(nn, name)(), ROWS_2D, lambda params, x, key, f=f: f(x)) for name, f in activations.items()
    }
    return found | {
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
            whole=True,
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
            ((128, 256), (1024, 256), (4096, 256)),
            twice_by_one_matrix,
        ),
        "select": Row(nn.select(0), PAIRS, lambda params, x, key: x[0]),
        "reshape": Row(nn.reshape(784, 8), OF_ONE_SHAPE, lambda params, x, key: x.reshape(x.shape[0], 784, 8)),
        "permute": Row(
            nn.permute(), TEXTS, lambda params, x, key: x[:, np.random.default_rng(0).permutation(x.shape[1])]
        ),
        "flatten": Row(nn.flatten(), IMAGES, lambda params, x, key: x.reshape(x.shape[0], -1)),
    }  # fmt: skip


def measure(row: Row, shape: Sizes, rounds: int = 15) -> Measured:
    """Time a layer on x of this shape; return medians, the ratios of the pairs, and the bytes kept."""
    x, params, key = drawn(row, shape)
    y = jax.eval_shape(lambda params, x: call_forward(row.layer, params, x, key, None)[0], params, x)
    dy = jax.random.normal(jax.random.key(1), y.shape)

    def hand(params, x, dy):
        y, cache = call_forward(row.layer, params, x, key, None)
        return y, *_without_float0(row.layer.backward(params, cache, dy))

    def auto(params, x, dy):
        y, pull = jax.vjp(lambda params, x: row.plain(params, x, key), params, x)
        return y, *_without_float0(pull(dy))

    programs = [jax.jit(f) for f in (hand, auto)]
    given = params, x, dy
    calls = [max(1, int(ROUND / max(_seconds(program, given, 1), 1e-7)) + 1) for program in programs]
    pairs = []
    for _ in range(rounds):
        pairs.append([_seconds(program, given, n) / n for program, n in zip(programs, calls, strict=True)])
    hands, autos = zip(*pairs, strict=True)
    kept = [
        _bytes(jax.eval_shape(lambda params, x: call_forward(row.layer, params, x, key, None)[1], params, x), params),
        _bytes(
            jax.eval_shape(lambda params, x: jax.vjp(lambda p, x: row.plain(p, x, key), params, x)[1], params, x),
            params,
        ),
    ]
    return Measured(median(hands), median(autos), [a / b for a, b in pairs], *kept)


def drawn(row: Row, shape: Sizes) -> tuple[Any, Any, Any]:
    """Return x of this shape, params, and a key for a layer that takes one."""
    keys = jax.random.split(jax.random.key(0), 3)
    xs = [
        jax.random.randint(keys[0], one, 0, 10_000) if row.whole else jax.random.normal(keys[0], one)
        for one in arrays_of(shape)
    ]
    x = xs[0] if len(xs) == 1 else tuple(xs)
    return x, row.layer.init(keys[1], nn.shapes_of(x))[0], keys[2] if _is_random(row.layer) else None


def arrays_of(shape: Sizes) -> tuple[Any, ...]:
    """Return the shape of each array of x."""
    return shape if isinstance(shape[0], tuple) else (shape,)


def _is_random(layer: jaxnn.Layer) -> bool:
    return layer.factory_call is not None and layer.factory_call.factory.__name__ == "dropout"


def _without_float0(trees: Any) -> Any:
    return [jax.tree.map(lambda a: None if a.dtype == jax.dtypes.float0 else a, tree) for tree in trees]


def _seconds(program: Any, given: Any, calls: int) -> float:
    jax.block_until_ready(program(*given))
    start = time.perf_counter()
    for _ in range(calls):
        out = program(*given)
    jax.block_until_ready(out)
    return time.perf_counter() - start


def _bytes(kept: Any, params: Any) -> int:
    """Return the bytes of the leaves, each of the params' shapes counted out once."""
    shapes = [(a.shape, a.dtype) for a in jax.tree.leaves(params)]
    total = 0
    for leaf in jax.tree.leaves(kept):
        if (leaf.shape, leaf.dtype) in shapes:
            shapes.remove((leaf.shape, leaf.dtype))
        elif leaf.dtype != jax.dtypes.float0:
            total += leaf.size * leaf.dtype.itemsize
    return total


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench layers", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="only rows with TEXT in their name")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to FILE")
    options = parser.parse_args(argv)
    if options.rounds < 4:
        parser.error("--rounds must be at least 4, for quartiles")
    chosen = {name: row for name, row in rows().items() if options.only in name}
    if not chosen:
        parser.error(f"--only must be part of a name, got {options.only!r}: one of {', '.join(rows())}")
    machine = f"{os.cpu_count()} cores, {jax.devices()[0].device_kind}, JAX {jax.__version__}"
    print(f"{machine}, float32; milliseconds, MB kept")
    print(f"  {'layer':26}{'x':>20}{'hand':>9}{'auto':>9}{'hand/auto':>11}{'kept':>9}{'kept auto':>11}")
    wrong, found = [], {}
    for name, row in chosen.items():
        for shape in row.sizes:
            got = measure(row, shape, options.rounds)
            verdicts = ["slower"] * got.slower + ["keeps more"] * (got.hand_kept > got.auto_kept)
            wrong += [f"{name} {shape}: {verdict}" for verdict in verdicts]
            found[f"{name} {shape}"] = got._asdict()
            times = f"{1e3 * got.hand:9.2f}{1e3 * got.auto:9.2f}{median(got.ratios):11.2f}"
            kept = f"{got.hand_kept / 1e6:9.2f}{got.auto_kept / 1e6:11.2f}"
            x = ", ".join("x".join(map(str, one)) for one in arrays_of(shape))
            print(f"  {name:26}{x:>20}{times}{kept}  {', '.join(verdicts)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n")
    halves = sum(median(got["ratios"]) <= 0.5 and got["auto"] >= 1e-3 for got in found.values())
    print(
        f"{len(found)} rows, {len(wrong)} slower or keeping more; {halves} of at least 1 ms take at most half the time"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
