"""Layers one after the other (`chain`) and around each other (`residual`): the chain rule."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import held
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, check_layers, init_same_shape, map_layers
from jaxnn.typing import Array, Key, Params, Shape
from jaxnn.validation import check_key, check_shape


@factory
def residual(layer: Layer) -> Layer:
    """A skip connection: y = x + f(x), so dx = dy + f's own dx, and dparams is f's.

    Args:
      layer: a `Layer` whose output has the shape of its input.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: at `init` or forward, the layer changes the shape of its input.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> residual(jaxnn.nn.identity()).forward((), jnp.array([[1.0]]))[0]
      Array([[2.]], dtype=float32)

    Source: He et al., "Deep residual learning for image recognition", 2015, equation 1.
    """
    check_layers("residual", (layer,))

    def init(key, in_shape):
        return init_same_shape("residual", layer, key, in_shape), in_shape

    def forward(params, x, key=None):
        x = held(x)
        y, cache = layer.forward(params, x, key)
        if y.shape != x.shape:
            raise ValueError(f"residual needs a layer that keeps the shape of its input, got {x.shape} -> {y.shape}")
        return x + y, cache

    def backward(params, cache, dy):
        dparams, dx = layer.backward(params, cache, dy)
        return dparams, dx + dy

    return Layer(init, forward, backward, layer.parts, lambda f: residual(map_layers(f, layer)))


@factory
def chain(*layers: Layer) -> Layer:
    """The layers one after another: y = f_L(... f_2(f_1(x))).

    Backward is the chain rule, read from the right: with dx_L = dy, layer l turns the cotangent of its
    output into (dparams_l, dx_{l-1}), and dx_{l-1} is the cotangent of layer l-1's output.

    Args:
      *layers: at least one `Layer`.

    Returns:
      A `Layer` whose params, and whose cache, are tuples with one entry per layer. Layer i draws its
      randomness from `fold_in(key, i)`, so adding a layer at the end changes none before it.

    Raises:
      ValueError: there is no layer, or something that is not a `Layer`; when called, params, a cache or a key that are
        not this chain's.

    Example:
      >>> import jax, jaxnn
      >>> network = chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1))
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> out_shape, [len(p) for p in params]
      ((1,), [2, 0, 2])

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    check_layers("chain", layers)
    whole = row(layers, partial(keys_of_row, n=len(layers)))
    return whole._replace(map=lambda f: chain(*(map_layers(f, layer) for layer in layers)))


def row(layers: Sequence[Layer], keys_of: Callable[[Key], Key]) -> Layer:
    """The layers one after another, layer i drawing from `keys_of(key)[i]`."""

    def init(key, in_shape):
        check_key(key)
        drawn, _, out_shape = draw(layers, partial(keys_of, key), in_shape)
        return tuple(drawn(i) for i in range(len(layers))), out_shape

    def forward(params, x, key=None):
        _check_params(params)
        if key is not None:
            check_key(key)
        caches = []
        keys = None if key is None else keys_of(key)
        for i, (layer, layer_params) in enumerate(zip(layers, params, strict=True)):
            x, cache = layer.forward(layer_params, x, None if keys is None else keys[i])
            caches.append(cache)
        return x, tuple(caches)

    def backward(params, caches, dy):
        _check_params(params)
        if not isinstance(caches, tuple) or len(caches) != len(layers):
            raise ValueError("a chain's backward takes (params, cache, dy), with the cache that its forward gave")
        dparams = []
        for layer, layer_params, cache in reversed(list(zip(layers, params, caches, strict=True))):
            layer_dparams, dy = layer.backward(layer_params, cache, dy)
            dparams.append(layer_dparams)
        return tuple(reversed(dparams)), dy

    def parts(params):
        _check_params(params)
        return [part for layer, layer_params in zip(layers, params, strict=True) for part in layer.parts(layer_params)]

    def _check_params(params):
        # A list of them would do here, and come back from backward as a tuple: another structure than went in.
        if not isinstance(params, tuple) or len(params) != len(layers):
            got = f"{len(params)} entries" if isinstance(params, tuple) else f"a {type(params).__name__}"
            also = "; params_from_arrays makes them of arrays W_1, b_1, ..." if isinstance(params, dict | list) else ""
            raise ValueError(
                f"chain of {len(layers)} layers takes a tuple of {len(layers)} params, one per layer, got {got}: "
                f"use the params that this chain's init made (a layer without parameters has ()){also}"
            )

    return Layer(init, forward, backward, parts)


def draw(
    layers: Sequence[Layer], keys_of: Callable[[], Key], in_shape: Shape
) -> tuple[Callable[[int], Params], Callable[[Sequence[int]], Params], Shape]:
    """Fresh params of a row of layers: those at a place; those at several places, stacked; and the shape after the row.

    Equal layers on equal shapes are drawn by one loop over their keys. The numbers are those of a draw for each, but it
    compiles once, and compiling draws would be most of the time to a deep network's first step.
    """
    check_shape(in_shape)
    keys, times = keys_of(), Counter(id(layer.init) for layer in layers)
    shape, of_place, alike = tuple(in_shape), {}, {}
    for i, layer in enumerate(layers):
        same = (id(layer.init), shape)
        if times[id(layer.init)] == 1:
            of_place[i], shape = layer.init(keys[i], shape)
        else:
            if same not in alike:
                alike[same] = [], partial(_params, layer, shape), _out_shape(layer, keys[i], shape)
            alike[same][0].append(i)
            shape = alike[same][2]
        shape = tuple(shape)
    stacks = {}  # place -> (params of all layers like it, its number among them)
    for places, draw, _ in alike.values():
        # Of keys made anew: JAX's check that no key is used twice takes a choice of some for the use of all.
        together = jax.lax.map(draw, keys_of()[np.array(places)])
        stacks |= {place: (together, i) for i, place in enumerate(places)}

    def drawn(place):
        if place in of_place:
            return of_place[place]
        params, i = stacks[place]
        return jax.tree.map(lambda leaf: leaf[i], params)

    def drawn_stacked(places):
        numbers = np.array([stacks[place][1] for place in places])
        return jax.tree.map(lambda leaf: leaf[numbers], stacks[places[0]][0])

    return drawn, drawn_stacked, shape


def _params(layer: Layer, in_shape: Shape, key: Key) -> Params:
    return layer.init(key, in_shape)[0]


def _out_shape(layer: Layer, key: Key, in_shape: Shape) -> Shape:
    """The shape after the layer; nothing is drawn."""
    told = []
    jax.eval_shape(lambda key: told.append(layer.init(key, in_shape)[1]), key)
    return told[0]


def keys_of_row(key: Key, n: int, first: Array | int = 0) -> Key:
    """The keys (n,) of layers number first, first + 1, ... of a row."""
    # By index, not by `split`: a layer added at the end leaves the streams before it as they were.
    return jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(n))
