"""Layers made of layers: one helper gives each part its params, key, cache and statistics.

A combinator states how values go through its parts, forward and backward. That it infers, observes, looks across
examples, lists its params and continues from an earlier piece of a sequence as its parts do follows from them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint, Nothing, RandomKey, checked
from jaxnn.factories.representation import in_few_words
from jaxnn.marking.places import entry
from jaxnn.nn.boundaries import call_forward, run_backward, run_forward, run_infer, run_init
from jaxnn.nn.layer import WITH_CARRY, Carried, Infer, Layer, observe_nothing, observes
from jaxnn.nn.shapes import structs
from jaxnn.typing import Key, Params, PyTree, Shapes

Run = Callable[[int, PyTree], PyTree]
"""`run(i, x) -> y`: part i forward; or `run(i, dy) -> dx`: part i backward."""


class Packing(NamedTuple):
    """How the entries of the parts, of params, caches or statistics, are one tree.

    Attributes:
      pack: makes the tree of a list of entries.
      unpack: makes a sequence of entries of the tree.
      fits: returns whether a tree has an entry for each part.
      description: of such a tree, in messages.
      scopes: the name of each part's scope.
    """

    pack: Callable[[list], PyTree]
    unpack: Callable[[PyTree], Sequence]
    fits: Callable[[Any], bool]
    description: str
    scopes: Sequence[str]


def in_a_tuple(n: int) -> Packing:
    """Return the packing of n parts in a tuple."""

    def fits(tree):
        # A list is rejected, since backward would return a tuple: another structure.
        return isinstance(tree, tuple) and len(tree) == n

    return Packing(tuple, tuple, fits, f"a tuple of {n} entries, one per layer", [entry(i) for i in range(n)])


def by_name(names: Sequence[str]) -> Packing:
    """Return the packing of parts in a dictionary."""

    def fits(tree):
        return isinstance(tree, Mapping) and tree.keys() == {*names}

    return Packing(
        lambda entries: dict(zip(names, entries, strict=True)),
        lambda tree: [tree[name] for name in names],
        fits,
        f"a dictionary of {sorted(names)}, one entry per layer",
        [entry(name) for name in names],
    )


def alone(scope: str) -> Packing:
    """Return the packing of one part, whose params, cache and statistics are those of the whole."""
    return Packing(lambda entries: entries[0], lambda tree: [tree], lambda tree: True, "those of its layer", [scope])


Naming = Callable[[int], Any]


def combined(
    layers: Sequence[Layer],
    packing: Packing,
    init: Callable[[Key, Shapes], tuple[Params, Shapes]],
    forward: Callable[[Run, PyTree], PyTree],
    backward: Callable[[Run, PyTree], PyTree],
    keys_of: Callable[[Key], Sequence[Key] | Key],
    naming: Naming = lambda i: nullcontext(),
) -> Layer:
    """Return the layer made of others that values go through by `forward` and `backward`.

    Args:
      layers: the parts.
      packing: how their params, caches and statistics are those of the whole.
      init: as of a `Layer`.
      forward: `forward(run, x) -> y`, where `run(i, x)` is the output of part i, in training or in inference.
      backward: `backward(run, dy) -> dx`, where `run(i, dy)` is the cotangent of the input of part i. Each part is run
        once.
      keys_of: makes a key for each part from that of the whole.
      naming: `naming(i)`, a context that names part i in errors.
    """
    n, pack, unpack, scopes = len(layers), packing.pack, packing.unpack, packing.scopes
    params_of_layers = Constraint(packing.description, fix=_way_to_params, test=packing.fits)
    caches_of_layers = Constraint(
        "those that this layer's forward returned", fix="call backward(params, cache, dy)", test=packing.fits
    )
    stats_of_layers = Constraint(
        packing.description,
        fix="statistics are those of another network",
        test=lambda stats: not jax.tree.leaves(stats) or packing.fits(stats),
    )

    @checked(params=params_of_layers, key=RandomKey() | Nothing())
    def forward_all(params, x, key=None, rows=None):
        caches, of_layers, keys = [()] * n, unpack(params), None if key is None else keys_of(key)

        def run(i: int, x):
            with naming(i):
                key = None if keys is None else keys[i]
                y, caches[i] = run_forward(scopes[i], layers[i], of_layers[i], x, key, rows)
            return y

        y = forward(run, x)
        return y, pack(caches)

    @checked(params=params_of_layers, cache=caches_of_layers)
    def backward_all(params, cache, dy):
        dparams, of_layers, caches = [()] * n, unpack(params), unpack(cache)

        def run(i: int, dy):
            with naming(i):
                dparams[i], dx = run_backward(scopes[i], layers[i], of_layers[i], caches[i], dy)
            return dx

        dx = backward(run, dy)
        return pack(dparams), dx

    @checked(params=params_of_layers, stats=stats_of_layers)
    def infer_all(params, stats, x):
        of_layers, observed = unpack(params), unpack(stats) if jax.tree.leaves(stats) else [()] * n

        def run(i: int, x):
            with naming(i):
                return run_infer(scopes[i], layers[i], of_layers[i], observed[i], x)

        return forward(run, x)

    def observe(cache):
        observed = [layer.observe(one) for layer, one in zip(layers, unpack(cache), strict=True)]
        return pack(observed) if jax.tree.leaves(observed) else ()

    @checked(params=params_of_layers)
    def parts(params):
        return [part for layer, of_one in zip(layers, unpack(params), strict=True) for part in layer.parts(of_one)]

    across = any(layer.across for layer in layers)
    observe = observe if observes(*layers) else observe_nothing
    carried = _carried(layers, packing, init, forward, backward, keys_of, naming)
    return Layer(init, forward_all, backward_all, infer_all, observe, across, parts, carried)


def _carried(
    layers: Sequence[Layer],
    packing: Packing,
    init: Callable[[Key, Shapes], tuple[Params, Shapes]],
    forward: Callable[[Run, PyTree], PyTree],
    backward: Callable[[Run, PyTree], PyTree],
    keys_of: Callable[[Key], Sequence[Key] | Key],
    naming: Naming,
) -> Carried | None:
    """Return how the layer runs in pieces, if all of its parts do: each part has its own entry of the carry."""
    forms = [layer.carried for layer in layers if layer.carried is not None]
    if len(forms) < len(layers):
        return None
    entries_of_layers = Constraint(
        packing.description, fix="start_carry(layer, params, m) makes the first", test=packing.fits
    )

    def start(params, m, length):
        of_layers = packing.unpack(
            Constraint(packing.description, fix=_way_to_params, test=packing.fits).check("params", params)
        )
        return packing.pack([form.start(of_one, m, length) for form, of_one in zip(forms, of_layers, strict=True)])

    def through(way):
        # Forward each part turns its entry into that after the piece; backward its cotangent into that before.
        def go(run, value_and_carry):
            value, carry = WITH_CARRY.check("x", value_and_carry)
            entries = [*packing.unpack(entries_of_layers.check("carry", carry))]

            def run_one(i: int, value):
                value, entries[i] = run(i, (value, entries[i]))
                return value

            return way(run_one, value), packing.pack(entries)

        return go

    parts = [form.layer for form in forms]
    return Carried(
        combined(parts, packing, init_of_pair(init), through(forward), through(backward), keys_of, naming), start
    )


def init_of_pair(init: Callable[[Key, Shapes], tuple[Params, Shapes]]) -> Callable[[Key, Any], tuple[Params, Any]]:
    """Return the `init` of a layer from (x, carry) to (y, carry)."""

    def init_pair(key, in_shape):
        x, carry = WITH_CARRY.check("in_shape", in_shape)
        params, y = init(key, x)
        return params, (structs(y), structs(carry))

    return init_pair


def carrying_in_inference(name: str, init: Callable[[Key, Shapes], tuple[Params, Shapes]], infer: Infer) -> Layer:
    """Return the layer from (x, carry) to (y, carry) that infers, and raises ValueError in training."""

    def forward(params, x_and_carry, key=None):
        raise ValueError(f"{name} with a carry must be in inference, got a training: train on whole sequences")

    return Layer(init_of_pair(init), forward, lambda params, cache, dy: forward(params, dy), infer)


def carrying_nothing(layer: Layer) -> Layer:
    """Return a layer with how it runs in pieces: as one that remembers nothing, since y at a time is of x then."""

    def forward(params, x_and_carry, key=None, rows=None):
        x, carry = WITH_CARRY.check("x", x_and_carry)
        y, cache = call_forward(layer, params, x, key, rows)
        return (y, carry), cache

    def backward(params, cache, dy_and_dcarry):
        dy, dcarry = dy_and_dcarry
        dparams, dx = layer.backward(params, cache, dy)
        return dparams, (dx, dcarry)

    def infer(params, stats, x_and_carry):
        x, carry = WITH_CARRY.check("x", x_and_carry)
        return layer.infer(params, stats, x), carry

    form = Layer(init_of_pair(layer.init), forward, backward, infer, layer.observe, layer.across, layer.parts)
    return layer._replace(infer=layer.infer, carried=Carried(form, lambda params, m, length: ()))


@contextmanager
def naming_layer(layers: Sequence[Layer], first: int, total: int | None, i: int) -> Iterator[None]:
    """Name the layer in an error that arises in it: "layer 2 of 5, dense(3): x must be ..."."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if total is None or type(error) not in (ValueError, TypeError):  # those of JAX need more than a message
            raise
        raise type(error)(f"layer {first + i + 1} of {total}, {in_few_words(layers[i])}: {error}") from error


