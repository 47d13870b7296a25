"""Branches: one input to several layers, a layer for each entry, one layer for all entries, and how they meet again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import add_cotangents, cast_like, floats
from jaxnn.constraints import Constraint, Count, Each, checked
from jaxnn.factories.decorator import factory
from jaxnn.marking.places import SHARED
from jaxnn.nn.activations import identity, tanh
from jaxnn.nn.batch_normalization import batch_norm
from jaxnn.nn.boundaries import run_backward, run_forward, run_infer, run_init
from jaxnn.nn.combinators import Packing, by_name, carrying_nothing, check_kept, combined, in_a_tuple, layer_keys
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import LAYER, Layer, observe_nothing, observes, stateless
from jaxnn.nn.linear import dense
from jaxnn.nn.shapes import simplified, structs
from jaxnn.typing import Array, PyTree, Shapes

__all__ = ["fan_in_concat", "fan_in_sum", "fan_out", "parallel", "shared"]


@factory
@checked(layers=Each(LAYER))
def fan_out(*layers: Layer, **named: Layer) -> Layer:
    """Return the layers side by side on one input: y = (f_1(x), ..., f_n(x)).

    Derivation. x reaches y through each layer, so dx is the sum of their dx, each for its own entry dy_i of dy.

    Args:
      *layers: `Layer`s that take the same input.
      **named: layers by name instead; then y, params and cache are dictionaries with these names.

    Returns:
      A `Layer` whose params, cache and y are tuples with one entry per layer. Layer i draws its random numbers from
      `fold_in(key, i)`.

    Raises:
      ValueError: if there is no layer, an argument is not a `Layer`, or some are named and others are not.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = fan_out(label=jaxnn.dense(3), box=jaxnn.dense(4))
      >>> params, out_shape = network.init(jax.random.key(0), (5,))
      >>> jax.tree.map(jnp.shape, network.forward(params, jnp.ones((2, 5)))[0])
      {'box': (2, 4), 'label': (2, 3)}
    """
    each, packing = _side_by_side("fan_out", layers, named)
    n = len(each)

    def forward(run, x):
        return packing.pack([run(i, x) for i in range(n)])

    def backward(run, dy):
        return add_cotangents(*(run(i, of_one) for i, of_one in enumerate(packing.unpack(dy))))

    return combined(
        each, packing, _init(each, packing, lambda in_shape: [in_shape] * n), forward, backward, _keys_of(n)
    )


@factory
@checked(layers=Each(LAYER))
def parallel(*layers: Layer, **named: Layer) -> Layer:
    """Return a layer for each entry of the input: y = (f_1(x_1), ..., f_n(x_n)).

    Derivation. y_i depends on x_i alone, so dx_i is that of f_i for dy_i.

    Args:
      *layers: a `Layer` for each entry of a tuple x.
      **named: layers by name instead; then x, y, params and cache are dictionaries with these names.

    Returns:
      A `Layer` whose params, cache and y are tuples with one entry per layer. Layer i draws its random numbers from
      `fold_in(key, i)`.

    Raises:
      ValueError: if there is no layer, an argument is not a `Layer`, or some are named and others are not; when called,
        if the input does not have an entry for each layer.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> layer = parallel(jaxnn.relu(), jaxnn.nn.identity())
      >>> layer.infer(((), ()), (), (jnp.array([[-1.0]]), jnp.array([[-2.0]])))
      (Array([[0.]], dtype=float32), Array([[-2.]], dtype=float32))
    """
    each, packing = _side_by_side("parallel", layers, named)
    entries = Constraint(packing.description, fix="each layer takes one entry of x", test=packing.fits)

    def shapes(in_shape):
        return map(simplified, packing.unpack(entries.check("in_shape", in_shape)))

    def forward(run, x):
        return packing.pack([run(i, of_one) for i, of_one in enumerate(packing.unpack(entries.check("x", x)))])

    def backward(run, dy):
        return packing.pack([run(i, of_one) for i, of_one in enumerate(packing.unpack(dy))])

    return combined(each, packing, _init(each, packing, shapes), forward, backward, _keys_of(len(each)))


@factory
@checked(layer=LAYER)
def shared(layer: Layer) -> Layer:
    """Return one layer for every entry of the input, with the same params: y = (f(x_1), ..., f(x_n)).

    Derivation. The params reach y through every entry, so dparams is the sum over the entries; dx_i is that of f for
    dy_i.

    Args:
      layer: the `Layer`; its input is a tuple, a list or a dictionary of what the layer takes.

    Returns:
      A `Layer` with the params of `layer`, whose cache has an entry per entry of the input. Entry i draws its random
      numbers from `fold_in(key, i)`. What the layer observes is averaged over the entries.

    Raises:
      ValueError: if it is not a `Layer`; at `init`, if the entries differ in shape, or there is no entry.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> twins = shared(jaxnn.dense(3))
      >>> params, out_shape = twins.init(jax.random.key(0), jaxnn.nn.shapes_of((jnp.ones((2, 5)), jnp.ones((2, 5)))))
      >>> params["W"].shape, [y.shape for y in twins.infer(params, (), (jnp.ones((2, 5)), jnp.zeros((2, 5))))]
      ((3, 5), [(2, 3), (2, 3)])

    Source: Bromley et al., "Signature verification using a siamese time delay neural network", 1993.
    """

    def init(key, in_shape):
        entries, structure = _entries(_SEVERAL.check("in_shape", in_shape))
        first, *others = map(simplified, entries)
        for other in others:
            check_kept("shared", "the shape of the first entry, since it is one layer,", first, other)
        params, out_shape = run_init(layer, key, first)
        return params, structure.unflatten([structs(out_shape)] * len(entries))

    def forward(params, x, key=None, rows=None):
        entries, structure = _entries(_SEVERAL.check("x", x))
        keys = [None] * len(entries) if key is None else layer_keys(key, len(entries))
        done = [run_forward(SHARED, layer, params, one, keys[i], rows) for i, one in enumerate(entries)]
        return structure.unflatten([y for y, _ in done]), tuple(cache for _, cache in done)

    def backward(params, caches, dy):
        entries, structure = _entries(dy)
        # The last entry first, as any backward: records of layers are matched by their order.
        last_first = zip(reversed(caches), reversed(entries), strict=True)
        done = [run_backward(SHARED, layer, params, *one) for one in last_first][::-1]
        return add_cotangents(*(dparams for dparams, _ in done)), structure.unflatten([dx for _, dx in done])

    def infer(params, stats, x):
        entries, structure = _entries(_SEVERAL.check("x", x))
        return structure.unflatten([run_infer(SHARED, layer, params, stats, one) for one in entries])

    def observe(cache):
        return jax.tree.map(lambda *of_entries: sum(of_entries) / len(of_entries), *map(layer.observe, cache))

    observe = observe if observes(layer) else observe_nothing
    return layer._replace(init=init, forward=forward, backward=backward, infer=infer, observe=observe, carried=None)


@factory
def fan_in_sum() -> Layer:
    """Return the layer that adds the entries of its input: y = x_1 + ... + x_n.

    Derivation. ∂y/∂x_i = 1, so each dx_i is dy, in the dtype of x_i.

    Returns:
      A `Layer` without params, from a pytree of arrays of one shape to one array.

    Raises:
      ValueError: at `init` and when called, if the entries differ in shape.

    Example:
      >>> import jax.numpy as jnp
      >>> fan_in_sum().infer((), (), (jnp.array([[1.0]]), jnp.array([[2.0]])))
      Array([[3.]], dtype=float32)
    """

    def forward(x):
        leaves = [floats(leaf) for leaf in jax.tree.leaves(x)]
        _check_equal("x", [leaf.shape for leaf in leaves])
        return add_cotangents(*leaves), jax.tree.map(_without_examples, x)

    def backward(like, dy):
        return jax.tree.map(lambda a: cast_like(a, dy), like)

    def out_shape(in_shape):
        shapes = [tuple(leaf.shape) for leaf in jax.tree.leaves(structs(in_shape))]
        _check_equal("in_shape", shapes)
        return shapes[0]

    return carrying_nothing(stateless(forward, backward, out_shape))


@factory
@checked(axis=Count(-1))
def fan_in_concat(axis: int = -1) -> Layer:
    """Return the layer that joins the entries of its input along an axis: y = [x_1, ..., x_n].

    Derivation. Each element of y is one of an entry, so dx_i is the part of dy at its place, in the dtype of x_i.

    Args:
      axis: of an example, without the batch axis; -1 for the last.

    Returns:
      A `Layer` without params, from a pytree of arrays, in the order of `jax.tree.leaves` (dictionaries by their sorted
      names), to one array.

    Raises:
      ValueError: if the axis is another; at `init` and when called, if the entries differ in another axis.

    Example:
      >>> import jax.numpy as jnp
      >>> fan_in_concat().infer((), (), {"a": jnp.array([[1.0]]), "b": jnp.array([[2.0, 3.0]])}).tolist()
      [[1.0, 2.0, 3.0]]
    """
    of_batch = axis if axis < 0 else axis + 1
    but = f" but for axis {axis} of an example"

    def forward(x):
        leaves = [floats(leaf) for leaf in jax.tree.leaves(x)]
        _check_equal("x", [_without(leaf.shape, of_batch) for leaf in leaves], but)
        return jnp.concatenate(leaves, of_batch), jax.tree.map(_without_examples, x)

    def backward(like, dy):
        leaves, structure = jax.tree.flatten(like)
        ends, end = [], 0
        for leaf in leaves[:-1]:
            end += leaf.shape[of_batch]
            ends.append(end)
        return structure.unflatten(map(cast_like, leaves, jnp.split(dy, ends, of_batch)))

    def out_shape(in_shape):
        shapes = [tuple(leaf.shape) for leaf in jax.tree.leaves(structs(in_shape))]
        _check_equal("in_shape", [_without(shape, axis) for shape in shapes], but)
        size = sum(shape[axis] for shape in shapes)
        at = axis % len(shapes[0])
        return (*shapes[0][:at], size, *shapes[0][at + 1 :])

    layer = stateless(forward, backward, out_shape)
    # Along time, what is joined at one time is not of that time.
    return carrying_nothing(layer) if axis < 0 else layer


def _side_by_side(name: str, layers: Sequence[Layer], named: Mapping[str, Layer]) -> tuple[list[Layer], Packing]:
    # By name, since calls with other orders of names are equal.
    named = dict(sorted(named.items()))
    for one, layer in named.items():
        LAYER.check(one, layer)
    _ONE_KIND.check(f"layers of {name}", (len(layers), len(named)))
    return [*layers, *named.values()], by_name(tuple(named)) if named else in_a_tuple(len(layers))


_ONE_KIND = Constraint(
    "at least one, either all by name or none",
    rejects=((0, 0), (1, 1)),
    test=lambda numbers: (numbers[0] > 0) != (numbers[1] > 0),
)


def _init(
    layers: Sequence[Layer], packing: Packing, shapes: Callable[[Shapes], Any]
) -> Callable[[Any, Shapes], tuple[PyTree, Shapes]]:
    def init(key, in_shape):
        keys = layer_keys(key, len(layers))
        done = [
            run_init(layer, keys[i], simplified(shape))
            for i, (layer, shape) in enumerate(zip(layers, shapes(in_shape), strict=True))
        ]
        return packing.pack([params for params, _ in done]), packing.pack([structs(shape) for _, shape in done])

    return init


def _keys_of(n: int) -> Callable[[Any], Any]:
    return lambda key: layer_keys(key, n)


_SEVERAL = Constraint(
    "a tuple, a list or a dictionary of at least one entry",
    rejects=((), [], {}, None),
    fix="each entry is what the layer takes",
    test=lambda x: bool(jax.tree.leaves(x, is_leaf=lambda node: node is not x)),
)


def _entries(tree: PyTree) -> tuple[list[PyTree], Any]:
    """Return the entries of a tuple, a list or a dictionary, and its structure."""
    return jax.tree.flatten(tree, is_leaf=lambda node: node is not tree)


def _without_examples(a: Array) -> Array:
    """Return a[:0], which has no elements and carries shape and dtype."""
    return a[:0]


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape with 0 for the size of an axis; `()`, which no other shape equals, if it has no such axis."""
    return (*shape[:axis], 0, *shape[axis:][1:]) if -len(shape) <= axis < len(shape) else ()


def _check_equal(name: str, shapes: Sequence[tuple[int, ...]], but: str = "") -> None:
    def equal(given):
        return len({*given}) == 1 and not (but and () in given)

    Constraint(f"arrays of one shape{but}", test=equal).check(name, shapes)


_IMAGE_AND_WORDS = {"a": jax.ShapeDtypeStruct((3,), "float32"), "b": jax.ShapeDtypeStruct((4,), "float32")}
_TWO = (jax.ShapeDtypeStruct((3,), "float32"),) * 2

CASES = {
    "fan_out": (lambda: fan_out(chain(dense(3), tanh()), dense(2)), (5,)),
    "fan_out_named": (lambda: fan_out(a=dense(3), b=identity()), (5,)),
    "fan_out_batch_norm": (lambda: fan_out(chain(batch_norm(0.5), dense(3)), identity()), (5,)),
    "parallel": (lambda: parallel(a=chain(dense(3), tanh()), b=dense(2)), _IMAGE_AND_WORDS),
    "shared": (lambda: shared(chain(dense(3), tanh())), _TWO),
    "fan_in_sum": (fan_in_sum, _TWO),
    "fan_in_concat": (fan_in_concat, _IMAGE_AND_WORDS),
}
