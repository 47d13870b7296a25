"""Time of gradient checks, and the share that JAX spends on tracing and compiling.

Each check runs at every test point, the default, but the first, which has the given arguments alone.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.runs.timing import compile_clock
from jaxnn import gradcheck


class Timed(NamedTuple):
    """A check, as a function without arguments, and the number of elements of the gradient."""

    name: str
    numbers: int
    check: Callable[[], gradcheck.Report]


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def of_layer(name: str, layer: jaxnn.Layer, *in_shape: int, m: int = 5) -> Timed:
    params = jax.eval_shape(lambda: layer.init(jax.random.key(0), in_shape)[0])
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params)) + m * int(np.prod(in_shape))
    return Timed(name, numbers, lambda: gradcheck.layer(layer, in_shape, m=m))


def affine(x: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    return x @ W + b


def affine_backward(args: Any, dy: jax.Array) -> tuple[jax.Array, ...]:
    x, W, _ = args
    return dy @ W.T, x.T @ dy, dy.sum(0)


def of_affine(name: str, fast: bool) -> Timed:
    arrays = normal(32, 20), normal(20, 10), normal(10)
    numbers = sum(array.size for array in arrays)
    return Timed(name, numbers, lambda: gradcheck.vjp(affine, affine_backward, *arrays, fast=fast))


def cases() -> list[Timed]:
    block = jaxnn.chain(jaxnn.dense(5), jaxnn.tanh())
    logits, classes, many = normal(5, 4), jnp.arange(5) % 4, normal(200_000)
    return [
        of_affine("affine, given arguments", fast=True),
        of_affine("affine", fast=False),
        of_layer("sigmoid", jaxnn.sigmoid(), 5),
        of_layer("gelu", jaxnn.gelu(), 5),
        of_layer("dense", jaxnn.dense(3), 5),
        of_layer("network of 4 layers", jaxnn.mlp((5, 4, 4, 4, 3), "tanh").network, 5),
        of_layer("repeat, 3 times", jaxnn.repeat(block, 3), 5),
        Timed("softmax cross-entropy", 20, lambda: gradcheck.loss(jaxnn.softmax_cross_entropy(), logits, classes)),
        Timed("x * x", 200_000, lambda: gradcheck.vjp(lambda x: x * x, lambda args, dy: (2 * args[0] * dy,), many)),
        of_layer("sigmoid, wide", jaxnn.sigmoid(), 400, m=500),
        of_layer("dense, wide", jaxnn.dense(400), 480, m=5),
    ]  # fmt: skip


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench gradcheck-time", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each check; the median is printed")
    options = parser.parse_args(argv)
    clock = compile_clock()
    gradcheck.layer(jaxnn.nn.identity(), (2,))  # one-time setup of JAX does not count
    print(f"{'check':24} {'numbers':>8} {'rows':>5} {'seconds':>8} {'compiling':>9} {'the rest':>8}")
    for case in cases():
        runs = []
        for _ in range(options.repeats):
            compiling, start = clock.seconds, time.perf_counter()
            report = case.check().raise_if_failed()
            runs.append((time.perf_counter() - start, clock.seconds - compiling))
        total, compiling = sorted(runs)[len(runs) // 2]
        rows = len(report.rows)
        print(
            f"{case.name:24} {case.numbers:8} {rows:5} {total:8.2f} {compiling:9.2f} {total - compiling:8.2f}",
            flush=True,
        )
    return 0
