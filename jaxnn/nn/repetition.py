"""Equal consecutive layers, compiled once and scanned."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import Count, Nothing, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.marking.places import COPY
from jaxnn.nn.activations import sigmoid, tanh
from jaxnn.nn.batch_normalization import batch_norm
from jaxnn.nn.boundaries import call_forward, run_backward, run_forward, run_infer, run_init
from jaxnn.nn.combinators import check_kept, init_of_pair, init_same_shape, layer_keys
from jaxnn.nn.composition import chain, residual, sequential
from jaxnn.nn.layer import LAYER, WITH_CARRY, Carried, Layer, observe_nothing, observes
from jaxnn.nn.linear import dense
from jaxnn.nn.stochastic import dropout
from jaxnn.nn.transforms import remat
from jaxnn.typing import Array, Cache, PyTree, Statistics, TreeStructure
from jaxnn.validation import described

__all__ = ["repeat"]


@factory
@checked(layer=LAYER, n=Count(fix="omit the layer for no copy"))
def repeat(layer: Layer, n: int) -> Layer:
    """Return n consecutive copies of one layer, compiled once: y = f_n(... f_1(x)), by `lax.scan`.

    Each copy has its own params, stacked on a new leading axis of length n. Only the compilation is
    shared, so compile time does not grow with n.

    Derivation. It is that of `chain` of the n copies: dy passes through them from the last to the first, and entry i of
    dparams is that of copy i.

    Args:
      layer: a `Layer` whose output has the shape of its input.
      n: number of copies, at least 1.

    Returns:
      A `Layer` with each leaf of params stacked to (n, ...). An array that several caches share is stored once. It runs
      in pieces if the layer does; the leaves of its carry are (m, n, ...).

    Raises:
      ValueError: if n is below 1; at `init`, if the layer changes the shape of its input; at forward, if it changes
        its dtype.

    Example:
      >>> import jax, jaxnn
      >>> block = jaxnn.chain(jaxnn.dense(64), jaxnn.relu())
      >>> params, _ = repeat(block, 100).init(jax.random.key(0), (64,))
      >>> params[0]["W"].shape
      (100, 64, 64)
    """

    def copy(i):
        def init(key, in_shape):
            return init_same_shape("repeat", layer, jax.random.fold_in(key, i), in_shape), in_shape

        form = layer.carried
        form = None if form is None else form._replace(layer=_with_key_of_copy(form.layer, i))
        return _with_key_of_copy(layer, i)._replace(init=init, carried=form)

    return _scan_copies(copy, n)


def _with_key_of_copy(layer: Layer, i: Array | int) -> Layer:
    def forward(params, x, key=None, rows=None):
        return call_forward(layer, params, x, None if key is None else jax.random.fold_in(key, i), rows)

    return layer._replace(forward=forward, infer=layer.infer)


@factory
def chain_with_scans(*blocks: tuple[tuple[Layer, ...], int]) -> Layer:
    """Return a chain in which each block of layers is repeated, and a block of several copies is one scan.

    Values, random numbers and, for the same key, params are those of `chain(*layers)`: layer i of the whole chain has
    the key `fold_in(key, i)`. Only the structure of params differs: that of a chain of chains, with the copies of a
    block stacked as `repeat` stacks them. So what is scanned is a question of speed only.

    Args:
      *blocks: (layers, n) each: a tuple of `Layer`s and its number of copies, at least 1. If n > 1, the layers keep
        the shape of their input.

    Returns:
      A `Layer` whose params are a tuple with one entry per block, each a tuple with one entry per layer, whose leaves
      are stacked to (n, ...) if n > 1.

    Example:
      >>> import jax, jaxnn
      >>> dense, relu = jaxnn.dense(64), jaxnn.relu()
      >>> network = chain_with_scans(((dense,), 1), ((relu, dense), 99), ((relu, jaxnn.dense(1)), 1))
      >>> params, _ = network.init(jax.random.key(0), (64,))
      >>> [block[-1]["W"].shape for block in params]
      [(64, 64), (99, 64, 64), (1, 64)]
    """
    scanned, first, total = [], 0, sum(n * len(layers) for layers, n in blocks)
    for layers, n in blocks:
        copy = partial(_copy_of_block, layers, first, total)
        scanned.append(copy(0) if n == 1 else _scan_copies(copy, n))
        first += n * len(layers)

    return sequential(scanned, lambda key: [key] * len(scanned))


def _copy_of_block(layers: tuple[Layer, ...], first: int, total: int, i: Array | int) -> Layer:
    """Return copy i of a block whose first copy begins with layer number `first` of all `total` layers of the chain."""
    return sequential(layers, partial(layer_keys, n=len(layers), first=first + i * len(layers)), first, total)


def _scan_copies(copy: Callable[[Array | int], Layer], n: int) -> Layer:
    """Return copy(0), ..., copy(n - 1) one after another, compiled once: only their params and keys differ."""
    layer, form = _scan(copy, n), copy(0).carried
    if form is None:
        return layer

    def start(params, m, length):
        return _swapped(jax.vmap(lambda of_copy: form.start(of_copy, m, length))(params))

    in_pieces = _scan(lambda i: cast(Carried, copy(i).carried).layer, n, _CARRYING)
    return layer._replace(
        infer=layer.infer,
        carried=Carried(in_pieces._replace(init=init_of_pair(layer.init), infer=in_pieces.infer), start),
    )


class _Ends(NamedTuple):
    """How the input of all copies is x and an entry for each of them, and the input of one is x and its entry.

    Attributes:
      apart: makes x and the entries, leaves (n, ...), of the input or output of all; also of their cotangents.
      together: the same backwards.
      of_copy: makes the input of a copy of x and its entry.
      of_output: makes y and the entry of what a copy returns.
    """

    apart: Callable[[PyTree], tuple[PyTree, PyTree]]
    together: Callable[[PyTree, PyTree], PyTree]
    of_copy: Callable[[PyTree, PyTree], PyTree]
    of_output: Callable[[PyTree], tuple[PyTree, PyTree]]


def _swapped(carry: PyTree) -> PyTree:
    """Return the carry (m, n, ...) of n copies, whose rows are examples, with copies first, (n, m, ...), and back."""
    return jax.tree.map(lambda a: (np if isinstance(a, np.ndarray) else jnp).swapaxes(a, 0, 1), carry)


def _x_and_carry(x_and_carry: PyTree) -> tuple[PyTree, PyTree]:
    x, carry = WITH_CARRY.check("x", x_and_carry)
    return x, _swapped(carry)


_PLAIN = _Ends(lambda x: (x, ()), lambda x, entries: x, lambda x, entry: x, lambda y: (y, ()))
_CARRYING = _Ends(_x_and_carry, lambda x, entries: (x, _swapped(entries)), lambda x, entry: (x, entry), lambda y: y)


def _scan(copy: Callable[[Array | int], Layer], n: int, ends: _Ends = _PLAIN) -> Layer:
    layer = copy(0)

    @checked(key=RandomKey())
    def init(key, in_shape):
        return jax.lax.map(lambda i: run_init(copy(i), key, in_shape)[0], jnp.arange(n)), in_shape

    @checked(key=RandomKey() | Nothing())
    def forward(params, x, key=None, rows=None):
        (x, entries), layouts = ends.apart(jax.tree.map(promote_large_integers, x)), []

        def step(x, copy_inputs):
            i, copy_params, entry = copy_inputs
            output, cache = run_forward(COPY, copy(i), copy_params, ends.of_copy(x, entry), key, rows)
            y, entry = ends.of_output(output)
            before, after = (jax.tree.map(described, a) for a in (x, y))
            check_kept("repeat", "shape and dtype", before, after, ": cast x to the dtype of params")
            stacked, *layout = _distinct_arrays(cache, x, y)
            layouts[:] = layout  # the same whenever this step is traced
            return y, (stacked, layer.observe(cache), entry)

        y, (stacked, observed, entries) = jax.lax.scan(step, x, (jnp.arange(n), params, entries), length=n)
        return ends.together(y, entries), _Caches(stacked, y if _OUTPUT in layouts[1] else (), observed, *layouts)

    def backward(params, caches, dy):
        dy, entries = ends.apart(dy)

        def step(carry, copy_inputs):
            dy, y = carry
            copy_params, arrays, entry = copy_inputs
            cache = jax.tree.unflatten(caches.structure, [y if i == _OUTPUT else arrays[i] for i in caches.places])
            dparams, dinput = run_backward(COPY, layer, copy_params, cache, ends.of_copy(dy, entry))
            dx, entry = ends.of_output(dinput)
            return (dx, arrays[caches.x_place] if _OUTPUT in caches.places else ()), (dparams, entry)

        of_copies = params, caches.stacked, entries
        (dx, _), (dparams, entries) = jax.lax.scan(step, (dy, caches.last), of_copies, length=n, reverse=True)
        return dparams, ends.together(dx, entries)

    def infer(params, stats, x):
        def step(x, of_copy):
            copy_params, copy_stats, entry = of_copy
            return ends.of_output(run_infer(COPY, layer, copy_params, copy_stats, ends.of_copy(x, entry)))

        x, entries = ends.apart(jax.tree.map(promote_large_integers, x))
        return ends.together(*jax.lax.scan(step, x, (params, stats, entries), length=n))

    def parts(params):
        # `[i, ...]`, for which NumPy returns a view even if no axis is left.
        copies = [jax.tree.map(lambda leaf, i=i: leaf[i, ...], params) for i in range(n)]
        return [part for copy_params in copies for part in layer.parts(copy_params)]

    forward, backward, infer = map(_jit_unless_traced, (forward, backward, infer))
    observe = attrgetter("observed") if observes(layer) else observe_nothing
    return Layer(init, forward, backward, infer, observe, layer.across, parts)


def _jit_unless_traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function called outside of a trace: for an eager scan, JAX would keep one program per call."""
    program = jax.jit(function)

    def call(*args, **kwargs):
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        return (function if traced else program)(*args, **kwargs)

    return call


