"""Layers one after the other (`chain`) and around each other (`residual`): the chain rule."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import Constraint, Each, ExampleShape, Nothing, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.factories.representation import in_few_words
from jaxnn.marking.places import RESIDUAL, entry
from jaxnn.nn.activations import relu, sigmoid, silu, tanh
from jaxnn.nn.boundaries import run_backward, run_forward
from jaxnn.nn.layer import LAYER, Layer, check_kept, init_same_shape
from jaxnn.nn.linear import dense
from jaxnn.nn.reshaping import flatten
from jaxnn.nn.stochastic import dropout
from jaxnn.typing import Array, Key, Params, Shape

__all__ = ["chain", "residual"]


@factory
@checked(layer=LAYER)
def residual(layer: Layer) -> Layer:
    """Return a layer with a skip connection, y = x + f(x).

    Derivation. dy reaches x directly and through f, so dx is dy plus the dx of f, and dparams is that of f.

    Args:
      layer: a `Layer` whose output has the shape of its input.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: if the layer changes the shape of its input, at `init` or forward.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> residual(jaxnn.nn.identity()).forward((), jnp.array([[1.0]]))[0]
      Array([[2.]], dtype=float32)

    Source: He et al., "Deep residual learning for image recognition", 2015, equation 1.
    """

    def init(key, in_shape):
        return init_same_shape("residual", layer, key, in_shape), in_shape

    def forward(params, x, key=None):
        x = promote_large_integers(x)
        y, cache = run_forward(RESIDUAL, layer, params, x, key)
        check_kept("residual", "the shape", x.shape, y.shape)
        return x + y, cache

    def backward(params, cache, dy):
        dparams, dx = run_backward(RESIDUAL, layer, params, cache, dy)
        return dparams, dx + dy

    return Layer(init, forward, backward, layer.parts)


@factory
@checked(layers=Each(LAYER, least=1))
def chain(*layers: Layer) -> Layer:
    """Compose layers one after another: y = f_L(... f_2(f_1(x))).

    Backward is the chain rule, read from the right: with dx_L = dy, layer l turns the cotangent of its
    output into (dparams_l, dx_{l-1}), and dx_{l-1} is the cotangent of layer l-1's output.

    Args:
      *layers: at least one `Layer`.

    Returns:
      A `Layer` whose params and cache are tuples with one entry per layer. Layer i draws its random numbers
      from `fold_in(key, i)`, so a layer added at the end does not change those before it.

    Raises:
      ValueError: if there is no layer, or an argument is not a `Layer`; when called, if params or a cache were made by
        another network, or the key is not a random key.

    Example:
      >>> import jax, jaxnn
      >>> network = chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1))
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> out_shape, [len(p) for p in params]
      ((1,), [2, 0, 2])

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    return sequential(layers, partial(layer_keys, n=len(layers)), 0, len(layers))


def sequential(
    layers: Sequence[Layer], keys_of: Callable[[Key], Sequence[Key] | Key], first: int = 0, total: int | None = None
) -> Layer:
    """Return the layers one after another, layer i with the key `keys_of(key)[i]`.

    With `total`, errors name a layer by its number in the whole network, in which layer 0 here is number `first` + 1.
    """
    naming = partial(_naming, layers, first, total)

    def are_of_layers(value):
        # A list is rejected, since backward would return a tuple: another structure.
        return isinstance(value, tuple) and len(value) == len(layers)

    of_layers = f"a tuple of {len(layers)} entries, one per layer"
    params_of_layers = Constraint(of_layers, fix=_way_to_params, test=are_of_layers)
    caches_of_layers = Constraint(
        "those that this chain's forward returned", fix="call backward(params, cache, dy)", test=are_of_layers
    )

    @checked(key=RandomKey())
    def init(key, in_shape):
        return init_all(layers, partial(keys_of, key), in_shape, naming)

    @checked(params=params_of_layers, key=RandomKey() | Nothing())
    def forward(params, x, key=None):
        caches = []
        keys = None if key is None else keys_of(key)
        for i, (layer, layer_params) in enumerate(zip(layers, params, strict=True)):
            with naming(i):
                x, cache = run_forward(entry(i), layer, layer_params, x, None if keys is None else keys[i])
            caches.append(cache)
        return x, tuple(caches)

    @checked(params=params_of_layers, caches=caches_of_layers)
    def backward(params, caches, dy):
        dparams = []
        for i in reversed(range(len(layers))):
            with naming(i):
                layer_dparams, dy = run_backward(entry(i), layers[i], params[i], caches[i], dy)
            dparams.append(layer_dparams)
        return tuple(reversed(dparams)), dy

    @checked(params=params_of_layers)
    def parts(params):
        return [part for layer, layer_params in zip(layers, params, strict=True) for part in layer.parts(layer_params)]

    return Layer(init, forward, backward, parts)


