"""scripts/bench layers: every layer, loss and regularizer, derived by hand against jax.vjp of its plain forward.

The plain forward is what one would write with jax.nn, jax.numpy and jax.lax. Both programs return y, dparams and dx.
They run in turns, in rounds of at least 5 ms; the ratio is the median of the pairs, and a layer counts as slower if
their lower quartile is above 1.05. Kept is what is held from forward to backward: the leaves of the cache, or of the
closure of jax.vjp, without params, and of a loss without z and y.

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

from jaxnn import Layer, nn
from jaxnn.nn.boundaries import call_forward
from scripts.benchmarks import layer_rows, loss_rows
from scripts.benchmarks.layer_rows import Row, Sizes

LIMIT = 1.05
ROUND = 5e-3


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


def rows() -> dict[str, Row]:
    """Return name -> row, of layers, losses and regularizers."""
    return layer_rows.rows() | loss_rows.rows()


def measure(row: Row, shape: Sizes, rounds: int = 15) -> Measured:
    """Time a layer on x of this shape; return medians, the ratios of the pairs, and the bytes kept."""
    x, params, key = drawn(row, shape)
    programs = [jax.jit(f) for f in pair(row)]
    given = params, x, key, cotangent(row, params, x, key)
    calls = [max(1, int(ROUND / max(_seconds(program, given, 1), 1e-7)) + 1) for program in programs]
    pairs = []
    for _ in range(rounds):
        pairs.append([_seconds(program, given, n) / n for program, n in zip(programs, calls, strict=True)])
    hands, autos = zip(*pairs, strict=True)
    held = params if row.data is None else (x, key)
    kept = [
        _bytes(jax.eval_shape(f, params, x), held)
        for f in (
            lambda params, x: call_forward(row.layer, params, x, key, None)[1],
            lambda params, x: jax.vjp(lambda p, x: row.plain(p, x, key), params, x)[1],
        )
    ]
    return Measured(median(hands), median(autos), [a / b for a, b in pairs], *kept)


def pair(row: Row) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return two functions of params, x, the key or the targets, and dy, by hand and by autodiff: y, dparams and dx."""

    def hand(params, x, key, dy):
        y, cache = call_forward(row.layer, params, x, key, None)
        return y, *_without_float0(row.layer.backward(params, cache, dy))

    def auto(params, x, key, dy):
        y, pull = jax.vjp(lambda params, x: row.plain(params, x, key), params, x)
        return y, *_without_float0(pull(dy))

    return hand, auto


def cotangent(row: Row, params: Any, x: Any, key: Any) -> Any:
    """Return random numbers in the shapes of y."""
    y = jax.eval_shape(lambda params, x: row.plain(params, x, key), params, x)
    return jax.tree.map(lambda a: jax.random.normal(jax.random.key(1), a.shape), y)


def drawn(row: Row, shape: Sizes) -> tuple[Any, Any, Any]:
    """Return x of this shape, params, and a key for a layer that takes one, or the targets of a loss."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.tree.map(partial(row.draw, keys[0]), shape, is_leaf=_is_shape)
    params = row.layer.init(keys[1], nn.shapes_of(x))[0]
    return x, params, row.data(keys[2], x) if row.data else keys[2] if _is_random(row.layer) else None


def arrays_of(shape: Sizes) -> tuple[Any, ...]:
    """Return the shape of each array of x."""
    return tuple(jax.tree.leaves(shape, is_leaf=_is_shape))


def _is_shape(shape: Any) -> bool:
    return isinstance(shape[0], int)


def _is_random(layer: Layer) -> bool:
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


def _bytes(kept: Any, held: Any) -> int:
    """Return the bytes of the leaves, each shape of what is held in any case, such as params, counted out once."""
    shapes = [(a.shape, a.dtype) for a in jax.tree.leaves(held)]
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
