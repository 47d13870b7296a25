"""scripts/bench lengths: time to compile a recurrent layer's forward and backward, for long sequences and short ones.

Times of a sequence are a loop, whose program does not grow with them. Each time is that from the call of a new `jit` to
its executable, tracing included; short and long ones take turns, and medians count.

Exits with 1 if a long sequence takes more than 1.1 times as long as a short one.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax

import jaxnn
from jaxnn import nn

LIMIT = 1.1
SHORT, LONG = 28, 1000
CELLS = {"simple": nn.simple_cell, "lstm": nn.lstm_cell, "gru": nn.gru_cell}


def forward_and_backward(layer: jaxnn.Layer) -> Callable[..., Any]:
    """Return the function (params, x, dy) -> y, dparams and dx."""

    def both(params, x, dy):
        y, cache = layer.forward(params, x)
        return y, layer.backward(params, cache, dy)

    return both


def compiling(make: Callable[[], Callable[..., Any]], shapes: Any) -> float:
    """Return the seconds from a new function to its executable for arguments of these shapes."""
    jax.clear_caches()
    start = time.perf_counter()
    jax.jit(make()).lower(*shapes).compile()
    return time.perf_counter() - start


def medians(make: Callable[[], Callable[..., Any]], of_lengths: list[Any], repeats: int) -> list[float]:
    """Return the median of `compiling` for each of several shapes, which take turns after one turn uncounted."""
    rounds = [[compiling(make, shapes) for shapes in of_lengths] for _ in range(repeats + 1)]
    return [median(times) for times in zip(*rounds[1:], strict=True)]


def shapes(layer: jaxnn.Layer, n_times: int, examples: int = 64, n_in: int = 32) -> Any:
    """Return the shapes of params, x and dy."""
    example = jax.ShapeDtypeStruct((n_times, n_in), "float32")
    params, of_y = jax.eval_shape(lambda key: layer.init(key, example.shape)[0], jax.random.key(0)), (n_times, 128)
    x, dy = (jax.ShapeDtypeStruct((examples, *shape), "float32") for shape in (example.shape, of_y))
    return params, x, dy


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench lengths", description=__doc__.splitlines()[0])
    parser.add_argument("--cell", action="append", choices=CELLS, help="only this one; may be repeated")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, 64 examples of 32 numbers, 128 units")
    print(f"  {'cell':10}{f'T = {SHORT}':>12}{f'T = {LONG}':>12}{'ratio':>8}")
    ratios = []
    for name in options.cell or CELLS:
        layer = nn.recurrent(CELLS[name](128))
        short, long = medians(
            lambda layer=layer: forward_and_backward(layer), [shapes(layer, n) for n in (SHORT, LONG)], options.repeats
        )
        ratios.append(long / short)
        print(f"  {name:10}{short:10.3f} s{long:10.3f} s{ratios[-1]:8.2f}", flush=True)
    print(f"{len(ratios)} cells, {sum(ratio > LIMIT for ratio in ratios)} above {LIMIT}")
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
