"""Equal layers one after the other, compiled once and scanned."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import held
from jaxnn.factories.decorator import factory
from jaxnn.nn.composition import draw, keys_of_row, row
from jaxnn.nn.layer import Layer, check_layers, init_same_shape, map_layers
from jaxnn.typing import Array, Cache
from jaxnn.validation import check_key, described, is_count


@factory
def repeat(layer: Layer, n: int) -> Layer:
    """n copies of one layer in a row, compiled once: y = f_n(... f_1(x)), by `lax.scan`.

    Each copy has its own params, stacked on a new leading axis of length n. Only the compilation is
    shared, so compile time does not grow with n.

    Args:
      layer: a `Layer` whose output has the shape of its input.
      n: how many copies, at least 1.

    Returns:
      A `Layer` with each leaf of params stacked to (n, ...). Of the caches, what is the same array is kept once.

    Raises:
      ValueError: n is below 1; at `init`, the layer changes the shape of its input, or at forward its dtype.

    Example:
      >>> import jax, jaxnn
      >>> block = jaxnn.chain(jaxnn.dense(64), jaxnn.relu())
      >>> params, _ = repeat(block, 100).init(jax.random.key(0), (64,))
      >>> params[0]["W"].shape
      (100, 64, 64)
    """
    check_layers("repeat", (layer,))
    if not is_count(n):
        raise ValueError(
            f"repeat takes a whole number of n >= 1 copies, got n={described(n)}: leave the layer out instead"
        )

    def copy(i):
        def init(key, in_shape):
            return init_same_shape("repeat", layer, jax.random.fold_in(key, i), in_shape), in_shape

        def forward(params, x, key=None):
            return layer.forward(params, x, None if key is None else jax.random.fold_in(key, i))

        return layer._replace(init=init, forward=forward)

    return _by_scan(copy, n)._replace(map=lambda f: repeat(map_layers(f, layer), n))


@factory
def chain_of_runs(*runs: tuple[tuple[Layer, ...], int]) -> Layer:
    """The chain of all layers of all runs, each run so many times over, where a run of several copies is one scan.

    Values, randomness and, for the same key, params are those of `chain(*layers)`: layer i of it all draws from
    `fold_in(key, i)`. Only the structure of params is another: that of a chain of chains, with the copies of a run
    stacked as `repeat` stacks them. So the choice of what to scan is one of speed alone.

    Args:
      *runs: (layers, n) each: a tuple of `Layer`s and how many times it comes, at least 1. Where n > 1, the layers
        keep the shape of their input.

    Returns:
      A `Layer` whose params are a tuple with one entry per run, each a tuple with one entry per layer, whose leaves
      are stacked to (n, ...) where n > 1.

    Example:
      >>> import jax, jaxnn
      >>> dense, relu = jaxnn.dense(64), jaxnn.relu()
      >>> network = chain_of_runs(((dense,), 1), ((relu, dense), 99), ((relu, jaxnn.dense(1)), 1))
      >>> params, _ = network.init(jax.random.key(0), (64,))
      >>> [run[-1]["W"].shape for run in params]
      [(64, 64), (99, 64, 64), (1, 64)]
    """
    layers = [layer for block, n in runs for _ in range(n) for layer in block]
    starts = np.cumsum([0] + [n * len(block) for block, n in runs]).tolist()

    def run_at(start, block, copy):
        return row(block, partial(keys_of_row, n=len(block), first=start + copy * len(block)))

    scanned = [
        run_at(start, block, 0) if n == 1 else _by_scan(partial(run_at, start, block), n)
        for start, (block, n) in zip(starts, runs, strict=False)
    ]

    def init(key, in_shape):
        drawn, drawn_stacked, out_shape = draw(layers, partial(keys_of_row, key, len(layers)), in_shape)

        def params_of(start, block, n):
            firsts = range(start, start + len(block))
            if n == 1:
                return tuple(map(drawn, firsts))
            return tuple(drawn_stacked(range(first, start + n * len(block), len(block))) for first in firsts)

        return tuple(params_of(start, *run) for start, run in zip(starts, runs, strict=False)), out_shape

    def map_each(f):
        return chain_of_runs(*((tuple(map_layers(f, layer) for layer in block), n) for block, n in runs))

    whole = row(scanned, lambda key: [key] * len(scanned))
    return whole._replace(init=init, map=map_each)


def _by_scan(copy: Callable[[Array | int], Layer], n: int) -> Layer:
    """copy(0), ..., copy(n - 1) one after another, compiled once: they differ in their params and their keys alone."""

    def init(key, in_shape):
        check_key(key)
        return jax.vmap(lambda i: copy(i).init(key, in_shape)[0])(jnp.arange(n)), in_shape

    def forward(params, x, key=None):
        if key is not None:
            check_key(key)
        x, told = held(x), []

        def step(x, one):
            i, copy_params = one
            y, cache = copy(i).forward(copy_params, x, key)
            if (y.shape, y.dtype) != (x.shape, x.dtype):
                raise ValueError(
                    f"repeat needs a layer that gives what it takes, got {described(x)} -> {described(y)}: "
                    "cast x to the dtype of params"
                )
            kept, *how = _kept(cache, x, y)
            told[:] = how  # the same in every tracing of this step
            return y, kept

        y, kept = jax.lax.scan(step, x, (jnp.arange(n), params), length=n)
        return y, _Caches(kept, y if _OUTPUT in told[1] else (), *told)

    def backward(params, caches, dy):
        def step(carry, one):
            dy, y = carry
            copy_params, kept = one
            cache = jax.tree.unflatten(caches.structure, [y if i == _OUTPUT else kept[i] for i in caches.places])
            dparams, dx = copy(0).backward(copy_params, cache, dy)
            return (dx, kept[caches.x_place] if _OUTPUT in caches.places else ()), dparams

        (dx, _), dparams = jax.lax.scan(step, (dy, caches.last), (params, caches.kept), length=n, reverse=True)
        return dparams, dx

    def parts(params):
        # `[i, ...]`, since NumPy gives a view for it whatever is left of the shape.
        copies = [jax.tree.map(lambda leaf, i=i: leaf[i, ...], params) for i in range(n)]
        return [part for copy_params in copies for part in copy(0).parts(copy_params)]

    return Layer(init, _as_program(forward), _as_program(backward), parts)


def _as_program(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled as a whole if nothing is traced: of a scan by itself, JAX keeps a program a call."""
    program = jax.jit(function)

    def called(*given, **named):
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((given, named)))
        return (function if traced else program)(*given, **named)

    return called