_OUTPUT = -1


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["stacked", "last", "observed"],
    meta_fields=["structure", "places", "x_place"],
)
@dataclass(frozen=True)
class _Caches:
    """The caches of consecutive copies, each array once.

    What one layer caches as its output, the next caches as its input. In a chain that is one array; a scan would stack
    it as often as it is cached. So equal arrays are stacked once; and if a copy caches both its input and its output,
    only the input, since its output is the next copy's input, which the backward pass already holds.

    Attributes:
      stacked: the arrays of each copy, stacked to (n, ...).
      last: the output of the last copy, or () if no output is cached.
      observed: the statistics of each copy, stacked to (n, ...).
      structure: the tree structure of one copy's cache.
      places: for each leaf of the cache, its index in `stacked`, or _OUTPUT.
      x_place: the index in `stacked` of the copy's input.
    """

    stacked: list[Array]
    last: Array | tuple[()]
    observed: Statistics
    structure: TreeStructure
    places: tuple[int, ...]
    x_place: int | None


def _distinct_arrays(
    cache: Cache, x: Array, y: Array
) -> tuple[list[Array], TreeStructure, tuple[int, ...], int | None]:
    """Return the arrays of one copy's cache to stack, and the structure, places and x_place of `_Caches`."""
    leaves, structure = jax.tree.flatten(cache)
    has_x = any(leaf is x for leaf in leaves)
    arrays, places, place_of = [], [], {}
    for leaf in leaves:
        if has_x and leaf is y and y is not x:
            places.append(_OUTPUT)
            continue
        if id(leaf) not in place_of:
            place_of[id(leaf)] = len(arrays)
            arrays.append(leaf)
        places.append(place_of[id(leaf)])
    return arrays, structure, tuple(places), place_of.get(id(x))


CASES = {
    "repeat": (lambda: repeat(chain(dense(5), tanh()), 3), (5,)),
    "repeat_once": (lambda: repeat(chain(dense(5), tanh()), 1), (5,)),
    "repeat_dropout": (lambda: repeat(chain(dense(5), sigmoid(), dropout(0.4)), 3), (5,), {"random": True}),
    "repeat_batch_norm": (lambda: repeat(residual(chain(batch_norm(0.5), dense(5), tanh())), 2), (5,)),
    "repeat_nested": (
        lambda: repeat(remat(residual(chain(dense(5), sigmoid(), dropout(0.4)))), 2),
        (5,),
        {"random": True},
    ),
}