def _way_to_params(value: Any) -> str:
    also = "; params_from_arrays makes them of arrays W_1, b_1, ..." if isinstance(value, dict | list) else ""
    got = f" ({len(value)} entries)" if isinstance(value, tuple) else ""
    return f"use those that this layer's init made (a layer without parameters has ()){got}{also}"


def layer_keys(key: Key, n: int, first: Any = 0) -> Key:
    """Return the keys (n,) of layers number first, first + 1, ... of a chain."""
    # By index, not by `split`: a layer added at the end does not change the random numbers of those before it.
    return jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(n))


def check_kept(name: str, what: str, given: Any, returned: Any, fix: str = "") -> None:
    """Raise ValueError unless a layer returns what it was given, such as the shape of its input."""
    if returned != given:
        raise ValueError(f"layer of {name} must keep {what} of its input, got {given} -> {returned}{fix}")


def init_same_shape(name: str, layer: Layer, key: Key, in_shape: Shapes) -> Params:
    """Initialize a layer that keeps the shape of an example; raise ValueError if it does not."""
    params, out_shape = run_init(layer, key, in_shape)
    before, after = (jax.tree.map(lambda a: a.shape, structs(shape)) for shape in (in_shape, out_shape))
    check_kept(name, "the shape", before, after, ": add a dense layer that restores the shape")
    return params