@contextmanager
def _naming(layers: Sequence[Layer], first: int, total: int | None, i: int) -> Iterator[None]:
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
    return f"use those that this chain's init made (a layer without parameters has ()){got}{also}"


@checked(in_shape=ExampleShape())
def init_all(
    layers: Sequence[Layer], keys_of: Callable[[], Any], in_shape: Shape, naming: Callable[[int], Any] = nullcontext
) -> tuple[tuple[Params, ...], Shape]:
    """Initialize consecutive layers; return the params of each and the shape after the last.

    Equal layers on equal shapes are initialized by one loop over their keys. The numbers are the same, but the
    initializer compiles once; otherwise compiling it would take most of the time to a deep network's first step.
    """
    keys, times, shape = keys_of(), _times(layers), tuple(in_shape)
    params, groups = {}, {}  # by index of a layer; the indices of equal layers on equal shapes
    for i, layer in enumerate(layers):
        if times[i] == 1:
            with naming(i):
                params[i], shape = layer.init(keys[i], shape)
        else:
            if (layer, shape) not in groups:
                with naming(i):
                    groups[layer, shape] = _out_shape(layer, keys[i], shape), []
            shape, indices = groups[layer, shape]
            indices.append(i)
        shape = tuple(shape)
    for (layer, layer_shape), (_, indices) in groups.items():
        # The keys are made again, since JAX's check for reused keys counts an indexed array of keys as used up.
        stacked = jax.lax.map(partial(_init_params, layer, layer_shape), keys_of()[np.array(indices)])
        params |= {index: jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i, index in enumerate(indices)}
    return tuple(params[i] for i in range(len(layers))), shape


def _times(layers: Sequence[Layer]) -> list[int]:
    """Return how many of the layers equal each; 1 if the functions of one have no hash."""
    try:
        times = Counter(layers)
    except TypeError:
        return [1] * len(layers)
    return [times[layer] for layer in layers]


def _init_params(layer: Layer, in_shape: Shape, key: Key) -> Params:
    return layer.init(key, in_shape)[0]


def _out_shape(layer: Layer, key: Key, in_shape: Shape) -> Shape:
    """Return the shape after the layer without drawing its params."""
    shapes = []
    jax.eval_shape(lambda key: shapes.append(layer.init(key, in_shape)[1]), key)
    return shapes[0]


def layer_keys(key: Key, n: int, first: Array | int = 0) -> Key:
    """Return the keys (n,) of layers number first, first + 1, ... of a chain."""
    # By index, not by `split`: a layer added at the end does not change the random numbers of those before it.
    return jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(n))


CASES = {
    "residual": (lambda: residual(chain(dense(5), tanh())), (5,)),
    "residual_dropout": (lambda: residual(chain(dense(5), sigmoid(), dropout(0.4))), (5,), {"random": True}),
    "chain": (lambda: chain(dense(4), relu(), dense(3)), (5,)),
    "chain_of_one": (lambda: chain(dense(4)), (5,)),
    "chain_images": (lambda: chain(flatten(), dense(3), silu()), (2, 3, 2)),
    "chain_dropout": (lambda: chain(dropout(0.2), chain(dense(5), sigmoid(), dropout(0.4))), (5,), {"random": True}),
}