_OUTPUT = -1


@partial(jax.tree_util.register_dataclass, data_fields=["kept", "last"], meta_fields=["structure", "places", "x_place"])
@dataclass(frozen=True)
class _Caches:
    """The caches of copies in a row, each array once.

    What one layer caches as its output, the next caches as its input. In a chain that is one array; a scan would stack
    it as often as it is cached. So arrays that are the same are stacked once; and where a copy caches its input and its
    output, its input alone, since its output is the next copy's input, which the backward has just come by.

    Attributes:
      kept: the arrays of a copy that are stacked, (n, ...) each.
      last: the output of the last copy, or () where outputs are not asked for.
      structure: of one copy's cache.
      places: for each leaf of that, which of `kept` it is, or _OUTPUT.
      x_place: which of `kept` is the copy's input.
    """

    kept: list[Array]
    last: Array | tuple[()]
    structure: jax.tree_util.PyTreeDef
    places: tuple[int, ...]
    x_place: int | None


def _kept(cache: Cache, x: Array, y: Array) -> tuple[list[Array], jax.tree_util.PyTreeDef, tuple[int, ...], int | None]:
    """What of one copy's cache is to be stacked; the structure, places and x_place of `_Caches`."""
    leaves, structure = jax.tree.flatten(cache)
    has_x = any(leaf is x for leaf in leaves)
    kept, places, place_of = [], [], {}
    for leaf in leaves:
        if has_x and leaf is y and y is not x:
            places.append(_OUTPUT)
            continue
        if id(leaf) not in place_of:
            place_of[id(leaf)] = len(kept)
            kept.append(leaf)
        places.append(place_of[id(leaf)])
    return kept, structure, tuple(places), place_of.get(id(x))
